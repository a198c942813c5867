"""Values of the engine as messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.auth.roles import Role
from ledger.engine.reader import EntryRead, SectionRead, SectionState, View
from ledger.engine.records import Credential
from ledger.engine.requests import AppendedEntries, EntryResult, Outcome, SignedHead
from ledger.engine.verification import EntryVerification, Verdict
from ledger.events.commitments import SALT_SIZE
from ledger.v1 import admin_pb2, ledger_pb2, proof_pb2

VIEWS: Final = {
    ledger_pb2.ENTRY_VIEW_UNSPECIFIED: View.LEAF,
    ledger_pb2.ENTRY_VIEW_LEAF: View.LEAF,
    ledger_pb2.ENTRY_VIEW_EVENT: View.EVENT,
    ledger_pb2.ENTRY_VIEW_FULL: View.FULL,
}
"""Views of an entry."""

ROLES: Final = {
    admin_pb2.ROLE_WRITER: Role.WRITER,
    admin_pb2.ROLE_VERIFIER: Role.VERIFIER,
    admin_pb2.ROLE_READER: Role.READER,
    admin_pb2.ROLE_AUDITOR: Role.AUDITOR,
    admin_pb2.ROLE_ADMIN: Role.ADMIN,
}
"""Roles of a credential."""

_ROLE_NUMBERS: Final = {role: number for number, role in ROLES.items()}
_OUTCOMES: Final = {
    Outcome.APPENDED: ledger_pb2.APPEND_OUTCOME_APPENDED,
    Outcome.DUPLICATE: ledger_pb2.APPEND_OUTCOME_DUPLICATE,
    Outcome.DUPLICATE_OF_OTHER_PRINCIPAL: ledger_pb2.APPEND_OUTCOME_DUPLICATE_OF_OTHER_PRINCIPAL,
    Outcome.DUPLICATE_NOT_COMPARED: ledger_pb2.APPEND_OUTCOME_DUPLICATE_NOT_COMPARED,
    Outcome.DUPLICATE_MAPPING_DIFFERS: ledger_pb2.APPEND_OUTCOME_DUPLICATE_MAPPING_DIFFERS,
}
_SECTION_STATES: Final = {
    SectionState.PRESENT: proof_pb2.SECTION_STATE_PRESENT,
    SectionState.NONE: proof_pb2.SECTION_STATE_NONE,
    SectionState.WITHHELD: proof_pb2.SECTION_STATE_WITHHELD,
    SectionState.ERASED: proof_pb2.SECTION_STATE_ERASED,
}
_VERDICTS: Final = {
    Verdict.VERIFIED: ledger_pb2.VERDICT_VERIFIED,
    Verdict.VERIFIED_CONTENT_GONE: ledger_pb2.VERDICT_VERIFIED_CONTENT_GONE,
    Verdict.FAILED: ledger_pb2.VERDICT_FAILED,
}


def checkpoint_message(head: SignedHead) -> proof_pb2.Checkpoint:
    """Return a signed head."""
    return proof_pb2.Checkpoint(note=head.note, tree_size=head.tree_size, root_hash=head.root_hash)


def acknowledgement_message(result: EntryResult) -> ledger_pb2.Acknowledgement:
    """Return what became of one event."""
    outcome, leaf_index, leaf, event_salt, personal_salt = result
    return ledger_pb2.Acknowledgement(
        outcome=_OUTCOMES[outcome],
        leaf_index=leaf_index,
        leaf=leaf,
        event_salt=event_salt,
        personal_salt=personal_salt,
    )


def add_acknowledgements(response: ledger_pb2.AppendBatchResponse, results: Sequence[EntryResult]) -> None:
    """Add what became of the events of a batch; built in place, which takes a quarter of the time of a list."""
    add = response.acknowledgements.add
    if isinstance(results, AppendedEntries):
        outcome = ledger_pb2.APPEND_OUTCOME_APPENDED
        rows = zip(results.leaves, results.event_sections, results.personal_sections, strict=True)
        for leaf_index, (leaf, event, personal) in enumerate(rows, start=results.first_index):
            # One field after the other takes three quarters of the time of naming them all in the call.
            message = add()
            message.outcome = outcome
            message.leaf_index = leaf_index
            message.leaf = leaf
            message.event_salt = event[:SALT_SIZE]
            if personal:
                message.personal_salt = personal[:SALT_SIZE]
        return
    for found, leaf_index, leaf, event_salt, personal_salt in results:
        add(
            outcome=_OUTCOMES[found],
            leaf_index=leaf_index,
            leaf=leaf,
            event_salt=event_salt,
            personal_salt=personal_salt,
        )


def entry_message(entry: EntryRead) -> proof_pb2.Entry:
    """Return an entry."""
    return proof_pb2.Entry(
        leaf_index=entry.leaf_index,
        leaf=entry.leaf,
        event=_section_message(entry.event),
        personal=_section_message(entry.personal),
    )


def verification_message(verification: EntryVerification) -> ledger_pb2.VerifyEntryResponse:
    """Return the outcome of a verification."""
    return ledger_pb2.VerifyEntryResponse(
        verdict=_VERDICTS[verification.verdict],
        leaf_index=verification.leaf_index,
        checks=[
            ledger_pb2.VerificationCheck(name=check.name, passed=check.passed, detail=check.detail)
            for check in verification.checks
        ],
        checkpoint=checkpoint_message(verification.head),
    )


def api_key_message(credential: Credential) -> admin_pb2.ApiKey:
    """Return a credential, without its secret."""
    return admin_pb2.ApiKey(
        key_id=credential.key_id,
        principal=credential.principal,
        label=credential.label,
        roles=sorted(_ROLE_NUMBERS[role] for role in credential.roles),
        personal=credential.personal,
        created_at=credential.created_at,
        expires_at=credential.expires_at,
        revoked_at=credential.revoked_at,
        certificate_name=credential.certificate_name,
    )


def _section_message(section: SectionRead) -> proof_pb2.Section:
    return proof_pb2.Section(state=_SECTION_STATES[section.state], content=section.content, salt=section.salt)
