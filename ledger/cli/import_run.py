"""Sends records in batches, and sets aside those that are refused.

The rule that must not break: a record counts as appended or already there only after its receipt was verified; every
other record is in the file of rejects, or the import ends with an error. Where the receipt proves that a leaf is in the
log and not what it holds, the record is counted apart, and the words say so.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NoReturn, Self, TypeAlias

from ledger.cli.import_sources import WHOLE_FILE, SourceRecord
from ledger.cli.output import say
from ledger.client.receipt import Receipt
from ledger.client.sync import Ledger
from ledger.client.values import AppendOutcome, Sections
from ledger.errors import (
    BatchError,
    EventIdReusedError,
    EventTooLargeError,
    FieldViolation,
    InvalidRequestError,
    LedgerError,
)

BATCH_EVENTS: Final = 1_000
"""Most records of a batch."""

BATCH_BYTES: Final = 3 * 1024 * 1024
"""Largest batch, bytes of both sections together: below the server's limit, and its message below the transport's."""

# One batch is on its way while the next is mapped.
_BATCHES_UNDER_WAY: Final = 2
_SHOWN_CHARACTERS: Final = 4_000

_Result: TypeAlias = tuple[SourceRecord, Receipt | LedgerError]
_UnderWay: TypeAlias = tuple[list[SourceRecord], Future[list[_Result]]]


@dataclass(slots=True)
class Counts:
    """How many records became what.

    Attributes:
        appended: New in the log.
        already_there: In the log before, or earlier in this import.
        not_compared: Of those, the ones that are there by the server's word alone: no proof of their content.
        refused: In the file of rejects.
        passed_over: Digest files, which hold no record; not among the records.
    """

    appended: int = 0
    already_there: int = 0
    not_compared: int = 0
    refused: int = 0
    passed_over: int = 0

    @property
    def records(self) -> int:
        """All records so far."""
        return self.appended + self.already_there + self.refused

    def words(self) -> str:
        """Return the counts in words."""
        not_compared = f" (of these {self.not_compared} with content not compared)" if self.not_compared else ""
        passed_over = f"; {self.passed_over} digest files passed over" if self.passed_over else ""
        return (
            f"{self.records} records: {self.appended} appended, {self.already_there} already there{not_compared}, "
            f"{self.refused} refused{passed_over}"
        )


class RejectFile:
    """The file of rejects: made when the first record is refused, one JSON object to a line."""

    def __init__(self, path: Path) -> None:
        """Name the file."""
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, record: SourceRecord, error: LedgerError) -> None:
        """Write one refused record with its reason.

        Raises:
            InvalidRequestError: The file cannot be written.
        """
        line: dict[str, object] = {
            "file": str(record.file),
            "number": record.number,
            "reason": error.reason,
            "message": error.message,
        }
        if isinstance(error, InvalidRequestError):
            line["violations"] = [
                {"field": violation.field, "description": violation.description} for violation in error.violations
            ]
        line["record"] = _readable(record.raw)
        try:
            if self._file is None:
                # A link here would have something else overwritten.
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                self._file = os.fdopen(os.open(self._path, flags, 0o600), "w", encoding="utf-8")
            # As ASCII, because a refused record may hold what is no text in UTF-8.
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as problem:
            self._abandon()
            raise InvalidRequestError(
                [FieldViolation("rejects", f"{self._path} cannot be written: {problem.strerror}")],
                hint="name a file that can be written, with --rejects FILE",
            ) from problem

    def _abandon(self) -> None:
        """Close the file, which would fail once more to write what it could not."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


