"""The page of the benchmarks, its plots and the results that are committed say the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import render
from benchmarks.floors import MISSED, NOT_JUDGED, verdicts
from benchmarks.plots import draw
from benchmarks.record import Curve, Record, Row, Section, load, ratio, save
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


def test_no_ratio_to_what_was_not_steady() -> None:
    ours = _row("ours", 100, 300)

    assert ratio(ours, _row("peer", 90, 100, 110)).value == 2
    assert "spread over 30%" in ratio(ours, _row("peer", 85, 100, 115)).refusal
    assert "one round" in ratio(ours, _row("peer", 100)).refusal
    assert ratio(None, _row("peer", 90, 100)).value is None
    assert ratio(ours, None).value is None


@pytest.mark.parametrize(("rate", "verdict"), [(44_999, MISSED), (45_000, "floor"), (120_000, "aim")])
def test_a_floor_that_is_missed_says_so(rate: float, verdict: str) -> None:
    record = Record({}, {"append_batch": Section([_row("append_batch/logproof/1000/both/4", rate)])})

    assert verdicts(record)[0].verdict == verdict
    assert (MISSED in floors_table(record)) == (verdict == MISSED)


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
