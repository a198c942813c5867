"""Every benchmark runs, at sizes that say nothing, and leaves what the page is made of. Peers that are missing say so."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pytest

from benchmarks.__main__ import SUITES, run_suites
from benchmarks.floors import NOT_JUDGED, verdicts
from benchmarks.lab import SCALES, Lab
from benchmarks.record import load
from benchmarks.render import plots


@pytest.mark.timeout(600)
def test_the_whole_table_runs_and_every_requirement_is_judged_or_says_why_not(tmp_path: Path) -> None:
    out = tmp_path / "results.json"

    # PostgreSQL runs as another user, who may not enter pytest's own directories.
    with TemporaryDirectory() as work:
        assert run_suites(Lab(SCALES["smoke"], Path(work), seed=1), out, list(SUITES), again=False) == []

    record = load(out)
    assert list(record.sections) == list(SUITES)
    for name, section in record.sections.items():
        assert [row.key for row in section.rows if not row.runs and not row.missing] == [], name
    assert record.fact("latency", "overload_lost") == 0
    assert record.fact("durability", "kill_lost") == 0
    measured = [verdict for verdict in verdicts(record) if not verdict.verdict.startswith(NOT_JUDGED)]
    assert len(measured) >= 13
    assert len(plots(record)) == 5
    # What the file has is not run again, and what does not go with it is refused.
    assert run_suites(Lab(SCALES["smoke"], tmp_path / "none", seed=1), out, list(SUITES), again=False) == []
    with pytest.raises(click.UsageError, match="of scale smoke, not short"):
        run_suites(Lab(SCALES["short"], tmp_path / "none", seed=1), out, list(SUITES), again=False)
