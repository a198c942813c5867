"""What proves something to a third party: trusted heads, receipts, proofs, whole logs, forks; pure."""

from __future__ import annotations

from ledger.evidence.forks import fork_from_leaves, format_fork_evidence, verify_fork_evidence
from ledger.evidence.levels import Level, parse_level, require_level
from ledger.evidence.many_receipts import ProvenReceipt, verify_receipts
from ledger.evidence.proof_json import (
    ConsistencyClaim,
    InclusionClaim,
    ProofResult,
    format_proofs,
    parse_proofs,
    verify_proofs,
)
from ledger.evidence.receipts import (
    Receipt,
    Section,
    SectionStatus,
    VerifiedReceipt,
    make_receipt,
    parse_receipt,
    verify_receipt,
)
from ledger.evidence.tile_log import Fetch, verify_tile_log
from ledger.evidence.tlog_proof import TlogProof, format_tlog_proof, parse_tlog_proof
from ledger.evidence.trusted import Outcome, TrustedLog

__all__ = [
    "ConsistencyClaim",
    "Fetch",
    "InclusionClaim",
    "Level",
    "Outcome",
    "ProofResult",
    "ProvenReceipt",
    "Receipt",
    "Section",
    "SectionStatus",
    "TlogProof",
    "TrustedLog",
    "VerifiedReceipt",
    "fork_from_leaves",
    "format_fork_evidence",
    "format_proofs",
    "format_tlog_proof",
    "make_receipt",
    "parse_level",
    "parse_proofs",
    "parse_receipt",
    "parse_tlog_proof",
    "require_level",
    "verify_fork_evidence",
    "verify_proofs",
    "verify_receipt",
    "verify_receipts",
    "verify_tile_log",
]
