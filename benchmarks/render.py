"""The tables and plots of docs/benchmarks.md, made from the results.

What stands between two marks of the page is this module's; the words around it are people's. The rule that must not
break: page, plots and results agree, which a test holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.floors import figure, verdicts
from benchmarks.plots import draw
from benchmarks.record import TIMES, Record, Row, ratio

_ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = _ROOT / "docs" / "benchmarks.md"
PLOTS: Final = _ROOT / "docs" / "benchmarks"
RESULTS: Final = _ROOT / "benchmarks" / "results" / "results.json"
_BLOCK: Final = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write_page(record: Record) -> None:
    """Write the blocks of the page, and the plots."""
    PAGE.write_text(page(record, PAGE.read_text("utf-8")), encoding="utf-8")
    PLOTS.mkdir(exist_ok=True)
    for path, content in plots(record).items():
        path.write_text(content, encoding="utf-8")


def out_of_date(record: Record) -> list[str]:
    """Return the names of the page and the plots that are not those of the results."""
    stale = []
    text = PAGE.read_text("utf-8")
    if page(record, text) != text:
        stale.append(PAGE.name)
    expected = plots(record)
    found = {path: path.read_text("utf-8") for path in PLOTS.glob("*.svg")}
    return stale + sorted(path.name for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))


def page(record: Record, text: str) -> str:
    """Return the page's text with every block written anew.

    Raises:
        KeyError: A block has a name that is not known.
    """
    return _BLOCK.sub(lambda match: f"{match[1]}\n{_block(record, match[2])}\n{match[3]}", text)


def plots(record: Record) -> dict[Path, str]:
    """Return the plots by their path."""
    curves = [curve for section in record.sections.values() for curve in section.curves if any(curve.lines.values())]
    return {PLOTS / f"{curve.key}.svg": draw(curve) for curve in curves}


def floors_table(record: Record) -> str:
    """Return the table of what was to be reached."""
    rows = [
        (
            verdict.work,
            verdict.floor,
            verdict.aim,
            verdict.measured,
            f"{verdict.share:.2f}" if verdict.share is not None else "",
            verdict.verdict,
        )
        for verdict in verdicts(record)
    ]
    return _table(("Work", "Floor", "Aim", "Measured", "Of the floor", "Verdict"), rows)


def _block(record: Record, name: str) -> str:
    if name == "floors":
        return floors_table(record)
    if name == "conditions":
        return _table(("Condition", "Value"), list(record.conditions.items()))
    if name not in record.sections:
        return "Not part of the results on this page."
    section = record.sections[name]
    parts = [
        _table(("System", "Work", "Figure", "Spread", "p50", "p99", "logproof against it"), _rows(record, section.rows))
    ]
    if section.facts:
        parts.append(
            _table(("Found", "Value"), [(key.replace("_", " "), _fact(value)) for key, value in section.facts.items()])
        )
    parts += [
        f"![{curve.title}]({PLOTS.name}/{curve.key}.svg)" for curve in section.curves if any(curve.lines.values())
    ]
    return "\n\n".join(parts)


def _rows(record: Record, rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        if row.missing:
            yield row.system, row.work, f"missing: {row.missing}", "", "", "", ""
            continue
        spread = f"{row.spread:.0%}" if len(row.runs) > 1 else ""
        measured = f"{figure(row.median)} {row.unit}"
        yield (
            row.system,
            row.work,
            measured,
            spread,
            _quantile(row, "p50"),
            _quantile(row, "p99"),
            _against(record, row),
        )


def _quantile(row: Row, name: str) -> str:
    for unit in ("ms", "us"):
        value = row.detail(f"{name}_{unit}")
        if value is not None:
            return f"{figure(value)} {unit}"
    return ""


def _against(record: Record, row: Row) -> str:
    """Return how the ledger did against a peer or a limit at the same work, above 1 where better, or why not."""
    ours = _counterpart(record, row)
    if ours is None:
        return ""
    found = ratio(ours, row)
    if found.value is None:
        return found.refusal
    share = f"{1 / found.value if row.unit in TIMES else found.value:.2f}"
    # Its best round is the least favourable to us.
    return f"at least {share}" if found.spread else share


def _counterpart(record: Record, row: Row) -> Row | None:
    suite, *rest = row.key.split("/")
    if row.system.startswith("logproof") or not rest:
        return None
    if suite == "append_batch":
        return record.best(f"append_batch/logproof/{next(part for part in rest if part.isdigit())}/both/")
    if suite == "append_batch_from_facts":
        return record.row("append_batch_from_facts/logproof")
    if suite == "append_each":
        return record.row(f"append_each/logproof/{rest[-1] if rest[-1].isdigit() else 1}")
    if suite in {"latency", "proofs"} and len(rest) > 1:
        return record.row("/".join([suite, "logproof", *rest[1:]]))
    counterparts = {"verifying/pymerkle": "verifying/receipts/one_head", "verifying/postgres": "verifying/audit"}
    return record.row(counterparts[row.key]) if row.key in counterparts else None


def _fact(value: float | str) -> str:
    return value if isinstance(value, str) else figure(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]] | Iterator[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
