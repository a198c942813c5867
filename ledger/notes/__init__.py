"""Signed notes, checkpoints, keys and cosignatures of the C2SP specifications; pure."""

from __future__ import annotations

from ledger.notes.checkpoint import (
    Checkpoint,
    OpenedCheckpoint,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from ledger.notes.cosignature import (
    Cosignature,
    CosignatureVerifier,
    cosignature_message,
    cosignature_time,
    cosignatures_of,
    verify_cosignatures,
)
from ledger.notes.keys import (
    Ed25519Signer,
    Ed25519Verifier,
    format_signer_key,
    format_verifier_key,
    parse_signer_key,
    parse_verifier_key,
)
from ledger.notes.note import (
    Note,
    OpenedNote,
    Signature,
    Signer,
    VerifiedSignature,
    Verifier,
    format_note,
    open_note,
    parse_note,
    sign_note,
)

__all__ = [
    "Checkpoint",
    "Cosignature",
    "CosignatureVerifier",
    "Ed25519Signer",
    "Ed25519Verifier",
    "Note",
    "OpenedCheckpoint",
    "OpenedNote",
    "Signature",
    "Signer",
    "VerifiedSignature",
    "Verifier",
    "cosignature_message",
    "cosignature_time",
    "cosignatures_of",
    "format_checkpoint",
    "format_note",
    "format_signer_key",
    "format_verifier_key",
    "open_checkpoint",
    "open_note",
    "parse_checkpoint",
    "parse_note",
    "parse_signer_key",
    "parse_verifier_key",
    "sign_checkpoint",
    "sign_note",
    "verify_cosignatures",
]
