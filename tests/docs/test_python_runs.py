"""The Python of the README and of docs/integrator.md runs, in its order, against a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ledger.evidence import VerifiedReceipt, verify_receipt
from ledger.notes import format_verifier_key, parse_signer_key, parse_verifier_key
from tests.support.documentation import ROOT
from tests.support.live_server import live_server

_RECEIPT = "role-change.tlog-proof"


def _blocks(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def _run(page: str, folder: Path) -> tuple[dict[str, Any], VerifiedReceipt]:
    """Run a page's Python; return the names that it leaves behind, and the receipt that it saved, verified offline."""
    with live_server(folder / "data", indexes=True) as server:
        signer = parse_signer_key((server.data / "keys" / "default.key").read_text().strip())
        key = format_verifier_key(signer.verifier)
        names: dict[str, Any] = {"API_KEY": server.admin_key, "VERIFIER_KEY": key}
        for block in _blocks(page):
            exec(compile(block.replace("127.0.0.1:7650", server.address), page, "exec"), names)
        names["ledger"].close()
    return names, verify_receipt((folder / _RECEIPT).read_bytes(), parse_verifier_key(key))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGPROOF_STATE", str(tmp_path / "state"))


def test_ten_lines_of_the_readme_make_a_receipt_that_verifies_offline(tmp_path: Path) -> None:
    assert len(_blocks("README.md")) == 1
    names, saved = _run("README.md", tmp_path)
    event = saved.event
    assert event is not None
    assert event == names["receipt"].verify().event
    assert event.action == "user.role.updated"
    assert [(change.path, change.old, change.new) for change in event.field_changes] == [("role", "member", "admin")]


def test_python_of_the_integrators_page_runs_in_its_order(tmp_path: Path) -> None:
    assert len(_blocks("docs/integrator.md")) == 7
    names, saved = _run("docs/integrator.md", tmp_path)
    assert [item.leaf_index for item in names["proven"]] == [receipt.leaf_index for receipt in names["viewed"]]
    assert [proof.leaf_index for proof in names["proofs"]] == [0, 1, names["receipt"].leaf_index]
    assert [receipt.proves_content for receipt in names["receipts"]] == [True, True]
    assert saved.event == names["receipt"].verify().event
    assert names["proof"].leaf_index == saved.leaf_index


@pytest.mark.parametrize("page", ["README.md", "docs/integrator.md"])
def test_first_example_has_ten_lines_at_most(page: str) -> None:
    assert len([line for line in _blocks(page)[0].splitlines() if line.strip()]) <= 10
