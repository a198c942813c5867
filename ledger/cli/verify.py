"""`logproof verify`: everything that can be verified without a server.

The first line of the output names the level that was reached. The rule that must not break: exit code 0 means that
every check which the given trust inputs allow has passed, and nothing here imports gRPC or LMDB.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from ledger.cli.exit_codes import ExitCode
from ledger.cli.files import read_input
from ledger.cli.output import Format, say, write_record
from ledger.cli.settings import configured_key, format_option, read_key
from ledger.cli.verdicts import bundle_record, bundle_remarks, receipt_record
from ledger.errors import IncompleteEvidenceError, MalformedError, VerificationError
from ledger.evidence.levels import Level, parse_level, require_level
from ledger.evidence.trusted import TrustedLog
from ledger.notes.cosignature import CosignatureVerifier
from ledger.notes.keys import Ed25519Verifier, parse_verifier_key
from ledger.notes.note import parse_note


@click.group()
def command() -> None:
    """Verify proofs, notes, receipts and whole logs, offline.

    FILE may be - for stdin. The first line of the output names what the verdict rests on.
    """


def _key_option(*, multiple: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--key",
        "keys" if multiple else "key",
        multiple=multiple,
        metavar="VKEY|FILE",
        help="Verifier key, or a file that holds it; by default LOGPROOF_VERIFIER_KEY."
        + (" May be given again." if multiple else ""),
    )


_require_option = click.option(
    "--require",
    metavar="LEVEL",
    help="Exit 3 below this level: arithmetic-only, unpinned, pinned-key, pinned-head or anchored-head.",
)
_origin_option = click.option(
    "--origin", metavar="ORIGIN", help="Origin of the log, where it is not the name of its key."
)
_since_option = click.option("--since", metavar="OLD.note", help="A checkpoint that is trusted already.")


@command.command("proof")
@click.argument("file")
@format_option()
@_require_option
def verify_proof(file: str, output_format: Format, require: str | None) -> None:
    """Verify inclusion and consistency proofs in JSON, one or many.

    Such a file brings its own roots, so the level is "arithmetic only".
    """
    from ledger.evidence.proof_json import verify_proofs

    results = verify_proofs(read_input(file))
    failed = [result for result in results if result.error is not None]
    for result in failed:
        assert result.error is not None
        say(f"proof {result.number}: {result.error.message}")
    if failed:
        raise VerificationError(f"{len(failed)} of {len(results)} proofs do not hold")
    _verdict(Level.ARITHMETIC_ONLY, {"verified": "proofs", "proofs": len(results)}, output_format, require)


@command.command("note")
@click.argument("file")
@_key_option(multiple=True)
@format_option()
@_require_option
def verify_note(file: str, keys: tuple[str, ...], output_format: Format, require: str | None) -> None:
    """Verify the signatures of a signed note under the given keys.

    Every signature of a given key must be valid, and there must be at least one.
    """
    from ledger.notes.note import open_note

    verifiers = [_verifier(key) for key in keys or (None,)]
    data = read_input(file)
    with _malformed_is_failure(b"\n\xe2\x80\x94 " in data):
        opened = open_note(data, verifiers)
    record = {
        "verified": "note",
        "signed_by": [f"{signed.verifier.name}+{signed.verifier.key_id:08x}" for signed in opened.verified],
        "unknown_signatures": [f"{unknown.name}+{unknown.key_id:08x}" for unknown in opened.unverified],
        "text": opened.text,
    }
    _verdict(Level.PINNED_KEY, record, output_format, require)


@command.command("receipt")
@click.argument("file")
@_key_option()
@_since_option
@format_option()
@_require_option
def verify_receipt_file(
    file: str, key: str | None, since: str | None, output_format: Format, require: str | None
) -> None:
    """Verify a receipt (.tlog-proof), and show the event in it."""
    from ledger.evidence.receipts import verify_receipt

    verifier, data = _verifier(key), read_input(file)
    trusted = _trusted(verifier, since)
    with _malformed_is_failure(data.startswith(b"c2sp.org/tlog-proof@")):
        verified = verify_receipt(data, verifier, trusted=trusted)
    _verdict(verified.level, receipt_record(verified), output_format, require)


@command.command("checkpoint")
@click.argument("new")
@click.option("--since", required=True, metavar="OLD", help="The checkpoint that is trusted already.")
@click.option("--proof", required=True, metavar="FILE", help="The consistency proof from OLD to NEW, in JSON.")
@_key_option()
@_origin_option
@format_option()
@_require_option
def verify_checkpoint(
    new: str,
    since: str,
    proof: str,
    key: str | None,
    origin: str | None,
    output_format: Format,
    require: str | None,
) -> None:
    """Verify that the checkpoint NEW continues the trusted checkpoint OLD."""
    from ledger.evidence.proof_json import ConsistencyClaim, parse_proofs

    verifier = _verifier(key)
    trusted = _trusted(verifier, since, origin)
    assert trusted is not None
    claims = parse_proofs(read_input(proof))
    if len(claims) != 1 or not isinstance(claims[0], ConsistencyClaim):
        raise MalformedError(f"{proof} does not hold exactly one consistency proof")
    data = read_input(new)
    with _malformed_is_failure(b"\n\xe2\x80\x94 " in data):
        # Sizes and roots come from the signed heads; those in the proof's file are ignored.
        outcome = trusted.accept(data, claims[0].proof)
    head = trusted.checkpoint
    assert head is not None
    record = {
        "verified": "checkpoint",
        "outcome": outcome.value,
        "origin": head.origin,
        "tree_size": head.tree_size,
        "root_hash": head.root_hash.hex(),
    }
    _verdict(Level.PINNED_HEAD, record, output_format, require)


@command.command("tiles")
@click.argument("place", metavar="DIR_OR_URL")
@_key_option()
@_origin_option
@_since_option
@format_option()
@_require_option
def verify_tiles(
    place: str, key: str | None, origin: str | None, since: str | None, output_format: Format, require: str | None
) -> None:
    """Verify a whole C2SP tlog-tiles log, ours or not.

    Every entry and tile is hashed, and the root compared with the signed checkpoint.
    """
    from ledger.cli.progress import progress_bar
    from ledger.cli.tile_source import open_tile_source
    from ledger.evidence.tile_log import verify_tile_log

    verifier = _verifier(key)
    trusted = _trusted(verifier, since, origin)
    fetch = open_tile_source(place)
    with progress_bar("verifying entries", None) as progress, _malformed_is_failure(recognised=True):
        opened = verify_tile_log(fetch, verifier, progress, origin=origin, trusted=trusted)
    checkpoint = opened.checkpoint
    record = {
        "verified": "tiles",
        "origin": checkpoint.origin,
        "tree_size": checkpoint.tree_size,
        "root_hash": checkpoint.root_hash.hex(),
    }
    _verdict(Level.PINNED_KEY if trusted is None else Level.PINNED_HEAD, record, output_format, require)


@command.command("bundle")
@click.argument("path", metavar="FILE|DIR", type=click.Path(exists=True, path_type=Path))
@_key_option()
@click.option("--unpinned", is_flag=True, help="Take the key in the bundle; proves nothing of who made it.")
@_since_option
@click.option("--quick", is_flag=True, help="Check hashes and proofs, and do not compare the readable rows.")
@format_option()
@_require_option
def verify_bundle_files(
    path: Path,
    key: str | None,
    unpinned: bool,  # noqa: FBT001 - a flag of the command line
    since: str | None,
    quick: bool,  # noqa: FBT001 - a flag of the command line
    output_format: Format,
    require: str | None,
) -> None:
    """Verify an evidence bundle: all its files, entries, proofs and rows."""
    from ledger.cli.bundle_source import open_bundle
    from ledger.cli.progress import progress_bar
    from ledger.evidence.bundle import verify_bundle

    if unpinned and key is not None:
        raise click.UsageError("--key and --unpinned are given both")
    verifier = None if unpinned else _verifier(key)
    if isinstance(verifier, CosignatureVerifier):
        raise MalformedError("the verifier key is a witness's, not a log's")
    old = None if since is None else _old_note(read_input(since))
    with (
        _malformed_is_failure(recognised=True),
        open_bundle(path) as source,
        progress_bar("verifying entries", None) as progress,
    ):
        verified = verify_bundle(source, verifier, since=old, compare_rows=not quick, progress=progress)
    _verdict(verified.level, bundle_record(verified), output_format, require, bundle_remarks(verified))
    if verified.missing:
        raise IncompleteEvidenceError(f"the evidence is incomplete: {'; '.join(verified.missing)}")


def _old_note(data: bytes) -> bytes:
    # What the auditor brings is input, and no evidence: malformed, it is not the bundle that failed.
    parse_note(data)
    return data


@command.command("fork")
@click.argument("file")
@_key_option()
@_origin_option
@format_option()
def verify_fork(file: str, key: str | None, origin: str | None, output_format: Format) -> None:
    """Verify the evidence of a fork: exit 6 if it proves one, 1 if it does not."""
    from ledger.evidence.forks import verify_fork_evidence

    verifier = _verifier(key)
    verify_fork_evidence(read_input(file), verifier, origin=origin)
    record = {"verified": "fork", "origin": verifier.name if origin is None else origin}
    _verdict(Level.PINNED_KEY, record, output_format, None)
    say("fork: the log signed two heads that contradict each other")
    raise click.exceptions.Exit(ExitCode.FORK)


def _verifier(key: str | None) -> Ed25519Verifier | CosignatureVerifier:
    text = read_key(key) if key is not None else configured_key(os.environ)
    if text is None:
        raise click.UsageError("no verifier key is given; name it with --key VKEY|FILE, or set LOGPROOF_VERIFIER_KEY")
    return parse_verifier_key(text)


def _trusted(
    verifier: Ed25519Verifier | CosignatureVerifier, since: str | None, origin: str | None = None
) -> TrustedLog | None:
    return None if since is None else TrustedLog(verifier, read_input(since), origin=origin)


@contextmanager
def _malformed_is_failure(recognised: bool) -> Iterator[None]:  # noqa: FBT001 - the one thing it is told
    """Turn malformed bytes into a failed verification where the file is what was asked for, however damaged.

    A file that is something else altogether stays bad input.
    """
    try:
        yield
    except MalformedError as error:
        if not recognised:
            raise
        raise VerificationError(error.message, hint=error.hint, metadata=error.metadata) from error


def _verdict(
    level: Level, record: Mapping[str, object], output_format: Format, require: str | None, remarks: str = ""
) -> None:
    required = parse_level(require) if require is not None else level
    if output_format is Format.TABLE:
        click.echo(level.label + remarks)
        write_record(record, output_format)
    else:
        write_record({"level": level.label, **record}, output_format)
    require_level(level, required)
