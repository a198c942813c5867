"""Data on stdout, words on stderr.

The rule that must not break: what a program reads from stdout is data in the format it asked for, and nothing else
ever goes there; what comes from a log is shown so that it cannot act, neither on a terminal nor in a spreadsheet; and
words that cannot be written change nothing of what a command does.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Final

import click

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
# Longest value in a table: a verifier key fits, an imported record is cut.
_CELL_CHARACTERS: Final = 400


class Format(Enum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class OutputError(Exception):
    """What a command was to do is done, and what came of it could not be written."""


def say(message: str) -> None:
    """Print words for people, on stderr; where that cannot be written, nothing."""
    with suppress(OSError, ValueError):
        click.echo(message, err=True)


def write_data(data: bytes) -> None:
    """Print bytes as they are, on stdout; nothing where whoever started the command closed it."""
    if sys.stdout is None:
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@contextmanager
def reporting(done: str) -> Iterator[None]:
    """Write what came of something that is done and cannot be taken back.

    Args:
        done: What is done, in words.

    Raises:
        OutputError: The writing failed; says that it is done all the same.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{done}; but this could not be written: {describe_os_error(error)}") from error


def describe_os_error(error: OSError) -> str:
    """Return what went wrong, with the file where it is known: a full disk names none."""
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror}"


def settle_streams() -> None:
    """Make Python's own flush at its end succeed, which would put another exit code in the place of ours."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(null, stream.fileno())
                os.close(null)


def hold_descriptors() -> None:
    """Fill the numbers of standard streams that are closed, which a file or a socket would be given otherwise.

    Whatever then wrote to such a stream, a library's own log say, would write into that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - its only form


def write_records(records: Sequence[Mapping[str, object]], output_format: Format, columns: Sequence[str]) -> None:
    """Print a list of records.

    Args:
        records: The records; a table and CSV show the named columns alone.
        output_format: How.
        columns: Names of the columns.
    """
    if output_format is Format.JSON:
        click.echo(json.dumps(list(records), indent=1, ensure_ascii=False))
    elif output_format is Format.NDJSON:
        for record in records:
            click.echo(json.dumps(record, ensure_ascii=False))
    elif output_format is Format.CSV:
        click.echo(
            _csv([columns, *([_csv_cell(record.get(name)) for name in columns] for record in records)]), nl=False
        )
    else:
        rows = [[_plain(record.get(name)) for name in columns] for record in records]
        _write_aligned([[name.replace("_", " ").upper() for name in columns], *rows])


def write_record(record: Mapping[str, object], output_format: Format) -> None:
    """Print one record: as a JSON object, as CSV with a header, or with one line for each of its fields."""
    if output_format in {Format.JSON, Format.NDJSON}:
        indent = 1 if output_format is Format.JSON else None
        click.echo(json.dumps(record, indent=indent, ensure_ascii=False))
    elif output_format is Format.CSV:
        click.echo(_csv([list(record), [_csv_cell(value) for value in record.values()]]), nl=False)
    else:
        _write_aligned([[name, _shortened(_plain(value))] for name, value in _flattened("", record)])


def write_line(values: Sequence[object], widths: Sequence[int]) -> None:
    """Print one line of a table whose other lines are not known yet.

    Args:
        values: Its cells.
        widths: How wide each cell is at least; those after the last are as wide as they are.
    """
    cells = [_shortened(_plain(value)) for value in values]
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    click.echo("  ".join([*padded, *cells[len(padded) :]]).rstrip())


def printable(text: str) -> str:
    """Return text that a terminal shows and does not obey: control characters as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _flattened(prefix: str, record: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flattened(f"{prefix}{name}.", value)
        else:
            # Below the top the names are those of the data, and stay as they are.
            yield f"{prefix}{name}" if prefix else name.replace("_", " "), value


def _write_aligned(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _plain(value: object) -> str:
    if value is None or value in ("", [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return ", ".join(map(printable, value))
    return str(value) if isinstance(value, int | float) else printable(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    return text if len(text) <= _CELL_CHARACTERS else f"{text[:_CELL_CHARACTERS]}... ({len(text)} characters)"


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    # A spreadsheet would run what looks like a formula.
    return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
