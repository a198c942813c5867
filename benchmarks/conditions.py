"""The conditions of a run: what a reader must know before believing a figure. Nothing that names one machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.lab import Lab
from benchmarks.peers import postgres
from ledger.clock import SystemClock
from ledger.engine.kernel import installed_kernel

_PACKAGES: Final = (
    "grpcio", "protobuf", "lmdb", "cryptography", "pymerkle", "umadb", "psycopg",
)  # fmt: skip


def conditions(lab: Lab) -> dict[str, str]:
    """Return the conditions of a run that begins now."""
    found = {
        "scale": lab.scale.name,
        "rounds": str(lab.scale.rounds),
        "seed": str(lab.seed),
        "date": _date(),
        "commit": commit(),
        "processor": f"{os.cpu_count()} cores, {_first('/proc/cpuinfo', 'model name')}",
        "memory": f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GiB",
        "filesystem": _filesystem(lab.work),
        "system": f"{_first('/etc/os-release', 'PRETTY_NAME', '=')}, Linux {platform.release().partition('-')[0]}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "kernel": installed_kernel().name,
    }
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    programs = postgres.binaries()
    if programs is not None:
        found["PostgreSQL"] = _output(programs / "postgres", "--version").rpartition(") ")[2].split()[0]
    return found


def commit() -> str:
    """Return the commit that is measured, marked where files differ from it."""
    return _output("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or "not known"


def _date() -> str:
    return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=SystemClock().now_us())).date())


def _filesystem(path: Path) -> str:
    return _output("findmnt", "--noheadings", "--output=FSTYPE", "--target", path) or "not known"


def _first(path: str, key: str, separator: str = ":") -> str:
    with suppress(OSError):
        for line in Path(path).read_text("utf-8").splitlines():
            name, _, value = line.partition(separator)
            if name.strip() == key:
                return value.strip().strip('"')
    return "0 not known"


def _output(*command: str | Path) -> str:
    with suppress(OSError):
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
        )
        return done.stdout.strip()
    return ""
