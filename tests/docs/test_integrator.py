"""docs/integrator.md: its Python runs, in its order, against a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ledger.evidence import verify_receipt
from ledger.notes import format_verifier_key, parse_signer_key, parse_verifier_key
from tests.support.documentation import ROOT
from tests.support.live_server import live_server

_PAGE = (ROOT / "docs" / "integrator.md").read_text(encoding="utf-8")


def test_python_of_the_page_runs_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGPROOF_STATE", str(tmp_path / "state"))
    blocks = re.findall(r"^```python\n(.*?)^```$", _PAGE, flags=re.DOTALL | re.MULTILINE)
    with live_server(tmp_path / "data") as server:
        signer = parse_signer_key((server.data / "keys" / "default.key").read_text().strip())
        key = format_verifier_key(signer.verifier)
        names: dict[str, Any] = {"API_KEY": server.admin_key, "VERIFIER_KEY": key}
        for block in blocks:
            exec(compile(block.replace("127.0.0.1:7650", server.address), "docs/integrator.md", "exec"), names)
        names["ledger"].close()
    saved = verify_receipt((tmp_path / "role-change.tlog-proof").read_bytes(), parse_verifier_key(key))

    assert len(blocks) == 6
    assert [item.leaf_index for item in names["proven"]] == [receipt.leaf_index for receipt in names["viewed"]]
    assert [proof.leaf_index for proof in names["proofs"]] == [0, 1, names["receipt"].leaf_index]
    assert [receipt.proves_content for receipt in names["receipts"]] == [True, True]
    assert saved.event == names["receipt"].verify().event
    assert names["proof"].leaf_index == saved.leaf_index


def test_first_example_has_ten_lines_at_most() -> None:
    block = re.findall(r"^```python\n(.*?)^```$", _PAGE, flags=re.DOTALL | re.MULTILINE)[0]

    assert len([line for line in block.splitlines() if line.strip()]) <= 10
