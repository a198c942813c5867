"""Logs and credentials: every change is an entry, and what the records say is what counts."""

from __future__ import annotations

import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.auth.roles import Permission, Role
from ledger.engine.administration import SERVER
from ledger.engine.directory import SYSTEM_LOG, create_directory, is_made
from ledger.engine.fsck import check_log
from ledger.engine.records import key_revoked, log_created
from ledger.engine.registry import LogRegistry
from ledger.engine.requests import AdminRequest, AppendRequest
from ledger.errors import (
    ApiKeyNotFoundError,
    CorruptionError,
    FilePermissionsError,
    InvalidCredentialsError,
    InvalidRequestError,
    LedgerError,
    LogExistsError,
    LogNotFoundError,
    OverloadedError,
    PermissionMissingError,
    StorageError,
    StorageFormatError,
)
from ledger.notes.keys import Ed25519Signer, format_signer_key
from tests.support.engine_lab import make_entry
from tests.support.engine_server import ORIGIN_PREFIX, EngineServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    made = EngineServer(tmp_path / "data")
    yield made
    made.close()


def test_a_new_directory_has_its_logs_a_key_and_closed_permissions(server: EngineServer) -> None:
    assert server.registry.names() == ["default"]
    assert server.access.authorise(server.admin(), "default", Permission.APPEND).personal
    for path in (server.path / "admin.key", server.path / "keys" / "default.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((server.path / "logs" / "default").stat().st_mode) == 0o700


def test_the_records_are_the_fold_of_the_entries_in_every_log(server: EngineServer) -> None:
    server.administration.create_log("acme-production", SERVER)
    key = server.administration.create_key(
        "acme-production", SERVER, label="ci", roles=frozenset({Role.WRITER}), personal=False
    )
    server.administration.rotate_key("acme-production", SERVER, key_id=key.credential.key_id, overlap_seconds=60)
    server.administration.revoke_key("acme-production", SERVER, key_id=key.credential.key_id)
    server.close()
    for name in (SYSTEM_LOG, "default", "acme-production"):
        store, guard = server.directory.open_store(name, read_only=True), server.directory.open_guard(name)
        assert guard is not None
        report = check_log(store, guard.value)
        store.close()
        guard.close()
        assert report.is_clean, report


def test_s50_a_key_of_one_log_is_refused_on_another_the_same_whether_it_exists_or_not(server: EngineServer) -> None:
    server.administration.create_log("acme-staging", SERVER)
    caller = server.access.authenticate_key(server.new_key("default", Role.WRITER))
    messages = []
    for log in ("acme-staging", "no-such-log", SYSTEM_LOG, "Not a name"):
        with pytest.raises(PermissionMissingError) as refused:
            server.access.authorise(caller, log, Permission.APPEND)
        messages.append((refused.value.message, refused.value.hint, refused.value.metadata))
    assert all(message == messages[0] for message in messages)


def test_an_administrator_is_told_that_a_log_does_not_exist(server: EngineServer) -> None:
    with pytest.raises(LogNotFoundError):
        server.access.authorise(server.admin(), "no-such-log", Permission.APPEND)


@pytest.mark.parametrize("change", ["secret", "id", "checksum", "log", "prefix", "empty"])
def test_a_wrong_key_is_refused_with_one_error(server: EngineServer, change: str) -> None:
    text = server.new_key("default", Role.WRITER)
    other = server.new_key("default", Role.WRITER)
    wrong = {
        "secret": text[: -len(other.split("_")[-1])] + other.split("_")[-1],
        "id": text.replace(text.split("_")[2], "A" * 12),
        "checksum": text[:-1] + ("A" if text[-1] != "A" else "B"),
        "log": text.replace("default", "nothere"),
        "prefix": text[1:],
        "empty": "",
    }[change]
    with pytest.raises(InvalidCredentialsError) as refused:
        server.access.authenticate_key(wrong)
    assert wrong == "" or wrong not in str(refused.value)


def test_a_revoked_key_is_dead_at_once_for_calls_and_for_what_was_admitted_before(server: EngineServer) -> None:
    caller = server.access.authenticate_key(text := server.new_key("default", Role.WRITER))
    server.administration.revoke_key("default", SERVER, key_id=caller.key_id)
    with pytest.raises(InvalidCredentialsError):
        server.access.authenticate_key(text)
    with server.registry.use("default") as log, pytest.raises(InvalidCredentialsError):
        log.submit(AppendRequest(caller.key_id, caller.principal, [make_entry(1)])).result(30)


def test_a_rotated_key_keeps_its_principal_and_the_old_secret_ends(server: EngineServer) -> None:
    old = server.access.authenticate_key(text := server.new_key("default", Role.WRITER))
    new = server.administration.rotate_key("default", SERVER, key_id=old.key_id, overlap_seconds=0)
    assert new.credential.principal == old.principal
    assert server.access.authenticate_key(new.secret).principal == old.principal
    with pytest.raises(InvalidCredentialsError):
        server.access.authenticate_key(text)


def test_an_overlap_lets_the_old_secret_work_on(server: EngineServer) -> None:
    old = server.access.authenticate_key(text := server.new_key("default", Role.WRITER))
    server.administration.rotate_key("default", SERVER, key_id=old.key_id, overlap_seconds=3600)
    assert server.access.authenticate_key(text) == old


def test_rotating_the_first_administrator_removes_admin_key_and_reaches_every_log(server: EngineServer) -> None:
    server.administration.create_log("acme-production", SERVER)
    admin = server.admin()
    new = server.administration.rotate_key(SYSTEM_LOG, SERVER, key_id=admin.key_id, overlap_seconds=0)
    assert not (server.path / "admin.key").exists()
    caller = server.access.authenticate_key(new.secret)
    for log in ("default", "acme-production"):
        assert server.access.authorise(caller, log, Permission.APPEND).key_id == caller.key_id
        with server.registry.use(log) as opened, pytest.raises(InvalidCredentialsError):
            opened.submit(AppendRequest(admin.key_id, admin.principal, [make_entry(1)])).result(30)


def test_an_administrators_revocation_is_an_entry_of_every_log(server: EngineServer) -> None:
    admin = server.admin()
    second = server.administration.create_key(SYSTEM_LOG, SERVER, label="second", roles=frozenset(Role), personal=True)
    sizes = {name: _size(server, name) for name in ("default", SYSTEM_LOG)}
    server.administration.revoke_key(SYSTEM_LOG, SERVER, key_id=second.credential.key_id)
    assert {name: _size(server, name) for name in sizes} == {name: size + 1 for name, size in sizes.items()}
    assert server.access.authorise(admin, "default", Permission.APPEND).key_id == admin.key_id


def test_a_new_log_has_the_grants_of_every_administrator(server: EngineServer) -> None:
    second = server.administration.create_key(SYSTEM_LOG, SERVER, label="second", roles=frozenset(Role), personal=True)
    server.administration.create_log("acme-production", SERVER)
    caller = server.access.authenticate_key(second.secret)
    assert server.access.authorise(caller, "acme-production", Permission.READ_PERSONAL).personal


def test_a_certificate_is_known_by_its_name_in_its_log_only(server: EngineServer) -> None:
    server.administration.create_log("acme-staging", SERVER)
    name = "URI:spiffe://acme/billing"
    server.administration.create_key(
        "default", SERVER, label="", roles=frozenset({Role.WRITER}), personal=False, certificate_name=name
    )
    caller = server.access.authenticate_certificate(["DNS:other", name], "default")
    assert server.access.authorise(caller, "default", Permission.APPEND).key_id == caller.key_id
    with pytest.raises(InvalidCredentialsError):
        server.access.authenticate_certificate([name], "acme-staging")
    with pytest.raises(InvalidRequestError):
        server.administration.create_key(
            "default", SERVER, label="", roles=frozenset({Role.WRITER}), personal=False, certificate_name=name
        )


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "_system", "a" * 64, "a b", "-a", "ä"])
def test_a_log_needs_a_good_name(server: EngineServer, name: str) -> None:
    with pytest.raises(InvalidRequestError):
        server.administration.create_log(name, SERVER)


