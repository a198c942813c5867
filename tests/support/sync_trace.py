"""Counts, from outside, how a program makes its files durable: strace sees what the kernel is asked."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

TRACED = "trace=openat,fdatasync,fsync,pwrite64,writev,pwritev,msync"
_CALL = re.compile(r"(?:^\d+ +)?(\w+)\((\d+)<([^>]*)>")
_SYNCHRONOUS_OPEN = re.compile(r"openat\(.*O_DSYNC.*= (\d+)<([^>]*)>")


def strace_command(strace: str, out: Path) -> list[str]:
    """Return what to put before a command so that its syncs are written to `out`."""
    return [strace, "-D", "-f", "-y", "-qq", "-o", str(out), "-e", TRACED]


class SyncTrace:
    """What strace has written from now on."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._from = out.stat().st_size

    def counts(self, folder: Path, name: str) -> Counter[str]:
        """Return how often files of this name below a folder were synced, and written by synchronous descriptors."""
        text = self._out.read_text(errors="replace")
        synchronous = {match.groups() for match in map(_SYNCHRONOUS_OPEN.search, text.splitlines()) if match}
        counts: Counter[str] = Counter()
        for line in text[self._from :].splitlines():
            match = _CALL.match(line)
            if match is None:
                continue
            call, descriptor, path = match.groups()
            if not path.startswith(str(folder)) or Path(path).name != name:
                continue
            if call in {"fdatasync", "fsync"}:
                counts["sync"] += 1
            elif call != "openat" and (descriptor, path) in synchronous:
                counts["synchronous write"] += 1
        return counts
