"""Progress of what takes long: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(label: str, total: int | None, *, of_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how far the work has come.

    Args:
        label: What is being done.
        total: When it is done; None where that is not known.
        of_bytes: Whether bytes are counted.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _done: None
        return
    # Loaded on a terminal only: it costs more than the rest of a short command.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = DownloadColumn() if of_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=total)
        yield lambda done: bars.update(task, completed=done)


@contextmanager
def log_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that is told how many of how many entries of a log are done; a bar for each log."""
    if not sys.stderr.isatty():
        yield lambda _log, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def tell(log: str, done: int, total: int) -> None:
            if log not in tasks:
                tasks[log] = bars.add_task(log, total=total)
            bars.update(tasks[log], completed=done)

        yield tell