def test_a_log_name_is_taken_once(server: EngineServer) -> None:
    with pytest.raises(LogExistsError):
        server.administration.create_log("default", SERVER)


def test_unknown_keys_are_not_revoked(server: EngineServer) -> None:
    for key_id in ("nothing", "", "../../x", "A" * 12, "é" * 12, "a" * 300):
        with pytest.raises(ApiKeyNotFoundError):
            server.administration.revoke_key("default", SERVER, key_id=key_id)


def test_a_log_that_the_system_does_not_name_is_set_aside_never_deleted(server: EngineServer) -> None:
    server.directory.create_log("orphan", bytes(32), 1)
    moved = server.directory.tidy({SYSTEM_LOG, "default"})
    assert [path.name for path in moved] == ["orphan.orphan-1", "orphan.key.orphan-1", "orphan.guard.orphan-1"]
    assert all(path.exists() for path in moved)
    server.administration.create_log("orphan", SERVER)
    assert "orphan" in server.registry.names()


def test_a_temporary_name_is_removed_at_the_start(server: EngineServer) -> None:
    left = server.path / "logs" / ".new-half"
    left.mkdir()
    assert server.directory.tidy({SYSTEM_LOG, "default"}) == []
    assert not left.exists()


def test_a_signing_key_that_others_may_read_is_refused(server: EngineServer) -> None:
    server.close()
    server.directory.key_path("default").chmod(0o640)
    server.open()
    with pytest.raises(FilePermissionsError) as refused, server.registry.use("default"):
        pass
    assert "chmod 600" in refused.value.hint


