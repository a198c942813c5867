"""Events, entries and receipts as records that a command prints."""

from __future__ import annotations

from ledger.events.event import Event, PersonalData
from ledger.events.flat import to_flat
from ledger.events.leaf import Leaf
from ledger.events.timestamps import format_timestamp
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
