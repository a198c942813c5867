"""Where tests of the long tier keep what they have done, so that they can be stopped and go on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.documentation import ROOT


def long_folder(name: str) -> Path:
    """Return the folder of a long test, made if it is new; `LOGPROOF_LONG_DIR` is where, else `.long` in the clone."""
    folder = Path(os.environ.get("LOGPROOF_LONG_DIR", ROOT / ".long")) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def long_number(name: str, default: float) -> float:
    """Return a number from the environment, such as `LOGPROOF_LONG_MINUTES`."""
    return float(os.environ.get(f"LOGPROOF_LONG_{name}", default))


def tell(line: str) -> None:
    """Print how far a long test is; to be seen with `-s`."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