def test_a_log_that_takes_no_entries_stops_neither_administration_nor_the_next_start(server: EngineServer) -> None:
    for name in ("aaa", "zzz"):
        server.administration.create_log(name, SERVER)
    second = server.administration.create_key(SYSTEM_LOG, SERVER, label="second", roles=frozenset(Role), personal=True)
    caller = server.access.authenticate_key(second.secret)
    server.open_log("default").freeze("a test", durably=True)
    server.close()
    server.open()
    rotated = server.administration.rotate_key(SYSTEM_LOG, SERVER, key_id=server.admin().key_id, overlap_seconds=60)
    assert server.access.authorise(server.access.authenticate_key(rotated.secret), "zzz", Permission.APPEND).personal
    server.administration.revoke_key(SYSTEM_LOG, SERVER, key_id=caller.key_id)
    for log in ("aaa", "default", "zzz"):
        with pytest.raises(InvalidCredentialsError):
            server.access.authorise(caller, log, Permission.READ_EVENTS)


def test_a_key_of_an_ended_certificate_credential_is_free_again(server: EngineServer) -> None:
    def create() -> str:
        made = server.administration.create_key(
            "default",
            SERVER,
            label="",
            roles=frozenset({Role.WRITER}),
            personal=False,
            certificate_name="DNS:billing.acme.example",
        )
        return made.credential.key_id

    server.administration.revoke_key("default", SERVER, key_id=create())
    key_id = create()
    assert server.access.authenticate_certificate(["DNS:billing.acme.example"], "default").key_id == key_id


def test_a_certificate_name_that_could_never_match_is_refused(server: EngineServer) -> None:
    for name in ("billing", "CN:billing", "URI:", "DNS:a b", "DNS:" + "a" * 180):
        with pytest.raises(InvalidRequestError):
            server.administration.create_key(
                "default", SERVER, label="", roles=frozenset({Role.WRITER}), personal=False, certificate_name=name
            )


def test_only_the_first_key_takes_its_file_away(server: EngineServer) -> None:
    second = server.administration.create_key(SYSTEM_LOG, SERVER, label="second", roles=frozenset(Role), personal=True)
    server.administration.rotate_key(SYSTEM_LOG, SERVER, key_id=second.credential.key_id, overlap_seconds=0)
    first = server.admin()
    server.administration.revoke_key(SYSTEM_LOG, SERVER, key_id=first.key_id)
    assert not (server.path / "admin.key").exists()


def test_a_creation_that_was_cut_off_after_its_entry_is_completed_at_the_next_start(server: EngineServer) -> None:
    server.directory.create_log("cut-off", bytes(range(32)), 1)
    record = server.registry.describe("cut-off")
    with server.registry.use(SYSTEM_LOG) as system:
        system.administer(AdminRequest("", SERVER.principal, [log_created(record)]))
    server.close()
    server.open()
    assert _size(server, "cut-off") == 2
    assert server.access.authorise(server.admin(), "cut-off", Permission.APPEND).personal
    with pytest.raises(LogExistsError):
        server.administration.create_log("cut-off", SERVER)


