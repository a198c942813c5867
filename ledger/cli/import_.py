"""`logproof import`: files of events into a log; stop it and run it again at will.

The rule that must not break: exit code 0 means that every record of every file is in the log, proven, but for those
that are told apart as already there with content not compared: of these the server's word is all there is.
"""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.exit_codes import ExitCode
from ledger.cli.output import Format, say, write_record
from ledger.cli.settings import Settings, client_options, format_option
from ledger.clock import SystemClock


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "kind",
    type=click.Choice(["flat", "cloudtrail"]),
    default="flat",
    show_default=True,
    help="What the files hold: flat events, one JSON object to a line; or AWS CloudTrail delivery files.",
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("import-rejects.ndjson"),
    show_default=True,
    metavar="FILE",
    help="Where refused records go, with their file, number and reason; written only if there are any.",
)
@format_option()
@client_options
def command(settings: Settings, paths: tuple[Path, ...], kind: str, rejects: Path, output_format: Format) -> None:
    """Import files of events: files or folders, plain or gzipped; - for stdin.

    Run it again after an interruption: records that are in the log already are recognised by their ids and bytes.
    Exit code 0: every record is in the log. 2: some were refused, and are in the file of rejects. Records that another
    principal or mapping brought in count as already there; "content not compared" marks what nothing proves.
    """
    from ledger.cli.connect import open_ledger
    from ledger.cli.import_run import Import, RejectFile
    from ledger.cli.import_sources import STDIN, Kind, find_files, read_records, total_bytes
    from ledger.cli.progress import progress_bar

    files = find_files(paths)
    if rejects.exists() and any(rejects.samefile(file) for file in files if file != STDIN):
        raise click.UsageError(f"{rejects} is one of the files to import; name another with --rejects")
    clock = SystemClock()
    begin = clock.boottime_us()
    with open_ledger(settings) as ledger, RejectFile(rejects) as reject_file:
        run = Import(ledger, reject_file)
        try:
            with progress_bar("importing", total_bytes(files), of_bytes=True) as progress:
                run.send_all(read_records(files, Kind(kind)), progress)
        except BaseException:
            say(f"stopped: {run.counts.words()}; run the same command again to go on, nothing will be there twice")
            raise
        seconds = (clock.boottime_us() - begin) / 1e6
        head = ledger.trusted_head
    counts = run.counts
    say(f"{counts.words()}, from {len(files)} files in {seconds:.1f} s")
    if counts.not_compared:
        say(
            f"content not compared: {counts.not_compared} records are there by the server's word (written by another "
            "principal, expired, or of another mapping); nothing proves that they hold what is in the files"
        )
    if counts.refused:
        say(f"the refused records and the reasons are in {rejects}")
    if output_format is not Format.TABLE:
        record: dict[str, object] = {
            "records": counts.records,
            "appended": counts.appended,
            "already_there": counts.already_there,
            "not_compared": counts.not_compared,
            "refused": counts.refused,
            "passed_over": counts.passed_over,
            "rejects": str(rejects) if counts.refused else None,
            "tree_size": head.checkpoint.tree_size if head is not None else None,
        }
        write_record(record, output_format)
    if counts.refused:
        raise click.exceptions.Exit(ExitCode.BAD_INPUT)
