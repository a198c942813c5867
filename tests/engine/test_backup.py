"""A backup is checked before it is called one, and a restored log signs only on top of the newest head that is known."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.engine.administration import SERVER
from ledger.engine.backup import Backup, make_backup
from ledger.engine.backup_manifest import read_manifest
from ledger.engine.directory import open_directory
from ledger.engine.directory_check import stated_logs
from ledger.engine.restore import LogOutlook, Outlook, accept_head, outlook_of, restore_backup
from ledger.errors import (
    CorruptionError,
    InvalidRequestError,
    InvalidSignatureError,
    LogReadOnlyError,
    StorageError,
    StorageFormatError,
    StorageFullError,
)
from ledger.notes.checkpoint import Checkpoint, sign_checkpoint
from ledger.notes.keys import Ed25519Signer
from tests.support.children import start_python
from tests.support.engine_lab import make_entry
from tests.support.engine_server import MAP_SIZE, EngineServer
from tests.support.storage_edit import flip_byte, get_row, index_key

NOW = 1_800_000_000_000_000
DAY = 86_400_000_000
PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    made = EngineServer(tmp_path / "data", guard_path=tmp_path / "guard")
    made.administration.create_log("zeta", SERVER)
    made.append(*(make_entry(number) for number in range(20)))
    yield made
    made.close()


def _backup(server: EngineServer, tmp_path: Path, *, now_us: int = NOW, passphrase: str | None = None) -> Backup:
    """Make a backup as another process would, which finds no store open in its own."""
    server.close()
    made = make_backup(server.directory, tmp_path / "backups", now_us=now_us, key_passphrase=passphrase)
    server.open()
    return made


def _note(server: EngineServer, log: str = "default") -> bytes:
    with server.registry.use(log) as opened:
        return opened.signed_head().note


def _restored(server: EngineServer, tmp_path: Path, backup: Backup, guard: str) -> EngineServer:
    """Put the data away and restore a backup in its place."""
    server.close()
    (tmp_path / "data").rename(tmp_path / "data.old")
    keys = tmp_path / "data.old" / "keys"
    restore_backup(backup.path, tmp_path / "data", tmp_path / guard, keys=keys, map_size=MAP_SIZE)
    server.guard_path = tmp_path / guard
    server.directory = open_directory(tmp_path / "data", tmp_path / guard, map_size=MAP_SIZE)
    return server


def _outlook(server: EngineServer, log: str = "default") -> LogOutlook:
    return outlook_of(server.directory, stated_logs(server.directory)[log])


# Making


def test_backup_holds_every_log_with_its_root_and_a_signed_head(server: EngineServer, tmp_path: Path) -> None:
    made = _backup(server, tmp_path)
    assert made.path == tmp_path / "backups" / "logproof-20270115T080000Z"
    for log in made.manifest.logs:
        with server.registry.use(log.record.name) as opened:
            head = opened.signed_head()
        assert (log.tree_size, log.root_hash, log.checkpoint.encode()) == (head.tree_size, head.root_hash, head.note)
    assert [log.record.name for log in made.manifest.logs] == ["_system", "default", "zeta"]


def test_backup_has_no_guard_and_no_lock_and_only_its_owner_may_read_it(server: EngineServer, tmp_path: Path) -> None:
    made = _backup(server, tmp_path)
    paths = [made.path, *made.path.rglob("*")]
    assert not [path for path in paths if path.name.endswith(".guard") or path.name in {"lock.mdb", "owner.lock"}]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}


def _bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.rglob("*") if file.is_file())


def test_no_signing_key_is_in_a_backup_in_the_clear(server: EngineServer, tmp_path: Path) -> None:
    without = _backup(server, tmp_path)
    sealed = _backup(server, tmp_path, now_us=NOW + DAY, passphrase=PASSPHRASE)
    assert [path.name for path in without.path.iterdir() if "key" in path.name] == []
    assert [path.name for path in sealed.path.iterdir() if "key" in path.name] == ["keys.sealed"]
    for made in (without, sealed):
        held = _bytes_of(made.path)
        for file in (tmp_path / "data" / "keys").glob("*.key"):
            key = file.read_text().strip()
            seed = base64.b64decode(key.rpartition("+")[2])[1:]
            assert key.encode() not in held
            assert seed not in held
            assert base64.b64encode(seed)[:-4] not in held
        assert PASSPHRASE.encode() not in held


def test_a_short_passphrase_gives_no_backup(server: EngineServer, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="has 11 characters; it has 12 at least"):
        _backup(server, tmp_path, passphrase="x" * 11)
    assert not (tmp_path / "backups").exists()


def test_sealed_keys_are_opened_with_their_passphrase_and_the_logs_sign_on(
    server: EngineServer, tmp_path: Path
) -> None:
    before = _note(server)
    made = _backup(server, tmp_path, passphrase=PASSPHRASE)
    server.close()
    (tmp_path / "data").rename(tmp_path / "data.old")
    for given, said in ((None, "passphrase: is needed"), ("another passphrase", "passphrase: does not open")):
        with pytest.raises(InvalidRequestError, match=said) as refused:
            restore_backup(made.path, tmp_path / "data", tmp_path / "guard", key_passphrase=given, map_size=MAP_SIZE)
        assert "--keys" in refused.value.hint
        assert given is None or given not in str(refused.value)
        assert not (tmp_path / "data").exists()
    restore_backup(made.path, tmp_path / "data", tmp_path / "guard", key_passphrase=PASSPHRASE, map_size=MAP_SIZE)
    assert stat.S_IMODE((tmp_path / "data" / "keys" / "default.key").stat().st_mode) == 0o600
    server.open()
    assert _note(server) == before


def test_a_backup_without_keys_is_restored_with_keys_or_on_purpose_without(
    server: EngineServer, tmp_path: Path
) -> None:
    made = _backup(server, tmp_path)
    with pytest.raises(InvalidRequestError, match="keys: are needed") as refused:
        restore_backup(made.path, tmp_path / "new", tmp_path / "guard", map_size=MAP_SIZE)
    assert "--keys" in refused.value.hint
    assert "--without-keys" in refused.value.hint
    assert not (tmp_path / "new").exists()


def test_backup_of_a_log_that_grows_is_one_moment_of_it(server: EngineServer, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from ledger.engine.backup import make_backup; from ledger.engine.directory import open_directory\n"
        "directory = open_directory(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print(make_backup(directory, Path(sys.argv[3]), now_us=1_800_000_000_000_000).path)"
    )
    with start_python(program, tmp_path / "data", tmp_path / "guard", tmp_path / "backups") as child:
        grown = 0
        while child.poll() is None:
            server.append(make_entry(100 + grown))
            grown += 1
        out, errors = child.communicate()
    assert child.returncode == 0, errors
    copied = {log.record.name: log for log in read_manifest(Path(out.strip())).logs}["default"]
    with server.registry.use("default") as log, log.read() as reader:
        assert 22 < copied.tree_size < reader.head.tree_size == 22 + grown
        assert reader.checkpoint(copied.tree_size).root_hash == copied.root_hash


@pytest.mark.parametrize("table", ["leaves", "event_sections", "personal_sections"])
def test_damaged_log_gives_no_backup_and_leaves_nothing(server: EngineServer, tmp_path: Path, table: str) -> None:
    server.close()
    flip_byte(server.store_path(), table, index_key(7), -1)
    with pytest.raises(CorruptionError, match="entry 7"):
        _backup(server, tmp_path)
    assert list((tmp_path / "backups").iterdir()) == []


def test_log_without_its_guard_gives_no_backup(server: EngineServer, tmp_path: Path) -> None:
    server.close()
    server.directory.guard_file("zeta").unlink()
    with pytest.raises(CorruptionError, match="guard of zeta is missing"):
        _backup(server, tmp_path)


def test_backup_needs_room_and_says_how_much(
    server: EngineServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.statvfs_result((4096, 4096, 100, 10, 10, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    server.close()
    with pytest.raises(StorageFullError, match="40960 bytes are free") as refused:
        make_backup(server.directory, tmp_path / "backups", now_us=NOW)
    assert int(refused.value.metadata["neededBytes"]) > 40_960


def test_backup_never_takes_the_name_of_another(server: EngineServer, tmp_path: Path) -> None:
    _backup(server, tmp_path)
    with pytest.raises(StorageError, match="exists already"):
        _backup(server, tmp_path)


# Restoring


def test_current_backup_with_its_guard_signs_on(server: EngineServer, tmp_path: Path) -> None:
    before = _note(server)
    _restored(server, tmp_path, _backup(server, tmp_path), "guard")
    assert _outlook(server).outlook is Outlook.SIGNS
    server.open()
    assert _note(server) == before
    (tmp_path / "data" / "admin.key").write_bytes((tmp_path / "data.old" / "admin.key").read_bytes())
    assert server.append(make_entry(50)).entries[0].leaf_index == 22
    assert server.append(make_entry(3)).entries[0].leaf_index == 5


def test_old_backup_under_its_guard_refuses_to_sign(server: EngineServer, tmp_path: Path) -> None:
    old = _backup(server, tmp_path)
    server.append(make_entry(50))
    _restored(server, tmp_path, old, "guard")
    assert _outlook(server).outlook is Outlook.BEHIND
    server.open()
    assert server.read_only_reason().startswith("the data is older than the head that the guard remembers")
    with server.registry.use("default") as log, log.read() as reader, pytest.raises(LogReadOnlyError):
        reader.checkpoint()


def test_backup_without_a_guard_signs_nothing_until_a_head_is_accepted(server: EngineServer, tmp_path: Path) -> None:
    note = _note(server)
    _restored(server, tmp_path, _backup(server, tmp_path), "lost")
    assert _outlook(server).outlook is Outlook.NO_GUARD
    assert accept_head(server.directory, note) == "default"
    assert _outlook(server).outlook is Outlook.SIGNS
    server.open()
    assert server.read_only_reason() == ""
    assert _note(server) == note
    assert server.read_only_reason("zeta").startswith("the high-water guard is missing")


def test_old_backup_refuses_to_sign_once_a_newer_head_is_accepted(server: EngineServer, tmp_path: Path) -> None:
    old = _backup(server, tmp_path)
    server.append(make_entry(50))
    newest = _note(server)
    _restored(server, tmp_path, old, "lost")
    accept_head(server.directory, newest)
    assert _outlook(server).outlook is Outlook.BEHIND
    server.open()
    assert server.read_only_reason().startswith("the data is older than the head that the guard remembers")


def test_accepted_head_that_contradicts_the_data_refuses_to_sign(server: EngineServer, tmp_path: Path) -> None:
    signer = server.directory.load_signer("default")
    other = sign_checkpoint(Checkpoint(signer.name, 20, bytes([9] * 32)), signer)
    _restored(server, tmp_path, _backup(server, tmp_path), "lost")
    accept_head(server.directory, other)
    assert _outlook(server).outlook is Outlook.FORKED


def test_accepted_head_never_sets_a_guard_back(server: EngineServer) -> None:
    older = _note(server)
    server.append(make_entry(50))
    server.close()
    guarded = _outlook(server).guarded_size
    accept_head(server.directory, older)
    assert _outlook(server).guarded_size == guarded == 23
    newer = Checkpoint(server.directory.origin("default"), 30, bytes([3] * 32))
    accept_head(server.directory, sign_checkpoint(newer, server.directory.load_signer("default")))
    assert (_outlook(server).guarded_size, _outlook(server).outlook) == (30, Outlook.BEHIND)


def test_head_of_another_log_or_key_is_not_accepted(server: EngineServer) -> None:
    server.close()
    origin = server.directory.origin("default")
    forged = sign_checkpoint(Checkpoint(origin, 5, bytes(32)), Ed25519Signer(origin, bytes(32)))
    with pytest.raises(InvalidSignatureError):
        accept_head(server.directory, forged)
    elsewhere = Ed25519Signer("logs.example/elsewhere", bytes(32))
    with pytest.raises(InvalidRequestError, match="which is no log of"):
        accept_head(server.directory, sign_checkpoint(Checkpoint(elsewhere.name, 5, bytes(32)), elsewhere))


def test_nothing_is_restored_onto_existing_data(server: EngineServer, tmp_path: Path) -> None:
    made = _backup(server, tmp_path)
    server.close()
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "data").rglob("*"))
    with pytest.raises(StorageFormatError, match="nothing is ever restored onto existing data"):
        restore_backup(made.path, tmp_path / "data", tmp_path / "guard")
    assert before == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "data").rglob("*"))


def test_restoring_writes_no_guard(server: EngineServer, tmp_path: Path) -> None:
    _restored(server, tmp_path, _backup(server, tmp_path), "lost")
    assert list((tmp_path / "lost").iterdir()) == []


def _swap(backup: Path, *, with_manifest: bool) -> None:
    one, two = (backup / "logs" / name / "store.1" / "data.mdb" for name in ("default", "zeta"))
    one.rename(backup / "aside")
    two.rename(one)
    (backup / "aside").rename(two)
    if with_manifest:
        fields = json.loads((backup / "manifest.json").read_text())
        _, first, second = fields["logs"]
        for key in ("size", "sha256", "tree_size", "root_hash"):
            first[key], second[key] = second[key], first[key]
        (backup / "manifest.json").write_text(json.dumps(fields))


@pytest.mark.parametrize(("with_manifest", "said"), [(False, "SHA-256 differs"), (True, "is of the origin")])
def test_swapped_logs_are_not_restored(server: EngineServer, tmp_path: Path, with_manifest: bool, said: str) -> None:
    made = _backup(server, tmp_path)
    _swap(made.path, with_manifest=with_manifest)
    with pytest.raises(CorruptionError, match=said):
        restore_backup(made.path, tmp_path / "new", tmp_path / "guard", keyless=True, map_size=MAP_SIZE)
    assert not (tmp_path / "new").exists()


def test_log_put_under_the_name_of_another_does_not_open(server: EngineServer, tmp_path: Path) -> None:
    server.close()
    logs = tmp_path / "data" / "logs"
    (logs / "default").rename(logs / "aside")
    (logs / "zeta").rename(logs / "default")
    (logs / "aside").rename(logs / "zeta")
    assert {_outlook(server, name).outlook for name in ("default", "zeta")} == {Outlook.DAMAGED}


def test_changed_backup_is_not_restored(server: EngineServer, tmp_path: Path) -> None:
    made = _backup(server, tmp_path)
    data = made.path / "logs" / "default" / "store.1" / "data.mdb"
    changed = bytearray(data.read_bytes())
    changed[-1] ^= 1
    data.write_bytes(changed)
    with pytest.raises(CorruptionError, match="SHA-256 differs"):
        restore_backup(made.path, tmp_path / "new", None, keyless=True, map_size=MAP_SIZE)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', '{"format": 1, "logs": [{"record": "x"}]}'])
def test_manifest_that_cannot_be_read_is_told(server: EngineServer, tmp_path: Path, content: str) -> None:
    made = _backup(server, tmp_path)
    (made.path / "manifest.json").write_text(content)
    with pytest.raises(CorruptionError, match="does not have its form"):
        restore_backup(made.path, tmp_path / "new", None)
    (made.path / "manifest.json").unlink()
    with pytest.raises(StorageFormatError, match="is no backup"):
        restore_backup(made.path, tmp_path / "new", None)


def test_keys_kept_apart_are_put_back_if_they_are_the_logs_own(server: EngineServer, tmp_path: Path) -> None:
    made = _backup(server, tmp_path)
    server.close()
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "data" / "keys", kept)
    restore_backup(made.path, tmp_path / "first", tmp_path / "guard", keyless=True, map_size=MAP_SIZE)
    record = stated_logs(server.directory)["zeta"]
    keyless = open_directory(tmp_path / "first", tmp_path / "guard", map_size=MAP_SIZE)
    assert outlook_of(keyless, record).outlook is Outlook.NO_KEY
    restored = restore_backup(made.path, tmp_path / "second", tmp_path / "guard", keys=kept, map_size=MAP_SIZE)
    assert outlook_of(restored, record).outlook is Outlook.SIGNS
    (kept / "zeta.key").write_bytes((kept / "default.key").read_bytes())
    with pytest.raises(CorruptionError, match="is not the signing key of zeta"):
        restore_backup(made.path, tmp_path / "third", tmp_path / "guard", keys=kept, map_size=MAP_SIZE)
    assert not (tmp_path / "third").exists()


def test_restored_store_has_the_same_rows(server: EngineServer, tmp_path: Path) -> None:
    made = _backup(server, tmp_path)
    leaf = get_row(server.store_path(), "leaves", index_key(9))
    restore_backup(made.path, tmp_path / "new", tmp_path / "guard", keyless=True, map_size=MAP_SIZE)
    assert get_row(tmp_path / "new" / "logs" / "default" / "store.1", "leaves", index_key(9)) == leaf is not None
