"""Records from files: found in folders, unpacked, cut and mapped, one after the other.

The rule that must not break: each record of each file comes out once, mapped or with the reason why it cannot be; what
comes out for a record depends on its file alone, so that files may overlap and an import may be repeated; and one
damaged file keeps no other from being read.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from io import BufferedReader
from pathlib import Path
from typing import Final, TypeAlias

import click

from ledger.cli.files import open_file
from ledger.errors import LedgerError, MalformedError
from ledger.importers.cloudtrail import map_record
from ledger.importers.cloudtrail_files import split_file
from ledger.importers.cloudtrail_shapes import is_digest
from ledger.importers.flat import map_line
from ledger.importers.records import MappedRecord

MAX_LINE_BYTES: Final = 1024 * 1024
"""Longest line that is read; far above what fits an event."""

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
"""Largest CloudTrail file, unpacked; one is read whole."""

STDIN: Final = Path("-")
"""Stands for the standard input among the files."""

WHOLE_FILE: Final = 0
"""Stands for the file as a whole among the numbers of its records."""

_ENDINGS: Final = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_DIGEST_BYTES: Final = 16
# What is looked at to tell one JSON document from lines.
_BEGIN_BYTES: Final = 4096
_CLOUDTRAIL_BEGIN: Final = re.compile(rb'\s*\{\s*"Records"\s*:\s*\[')
_DOCUMENT_BEGIN: Final = re.compile(rb"\s*[\[{][ \t\r]*\n")
_DAMAGE: Final = (EOFError, zlib.error, gzip.BadGzipFile)

_Stream: TypeAlias = BufferedReader | gzip.GzipFile


class Kind(Enum):
    """What the files hold."""

    FLAT = "flat"
    CLOUDTRAIL = "cloudtrail"


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record of a file.

    Attributes:
        file: The file.
        number: Number of the record in it, from 1; of the line, in a file of lines; 0 for the file as a whole.
        raw: The record's bytes; empty for the file as a whole.
        mapped: The record as it is to be appended; None where it cannot be.
        error: Why it cannot be; None where it can, and where it is a digest file, which holds no record.
        position: How far the reading of all files has come, bytes.
    """

    file: Path
    number: int
    raw: bytes
    mapped: MappedRecord | None
    error: LedgerError | None
    position: int


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files to read, in order: those named, and in each folder those with an ending of JSON or gzipped JSON.

    Raises:
        click.UsageError: A path does not exist, a folder holds no such file, or stdin is closed or named twice.
        MalformedError: A path is a named pipe or a device.
        OSError: A file cannot be opened.
    """
    files: list[Path] = []
    for path in paths:
        if path == STDIN:
            if path in files:
                raise click.UsageError("- stands for stdin, which can be read once")
            if sys.stdin is None:
                raise click.UsageError("- stands for stdin, which is closed")
            files.append(path)
            continue
        if not path.exists():
            raise click.UsageError(f"{path}: no such file or folder")
        if not path.is_dir():
            # Before anything is read: one that is no file would end the import in its middle.
            open_file(path).close()
            files.append(path)
            continue
        found = sorted(file for file in path.rglob("*") if file.is_file() and _is_wanted(file.relative_to(path)))
        if not found:
            raise click.UsageError(f"{path} holds no file that ends in one of {' '.join(_ENDINGS)}")
        files.extend(found)
    return files


def total_bytes(files: Sequence[Path]) -> int | None:
    """Return the bytes of all files; None where that cannot be known."""
    return None if STDIN in files else sum(file.stat().st_size for file in files)


def read_records(files: Sequence[Path], kind: Kind) -> Iterator[SourceRecord]:
    """Yield the records of the files in order; a file that is damaged as a whole comes as one refused record.

    Raises:
        OSError: A file cannot be read.
    """
    read = _read_flat if kind is Kind.FLAT else _read_cloudtrail
    before = 0
    for file in files:
        with nullcontext(_stdin()) if file == STDIN else open_file(file) as raw:
            yield from read(file, raw, before)
        before += 0 if file == STDIN else file.stat().st_size


def _stdin() -> BufferedReader:
    stdin = sys.stdin.buffer
    return stdin if isinstance(stdin, BufferedReader) else BufferedReader(stdin)  # type: ignore[arg-type]


def _is_wanted(relative: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and relative.name.lower().endswith(_ENDINGS)


def _read_flat(file: Path, raw: BufferedReader, before: int) -> Iterator[SourceRecord]:
    # How often each line has come, for lines that are equal and name no id.
    seen: dict[bytes, int] = {}
    number = 0
    try:
        stream = _unpacked(raw)
        shape = _shape_of_document(stream.peek(_BEGIN_BYTES)[:_BEGIN_BYTES])
        if shape is not None:
            yield _refused_whole(file, shape, _position(raw, before))
            return
        for number, line in enumerate(_lines(stream), start=1):
            content = line.strip()
            if not content:
                continue
            digest = hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
            occurrence = seen.get(digest, 0)
            seen[digest] = occurrence + 1
            position = _position(raw, before)
            if len(line) > MAX_LINE_BYTES:
                too_long = MalformedError(f"is longer than {MAX_LINE_BYTES} bytes")
                yield SourceRecord(file, number, content, None, too_long, position)
                continue
            yield _mapped(file, number, content, position, lambda: map_line(content, occurrence))  # noqa: B023 - called at once
    except _DAMAGE as error:
        after = f"what follows its line {number} was not read" if number else "nothing of it was read"
        yield _refused_whole(file, f"is not whole gzip data, so {after}: {error}", _position(raw, before))


def _read_cloudtrail(file: Path, raw: BufferedReader, before: int) -> Iterator[SourceRecord]:
    try:
        data = _unpacked(raw).read(MAX_FILE_BYTES + 1)
    except _DAMAGE as error:
        reason = f"is not whole gzip data, so nothing of it was read: {error}"
        yield _refused_whole(file, reason, _position(raw, before))
        return
    position = _position(raw, before)
    if len(data) > MAX_FILE_BYTES:
        yield _refused_whole(
            file, f"has more than {MAX_FILE_BYTES} bytes unpacked; cut it into smaller files", position
        )
        return
    for number, content, value in split_file(data):
        if is_digest(value):
            yield SourceRecord(file, number, content, None, None, position)
        else:
            yield _mapped(file, number, content, position, lambda: map_record(value, content))  # noqa: B023 - called at once


def _shape_of_document(begin: bytes) -> str | None:
    """Return in words what a file is that begins so and does not have one object to a line; None if it may have."""
    if _CLOUDTRAIL_BEGIN.match(begin):
        return "is one JSON document with Records, as CloudTrail delivers it; import it with --from cloudtrail"
    if _DOCUMENT_BEGIN.match(begin):
        each = "." if begin.lstrip().startswith(b"{") else ".[]"
        return f"is one JSON document over several lines; `jq -c '{each}' FILE` puts one object to a line"
    return None


def _mapped(
    file: Path, number: int, content: bytes, position: int, map_one: Callable[[], MappedRecord]
) -> SourceRecord:
    try:
        return SourceRecord(file, number, content, map_one(), None, position)
    except LedgerError as error:
        return SourceRecord(file, number, content, None, error, position)


def _refused_whole(file: Path, reason: str, position: int) -> SourceRecord:
    return SourceRecord(file, WHOLE_FILE, b"", None, MalformedError(reason), position)


def _position(raw: BufferedReader, before: int) -> int:
    # A pipe does not tell how far it was read.
    return before + raw.tell() if raw.seekable() else before


def _unpacked(raw: BufferedReader) -> _Stream:
    is_gzip = raw.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] == _GZIP_MAGIC
    return gzip.GzipFile(fileobj=raw, mode="rb") if is_gzip else raw


def _lines(stream: _Stream) -> Iterator[bytes]:
    while line := stream.readline(MAX_LINE_BYTES + 1):
        kept = line
        # The rest of a line that is too long is passed over, so that the next record begins where its line does.
        while not line.endswith(b"\n") and len(line) > MAX_LINE_BYTES:
            line = stream.readline(MAX_LINE_BYTES + 1)
        yield kept
