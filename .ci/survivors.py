"""Tells which mutants of the newest run of .ci/mutate survived, and fails on those that have no explanation.

usage: python3 .ci/survivors.py MUTMUT
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_EXPLAINED = Path(__file__).with_name("equivalent-mutants")

Change = tuple[str, ...]
"""The lines of a difference that begin with - or +, without the space around the code."""


def change_of(lines: list[str]) -> Change:
    """Return the changed lines of a difference."""
    changed = [line for line in lines if re.match(r"[-+](?![-+]{2} )", line)]
    return tuple(line[0] + line[1:].strip() for line in changed)


def explained() -> set[Change]:
    """Return the changes that .ci/equivalent-mutants explains."""
    text = "\n".join(line for line in _EXPLAINED.read_text(encoding="utf-8").splitlines() if line[:1] in {"-", "+"})
    return {change_of(found.splitlines()) for found in re.findall(r"(?:^-.*\n)+(?:^\+.*\n?)*", text, re.MULTILINE)}


def main() -> int:
    """Print what survived; return 1 where nothing explains it."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)

    def mutmut(*arguments: str) -> list[str]:
        command = [sys.argv[1], *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603

    results = [line.strip().split(": ") for line in mutmut("results", "--all", "true") if ": " in line]
    known = explained()
    survived = {name: change_of(mutmut("show", name)) for name, state in results if state == "survived"}
    unexplained = {name: change for name, change in survived.items() if change not in known}
    unfinished = [name for name, state in results if state == "not checked"]
    print(f"{len(results)} mutants, {len(survived)} survived, {len(unexplained)} of them without an explanation")
    for name, change in unexplained.items():
        print(f"{name}:", *change, sep="\n  ")
    if unfinished:
        print(f"{len(unfinished)} were not tried; run it again")
    return 1 if unexplained or unfinished or not results else 0


if __name__ == "__main__":
    raise SystemExit(main())
