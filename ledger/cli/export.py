"""`logproof export`: a log, or a range of it, for others to audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledger.cli.numbers import Number
from ledger.cli.output import Format, say, write_record
from ledger.cli.settings import Settings, client_options, format_option
from ledger.errors import MalformedError
from ledger.merkle.ranges import MAX_TREE_SIZE

if TYPE_CHECKING:
    from ledger.evidence.bundle_format import Period


@click.group(invoke_without_command=True)
@click.option("--bundle", is_flag=True, help="Write an evidence bundle; needs --out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.zip|DIR",
    help="The bundle: a zip, or a directory. Nothing is overwritten.",
)
@click.option("--from", "from_time", metavar="TIME", help="First time, by when entries were recorded (RFC 3339).")
@click.option("--to", "to_time", metavar="TIME", help="The time after the last.")
@click.option("--begin", type=Number(min=0, max=MAX_TREE_SIZE), metavar="INDEX", help="First entry; by default 0.")
@click.option(
    "--end", type=Number(min=0, max=MAX_TREE_SIZE), metavar="INDEX", help="Entry after the last; by default the newest."
)
@click.option("--since", metavar="OLD.note", help="A checkpoint of an earlier audit, shown to be continued.")
@click.option("--personal", is_flag=True, help="With personal data; erasure does not reach a bundle.")
@click.option(
    "--receipt",
    "receipts",
    type=Number(min=0, max=MAX_TREE_SIZE),
    multiple=True,
    metavar="INDEX",
    help="With a receipt of its own for this entry; may be given again.",
)
@format_option()
@client_options
@click.pass_context
def command(
    context: click.Context,
    /,
    settings: Settings,
    bundle: bool,  # noqa: FBT001 - a flag of the command line
    output_format: Format,
    **wish: Any,  # noqa: ANN401 - one for each option
) -> None:
    """Export a log, or an evidence bundle of a range of it.

    With --bundle, everything that proves a range of entries goes into one zip or directory, which verifies offline
    with `logproof verify bundle`, with the script in it, or in a browser.
    """
    if context.invoked_subcommand is not None:
        return
    if not bundle:
        raise click.UsageError("name what to export: --bundle, or `tiles`")
    _export_bundle(settings, output_format, **wish)


def _export_bundle(  # noqa: PLR0913 - one for each option
    settings: Settings,
    output_format: Format,
    *,
    out: Path | None,
    from_time: str | None,
    to_time: str | None,
    begin: int | None,
    end: int | None,
    since: str | None,
    personal: bool,
    receipts: tuple[int, ...],
) -> None:
    from ledger.cli.connect import open_ledger
    from ledger.cli.files import read_input
    from ledger.cli.progress import progress_bar
    from ledger.client.bundle_export import BundleWish, export_bundle
    from ledger.evidence.bundle import key_fingerprint

    if out is None:
        raise click.UsageError("name the bundle with --out FILE.zip or --out DIR")
    period = _period(from_time, to_time)
    if period is not None and (begin is not None or end is not None):
        raise click.UsageError("give a time with --from and --to, or indexes with --begin and --end, not both")
    note = None if since is None else read_input(since)
    wish = BundleWish(begin or 0, end, period, note, personal, receipts)
    with open_ledger(settings) as ledger, progress_bar("exporting entries", None) as progress:
        manifest, head = export_bundle(ledger, wish, out, progress)
        fingerprint = key_fingerprint(ledger.verifier_key)
    for name, counts in manifest.sections.items():
        for state in ("withheld", "erased"):
            if counts[state]:
                say(f"note: {counts[state]} {name} sections are {state} by the server, so the evidence is incomplete")
    say(f"wrote {manifest.end - manifest.begin} entries to {out}; `logproof verify bundle {out} --key ...` verifies it")
    write_record(
        {
            "bundle": str(out),
            "origin": manifest.origin,
            "begin": manifest.begin,
            "end": manifest.end,
            "tree_size": manifest.tree_size,
            "root_hash": head.checkpoint.root_hash.hex(),
            "key_fingerprint": fingerprint,
            "level": head.level.label,
        },
        output_format,
    )


def _period(from_time: str | None, to_time: str | None) -> Period | None:
    from ledger.evidence.bundle_format import Period

    if from_time is None and to_time is None:
        return None
    begin, end = (
        _time(name, text) if text is not None else None for name, text in (("--from", from_time), ("--to", to_time))
    )
    if begin is not None and end is not None and begin > end:
        raise click.UsageError(f"--from is {from_time}, after --to, which is {to_time}")
    return Period(begin, end)


def _time(name: str, text: str) -> int:
    from ledger.events.timestamps import parse_timestamp

    try:
        return parse_timestamp(text)
    except MalformedError as error:
        raise click.UsageError(f"{name} {error.message}") from error


@command.command("tiles")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@format_option()
@client_options
def export_tiles(settings: Settings, directory: Path, output_format: Format) -> None:
    """Write the log to DIR as C2SP tlog-tiles, for other tools to audit.

    Tiles and bundles of leaves come first, the checkpoint last. The leaves hold no event data; they show times,
    principals and whether there was personal data. Run it again to bring an export up to date.
    """
    from ledger.cli.connect import open_ledger
    from ledger.cli.progress import progress_bar
    from ledger.client.bundle_export import published_head
    from ledger.client.tile_export import TileDirectory
    from ledger.client.values import EntryView
    from ledger.notes.keys import parse_verifier_key

    with open_ledger(settings) as ledger:
        target = TileDirectory(directory, parse_verifier_key(ledger.verifier_key))
        head = published_head(ledger)
        size = head.checkpoint.tree_size
        earlier = target.trusted.checkpoint
        if earlier is not None:
            first, second = sorted((earlier.tree_size, size))
            target.trusted.check(head.note, ledger.prove_heads(first, second) if 0 < first < second else ())
            if earlier.tree_size > size:
                raise click.UsageError(f"{directory} holds tree size {earlier.tree_size} already, above {size}")
        leaves = (
            [entry.leaf_bytes for entry in batch] for batch in ledger.stream_entries(0, size, view=EntryView.LEAF)
        )
        with progress_bar("exporting entries", size) as progress:
            target.write(leaves, head, progress)
    say(f"wrote {size} entries to {directory}; `logproof verify tiles {directory} --key ...` verifies them anywhere")
    write_record(
        {
            "directory": str(directory),
            "origin": head.checkpoint.origin,
            "tree_size": size,
            "root_hash": head.checkpoint.root_hash.hex(),
            "level": head.level.label,
        },
        output_format,
    )
