"""The calls that read: entries and proofs, each verified before it is handed out.

The rule that must not break: an entry is handed out only with its place in a head that was accepted, and the size of
that head comes from its signed note.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from ledger.client._calls import consistency_hashes
from ledger.client._reads import ReadEntry, check_chain, check_event_id, read_entry, read_verdict
from ledger.client._session import Session
from ledger.client.connection import Cancellation
from ledger.client.trust import Head
from ledger.client.values import (
    ConsistencyProof,
    Entry,
    EntryView,
    InclusionProof,
    RangeProof,
    ServerVerdict,
    VerificationCheck,
)
from ledger.errors import (
    ContentMismatchError,
    FieldViolation,
    IndexBeyondTreeError,
    InvalidRequestError,
    PermissionMissingError,
)
from ledger.merkle.hashing import hash_leaf
from ledger.merkle.verify import verify_consistency, verify_inclusion, verify_range
from ledger.v1 import ledger_pb2

# Entries of one stream: each stream has to end within the time of a call.
_WINDOW_ENTRIES = 16_384
_INDEX_LIMIT = 1 << 63


class Reading(Session):
    """The reading half of a client."""

    def get(
        self,
        leaf_index: int | None = None,
        *,
        event_id: str | None = None,
        leaf_hash: bytes | None = None,
        view: EntryView = EntryView.EVENT,
        allow_incomplete: bool = False,
    ) -> Entry:
        """Return one entry, its sections checked against its leaf and its leaf against the tree.

        Args:
            leaf_index: Its index; or else one of the following.
            event_id: The id of its event.
            leaf_hash: Its leaf hash, 32 bytes.
            view: Which parts; personal data needs a credential with the personal grant.
            allow_incomplete: Whether the entry will do where the server does not show a section that was asked for, and
                does not prove that it was erased; `is_incomplete` tells it.

        Raises:
            EntryNotFoundError: No entry has that event id or leaf hash.
            IndexBeyondTreeError: The index is beyond the tree.
            IncompleteEvidenceError: A section that was asked for is not shown.
            VerificationError: Something in the answer does not hold.
            LedgerError: The server refused, or could not be reached in time.
        """
        request = ledger_pb2.GetEntryRequest(log=self.log, view=ledger_pb2.EntryView.ValueType(view))
        _choose(request, leaf_index, event_id, leaf_hash)
        response = self._connection.call(lambda stubs: stubs.ledger.GetEntry, request)
        entry = read_entry(response.entry, view, allow_incomplete=allow_incomplete)
        if leaf_index is not None and entry.leaf_index != leaf_index:
            raise ContentMismatchError(f"entry {leaf_index} was asked for, and entry {entry.leaf_index} given")
        if leaf_hash is not None and entry.leaf_hash != leaf_hash:
            raise ContentMismatchError(f"the leaf {leaf_hash.hex()} was asked for, and {entry.leaf_hash.hex()} given")
        notes = check_event_id(entry, event_id) if event_id is not None else ()
        head, _ = self._prove_leaf(entry.leaf_index, entry.leaf_hash, 0)
        return entry.under(head, *notes)

    def read_entries(
        self,
        begin: int = 0,
        end: int | None = None,
        *,
        view: EntryView = EntryView.EVENT,
        follow: bool = False,
        allow_incomplete: bool = False,
    ) -> Iterator[Entry]:
        """Yield the entries [begin, end) in order, none left out, each verified before it is yielded.

        None left out of what is trusted: without an end, at least as many as the newest trusted head covers.

        Args:
            begin: First index.
            end: Index after the last; None for the tree size at the call, or without end when following.
            view: Which parts.
            follow: Go on as the log grows.
            allow_incomplete: Whether entries will do of which a section that was asked for is not shown, see `get`.

        Raises:
            InvalidRequestError: The range begins before 0, or ends before it begins.
            IndexBeyondTreeError: The range is beyond the tree, and the log is not followed.
            IncompleteEvidenceError: A section that was asked for is not shown.
            StaleHeadError: The server's newest head is older than the trusted one.
            VerificationError: Something in the answers does not hold.
            LedgerError: The server refused, or could not be reached in time.
        """
        for batch in self.read_batches(begin, end, view=view, follow=follow, allow_incomplete=allow_incomplete):
            yield from batch

    def read_batches(
        self,
        begin: int = 0,
        end: int | None = None,
        *,
        view: EntryView = EntryView.EVENT,
        follow: bool = False,
        allow_incomplete: bool = False,
        cancellation: Cancellation | None = None,
    ) -> Generator[list[Entry], None, None]:
        """Yield what `read_entries` yields, in the batches in which it comes.

        Args:
            begin: First index.
            end: Index after the last, as for `read_entries`.
            view: Which parts.
            follow: Go on as the log grows.
            allow_incomplete: As for `read_entries`.
            cancellation: Lets another thread end it.

        Raises:
            LedgerError: As for `read_entries`.
        """
        _check_range(begin, end)
        head = self.checkpoint(allow_stale=False)
        size = head.checkpoint.tree_size
        if not follow and max(begin, end or 0) > size:
            raise IndexBeyondTreeError(
                f"the range [{begin}, {end}) is beyond the tree of size {size}",
                hint="ask up to the tree size, or follow the log",
            )
        previous: bytes | None = None
        stop = end if follow else size if end is None else min(size, end)
        for batch in self.stream_entries(
            begin, stop, view=view, follow=follow, allow_incomplete=allow_incomplete, cancellation=cancellation
        ):
            if batch[-1].leaf_index >= head.checkpoint.tree_size:
                head = self.checkpoint(allow_stale=False)
            check_chain(batch, begin, previous, self.origin)
            self._verify_range(begin, [entry.leaf_hash for entry in batch], head)
            yield [entry.under(head) for entry in batch]
            begin, previous = begin + len(batch), batch[-1].leaf_hash

    def tail(
        self,
        since: int | None = None,
        *,
        view: EntryView = EntryView.EVENT,
        follow: bool = True,
        allow_incomplete: bool = False,
    ) -> Iterator[Entry]:
        """Yield the newest entries in order, none left out, each verified before it is yielded, and go on as they come.

        A server that is restarted, or ends the stream, is asked again from where it was; who was interrupted goes on
        with `since=entry.leaf_index + 1` of the last entry.

        Args:
            since: First index; None for what comes after the newest head of now.
            view: Which parts.
            follow: False to end with the newest entry of now.
            allow_incomplete: Whether entries will do of which a section that was asked for is not shown, see `get`.

        Raises:
            IncompleteEvidenceError: A section that was asked for is not shown.
            StaleHeadError: The server's newest head is older than the trusted one.
            VerificationError: Something in the answers does not hold.
            LedgerError: The server refused, or could not be reached for the time of a call.
        """
        begin = self.checkpoint(allow_stale=False).checkpoint.tree_size if since is None else since
        return self.read_entries(begin, view=view, follow=follow, allow_incomplete=allow_incomplete)

    def stream_entries(
        self,
        begin: int,
        end: int | None,
        *,
        view: EntryView,
        follow: bool = False,
        allow_incomplete: bool = False,
        cancellation: Cancellation | None = None,
    ) -> Iterator[list[ReadEntry]]:
        """Yield entries in batches, their indexes and sections checked and nothing else: for who checks the tree.

        Args:
            begin: First index.
            end: Index after the last; None only when following.
            view: Which parts.
            follow: Go on as the log grows.
            allow_incomplete: As for `read_entries`.
            cancellation: Lets another thread end it.

        Raises:
            ContentMismatchError: An entry is out of order, or a section is not what its leaf commits to.
            IncompleteEvidenceError: A section that was asked for is not shown.
            LedgerError: The server refused, or could not be reached in time.
        """
        position = begin

        def next_request() -> ledger_pb2.ReadEntriesRequest | None:
            if end is not None and position >= end:
                return None
            stop = end if follow or end is None else min(end, position + _WINDOW_ENTRIES)
            return ledger_pb2.ReadEntriesRequest(
                log=self.log,
                begin=position,
                end=stop or 0,
                view=ledger_pb2.EntryView.ValueType(view),
                follow=follow,
            )

        for message in self._connection.stream(
            lambda stubs: stubs.ledger.ReadEntries, next_request, endless=follow, cancellation=cancellation
        ):
            batch = [read_entry(entry, view, allow_incomplete=allow_incomplete) for entry in message.entries]
            if not batch:
                if follow:
                    continue
                raise ContentMismatchError(f"entry {position} was asked for, and no entry given")
            check_chain(batch, position, None, self.origin)
            position += len(batch)
            if end is not None and position > end:
                raise ContentMismatchError(f"entries up to {end} were asked for, and entry {position - 1} given")
            yield batch

    def prove_inclusion(
        self,
        leaf_index: int | None = None,
        *,
        event_id: str | None = None,
        leaf_hash: bytes | None = None,
        tree_size: int = 0,
    ) -> InclusionProof:
        """Return the verified inclusion proof of one leaf.

        Args:
            leaf_index: Its index; or else one of the following.
            event_id: The id of its event.
            leaf_hash: Its leaf hash, 32 bytes.
            tree_size: Tree size that the proof leads to; 0 for the newest.

        Raises:
            EntryNotFoundError: No entry has that event id or leaf hash.
            IndexBeyondTreeError: The index or size is beyond the tree.
            PermissionMissingError: The credential may not read leaves, and no leaf hash was given to verify with.
            IncompleteEvidenceError: The event of that id is not shown, so which entry it is cannot be told.
            VerificationError: The proof does not hold.
            LedgerError: The server refused, or could not be reached in time.
        """
        notes: tuple[str, ...] = ()
        if event_id is not None:
            entry = self.get(leaf_index, event_id=event_id, leaf_hash=leaf_hash)
            leaf_index, leaf_hash, notes = entry.leaf_index, None, entry.notes
        request = ledger_pb2.GetInclusionProofRequest(log=self.log, tree_size=tree_size)
        _choose(request, leaf_index, None, leaf_hash)
        trusted_size = self._trust.tree_size
        response = self._connection.call(lambda stubs: stubs.ledger.GetInclusionProof, request)
        found = response.inclusion_proof.leaf_index
        if response.leaf:
            proven_hash = hash_leaf(response.leaf)
        elif leaf_hash is not None:
            proven_hash = leaf_hash
        else:
            raise PermissionMissingError(
                "the server gives the proof without the leaf, because this credential may not read leaves, "
                "so there is nothing to verify it with",
                hint="ask by the entry's leaf hash, or with a credential of the role verifier, reader or auditor",
            )
        if leaf_index is not None and found != leaf_index:
            raise ContentMismatchError(f"entry {leaf_index} was asked for, and entry {found} proven")
        if leaf_hash is not None and proven_hash != leaf_hash:
            raise ContentMismatchError(f"the leaf {leaf_hash.hex()} was asked for, and {proven_hash.hex()} proven")
        head, hashes = self._check_inclusion(response, found, proven_hash, tree_size, trusted_size)
        return InclusionProof(found, response.leaf, proven_hash, hashes, head, notes)

    def prove_consistency(self, first_size: int, second_size: int = 0) -> ConsistencyProof:
        """Return the verified proof that the tree of one size is a prefix of that of another.

        Args:
            first_size: Size of the smaller tree, at least 1.
            second_size: Size of the larger tree; 0 for the newest.

        Raises:
            IndexBeyondTreeError: A size is beyond the tree.
            VerificationError: The proof does not hold.
            LedgerError: The server refused, or could not be reached in time.
        """
        if first_size < 1:
            raise InvalidRequestError(
                [FieldViolation("first_size", f"is {first_size}; every tree continues the empty one, without a proof")]
            )
        second = self.checkpoint(tree_size=second_size)
        first = self.checkpoint(tree_size=first_size)
        request = ledger_pb2.GetConsistencyProofRequest(
            log=self.log, first_size=first_size, second_size=second.checkpoint.tree_size
        )
        response = self._connection.call(lambda stubs: stubs.ledger.GetConsistencyProof, request)
        hashes = consistency_hashes(response.consistency_proof)
        verify_consistency(
            first_size,
            first.checkpoint.root_hash,
            second.checkpoint.tree_size,
            second.checkpoint.root_hash,
            hashes,
        )
        return ConsistencyProof(first, second, hashes)

    def prove_range(self, begin: int, leaf_hashes: Sequence[bytes]) -> RangeProof:
        """Return the verified proof that these are all the leaves from an index on.

        Args:
            begin: First index.
            leaf_hashes: Leaf hashes, 32 bytes each, at least one.

        Raises:
            IndexBeyondTreeError: The range is beyond the tree.
            VerificationError: The proof does not hold.
            LedgerError: The server refused, or could not be reached in time.
        """
        head = self.checkpoint()
        hashes = self._verify_range(begin, leaf_hashes, head)
        return RangeProof(begin, tuple(leaf_hashes), hashes, head)

    def range_hashes(self, begin: int, end: int, tree_size: int) -> tuple[bytes, ...]:
        """Return what the server says proves a range, verified by nobody yet: for a `RangeVerifier` of the caller's.

        Args:
            begin: First index.
            end: Index after the last, above `begin`.
            tree_size: Tree size that the proof leads to.

        Raises:
            IndexBeyondTreeError: The range or the size is beyond the tree.
            LedgerError: The server refused, or could not be reached in time.
        """
        request = ledger_pb2.GetRangeProofRequest(log=self.log, begin=begin, end=end, tree_size=tree_size)
        response = self._connection.call(lambda stubs: stubs.ledger.GetRangeProof, request)
        return tuple(response.range_proof.hashes)

    def verify_entry(self, leaf_index: int | None = None, *, event_id: str | None = None) -> ServerVerdict:
        """Have the server verify an entry from its stored bytes, and return what it says.

        The verdict is the server's word, except that the head it names is verified here. `get` proves the entry to
        this side and needs no trust.

        Raises:
            VerificationError: The answer contradicts itself or the question, or names a head that does not hold.
            LedgerError: The server refused, or could not be reached in time.
        """
        request = ledger_pb2.VerifyEntryRequest(log=self.log)
        _choose(request, leaf_index, event_id, None)
        trusted_size = self._trust.tree_size
        response = self._connection.call(lambda stubs: stubs.ledger.VerifyEntry, request)
        verdict = read_verdict(response, leaf_index)
        head = self.accept(response.checkpoint)
        if response.leaf_index >= head.checkpoint.tree_size:
            raise ContentMismatchError(
                f"the verdict on entry {response.leaf_index} names a head of size {head.checkpoint.tree_size}, "
                "which does not cover it"
            )
        checks = tuple(VerificationCheck(check.name, check.passed, check.detail) for check in response.checks)
        return ServerVerdict(verdict, response.leaf_index, checks, self.mark_stale(head, trusted_size))

    def _prove_leaf(self, leaf_index: int, leaf_hash: bytes, tree_size: int) -> tuple[Head, tuple[bytes, ...]]:
        request = ledger_pb2.GetInclusionProofRequest(log=self.log, leaf_index=leaf_index, tree_size=tree_size)
        trusted_size = self._trust.tree_size
        response = self._connection.call(lambda stubs: stubs.ledger.GetInclusionProof, request)
        return self._check_inclusion(response, leaf_index, leaf_hash, tree_size, trusted_size)

    def _check_inclusion(
        self,
        response: ledger_pb2.GetInclusionProofResponse,
        leaf_index: int,
        leaf_hash: bytes,
        tree_size: int,
        trusted_size: int,
    ) -> tuple[Head, tuple[bytes, ...]]:
        head = self.accept(response.checkpoint)
        if tree_size and head.checkpoint.tree_size != tree_size:
            raise ContentMismatchError(
                f"a proof for tree size {tree_size} was asked for, and one for {head.checkpoint.tree_size} given"
            )
        hashes = tuple(response.inclusion_proof.hashes)
        verify_inclusion(leaf_hash, leaf_index, head.checkpoint.tree_size, head.checkpoint.root_hash, hashes)
        return head if tree_size else self.mark_stale(head, trusted_size), hashes

    def _verify_range(self, begin: int, leaf_hashes: Sequence[bytes], head: Head) -> tuple[bytes, ...]:
        hashes = self.range_hashes(begin, begin + len(leaf_hashes), head.checkpoint.tree_size)
        verify_range(begin, leaf_hashes, head.checkpoint.tree_size, head.checkpoint.root_hash, hashes)
        return hashes


def _check_range(begin: int, end: int | None) -> None:
    if not 0 <= begin < _INDEX_LIMIT:
        raise InvalidRequestError([FieldViolation("begin", f"is {begin}; indexes count from 0")])
    if end is not None and not begin <= end < _INDEX_LIMIT:
        raise InvalidRequestError([FieldViolation("end", f"is {end}; it is the index after the last, from {begin} on")])


def _choose(
    request: ledger_pb2.GetEntryRequest | ledger_pb2.GetInclusionProofRequest | ledger_pb2.VerifyEntryRequest,
    leaf_index: int | None,
    event_id: str | None,
    leaf_hash: bytes | None,
) -> None:
    given = [value for value in (leaf_index, event_id, leaf_hash) if value is not None]
    if len(given) != 1:
        raise InvalidRequestError(
            [FieldViolation("entry", "give one of leaf_index, event_id and leaf_hash")],
        )
    if leaf_index is not None:
        if not 0 <= leaf_index < _INDEX_LIMIT:
            raise InvalidRequestError([FieldViolation("leaf_index", f"is {leaf_index}; indexes count from 0")])
        request.leaf_index = leaf_index
    elif event_id is not None:
        request.event_id = event_id
    elif leaf_hash is not None and not isinstance(request, ledger_pb2.VerifyEntryRequest):
        request.leaf_hash = leaf_hash
