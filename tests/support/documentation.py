"""The project's own words: tracked files, Markdown pages, shell blocks, and the command line as a tree."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]


def tracked_files() -> list[Path]:
    """Return what is or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in sorted(set(names)) if (ROOT / name).is_file()]


def pages() -> list[Path]:
    """Return the README and every page of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shell_lines(page: Path) -> list[str]:
    """Return the lines of a page's `sh` blocks, continued lines joined, prompts and comments away."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def logproof_calls(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of every `logproof ...` in a page's shell blocks."""
    for line in shell_lines(page):
        # What stands in $(...) is a command of its own.
        apart = re.sub(r'"?\$\(([^()]*)\)"?', r"x; \1; ", line)
        for command in re.split(r"&&|\|\|?|;|&$", apart):
            words = shlex.split(command.strip(), comments=True)
            while words and (re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] == "sudo"):
                words = words[1:]
            if words and words[0].rsplit("/", 1)[-1] == "logproof":
                yield [word for word in words[1:] if not re.match(r"\d*[<>]", word)]


def root_command() -> click.Group:
    """Return the group behind the console script."""
    from ledger.cli import main as module  # the tests of pages alone need no command line

    (group,) = (value for value in vars(module).values() if isinstance(value, click.Group))
    return group


def commands() -> dict[str, click.Command]:
    """Return every command and group below `logproof`, by its words: `log create`."""
    found: dict[str, click.Command] = {}

    def walk(group: click.Group, words: list[str]) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None, name
            found[" ".join([*words, name])] = command
            if isinstance(command, click.Group):
                walk(command, [*words, name])

    walk(root_command(), [])
    return found
