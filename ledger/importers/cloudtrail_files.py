"""CloudTrail files, cut into records without changing a byte of them.

A file is an object with `Records` (as CloudTrail delivers them), a JSON array, or one object to a line. The rule that
must not break: the bytes handed out for a record are the file's own, and no record is passed over in silence.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ledger.importers.records import describe_json_error, refuse_constant

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_WHITE_SPACE: Final = " \t\r\n"
_RECORDS: Final = "Records"
_NOTHING_AFTER: Final = "; nothing after it in the file was read"
# A key that occurs twice in a record is not refused: the record is kept as it is, and must not be missing.
_DECODER: Final = json.JSONDecoder(parse_constant=refuse_constant)


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """Stands for a record that is not JSON.

    Attributes:
        reason: Why it cannot be read, in words.
    """

    reason: str


Numbered: TypeAlias = tuple[int, bytes, object]
"""Number of a record, its bytes, and its JSON value or an `UnreadableRecord`."""


def split_file(data: bytes) -> Iterator[Numbered]:
    """Give each record of a file: its number, its bytes, and its JSON value.

    What is not JSON comes as an `UnreadableRecord`, which `map_record` refuses with its reason. After one inside a
    list nothing more can be found, and the reason says so; between lines the next line is read.

    Args:
        data: The whole file, not compressed, in UTF-8.

    Yields:
        Number of the record from 1 (in a file of lines: of the line), the record's bytes in the file, its value.
    """
    data = data.removeprefix(_BYTE_ORDER_MARK)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # Only lines can be told apart without knowing the characters.
        yield from _lines(data)
        return
    start = _skip(text, 0)
    if text.startswith("[", start):
        end = yield from _elements(text, start)
        if end is not None and _skip(text, end) < len(text):
            yield 0, text[end:].encode(), UnreadableRecord("follows the list of records")
        return
    records = _records_offset(text, start)
    if records is not None:
        yield from _delivery(text, records)
        return
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        value, end = None, start
    if isinstance(value, dict) and _skip(text, end) == len(text):
        yield 1, text[start:end].encode(), value
    else:
        yield from _lines(data)


def _skip(text: str, offset: int) -> int:
    while offset < len(text) and text[offset] in _WHITE_SPACE:
        offset += 1
    return offset


def _records_offset(text: str, start: int) -> int | None:
    """Return where the list `Records` of the object at `start` begins, even if the object is broken after it."""
    if not text.startswith("{", start):
        return None
    try:
        offset = _skip(text, start + 1)
        while True:
            key, offset = _DECODER.raw_decode(text, offset)
            offset = _skip(text, offset)
            if not text.startswith(":", offset):
                return None
            offset = _skip(text, offset + 1)
            if key == _RECORDS and text.startswith("[", offset):
                return offset
            _, offset = _DECODER.raw_decode(text, offset)
            offset = _skip(text, offset)
            if not text.startswith(",", offset):
                return None
            offset = _skip(text, offset + 1)
    except (ValueError, RecursionError):
        return None


def _delivery(text: str, records: int) -> Iterator[Numbered]:
    end = yield from _elements(text, records)
    if end is None:
        return
    rest = text[end:]
    try:
        others = _DECODER.decode(f'{{"{_RECORDS}":[]{rest}')
    except (ValueError, RecursionError) as error:
        yield 0, rest.encode(), UnreadableRecord(f"what follows the list of records {describe_json_error(error)}")
        return
    if others[_RECORDS]:
        yield 0, rest.encode(), UnreadableRecord("a second list of records follows the first")


def _elements(text: str, start: int) -> Generator[Numbered, None, int | None]:
    """Give the elements of the list at `start`; return where it ends, or None where that could not be found."""
    number = 1
    offset = _skip(text, start + 1)
    if text.startswith("]", offset):
        return offset + 1
    while True:
        try:
            value, end = _DECODER.raw_decode(text, offset)
        except (ValueError, RecursionError) as error:
            yield number, text[offset:].encode(), UnreadableRecord(describe_json_error(error) + _NOTHING_AFTER)
            return None
        yield number, text[offset:end].encode(), value
        number += 1
        offset = _skip(text, end)
        if text.startswith("]", offset):
            return offset + 1
        if not text.startswith(",", offset):
            found = "the end of the file" if offset == len(text) else ascii(text[offset])
            reason = f"comes after {found} where a comma or the end of the list should be"
            yield number, text[offset:].encode(), UnreadableRecord(reason + _NOTHING_AFTER)
            return None
        offset = _skip(text, offset + 1)


def _lines(data: bytes) -> Iterator[Numbered]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        raw = line.strip(b" \t\r")
        if not raw:
            continue
        try:
            value: object = _DECODER.decode(raw.decode())
        except (ValueError, RecursionError) as error:
            value = UnreadableRecord(describe_json_error(error))
        yield number, raw, value
