"""`logproof head`: the newest signed head, verified; and the whole job of an outside anchor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ledger.cli.files import read_input
from ledger.cli.output import Format as DataFormat
from ledger.cli.output import say, write_data, write_record
from ledger.cli.settings import Settings, client_options
from ledger.errors import ForkError, PublicationBehindError

if TYPE_CHECKING:
    from ledger.client.sync import Ledger
    from ledger.client.trust import Head

_FILE_MODE: Final = 0o644


@click.command()
@click.option(
    "--published", is_flag=True, help="The head that was recomputed from the store, instead of the committed one."
)
@click.option("--since", metavar="OLD.note", help="A checkpoint that is trusted already; the head must continue it.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="With --since: write DIR/checkpoint and DIR/consistency.json once they are verified.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["note", *(member.value for member in DataFormat)]),
    default="table",
    show_default=True,
    help="How the head is printed; note: the signed checkpoint itself.",
)
@client_options
def command(settings: Settings, since: str | None, out: Path | None, output_format: str, *, published: bool) -> None:
    """Show the newest signed head, verified against all that is trusted.

    With --since OLD.note it must continue that checkpoint: exit 1 if that is not proven, 6 if the log forked.
    """
    if out is not None and since is None:
        raise click.UsageError("--out goes with --since")
    old = read_input(since) if since is not None else None
    from ledger.cli.connect import open_ledger
    from ledger.client.values import HeadKind

    with open_ledger(settings) as ledger:
        remembered = ledger.trusted_head
        head = ledger.checkpoint(HeadKind.PUBLISHED if published else HeadKind.COMMITTED)
        if not published and remembered is not None and head.checkpoint.tree_size < remembered.checkpoint.tree_size:
            say(
                f"stale: the server's newest head is of size {head.checkpoint.tree_size}; "
                f"size {remembered.checkpoint.tree_size} was seen before"
            )
        if old is not None:
            _check_since(ledger, old, head, out)
        published_size = None if output_format == "note" else _published_size(ledger, head, is_published=published)
    if output_format == "note":
        write_data(head.note)
        return
    write_record(
        {
            "origin": head.checkpoint.origin,
            "tree_size": head.checkpoint.tree_size,
            "root_hash": head.checkpoint.root_hash.hex(),
            "published_size": published_size,
            "level": head.level.label,
        },
        DataFormat(output_format),
    )


def _check_since(ledger: Ledger, old: bytes, head: Head, out: Path | None) -> None:
    from ledger.client.state import write_atomically
    from ledger.evidence.forks import format_fork_evidence
    from ledger.evidence.proof_json import ConsistencyClaim, format_proofs
    from ledger.evidence.trusted import TrustedLog
    from ledger.notes.keys import parse_verifier_key

    trusted = TrustedLog(parse_verifier_key(ledger.verifier_key), old)
    before = trusted.checkpoint
    assert before is not None
    now = head.checkpoint
    first, second = sorted((before, now), key=lambda checkpoint: checkpoint.tree_size)
    hashes: tuple[bytes, ...] | None = ()
    if 0 < first.tree_size < second.tree_size:
        proven = ledger.prove_heads(first.tree_size, second.tree_size)
        hashes = tuple(proven) if proven is not None else None
    try:
        outcome = trusted.check(head.note, hashes)
    except ForkError as error:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            path = out / "fork.json"
            write_atomically(path, format_fork_evidence(error.first_note, error.second_note), _FILE_MODE)
            say(f"the evidence of the fork is in {path}")
        raise
    say(f"verified: {outcome.value}, from tree size {before.tree_size} to {now.tree_size}")
    if out is not None:
        claim = ConsistencyClaim(
            first.tree_size, second.tree_size, first.root_hash, second.root_hash, hashes if hashes is not None else ()
        )
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "consistency.json", format_proofs([claim]), _FILE_MODE)
        write_atomically(out / "checkpoint", head.note, _FILE_MODE)
        say(f"wrote {out / 'consistency.json'} and {out / 'checkpoint'}")


def _published_size(ledger: Ledger, head: Head, *, is_published: bool) -> int | None:
    from ledger.client.values import HeadKind

    if is_published:
        return head.checkpoint.tree_size
    try:
        return ledger.checkpoint(HeadKind.PUBLISHED).checkpoint.tree_size
    except PublicationBehindError:
        return None
