"""Append and AppendBatch: sections are checked, queued, and answered once they are durable.

The rule that must not break: an answer is sent only after the synced commit, and everything in it, proofs included, is
under the one signed head that it carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final

from ledger.engine import requests
from ledger.engine.access import Caller
from ledger.engine.kernel import Kernel, check_batch, installed_kernel
from ledger.engine.requests import AppendedEntries, AppendResult, NewEntry
from ledger.errors import (
    BatchConflictError,
    BatchInvalidError,
    BatchProblem,
    BatchTooLargeError,
    EventIdReusedError,
    IndexBeyondTreeError,
    UnsupportedError,
)
from ledger.events.event import BATCH_MAX_BYTES, BATCH_MAX_EVENTS
from ledger.rpc.binding import Call, Later
from ledger.rpc.checks import RequestChecks
from ledger.rpc.convert import acknowledgement_message, add_acknowledgements, checkpoint_message
from ledger.rpc.parts import Parts
from ledger.v1 import ledger_pb2, proof_pb2

_ACK_LEVELS: Final = frozenset(ledger_pb2.AckLevel.values())


@dataclass(frozen=True, slots=True)
class Proofs:
    """What an append wants proved, and of which log."""

    log: str
    wants_inclusion: bool
    trusted_tree_size: int

    @property
    def are_wanted(self) -> bool:
        """Return whether anything is to be proved."""
        return self.wants_inclusion or self.trusted_tree_size > 0

    def starting_at(self, tree_size: int) -> Proofs:
        """Return the same, with the consistency proof from a size that was shown since, if it is larger."""
        return replace(self, trusted_tree_size=max(self.trusted_tree_size, tree_size))


@dataclass(frozen=True, slots=True)
class Submitted:
    """An append that waits for its commit."""

    future: Future[AppendResult]
    proofs: Proofs


class Appends:
    """Appends to logs."""

    def __init__(self, parts: Parts) -> None:
        """Keep the parts."""
        self._parts = parts
        self.kernel = installed_kernel()

    def append(self, call: Call, request: ledger_pb2.AppendRequest) -> Later[ledger_pb2.AppendResponse]:
        """Append one event."""
        submitted = self.submit(call, request.log, request.sections, request.options)
        return lambda: self.acknowledge(submitted)

    def append_batch(self, call: Call, request: ledger_pb2.AppendBatchRequest) -> Later[ledger_pb2.AppendBatchResponse]:
        """Append events, all or none."""
        sections = request.sections
        call.events = max(len(sections), 1)
        self.check_options(request.log, request.options)
        entries = _checked_batch(sections, self.kernel)
        submitted = self.queue(call, request.log, entries, request.options)
        return lambda: self._acknowledge_batch(submitted)

    def submit(
        self, call: Call, log: str, sections: ledger_pb2.EventSections, options: ledger_pb2.AppendOptions
    ) -> Submitted:
        """Check one event and queue it; blocks only where the log is not open.

        Raises:
            LedgerError: It was refused; nothing is queued.
        """
        self.check_options(log, options)
        entries, refused = check_batch(self.kernel, [(sections.event, sections.personal)])
        if refused:
            raise refused[0]
        return self.queue(call, log, entries, options)

    async def acknowledge(self, submitted: Submitted) -> ledger_pb2.AppendResponse:
        """Return the answer for one event, once it is durable.

        Raises:
            LedgerError: It was refused, or whether it was appended is not known.
        """
        result = await self._parts.completions.wait(submitted.future)
        response = ledger_pb2.AppendResponse(
            acknowledgement=acknowledgement_message(result.entries[0]), checkpoint=checkpoint_message(result.head)
        )
        if submitted.proofs.are_wanted:
            await self._parts.workers.run(lambda: self._prove(submitted.proofs, result, response))
        return response

    async def _acknowledge_batch(self, submitted: Submitted) -> ledger_pb2.AppendBatchResponse:
        try:
            result = await self._parts.completions.wait(submitted.future)
        except EventIdReusedError as error:
            # The engine tells a single event's refusal as it is; in a batch it has a position, even in one of one.
            raise BatchConflictError([BatchProblem(0, error)], 1) from error
        response = ledger_pb2.AppendBatchResponse(checkpoint=checkpoint_message(result.head))
        packed = self.kernel.acknowledge(result.entries) if isinstance(result.entries, AppendedEntries) else None
        if packed is None:
            add_acknowledgements(response, result.entries)
        else:
            response.MergeFromString(packed)
        if submitted.proofs.are_wanted:
            await self._parts.workers.run(lambda: self.prove_entries(submitted.proofs, result, response))
        return response

    def check_options(self, log: str, options: ledger_pb2.AppendOptions) -> None:
        """Check what an append wants beside the acknowledgement, before anything is queued.

        Raises:
            LedgerError: It cannot be had.
        """
        checks = RequestChecks()
        checks.known("options.ack_level", options.ack_level, _ACK_LEVELS)
        checks.index("options.trusted_tree_size", options.trusted_tree_size)
        checks.finish()
        if options.ack_level == ledger_pb2.ACK_LEVEL_WITNESSED:
            raise UnsupportedError(
                "this server has no witnesses, so no append can wait for a cosigned head",
                hint="ask for ACK_LEVEL_INTEGRATED",
                metadata={"ackLevel": "ACK_LEVEL_WITNESSED"},
            )
        if options.trusted_tree_size:
            self._check_trusted(log, options.trusted_tree_size)

    def _check_trusted(self, log: str, trusted_tree_size: int) -> None:
        """Refuse, before anything is appended, a size that the log has not reached."""
        with self._parts.registry.use(log) as opened:
            newest = opened.signed_head().tree_size
        if trusted_tree_size > newest:
            raise IndexBeyondTreeError(
                f"the trusted tree size {trusted_tree_size} is beyond the newest head, whose size is {newest}; "
                "nothing was appended",
                hint="if that size came from a checkpoint of this log, the log was set back: keep that checkpoint",
                metadata={"treeSize": str(trusted_tree_size), "newestTreeSize": str(newest)},
            )

    def queue(
        self,
        call: Call,
        log: str,
        entries: Sequence[NewEntry],
        options: ledger_pb2.AppendOptions,
        *,
        independent: bool = False,
    ) -> Submitted:
        """Queue checked entries: all or none of them, or each for itself.

        Raises:
            LedgerError: The log takes none just now; nothing is queued.
        """
        caller: Caller = call.caller
        request = requests.AppendRequest(
            key_id=caller.key_id,
            principal=caller.principal,
            entries=entries,
            deadline=call.wait_until(self._parts.clock.boottime_us()),
            independent=independent,
        )
        with self._parts.registry.use(log) as opened:
            future = opened.submit(request)
        return Submitted(future, Proofs(log, options.include_inclusion_proof, options.trusted_tree_size))

    def _prove(self, proofs: Proofs, result: AppendResult, response: ledger_pb2.AppendResponse) -> None:
        size = result.head.tree_size
        with self._parts.registry.use(proofs.log) as opened, opened.read() as reader:
            if proofs.wants_inclusion:
                index = result.entries[0].leaf_index
                response.inclusion_proof.leaf_index = index
                response.inclusion_proof.tree_size = size
                response.inclusion_proof.hashes.extend(reader.inclusion_proof(index, size))
            if proofs.trusted_tree_size:
                hashes = reader.consistency_proof(proofs.trusted_tree_size, size)
                response.consistency_proof.CopyFrom(_consistency(proofs, size, hashes))

    def prove_entries(
        self, proofs: Proofs, result: AppendResult, response: ledger_pb2.AppendBatchResponse | ledger_pb2.EventResults
    ) -> None:
        """Add what is to be proved of all entries of a result; reads the store."""
        size = result.head.tree_size
        with self._parts.registry.use(proofs.log) as opened, opened.read() as reader:
            if proofs.wants_inclusion:
                indexes = sorted({entry.leaf_index for entry in result.entries})
                response.inclusion_proof.leaf_indexes.extend(indexes)
                response.inclusion_proof.tree_size = size
                response.inclusion_proof.hashes.extend(reader.batch_inclusion_proof(indexes, size))
            if proofs.trusted_tree_size:
                hashes = reader.consistency_proof(proofs.trusted_tree_size, size)
                response.consistency_proof.CopyFrom(_consistency(proofs, size, hashes))


def _consistency(proofs: Proofs, size: int, hashes: Sequence[bytes]) -> proof_pb2.ConsistencyProof:
    return proof_pb2.ConsistencyProof(first_size=proofs.trusted_tree_size, second_size=size, hashes=hashes)


def pairs_within_limits(sections: Sequence[ledger_pb2.EventSections]) -> list[tuple[bytes, bytes]]:
    """Return both sections of each event of a call that has not too many of them.

    Raises:
        BatchTooLargeError: There are too many events or bytes.
    """
    if len(sections) > BATCH_MAX_EVENTS:
        raise BatchTooLargeError(
            f"the batch has {len(sections)} events; the limit is {BATCH_MAX_EVENTS}",
            hint="send it in parts",
            metadata={"events": str(len(sections)), "maxEvents": str(BATCH_MAX_EVENTS)},
        )
    pairs = [(event.event, event.personal) for event in sections]
    size = sum([len(event) + len(personal) for event, personal in pairs])
    if size > BATCH_MAX_BYTES:
        raise BatchTooLargeError(
            f"the sections of the batch are {size} bytes; the limit is {BATCH_MAX_BYTES}",
            hint="send it in parts",
            metadata={"bytes": str(size), "maxBytes": str(BATCH_MAX_BYTES)},
        )
    return pairs


def _checked_batch(sections: Sequence[ledger_pb2.EventSections], kernel: Kernel) -> list[NewEntry]:
    """Return the entries of a batch, or refuse it with everything that is wrong with it."""
    if not sections:
        checks = RequestChecks()
        checks.refuse("sections", f"is empty; a batch has 1 to {BATCH_MAX_EVENTS} events")
        checks.finish()
    pairs = pairs_within_limits(sections)
    entries, refused = check_batch(kernel, pairs)
    if refused:
        raise BatchInvalidError([BatchProblem(position, error) for position, error in refused.items()], len(pairs))
    return entries
