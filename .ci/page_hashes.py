"""Writes into the page of a bundle which script and style it may run: their hashes, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "ledger" / "client" / "bundle_files" / "verify.html"


def with_hashes(page: str) -> str:
    """Return the page with the hashes of its one script and its one style."""
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        page = re.sub(f"{tag}-src '[^']*'", f"{tag}-src 'sha256-{digest}'", page, count=1)
    return page


if __name__ == "__main__":
    PAGE.write_text(with_hashes(PAGE.read_text()))
