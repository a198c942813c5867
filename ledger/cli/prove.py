"""`logproof prove`: proofs for others to check, verified here first."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.numbers import Number
from ledger.cli.output import say, write_data
from ledger.cli.settings import Settings, client_options
from ledger.cli.which import Which, entry_options
from ledger.merkle.ranges import MAX_TREE_SIZE

_out_option = click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the proof to a file instead of stdout.",
)


@click.group()
def command() -> None:
    """Fetch proofs, verified before they are printed."""


@command.command("inclusion")
@entry_options(several=False)
@click.option(
    "--size",
    type=Number(min=1, max=MAX_TREE_SIZE),
    default=None,
    metavar="SIZE",
    help="Tree size; by default the newest.",
)
@click.option(
    "--show",
    type=click.Choice(["leaf", "event", "personal"]),
    default="leaf",
    show_default=True,
    help="What a tlog-proof shows of the entry; erasure does not reach a copy.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["json", "tlog-proof"]),
    default="json",
    show_default=True,
    help="json: the proof alone. tlog-proof: a receipt with the signed checkpoint.",
)
@_out_option
@client_options
def prove_inclusion(
    settings: Settings,
    which: Which,
    size: int | None,
    show: str,
    output_format: str,
    out: Path | None,
) -> None:
    """Prove that an entry, by INDEX or by event id, is in the log."""
    from ledger.cli.connect import open_ledger
    from ledger.client.values import EntryView
    from ledger.evidence.proof_json import InclusionClaim, format_proofs
    from ledger.evidence.receipts import Receipt, Section, make_receipt

    view = {"leaf": EntryView.LEAF, "event": EntryView.EVENT, "personal": EntryView.FULL}[show]
    with open_ledger(settings) as ledger:
        proof = ledger.prove_inclusion(
            which.leaf_index, event_id=which.event_id, leaf_hash=which.leaf_hash, tree_size=size or 0
        )
        entry = ledger.get(proof.leaf_index, view=view) if output_format == "tlog-proof" else None
    for note in proof.notes:
        say(f"note: {note}")
    checkpoint = proof.head.checkpoint
    if entry is None:
        claim = InclusionClaim(
            proof.leaf_index, checkpoint.tree_size, proof.leaf_hash, checkpoint.root_hash, proof.hashes
        )
        _write(format_proofs([claim]), out)
        return
    shown = [
        Section(section.salt, section.content) if section.content else None
        for section in (entry.event_section, entry.personal_section)
    ]
    receipt = Receipt(proof.leaf_index, proof.hashes, proof.head.note, proof.leaf_bytes, shown[0], shown[1])
    _write(make_receipt(receipt), out)


@command.command("consistency")
@click.argument("first", type=Number(min=1, max=MAX_TREE_SIZE))
@click.argument("second", type=Number(min=1, max=MAX_TREE_SIZE), required=False)
@click.option("--format", "output_format", type=click.Choice(["json"]), default="json", help="The proof in JSON.")
@_out_option
@client_options
def prove_consistency(settings: Settings, first: int, second: int | None, output_format: str, out: Path | None) -> None:
    """Prove that the tree of size FIRST is a prefix of that of size SECOND.

    Without SECOND it is that of the newest head.
    """
    del output_format
    if second is not None and first > second:
        raise click.UsageError(f"FIRST is {first}, above SECOND, which is {second}; give the smaller size first")
    from ledger.cli.connect import open_ledger
    from ledger.evidence.proof_json import ConsistencyClaim, format_proofs

    with open_ledger(settings) as ledger:
        proof = ledger.prove_consistency(first, second or 0)
    claim = ConsistencyClaim(
        proof.first.checkpoint.tree_size,
        proof.second.checkpoint.tree_size,
        proof.first.checkpoint.root_hash,
        proof.second.checkpoint.root_hash,
        proof.hashes,
    )
    _write(format_proofs([claim]), out)


def _write(data: bytes, out: Path | None) -> None:
    if out is None:
        write_data(data)
        return
    from ledger.client.state import write_atomically

    write_atomically(out, data, 0o644)
    say(f"wrote {out}")
