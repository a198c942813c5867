"""What all calls about one log share: its trusted history, and how heads are asked for.

The rule that must not break: every head that a server gives goes through `accept`; after a fork the child reads the
trusted head from disk again.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

from ledger.client._caller import Caller
from ledger.client._calls import consistency_hashes
from ledger.client.connection import Connection
from ledger.client.options import Options
from ledger.client.state import HeadFile
from ledger.client.trust import Head, StaleHeadWarning, Trust
from ledger.client.values import HeadKind
from ledger.errors import (
    ContentMismatchError,
    FieldViolation,
    IndexBeyondTreeError,
    InvalidRequestError,
    MalformedError,
    RollbackError,
    StaleHeadError,
)
from ledger.notes.checkpoint import open_checkpoint
from ledger.notes.keys import Ed25519Verifier, format_verifier_key, parse_verifier_key
from ledger.v1 import ledger_pb2, proof_pb2


class Session(Caller):
    """A client of one log, as far as all calls need it. Safe for use by several threads, and after a fork."""

    def __init__(
        self,
        options: Options,
        *,
        pinned: bool = True,
        connect: Callable[[Options], Connection] = Connection,
    ) -> None:
        """Check the options; nothing is connected or read yet.

        Args:
            options: Where the server is, the credential and the log's verifier key.
            pinned: Whether the verifier key came from the caller, not from the server.
            connect: Makes the connection.

        Raises:
            InvalidRequestError: There is no verifier key, or it is not one of a log.
        """
        super().__init__(options, connect)
        self._pinned = pinned
        self._verifier = _log_verifier(options.verifier_key)
        self._history: Trust | None = None
        self._lock = threading.Lock()  # guards _history

    @property
    def origin(self) -> str:
        """Origin of the log, from the pinned key."""
        return self._verifier.name

    @property
    def verifier_key(self) -> str:
        """Verifier key that everything is checked with."""
        return format_verifier_key(self._verifier)

    @property
    def trusted_head(self) -> Head | None:
        """The newest head that this client trusts; None before the first."""
        return self._trust.head

    def trust_head(self, note: bytes) -> Head:
        """Trust a head that the caller has from elsewhere, such as an auditor's copy, from now on.

        Where a head is trusted already, both must be proven to be of one history.

        Args:
            note: The signed note.

        Raises:
            MalformedError: It is no checkpoint.
            VerificationError: It is not signed by the log's key, or contradicts what is trusted.
            LedgerError: The server refused, or could not be reached in time.
        """
        open_checkpoint(note, self._verifier)
        return self._trust.accept(note, None, 0, self)

    def checkpoint(
        self,
        kind: HeadKind = HeadKind.COMMITTED,
        tree_size: int = 0,
        at_least: int = 0,
        *,
        allow_stale: bool = True,
    ) -> Head:
        """Return a signed tree head, verified against all that is trusted.

        A server whose newest committed head is below the trusted one, and proven to be a prefix of it, shows old
        news: the head is returned with `is_stale`, and a `StaleHeadWarning` is issued.

        Args:
            kind: Which head.
            tree_size: Its size; 0 for the newest.
            at_least: For the published head, the size to wait for.
            allow_stale: Whether a stale head will do; not where something is to be complete.

        Raises:
            StaleHeadError: The newest head is stale, and that is not allowed.
            RollbackError: The server no longer has the head that is trusted.
            VerificationError: The head does not hold, or contradicts a trusted one.
            LedgerError: The server refused, or could not be reached in time.
        """
        trust = self._trust
        trusted_size = trust.tree_size
        newest = kind is HeadKind.COMMITTED and not tree_size
        request = ledger_pb2.GetCheckpointRequest(
            log=self.log,
            kind=ledger_pb2.HeadKind.ValueType(kind),
            tree_size=tree_size,
            consistent_from=trusted_size if newest or tree_size > trusted_size else 0,
            at_least=at_least,
        )
        try:
            response = self._connection.call(lambda stubs: stubs.ledger.GetCheckpoint, request)
        except IndexBeyondTreeError:
            if newest and trusted_size:
                self.check_rollback(trusted_size)
            raise
        head = self.accept(response.checkpoint, response.consistency_proof, request.consistent_from)
        if tree_size and head.checkpoint.tree_size != tree_size:
            raise ContentMismatchError(
                f"the head of tree size {tree_size} was asked for, and one of {head.checkpoint.tree_size} given"
            )
        if kind is HeadKind.PUBLISHED and head.checkpoint.tree_size < at_least:
            raise ContentMismatchError(
                f"a head of at least tree size {at_least} was asked for, and one of {head.checkpoint.tree_size} given"
            )
        return self.mark_stale(head, trusted_size, allow=allow_stale) if newest else head

    def accept(
        self, checkpoint: proof_pb2.Checkpoint, proof: proof_pb2.ConsistencyProof | None = None, proven_from: int = 0
    ) -> Head:
        """Verify a head that the server gave against all that is trusted.

        Args:
            checkpoint: The head; only its note is looked at.
            proof: The consistency proof that came with it.
            proven_from: Tree size that the proof was asked from; 0 where none was asked for.

        Raises:
            VerificationError: The head does not hold, or contradicts a trusted one.
        """
        hashes = consistency_hashes(proof) if proof is not None and proven_from else None
        return self._trust.accept(checkpoint.note, hashes, proven_from, self)

    def mark_stale(self, head: Head, trusted_size: int, *, allow: bool = True) -> Head:
        """Return a head that the server gave as its newest, marked and warned of if it is older than the trusted one.

        Args:
            head: The verified head.
            trusted_size: Size that was trusted before the server was asked.
            allow: Whether a stale head will do.

        Raises:
            StaleHeadError: The head is stale, and that is not allowed.
        """
        if head.checkpoint.tree_size >= trusted_size:
            return head
        message = (
            f"stale: the server's newest head is of size {head.checkpoint.tree_size}; "
            f"size {trusted_size} was seen before"
        )
        if not allow:
            trusted = self._trust.head
            raise StaleHeadError(
                f"{message}, so what it shows is not complete",
                hint="the server is behind, or hides the newest entries: ask again later or elsewhere, or its operator",
                first_note=trusted.note if trusted is not None else b"",
                second_note=head.note,
            )
        warnings.warn(message, StaleHeadWarning, stacklevel=3)
        return replace(head, is_stale=True)

    def check_rollback(self, trusted_size: int) -> None:
        """Raise if the server's newest head is below what is trusted.

        Args:
            trusted_size: Size that the server says it does not have.

        Raises:
            RollbackError: The log was set back.
        """
        request = ledger_pb2.GetCheckpointRequest(log=self.log, kind=ledger_pb2.HEAD_KIND_COMMITTED)
        shown = self.accept(self._connection.call(lambda stubs: stubs.ledger.GetCheckpoint, request).checkpoint)
        trusted = self._trust.head
        if trusted is not None and shown.checkpoint.tree_size < trusted_size:
            raise RollbackError(
                f"the newest head that the server has is of tree size {shown.checkpoint.tree_size}; "
                f"size {trusted_size} was trusted before",
                hint="the log was set back; ask its operator, and keep the remembered checkpoint",
                first_note=trusted.note,
                second_note=shown.note,
            )

    def prove_heads(self, first_size: int, second_size: int) -> Sequence[bytes] | None:
        """Return the server's consistency proof between two sizes; None where it has none."""
        request = ledger_pb2.GetConsistencyProofRequest(log=self.log, first_size=first_size, second_size=second_size)
        try:
            response = self._connection.call(lambda stubs: stubs.ledger.GetConsistencyProof, request)
        except (IndexBeyondTreeError, InvalidRequestError):
            return None
        return consistency_hashes(response.consistency_proof)

    def note_at(self, tree_size: int) -> bytes | None:
        """Return the server's signed note of a size; None where it has none."""
        request = ledger_pb2.GetCheckpointRequest(
            log=self.log, kind=ledger_pb2.HEAD_KIND_COMMITTED, tree_size=tree_size
        )
        try:
            return self._connection.call(lambda stubs: stubs.ledger.GetCheckpoint, request).checkpoint.note
        except (IndexBeyondTreeError, InvalidRequestError):
            return None

    def open_history(self) -> None:
        """Read what is trusted from the disk, unless that was done before.

        Raises:
            VerificationError: What is on disk does not verify under the pinned key.
            StateUnreadableError: It cannot be read.
        """
        assert self._trust is not None

    def leave_parent(self) -> None:
        """Forget what belongs to the process that this one was forked from."""
        super().leave_parent()
        self._lock = threading.Lock()
        self._history = None

    @property
    def _trust(self) -> Trust:
        with self._lock:
            history = self._history
        if history is None:
            file = HeadFile(self._options.state_directory, self.verifier_key)
            made = Trust(self._verifier, file, pinned=self._pinned)
            with self._lock:
                if self._history is None:
                    self._history = made
                history = self._history
        return history


def _log_verifier(key: str | None) -> Ed25519Verifier:
    if key is None:
        raise InvalidRequestError(
            [FieldViolation("verifier_key", "is not set, and without it nothing that the server says can be verified")],
            hint="get the log's verifier key from its operator, not from the server: `logproof log show NAME` prints "
            "it there; then set LOGPROOF_VERIFIER_KEY or pass verifier_key=",
        )
    try:
        verifier = parse_verifier_key(key)
    except MalformedError as error:
        raise InvalidRequestError(
            [FieldViolation("verifier_key", error.message)], hint="it looks like NAME+8 hex digits+base64"
        ) from error
    if not isinstance(verifier, Ed25519Verifier):
        raise InvalidRequestError([FieldViolation("verifier_key", "is the key of a witness, not of a log")])
    return verifier
