"""Prints the README's command that runs the demo, or the one that runs the tests, so that there is one of each.

usage: python3 .ci/readme_command.py demo|tests
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_README = Path(__file__).resolve().parents[1] / "README.md"
_ENDINGS = {"demo": "logproof demo", "tests": "python -m pytest"}


def readme_command(which: str) -> str:
    """Return the one line of a shell block of the README that installs and then runs `which`."""
    blocks = re.findall(r"^```sh\n(.*?)^```", _README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines: list[str] = [line for block in blocks for line in block.splitlines()]
    found = [line for line in lines if "pip install" in line and line.endswith(_ENDINGS[which])]
    if len(found) != 1:
        message = f"README.md should have one line that installs and ends with {_ENDINGS[which]!r}; it has {len(found)}"
        raise SystemExit(message)
    return found[0]


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in _ENDINGS:
        raise SystemExit(__doc__)
    print(readme_command(sys.argv[1]))
