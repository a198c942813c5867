"""The heads of one log that this process has verified, joined with those of other processes through the disk.

The rule that must not break: every head that leaves here is signed by the pinned key and provably one history with
every head seen before it, by this process or by any other that shares the state directory; what contradicts that
raises, and a fork leaves its evidence on disk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from ledger.client._told import told_by_server
from ledger.client.state import HeadFile
from ledger.errors import ForkError, InvalidProofError, LedgerError, RollbackError, StateError, VerificationError
from ledger.evidence.forks import format_fork_evidence
from ledger.evidence.levels import Level
from ledger.evidence.trusted import Outcome, TrustedLog
from ledger.notes.checkpoint import Checkpoint, OpenedCheckpoint, open_checkpoint
from ledger.notes.note import Verifier

# Heads of other sizes than the newest that are known to be of this history: concurrent calls get their answers
# out of order, and most of them share a head with a neighbour.
_KNOWN_HEADS: Final = 256

_HINTS: Final[dict[type[LedgerError], str]] = {
    ForkError: "keep that file: both heads in it are signed by the log, so `logproof verify fork` proves to anyone "
    "that it forked",
    InvalidProofError: "do not trust what the log shows until its operator explains it; what was trusted stays so",
    RollbackError: "the log was set back, or this is an old copy of it; ask its operator, and keep what was trusted",
}


class HeadSource(Protocol):
    """The server, as far as joining heads needs it."""

    def prove_heads(self, first_size: int, second_size: int) -> Sequence[bytes] | None:
        """Return the consistency proof between two sizes, smaller first; None where the server has none."""

    def note_at(self, tree_size: int) -> bytes | None:
        """Return the signed note of a size, above 0; None where the server has none."""


class StaleHeadWarning(UserWarning):
    """A server gave as its newest head one that is older than the trusted one, proven to be a prefix of it."""


@dataclass(frozen=True, slots=True)
class Head:
    """A verified tree head.

    Attributes:
        checkpoint: Origin, tree size and root hash.
        note: The signed note.
        level: What the verification rests on.
        is_stale: Whether the server gave it as its newest while a larger one was trusted: old news, so nothing that
            rests on it is complete.
    """

    checkpoint: Checkpoint
    note: bytes
    level: Level
    is_stale: bool = False


class Trust:
    """The trusted history of one log. Safe for use by several threads."""

    def __init__(self, verifier: Verifier, file: HeadFile, *, pinned: bool) -> None:
        """Start from what is on disk.

        Args:
            verifier: The log's key.
            file: Where the last trusted head is kept.
            pinned: Whether the key came from the caller, not from the server.

        Raises:
            VerificationError: The file does not verify under the key.
            StateUnreadableError: The file cannot be read.
        """
        self._verifier = verifier
        self._file = file
        self._pinned = pinned
        self._lock = threading.Lock()  # guards _log, _known, _remembered and _head_level
        self._writing = threading.Lock()  # held around the file's lock; guards _on_disk
        self._on_disk = file.read()
        try:
            self._log = TrustedLog(verifier, self._on_disk)
        except LedgerError as error:
            raise VerificationError(
                f"the remembered checkpoint {file.path} does not verify under the pinned key: {error.message}",
                hint="compare it with a copy of the log's head from elsewhere before you remove the file",
            ) from error
        self._known: dict[int, OpenedCheckpoint] = {}
        self._opened: OpenedCheckpoint | None = None  # the newest; replaced whole, so it needs no lock
        self._remembered = self._on_disk is not None
        self._head_level = self._level()

    @property
    def verifier(self) -> Verifier:
        """The log's key."""
        return self._verifier

    @property
    def tree_size(self) -> int:
        """Size of the newest trusted head; 0 where there is none."""
        with self._lock:
            checkpoint = self._log.checkpoint
        return checkpoint.tree_size if checkpoint is not None else 0

    @property
    def head(self) -> Head | None:
        """The newest trusted head; None where there is none yet."""
        with self._lock:
            checkpoint, note, level = self._log.checkpoint, self._log.note, self._head_level
        if checkpoint is None or note is None:
            return None
        return Head(checkpoint, note, level)

    def open(self, note: bytes) -> OpenedCheckpoint:
        """Verify a checkpoint's signature and origin, and nothing else.

        Raises:
            VerificationError: The note is malformed, not signed by the log's key, or of another origin.
        """
        opened = self._opened
        if opened is None or opened.note != note:
            with told_by_server("checkpoint"):
                opened = open_checkpoint(note, self._verifier)
            self._opened = opened
        return opened

    def accept(self, note: bytes, proof: Sequence[bytes] | None, proven_from: int, source: HeadSource) -> Head:
        """Verify a head against all that is trusted, and trust it from now on.

        Args:
            note: The signed note that the server gave.
            proof: The consistency proof that came with it, or None.
            proven_from: Tree size that the proof starts from.
            source: Gives a proof where the one that came does not start from the newest trusted head.

        Raises:
            ForkError: The head contradicts a trusted one; the evidence is on disk, the message names the file.
            RollbackError: The head is smaller than a trusted one and not a prefix of it.
            InvalidProofError: A larger head is not proven to continue the trusted one.
            StateError: All of it holds, but the head could not be kept on disk; it is trusted by this process.
            LedgerError: The note itself does not hold; or a proof could not be fetched.
        """
        with self._gathering_evidence(source):
            head = self._accept(note, proof, proven_from, source)
            self._persist(source)
        return head

    def advance(self, note: bytes, proof: Sequence[bytes] | None, proven_from: int, source: HeadSource) -> Head:
        """Do as `accept` does, and leave it to a later `keep` to put the trusted head on disk.

        Nothing that rests on the head may be handed out before that.

        Raises:
            LedgerError: As for `accept`, except `StateError`.
        """
        with self._gathering_evidence(source):
            return self._accept(note, proof, proven_from, source)

    def keep(self, source: HeadSource) -> None:
        """Put the newest trusted head on disk, and join it with that of other processes.

        Raises:
            StateError: It could not be kept on disk; it is trusted by this process.
            LedgerError: As for `accept`, where the head that another process wrote contradicts ours.
        """
        with self._gathering_evidence(source):
            self._persist(source)

    @contextmanager
    def _gathering_evidence(self, source: HeadSource) -> Iterator[None]:
        try:
            try:
                yield
            except InvalidProofError as error:
                self._challenge(error, source)
                raise
        except (ForkError, InvalidProofError, RollbackError) as error:
            self._keep_evidence(error)
            raise

    def _accept(self, note: bytes, proof: Sequence[bytes] | None, proven_from: int, source: HeadSource) -> Head:
        opened = self.open(note)
        size = opened.checkpoint.tree_size
        while True:
            with self._lock:
                trusted, known = self._log.checkpoint, self._known.get(size)
                level = self._level()
            if known is not None:
                if known.checkpoint.root_hash != opened.checkpoint.root_hash:
                    # Same size, other root: this raises the fork with both notes.
                    TrustedLog(self._verifier, known.note).accept(note)
                return Head(opened.checkpoint, note, level)
            hashes = _usable_proof(trusted, size, proof, proven_from, source)
            with self._lock:
                if self._log.checkpoint != trusted:
                    continue  # another thread moved the trusted head on, and the proof starts at the old one
                if self._log.accept(opened, hashes) in {Outcome.FIRST, Outcome.NEWER}:
                    self._head_level = level
                self._remember(opened)
            return Head(opened.checkpoint, note, level)

    def _challenge(self, error: InvalidProofError, source: HeadSource) -> None:
        # A server that cannot connect two heads may have forked: then its own head of the smaller size has another
        # root than the one that was shown before, and both signatures together prove it.
        if not error.first_note or not error.second_note:
            return
        smaller = min(map(self.open, (error.first_note, error.second_note)), key=lambda head: head.checkpoint.tree_size)
        size = smaller.checkpoint.tree_size
        shown: OpenedCheckpoint | None = None
        with suppress(LedgerError):
            note = source.note_at(size) if size else None
            shown = self.open(note) if note is not None else None
        if shown is not None and shown.checkpoint.tree_size == size:
            TrustedLog(self._verifier, smaller.note).check(shown.note)

    def _remember(self, opened: OpenedCheckpoint) -> None:
        self._known[opened.checkpoint.tree_size] = opened
        self._remembered = True
        while len(self._known) > _KNOWN_HEADS:
            del self._known[next(iter(self._known))]

    def _persist(self, source: HeadSource) -> None:
        # Threads queue up here; whoever gets in writes the newest head for all who wait behind it.
        with self._writing:
            while True:
                with self._file.locked():
                    found = self._file.read()
                    with self._lock:
                        newest = self._log.note
                    if newest is None or found == newest:
                        self._on_disk = found
                        return
                    if found is None or found == self._on_disk:
                        self._file.write(newest)
                        self._on_disk = newest
                        return
                # Another process wrote since: its head and ours must be one history. A call, so not under the lock.
                self._accept(found, None, 0, source)
                self._on_disk = found

    def _level(self) -> Level:
        if not self._pinned:
            return Level.UNPINNED
        return Level.PINNED_HEAD if self._remembered else Level.PINNED_KEY

    def _keep_evidence(self, error: ForkError | InvalidProofError | RollbackError) -> None:
        if not error.first_note or not error.second_note:
            return
        fork = isinstance(error, ForkError)
        evidence = format_fork_evidence(error.first_note, error.second_note)
        try:
            path = self._file.write_evidence(evidence, "fork" if fork else "refused")
        except StateError as problem:
            # What was found counts more than where it is kept: the error itself has both notes.
            error.message = f"{error.message}; both signed heads could not be kept: {problem.message}"
        else:
            error.message = f"{error.message}; both signed heads are kept in {path}"
            error.metadata["evidence"] = str(path)
            error.hint = _HINTS[type(error)]
        error.args = (error.message,)


def _usable_proof(
    trusted: Checkpoint | None, size: int, proof: Sequence[bytes] | None, proven_from: int, source: HeadSource
) -> Sequence[bytes] | None:
    if trusted is None or trusted.tree_size == size:
        return None
    if 0 in {trusted.tree_size, size}:
        return ()
    if proof is not None and proven_from == trusted.tree_size and size > proven_from:
        return proof
    return source.prove_heads(min(size, trusted.tree_size), max(size, trusted.tree_size))