def test_beginning_again_never_removes_another_servers_guards(tmp_path: Path) -> None:
    guards = tmp_path / "guards"
    other = EngineServer(tmp_path / "other", guard_path=guards)
    other.close()
    data = tmp_path / "data"

    def fail(_directory: object) -> None:
        raise StorageError("the disk failed")

    data.mkdir()
    with pytest.raises(StorageError):
        create_directory(data, None, "logs.example/mine", fail)
    with pytest.raises(StorageError, match="their data is missing"):
        create_directory(data, guards, "logs.example/mine", fail)
    assert sorted(path.name for path in guards.iterdir()) == ["_system.guard", "default.guard"]


def test_a_log_that_is_closed_to_make_room_is_never_open_twice(server: EngineServer) -> None:
    for number in range(4):
        server.administration.create_log(f"log-{number}", SERVER)
    server.close()
    registry = LogRegistry(server.directory, server.clock, server.random, max_open=2)
    registry.start()
    errors: list[LedgerError] = []

    def use(offset: int) -> None:
        for turn in range(40):
            try:
                with registry.use(f"log-{(offset + turn) % 4}") as log:
                    log.signed_head()
            except OverloadedError:
                continue
            except LedgerError as error:
                errors.append(error)

    threads = [threading.Thread(target=use, args=(offset,)) for offset in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry.close()
    assert errors == []


def test_a_log_whose_signing_key_was_replaced_is_not_opened(server: EngineServer) -> None:
    server.close()
    path = server.directory.key_path("default")
    path.write_text(format_signer_key(Ed25519Signer(server.directory.origin("default"), bytes(32))) + "\n")
    server.open()
    with (
        pytest.raises(CorruptionError, match="is not the one that the log was made with"),
        server.registry.use("default"),
    ):
        pass
    assert "default" in server.registry.problems()
    assert not server.registry.take_appends()


def test_an_interrupted_revocation_of_an_administrator_is_completed_at_the_next_start(server: EngineServer) -> None:
    second = server.administration.create_key(SYSTEM_LOG, SERVER, label="second", roles=frozenset(Role), personal=True)
    key_id = second.credential.key_id
    with server.registry.use(SYSTEM_LOG) as system:
        system.administer(AdminRequest("", SERVER.principal, [key_revoked(key_id)]))
    server.close()
    server.open()
    granted = next(key for key in server.administration.list_keys("default") if key.key_id == key_id)
    assert granted.revoked_at


def test_a_log_whose_files_were_removed_takes_no_appends(server: EngineServer) -> None:
    log = server.open_log()
    shutil.rmtree(server.store_path())
    with server.registry.use("default") as opened, opened.read():
        pass
    store = log._store
    with pytest.raises(CorruptionError, match="removed or replaced"):
        store.maintain()


def test_an_interrupted_creation_is_begun_again(tmp_path: Path) -> None:
    data = tmp_path / "data"

    def fail(_directory: object) -> None:
        (data / "logs" / "half").mkdir()
        raise StorageError("the disk failed")

    data.mkdir()
    with pytest.raises(StorageError):
        create_directory(data, None, ORIGIN_PREFIX, fail)
    assert not is_made(data)
    server = EngineServer(data)
    assert server.registry.names() == ["default"]
    assert not (data / "logs" / "half").exists()
    server.close()


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(StorageFormatError):
        create_directory(tmp_path, None, ORIGIN_PREFIX, lambda _: None)
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_an_empty_directory_whose_guards_know_logs_is_refused(tmp_path: Path) -> None:
    guards = tmp_path / "guards"
    server = EngineServer(tmp_path / "data", guard_path=guards)
    server.close()
    (tmp_path / "new").mkdir()
    with pytest.raises(StorageError, match="their data is missing"):
        create_directory(tmp_path / "new", guards, ORIGIN_PREFIX, lambda _: None)


def test_a_newer_data_format_is_refused_with_what_to_do(server: EngineServer) -> None:
    server.close()
    manifest = server.path / "logproof.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StorageFormatError, match="format 2") as refused:
        server.open()
    assert "version" in refused.value.hint
    manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 1'))


def _size(server: EngineServer, log: str) -> int:
    with server.registry.use(log) as opened:
        return opened.signed_head().tree_size
