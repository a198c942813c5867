"""Events, entries and receipts as records that a command prints."""

from __future__ import annotations

from ledger.events.event import Event, PersonalData
from ledger.events.flat import to_flat
from ledger.events.leaf import Leaf
from ledger.events.timestamps import format_timestamp
from ledger.evidence.bundle import VerifiedBundle
from ledger.evidence.levels import Level
from ledger.evidence.receipts import VerifiedReceipt


def receipt_record(verified: VerifiedReceipt) -> dict[str, object]:
    """Return what a verified receipt says."""
    # The notes tell of the sections too.
    said = (f"event section: {verified.event_status.value}", f"personal section: {verified.personal_status.value}")
    return {
        "verified": "receipt",
        "origin": verified.checkpoint.origin,
        "leaf_index": verified.leaf_index,
        "tree_size": verified.checkpoint.tree_size,
        "root_hash": verified.checkpoint.root_hash.hex(),
        **leaf_record(verified.leaf),
        "event_section": verified.event_status.value,
        "personal_section": verified.personal_status.value,
        "event": flat_event(verified.event, verified.personal),
        "notes": [note for note in verified.notes if note not in said],
    }


def bundle_record(verified: VerifiedBundle) -> dict[str, object]:
    """Return what a verified bundle says."""
    manifest = verified.manifest
    period = manifest.period
    times = (None, None) if period is None else (period.begin, period.end)
    begin, end = (None if time is None else format_timestamp(time) for time in times)
    return {
        "verified": "bundle",
        "verdict": "incomplete" if verified.missing else "verified",
        "origin": manifest.origin,
        "key_fingerprint": verified.fingerprint,
        "begin": manifest.begin,
        "end": manifest.end,
        "entries": manifest.end - manifest.begin,
        "period": None if period is None else {"from": begin, "to": end},
        "tree_size": verified.checkpoint.tree_size,
        "root_hash": verified.checkpoint.root_hash.hex(),
        "rows_compared": verified.rows_compared,
        "sections": manifest.sections,
        "receipts": verified.receipts,
        "notes": [*verified.missing, *verified.notes],
    }


def bundle_remarks(verified: VerifiedBundle) -> str:
    """Return what the first line of a verdict says beside its level."""
    remarks = [f"; key fingerprint {verified.fingerprint}"] if verified.level is Level.UNPINNED else []
    if verified.missing:
        remarks.append("; incomplete")
    if not verified.rows_compared:
        remarks.append("; rows not compared")
    return "".join(remarks)


def leaf_record(leaf: Leaf) -> dict[str, object]:
    """Return what a leaf says by itself."""
    return {"recorded_at": format_timestamp(leaf.recorded_at), "principal": leaf.principal.hex()}


def derived_record(leaf: Leaf, event: Event | None) -> dict[str, object]:
    """Return what follows from the action, by the version of the catalogue that the leaf names.

    The category is None where the event is not shown, or that version is not known here.
    """
    # Here, because offline verification shows verdicts too and has no use for it.
    from ledger.catalogue import category_of, controls_of

    if event is None:
        return {"category": None, "controls": []}
    return {
        "category": category_of(event.action, leaf.catalogue),
        "controls": list(controls_of(event.action, leaf.catalogue)),
    }


def flat_event(event: Event | None, personal: PersonalData | None) -> dict[str, object] | None:
    """Return the event in its flat form; None where it is not shown."""
    return None if event is None else to_flat(event, personal)
