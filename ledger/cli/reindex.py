"""`logproof reindex`: have the indexes of logs made again from the logs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from ledger.cli.output import say
from ledger.cli.progress import log_progress


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data directory.")
@click.option("--log", "only", multiple=True, help="This log alone; may be repeated.")
def command(data: Path, only: tuple[str, ...]) -> None:
    """Make the indexes of logs again.

    Queries are answered by an index, which is derived from its log and can always be made again. Where the server runs,
    its indexer does it while appends go on; queries that need what is not indexed yet are refused as behind. Where it does
    not run, it is done here.

    Exit code 0. 74: a log cannot be read, or the index not be written.
    """
    from ledger.engine.directory import OWNER_LOCK, SYSTEM_LOG, open_directory
    from ledger.engine.directory_check import stated_logs
    from ledger.errors import StorageBusyError
    from ledger.index.progress import ask_for_rebuild, rebuild
    from ledger.storage.owner import OwnerLock

    directory = open_directory(data.absolute())
    names = sorted({SYSTEM_LOG, *stated_logs(directory)})
    for name in only:
        if name not in names:
            raise click.UsageError(f"there is no log {name!r}; there are {', '.join(names)}")
    chosen = list(only or names)
    try:
        lock = OwnerLock(directory.path / OWNER_LOCK)
    except StorageBusyError:
        for name in chosen:
            ask_for_rebuild(directory.index_path(name))
        say(f"the server makes the index of {', '.join(chosen)} again; `logproof stats` shows how far it is")
        return
    try:
        with log_progress() as progress:
            for name in chosen:
                size = rebuild(directory, name, partial(progress, name))
                say(f"{name}: {size} entries indexed")
    finally:
        lock.release()
