"""The page of the benchmarks, its plots and the results that are committed say the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import render
from benchmarks.floors import MISSED, NOT_JUDGED, verdicts
from benchmarks.plots import draw
from benchmarks.record import Curve, Ratio, Record, Row, Section, load, ratio, save
from benchmarks.render import PAGE, RESULTS, floors_table, out_of_date


def test_page_and_plots_are_those_of_the_results() -> None:
    assert out_of_date(load(RESULTS)) == []


def test_a_figure_that_was_edited_on_the_page_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text("utf-8")
    begin = text.index("<!-- results: floors -->")
    edited = tmp_path / "benchmarks.md"
    edited.write_text(text[:begin] + text[begin:].replace("AppendBatch(1000)", "AppendBatch(999)", 1), encoding="utf-8")
    monkeypatch.setattr(render, "PAGE", edited)

    assert out_of_date(load(RESULTS)) == ["benchmarks.md"]


def test_results_survive_being_written_and_read(tmp_path: Path) -> None:
    record = load(RESULTS)
    save(record, tmp_path / "results.json")

    assert load(tmp_path / "results.json") == record


def _row(key: str, *runs: float) -> Row:
    return Row(key, "peer", "work", "events/s", list(runs))


def test_what_was_not_steady_is_compared_with_at_its_best_round() -> None:
    ours = _row("ours", 100, 300)

    assert ratio(ours, _row("peer", 90, 100, 110)) == Ratio(2)
    assert ratio(ours, _row("peer", 85, 100, 125)) == Ratio(1.6, spread=0.4)
    assert ratio(ours, replace(_row("peer", 80, 100, 125), unit="ms")) == Ratio(2.5, spread=0.45)


def test_no_ratio_to_a_single_round_or_to_nothing() -> None:
    ours = _row("ours", 100, 300)

    assert "one round" in ratio(ours, _row("peer", 100)).refusal
    assert ratio(None, _row("peer", 90, 100)).value is None
    assert ratio(ours, None).value is None


def test_a_verdict_against_a_peer_that_was_not_steady_says_so() -> None:
    rows = [
        _row("append_batch/logproof/1000/both/4", 50),
        _row("append_batch/umadb/1000/1", 10, 20, 100),
        _row("append_batch/umadb/1000/4", 60, 60, 60),
    ]
    record = Record({}, {"append_batch": Section(rows)})

    verdict = next(verdict for verdict in verdicts(record) if verdict.work == "... against UmaDB")
    assert (verdict.measured, verdict.verdict) == ("0.50 times its best round", "floor; its rounds spread over 450%")


@pytest.mark.parametrize(("unit", "shown"), [("events/s", "at least 0.80"), ("ms", "at least 0.50")])
def test_the_last_column_says_that_a_ratio_to_the_best_round_is_a_bound(unit: str, shown: str) -> None:
    rows = [
        Row("latency/logproof/25", "logproof", "work", unit, [100.0]),
        Row("latency/peer/25", "peer", "work", unit, [50.0, 80.0, 125.0]),
    ]
    page = render.page(Record({}, {"latency": Section(rows)}), "<!-- results: latency -->\n<!-- end -->\n")

    assert f"| {shown} |" in page


@pytest.mark.parametrize(("rate", "verdict"), [(44_999, MISSED), (45_000, "floor"), (120_000, "aim")])
def test_a_floor_that_is_missed_says_so(rate: float, verdict: str) -> None:
    record = Record({}, {"append_batch": Section([_row("append_batch/logproof/1000/both/4", rate)])})

    assert verdicts(record)[0].verdict == verdict
    assert (MISSED in floors_table(record)) == (verdict == MISSED)


def test_growth_is_judged_against_what_was_measured_in_turns_with_it() -> None:
    rows = [_row("growth/first", 200), _row("growth/last", 80, 95, 300), _row("growth/fresh", 90, 100, 110)]

    verdict = next(v for v in verdicts(Record({}, {"growth": Section(rows)})) if v.work.startswith("growth"))

    assert (verdict.measured, verdict.verdict) == ("0.95 times", "aim")


def test_what_was_not_measured_is_not_judged() -> None:
    assert {verdict.verdict.partition(":")[0] for verdict in verdicts(Record())} == {NOT_JUDGED}


def test_a_missing_peer_is_a_row_that_says_why() -> None:
    row = replace(_row("append_batch/umadb"), missing="not installed")
    shown = render.page(
        Record({}, {"append_batch": Section([row])}), "<!-- results: append_batch -->\nold\n<!-- end -->\n"
    )

    assert "missing: not installed" in shown
    assert "old" not in shown


def test_a_plot_has_each_system_and_shows_names_as_text() -> None:
    curve = Curve("growth", "Rate", "entries", "events/s", {"a<b": [(1e3, 5.0), (1e6, 9.0)], "c": [(1e3, 1.0)]})

    drawn = draw(curve)
    assert drawn == draw(curve)
    assert drawn.count("<polyline") == 2
    assert "a&lt;b" in drawn
