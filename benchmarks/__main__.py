"""`python -m benchmarks`: run the table, and write what it found into the documentation."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from benchmarks.conditions import commit, conditions
from benchmarks.lab import SCALES, Lab
from benchmarks.record import Record, Section, load, save
from benchmarks.render import PAGE, RESULTS, floors_table, out_of_date, write_page
from benchmarks.suites import append_batch, append_each, durability, growth, latency, proofs, verifying

SUITES: Final[dict[str, Callable[[Lab], Section]]] = {
    "append_batch": append_batch.measure,
    "append_each": append_each.measure,
    "latency": latency.measure,
    "growth": growth.measure,
    "proofs": proofs.measure,
    "verifying": verifying.measure,
    "durability": durability.measure,
}
"""The benchmarks in the order in which they are run; proofs read the log that growth leaves."""


@click.group()
def main() -> None:
    """Measure this ledger, its limits and its peers, and show what was found."""


@main.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=RESULTS, help="Where the results go.")
@click.option("--scale", type=click.Choice(list(SCALES)), default="full", help="How large; full takes half an hour.")
@click.option("--only", type=click.Choice(list(SUITES)), multiple=True, help="Run this one; may be given again.")
@click.option("--again", is_flag=True, help="Start over where the file has results; else what it has is not run again.")
@click.option("--seed", type=int, default=1, help="Seed of everything random.")
@click.option(
    "--work", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A directory on the disk to measure."
)
def run(out: Path, scale: str, only: Sequence[str], *, again: bool, seed: int, work: Path | None) -> None:
    """Run the table; each finished benchmark is saved at once, so a run that was stopped goes on where it was."""
    folder = Path(tempfile.mkdtemp(prefix="logproof-benchmarks-", dir=work))
    lab = Lab(SCALES[scale], folder, seed, say=lambda words: click.echo(words, err=True))
    try:
        failed = run_suites(lab, out, [name for name in SUITES if not only or name in only], again=again)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    click.echo(floors_table(load(out)))
    sys.exit(1 if failed else 0)


def run_suites(lab: Lab, out: Path, names: Sequence[str], *, again: bool) -> list[str]:
    """Run benchmarks and save each; return the names of those that failed.

    Raises:
        click.UsageError: The file has results of another commit, scale or seed.
    """
    record = load(out) if out.exists() and not again else Record(conditions(lab))
    now = {"scale": lab.scale.name, "seed": str(lab.seed), "commit": commit()}
    for name, value in now.items():
        if record.conditions[name] != value:
            raise click.UsageError(
                f"{out} has results of {name} {record.conditions[name]}, not {value}: they do not go together. "
                "Name another file, or start over with --again"
            )
    failed = []
    # Proofs read the log that growth leaves on the disk, which is gone after the run.
    wanted = [
        name for name in names if name not in record.sections or (name == "growth" and _needs_growth(names, record))
    ]
    for name in wanted:
        lab.say(f"{name}")
        begin = time.perf_counter()
        try:
            section = SUITES[name](lab)
        except Exception:  # noqa: BLE001 - the others are still worth their time
            lab.say(traceback.format_exc())
            failed.append(name)
            continue
        section.seconds = time.perf_counter() - begin
        record.sections[name] = section
        save(record, out)
        lab.say(f"{name}: {section.seconds:.0f} s")
    return failed


def _needs_growth(names: Sequence[str], record: Record) -> bool:
    return "proofs" in names and "proofs" not in record.sections


@main.command()
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), default=RESULTS, help="The results.")
@click.option("--check", is_flag=True, help="Only tell whether page and plots are those of the results.")
def render(results: Path, *, check: bool) -> None:
    """Write the tables of docs/benchmarks.md and the plots from the results."""
    record = load(results)
    if check:
        stale = out_of_date(record)
        for path in stale:
            click.echo(f"{path} is not what the results say: run `python -m benchmarks render`", err=True)
        sys.exit(1 if stale else 0)
    write_page(record)
    click.echo(f"wrote {PAGE} and its plots", err=True)


@main.command()
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), default=RESULTS, help="The results.")
def floors(results: Path) -> None:
    """Show what was to be reached, and what was."""
    click.echo(floors_table(load(results)))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
