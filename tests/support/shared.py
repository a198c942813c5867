"""Third-party material that lies beside the project's own folder, where a clone has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED = Path(os.environ.get("LOGPROOF_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))


def shared_path(relative: str) -> Path:
    """Return the path of shared material, or skip the test where this clone has none."""
    path = _SHARED / relative
    if not path.exists():
        pytest.skip(f"third-party material {relative} is not beside this clone")
    return path
