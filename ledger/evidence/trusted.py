"""The newest head of a log that a client trusts, and what may follow it.

The rule that must not break: the trusted head changes only to a larger one that is signed and proven to continue it.
No I/O here: the caller keeps `note` somewhere durable after each change, and never forgets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from ledger.errors import ForkError, InvalidProofError, RollbackError
from ledger.merkle import EMPTY_ROOT, verify_consistency
from ledger.notes import Checkpoint, OpenedCheckpoint, Verifier, open_checkpoint


class Outcome(Enum):
    """What a shown head is to the trusted one."""

    FIRST = "first"
    """Nothing was trusted before; there was nothing to compare with."""

    SAME = "same"
    """The trusted head again."""

    NEWER = "newer"
    """A larger head, proven to continue the trusted one."""

    STALE = "stale"
    """A smaller head, proven to be continued by the trusted one: old news, a warning."""


class TrustedLog:
    """What one verifier knows of one log. Not thread-safe."""

    def __init__(self, verifier: Verifier, trusted: bytes | None = None, *, origin: str | None = None) -> None:
        """Start from a remembered head, or from none.

        Args:
            verifier: The key of the log, pinned.
            trusted: The signed note of the newest trusted head; None at first contact.
            origin: Origin of the log, where it is not the name of the key.

        Raises:
            MalformedError: The remembered note does not have its form.
            VerificationError: It is not a head of this log.
        """
        self._verifier = verifier
        self._origin = origin
        self._trusted = None if trusted is None else self._open(trusted)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The trusted head; None before the first."""
        return self._trusted.checkpoint if self._trusted else None

    @property
    def note(self) -> bytes | None:
        """The signed note of the trusted head, to be kept; None before the first."""
        return self._trusted.note if self._trusted else None

    def check(self, note: bytes | OpenedCheckpoint, consistency: Sequence[bytes] | None = None) -> Outcome:
        """Tell what a shown head is to the trusted one, and change nothing.

        Args:
            note: The shown head: a signed note, or one that was opened with the log's key and needs no second look.
            consistency: The consistency proof between both heads, hashes of 32 bytes; None where none was given. Not
                looked at when nothing is trusted yet. The tree of size 0 needs none: everything continues it.

        Raises:
            MalformedError: The note does not have its form.
            InvalidSignatureError: The log's key did not sign it.
            WrongOriginError: It is a head of another log.
            ForkError: It has the trusted size and another root.
            RollbackError: It is smaller, without a proof.
            InvalidProofError: It is larger without a proof, or the proof is wrong. Like the two errors before it,
                carries the trusted note first and the shown one second.
        """
        return self._judge(self._open(note), consistency)

    def accept(self, note: bytes | OpenedCheckpoint, consistency: Sequence[bytes] | None = None) -> Outcome:
        """Do as `check` does, and trust the shown head from now on if the outcome is `FIRST` or `NEWER`."""
        shown = self._open(note)
        outcome = self._judge(shown, consistency)
        if outcome in {Outcome.FIRST, Outcome.NEWER}:
            self._trusted = shown
        return outcome

    def _open(self, note: bytes | OpenedCheckpoint) -> OpenedCheckpoint:
        opened = open_checkpoint(note, self._verifier, self._origin) if isinstance(note, bytes) else note
        if opened.checkpoint.tree_size == 0 and opened.checkpoint.root_hash != EMPTY_ROOT:
            raise InvalidProofError(
                "the head of size 0 does not have the root of the empty tree", second_note=opened.note
            )
        return opened

    def _judge(self, opened: OpenedCheckpoint, consistency: Sequence[bytes] | None) -> Outcome:
        if self._trusted is None:
            return Outcome.FIRST
        trusted, shown = self._trusted.checkpoint, opened.checkpoint
        first_note, second_note = self._trusted.note, opened.note
        if shown.tree_size == trusted.tree_size:
            if shown.root_hash != trusted.root_hash:
                raise ForkError(
                    f"the log signed two roots for tree size {shown.tree_size}: "
                    f"{trusted.root_hash.hex()} and {shown.root_hash.hex()}",
                    first_note,
                    second_note,
                    hint="keep both notes: together they prove that the log misbehaved",
                )
            outcome, smaller, larger = Outcome.SAME, trusted, shown
        elif shown.tree_size > trusted.tree_size:
            outcome, smaller, larger = Outcome.NEWER, trusted, shown
        else:
            outcome, smaller, larger = Outcome.STALE, shown, trusted
        sizes = f"the shown head has tree size {shown.tree_size}, the trusted one {trusted.tree_size}"
        if consistency is None:
            if outcome is Outcome.STALE:
                raise RollbackError(
                    f"{sizes}, and there is no proof that they belong together",
                    hint="ask for the consistency proof; if there is none, the log was set back",
                    first_note=first_note,
                    second_note=second_note,
                )
            if smaller.tree_size != larger.tree_size and smaller.tree_size > 0:
                raise InvalidProofError(
                    f"{sizes}, and no consistency proof was given", first_note=first_note, second_note=second_note
                )
        try:
            verify_consistency(
                smaller.tree_size, smaller.root_hash, larger.tree_size, larger.root_hash, consistency or ()
            )
        except InvalidProofError as error:
            raise InvalidProofError(
                f"{sizes}, and the consistency proof is wrong: {error.message}",
                metadata=error.metadata,
                first_note=first_note,
                second_note=second_note,
            ) from error
        return outcome
