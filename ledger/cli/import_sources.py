"""Records from files: found in folders, unpacked, cut and mapped, one after the other.

The rule that must not break: each record of each file comes out once, mapped or with the reason why it cannot be; and
what comes out for a record depends on its file alone, so that files may overlap and an import may be repeated.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, Final

import click

from ledger.errors import LedgerError, MalformedError
from ledger.importers.cloudtrail import map_record
from ledger.importers.cloudtrail_files import split_file
from ledger.importers.flat import map_line
from ledger.importers.records import MappedRecord

MAX_LINE_BYTES: Final = 1024 * 1024
"""Longest line that is read; far above what fits an event."""

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
"""Largest CloudTrail file, unpacked; one is read whole."""

_ENDINGS: Final = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_DIGEST_BYTES: Final = 16


class Kind(Enum):
    """What the files hold."""

    FLAT = "flat"
    CLOUDTRAIL = "cloudtrail"


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record of a file.

    Attributes:
        file: The file.
        number: Number of the record in it, from 1; of the line, in a file of lines.
        raw: The record's bytes.
        mapped: The record as it is to be appended; None where it cannot be.
        error: Why it cannot be; None where it can.
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
        click.UsageError: A path does not exist, or a folder holds no such file.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise click.UsageError(f"{path}: no such file or folder")
        if not path.is_dir():
            files.append(path)
            continue
        found = sorted(file for file in path.rglob("*") if file.is_file() and _is_wanted(file.relative_to(path)))
        if not found:
            raise click.UsageError(f"{path} holds no file that ends in one of {' '.join(_ENDINGS)}")
        files.extend(found)
    return files


def read_records(files: Sequence[Path], kind: Kind) -> Iterator[SourceRecord]:
    """Yield the records of the files in order.

    Raises:
        OSError: A file cannot be read.
        MalformedError: A file is damaged as a whole, so that its records cannot be told.
    """
    read = _read_flat if kind is Kind.FLAT else _read_cloudtrail
    before = 0
    for file in files:
        with file.open("rb") as raw:
            yield from read(file, raw, before)
        before += file.stat().st_size


def _is_wanted(relative: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and relative.name.lower().endswith(_ENDINGS)


def _read_flat(file: Path, raw: IO[bytes], before: int) -> Iterator[SourceRecord]:
    # How often each line has come, for lines that are equal and name no id.
    seen: dict[bytes, int] = {}
    for number, line in enumerate(_lines(_unpacked(raw), file), start=1):
        content = line.strip()
        if not content:
            continue
        digest = hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
        occurrence = seen.get(digest, 0)
        seen[digest] = occurrence + 1
        position = before + raw.tell()
        if len(line) > MAX_LINE_BYTES:
            too_long = MalformedError(f"is longer than {MAX_LINE_BYTES} bytes")
            yield SourceRecord(file, number, content, None, too_long, position)
            continue
        yield _mapped(file, number, content, position, lambda: map_line(content, occurrence))  # noqa: B023 - called at once


def _read_cloudtrail(file: Path, raw: IO[bytes], before: int) -> Iterator[SourceRecord]:
    try:
        data = _unpacked(raw).read(MAX_FILE_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(file, error) from error
    if len(data) > MAX_FILE_BYTES:
        raise MalformedError(f"{file} has more than {MAX_FILE_BYTES} bytes unpacked")
    for number, content, value in split_file(data):
        yield _mapped(file, number, content, before + raw.tell(), lambda: map_record(value, content))  # noqa: B023 - called at once


def _mapped(
    file: Path, number: int, content: bytes, position: int, map_one: Callable[[], MappedRecord]
) -> SourceRecord:
    try:
        return SourceRecord(file, number, content, map_one(), None, position)
    except LedgerError as error:
        return SourceRecord(file, number, content, None, error, position)


def _unpacked(raw: IO[bytes]) -> IO[bytes] | gzip.GzipFile:
    magic = raw.read(len(_GZIP_MAGIC))
    raw.seek(0)
    return gzip.open(raw, "rb") if magic == _GZIP_MAGIC else raw


def _lines(stream: IO[bytes] | gzip.GzipFile, file: Path) -> Iterator[bytes]:
    try:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            kept = line
            # The rest of a line that is too long is passed over, so that the next record begins where its line does.
            while not line.endswith(b"\n") and len(line) > MAX_LINE_BYTES:
                line = stream.readline(MAX_LINE_BYTES + 1)
            yield kept
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> MalformedError:
    return MalformedError(f"{file} is not whole gzip data: {error}")