class Import:
    """One run of an import."""

    def __init__(self, ledger: Ledger, rejects: RejectFile) -> None:
        """Start with nothing sent."""
        self._ledger = ledger
        self._rejects = rejects
        self.counts = Counts()

    def send_all(self, records: Iterator[SourceRecord], progress: Callable[[int], None]) -> None:
        """Send all records, in order.

        Args:
            records: The records.
            progress: Told how far it has come, bytes of input.

        Raises:
            LedgerError: The server cannot be reached, or its answer does not hold; what was counted is in the log.
        """
        under_way: deque[_UnderWay] = deque()
        with ThreadPoolExecutor(max_workers=1) as sender:
            try:
                for batch in self._batches(records):
                    under_way.append((batch, sender.submit(self._send, batch)))
                    if len(under_way) == _BATCHES_UNDER_WAY:
                        self._finish(under_way, progress)
            finally:
                # Also when interrupted: what is under way is in the log in a moment, and is counted.
                while under_way:
                    self._finish(under_way, progress)

    def _batches(self, records: Iterator[SourceRecord]) -> Iterator[list[SourceRecord]]:
        batch: list[SourceRecord] = []
        size = 0
        for record in records:
            if record.error is not None:
                self._refuse(record, record.error)
                continue
            if record.mapped is None:
                self.counts.passed_over += 1
                continue
            added = len(record.mapped.event) + len(record.mapped.personal)
            if batch and (len(batch) == BATCH_EVENTS or size + added > BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(record)
            size += added
        if batch:
            yield batch

    def _send(self, batch: Sequence[SourceRecord]) -> list[_Result]:
        """Return what became of each record; called by the sending thread."""
        results: list[_Result] = []
        rest = list(batch)
        while rest:
            refused: dict[int, LedgerError]
            try:
                receipts = self._append(rest)
            except BatchError as error:
                refused = {problem.position: problem.error for problem in error.problems}
                if not refused:
                    raise
            except (InvalidRequestError, EventTooLargeError, EventIdReusedError) as error:
                if len(rest) > 1:
                    raise
                refused = {0: error}
            else:
                results.extend(zip(rest, receipts, strict=True))
                break
            results.extend((rest[position], problem) for position, problem in refused.items())
            rest = [record for position, record in enumerate(rest) if position not in refused]
        return results

    def _append(self, batch: Sequence[SourceRecord]) -> list[Receipt]:
        mapped = [record.mapped for record in batch if record.mapped is not None]
        return self._ledger.append_sections(
            [Sections(item.event, item.personal) for item in mapped],
            event_ids=[item.event_id for item in mapped],
            allow_unproven=True,
        )

    def _finish(self, under_way: deque[_UnderWay], progress: Callable[[int], None]) -> None:
        """Wait for the oldest batch, and count what became of its records."""
        records, future = under_way[0]
        try:
            results = future.result()
        finally:
            # It stays where the waiting was interrupted, and is waited for again.
            if future.done():
                under_way.popleft()
        for record, result in results:
            if isinstance(result, LedgerError):
                self._refuse(record, result)
            elif result.outcome is AppendOutcome.APPENDED:
                self.counts.appended += 1
            else:
                self.counts.already_there += 1
                self.counts.not_compared += not result.proves_content
        progress(records[-1].position)

    def _refuse(self, record: SourceRecord, error: LedgerError) -> None:
        if record.number == WHOLE_FILE:
            # Many records may be missing behind this one; whoever counts lines would not see it.
            say(f"{record.file} {error.message}")
        self._rejects.add(record, error)
        self.counts.refused += 1


def _readable(raw: bytes) -> object:
    """Return the record so that it can be mended and imported again.

    As JSON where it comes back as it was; as its text where it is JSON that would come back as something else; else the
    begin of its text.
    """
    try:
        return json.loads(raw, object_pairs_hook=_unique, parse_float=_exact, parse_constant=_refuse)
    except _AltersError:
        return raw.decode("utf-8", "backslashreplace")
    except (ValueError, RecursionError):
        return raw[:_SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")


class _AltersError(Exception):
    """Read and written again, the record would say something else."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _AltersError
    return found


def _exact(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or Decimal(repr(number)) != Decimal(text):
        raise _AltersError
    return number


def _refuse(_constant: str) -> NoReturn:
    # NaN and the infinities are no JSON.
    raise _AltersError
