"""Bundles from a real server: what is exported verifies with both verifiers, and nothing half is ever there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.client import Ledger
from ledger.client.bundle_export import BundleWish, export_bundle
from ledger.errors import IndexBeyondTreeError, InvalidRequestError, LedgerError
from ledger.evidence.bundle_format import Period
from ledger.notes.keys import format_verifier_key, parse_signer_key
from tests.support.served import Served

SCRIPT = Path(__file__).parents[2] / "ledger" / "client" / "bundle_files" / "verify_bundle.py"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    folder = tmp_path_factory.mktemp("bundles")
    server = Served(folder)
    try:
        signer = parse_signer_key((server.data / "keys" / "default.key").read_text().strip())
        with Ledger(
            server.address,
            api_key=server.api_key,
            verifier_key=format_verifier_key(signer.verifier),
            state=folder / "state",
        ) as client:
            for number in range(40):
                client.append("user.created", actor=f"user:{number}", email="al@example.com")
            yield client
    finally:
        server.stop()


def _verify(bundle: Path, ledger: Ledger, *more: str) -> tuple[int, str]:
    """Return the verdict of both verifiers, which is one."""
    arguments = [str(bundle), "--key", ledger.verifier_key, *more]
    ran = [
        subprocess.run(command, capture_output=True, check=False, text=True)
        for command in (
            [sys.executable, "-m", "ledger.cli.main", "verify", "bundle", *arguments],
            [sys.executable, "-I", "-S", str(SCRIPT), *arguments],
        )
    ]
    verdicts = [(one.returncode, one.stdout.partition("\n")[0]) for one in ran]
    assert verdicts[0] == verdicts[1], [one.stderr for one in ran]
    return verdicts[0]


@pytest.mark.parametrize("name", ["bundle.zip", "bundle"])
def test_exported_bundle_verifies(name: str, ledger: Ledger, tmp_path: Path) -> None:
    target = tmp_path / name

    export_bundle(ledger, BundleWish(3, 20, personal=True, receipts=(3, 19)), target)

    assert _verify(target, ledger) == (0, "pinned key, tail unproven")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_next_bundle_continues_the_last(ledger: Ledger, tmp_path: Path) -> None:
    export_bundle(ledger, BundleWish(), tmp_path / "first")
    note = tmp_path / "first" / "checkpoints" / "end.note"
    ledger.append("user.created", actor="user:later")

    manifest, _ = export_bundle(ledger, BundleWish(since=note.read_bytes()), tmp_path / "next.zip")

    assert manifest.end == manifest.tree_size
    assert _verify(tmp_path / "next.zip", ledger, "--since", str(note)) == (0, "pinned head")


def test_same_wish_gives_the_same_bytes(ledger: Ledger, tmp_path: Path) -> None:
    size = ledger.checkpoint().checkpoint.tree_size
    for name in ("one.zip", "two.zip"):
        export_bundle(ledger, BundleWish(2, 30), tmp_path / name)

    assert ledger.checkpoint().checkpoint.tree_size == size
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_period_is_found_by_when_entries_were_recorded(ledger: Ledger, tmp_path: Path) -> None:
    times = [entry.leaf.recorded_at for entry in ledger.read_entries(0, 30)]

    manifest, _ = export_bundle(ledger, BundleWish(period=Period(times[5], times[12])), tmp_path / "some.zip")
    empty, _ = export_bundle(ledger, BundleWish(period=Period(None, 1)), tmp_path / "none.zip")

    assert (manifest.begin, manifest.end) == (times.index(times[5]), times.index(times[12]))
    assert (empty.begin, empty.end) == (0, 0)
    assert _verify(tmp_path / "some.zip", ledger) == (0, "pinned key, tail unproven")
    assert _verify(tmp_path / "none.zip", ledger) == (0, "pinned key, tail unproven")


def test_personal_data_are_there_only_on_request(ledger: Ledger, tmp_path: Path) -> None:
    manifest, _ = export_bundle(ledger, BundleWish(5, 9), tmp_path / "bundle")

    assert manifest.sections["personal"]["not_asked"] == 4
    assert b"al@example.com" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    row = json.loads((tmp_path / "bundle" / "events.ndjson").read_text().splitlines()[0])
    assert row["action"] == "user.created"


@pytest.mark.parametrize("name", ["bundle.zip", "bundle"])
def test_nothing_is_overwritten(name: str, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")

    with pytest.raises(InvalidRequestError, match="exists"):
        export_bundle(ledger, BundleWish(), tmp_path / name)

    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (BundleWish(5, 4), InvalidRequestError),
        (BundleWish(0, 10_000), IndexBeyondTreeError),
        (BundleWish(0, 5, receipts=(5,)), InvalidRequestError),
        (BundleWish(since=b"no note"), LedgerError),
    ],
    ids=str,
)
def test_wish_that_cannot_be_met_leaves_nothing(
    wish: BundleWish, error: type[LedgerError], ledger: Ledger, tmp_path: Path
) -> None:
    with pytest.raises(error):
        export_bundle(ledger, wish, tmp_path / "bundle.zip")

    assert list(tmp_path.iterdir()) == []
