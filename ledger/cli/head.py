"""`logproof head`: the newest signed head, verified; and the whole job of an outside anchor.

The rule that must not break: nothing that the server shows is kept before it was checked against the anchor's own
checkpoints, these never go back, and two heads that contradict each other are both kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ledger.cli.files import read_input
from ledger.cli.output import Format as DataFormat
from ledger.cli.output import say, write_data, write_record
from ledger.cli.settings import Settings, client_options
from ledger.errors import ForkError, InvalidProofError, PublicationBehindError, RollbackError

if TYPE_CHECKING:
    from ledger.client.sync import Ledger
    from ledger.client.trust import Head
    from ledger.evidence.proof_json import ConsistencyClaim

_FILE_MODE: Final = 0o644
_CHECKPOINT: Final = "checkpoint"


@click.command()
@click.option(
    "--published", is_flag=True, help="The head that was recomputed from the store, instead of the committed one."
)
@click.option("--since", metavar="OLD.note", help="A checkpoint that is trusted already; the head must continue it.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="With --since: write DIR/checkpoint and DIR/consistency.json once verified; never an older checkpoint.",
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

    With --since OLD.note it must continue that checkpoint: exit 1 if that is not proven, 6 if the log forked; both
    heads are then kept in DIR. A head that is older than a trusted one, and proven to be a prefix of it, is shown with
    a warning.
    """
    if out is not None and since is None:
        raise click.UsageError("--out goes with --since")
    old = read_input(since) if since is not None else None
    kept = _read_kept(out) if out is not None else None
    from ledger.cli.connect import open_ledger
    from ledger.client.values import HeadKind

    with open_ledger(settings) as ledger, _evidence_kept_in(out):
        # Before the server is asked for a head, so that its head is checked against these before it is trusted.
        for note in (old, kept):
            if note is not None:
                ledger.trust_head(note)
        head = ledger.checkpoint(HeadKind.PUBLISHED if published else HeadKind.COMMITTED)
        if old is not None:
            claim = _check_since(ledger, old, head)
            if out is not None:
                _keep(ledger, head, claim, out, kept)
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
            "stale": head.is_stale,
        },
        DataFormat(output_format),
    )


def _read_kept(out: Path) -> bytes | None:
    path = out / _CHECKPOINT
    return read_input(str(path)) if path.exists() else None


def _check_since(ledger: Ledger, old: bytes, head: Head) -> ConsistencyClaim:
    """Check the head against OLD, and return the proof that both are of one history."""
    from ledger.evidence.proof_json import ConsistencyClaim
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
    outcome = trusted.check(head.note, hashes)
    say(f"verified: {outcome.value}, from tree size {before.tree_size} to {now.tree_size}")
    return ConsistencyClaim(
        first.tree_size, second.tree_size, first.root_hash, second.root_hash, hashes if hashes is not None else ()
    )


def _keep(ledger: Ledger, head: Head, claim: ConsistencyClaim, out: Path, kept: bytes | None) -> None:
    """Write head and proof, unless a larger head is known."""
    from ledger.client.state import write_atomically
    from ledger.evidence.proof_json import format_proofs
    from ledger.evidence.trusted import TrustedLog
    from ledger.notes.keys import parse_verifier_key

    size = head.checkpoint.tree_size
    known = TrustedLog(parse_verifier_key(ledger.verifier_key), kept).checkpoint
    largest = max(claim.second_size, known.tree_size if known is not None else 0)
    if size < largest:
        say(
            f"warning: {out} is left as it is: the head that the server shows is of tree size {size}, "
            f"and one of size {largest} is known"
        )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "consistency.json", format_proofs([claim]), _FILE_MODE)
    write_atomically(out / _CHECKPOINT, head.note, _FILE_MODE)
    say(f"wrote {out / 'consistency.json'} and {out / _CHECKPOINT}")


@contextmanager
def _evidence_kept_in(out: Path | None) -> Iterator[None]:
    """Write both heads to the directory where they are of no one history."""
    from ledger.client.state import write_atomically
    from ledger.evidence.forks import format_fork_evidence

    try:
        yield
    except (ForkError, InvalidProofError, RollbackError) as error:
        if out is not None and error.first_note and error.second_note:
            fork = isinstance(error, ForkError)
            path = out / ("fork.json" if fork else "refused.json")
            try:
                out.mkdir(parents=True, exist_ok=True)
                write_atomically(path, format_fork_evidence(error.first_note, error.second_note), _FILE_MODE)
            except OSError as problem:
                say(f"both heads could not be kept in {path}: {problem.strerror}")
            else:
                say(f"the evidence of the fork is in {path}" if fork else f"both heads are kept in {path}")
        raise


def _published_size(ledger: Ledger, head: Head, *, is_published: bool) -> int | None:
    from ledger.client.values import HeadKind

    if is_published:
        return head.checkpoint.tree_size
    try:
        return ledger.checkpoint(HeadKind.PUBLISHED).checkpoint.tree_size
    except PublicationBehindError:
        return None
