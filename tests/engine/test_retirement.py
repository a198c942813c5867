"""A retired log takes no events any more, for good; all else of it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.auth.roles import Permission, Role
from ledger.engine.administration import SERVER
from ledger.engine.backup import make_backup
from ledger.engine.directory import SYSTEM_LOG
from ledger.engine.directory_check import check_stored_log, stated_logs
from ledger.engine.fsck import check_log
from ledger.engine.records import LOG_RETIRED, log_retired, read_retirement
from ledger.engine.requests import AdminRequest, Outcome
from ledger.engine.restore import restore_backup
from ledger.errors import InvalidCredentialsError, InvalidRequestError, LogReadOnlyError, LogRetiredError
from ledger.events.commitments import SALT_SIZE
from ledger.events.event import Event
from ledger.events.wire import read_event
from ledger.notes.checkpoint import open_checkpoint
from ledger.storage.api import SectionKind
from tests.support.engine_lab import Lab, append_request, make_entry
from tests.support.engine_server import MAP_SIZE, EngineServer

REASON = "the environment was shut down"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    made = EngineServer(tmp_path / "data")
    made.append(*(make_entry(number) for number in range(5)))
    yield made
    made.close()


def _retire(server: EngineServer, reason: str = REASON) -> int:
    return server.administration.retire_log("default", SERVER, reason=reason).tree_size


def _size(server: EngineServer, log: str = "default") -> int:
    return server.open_log(log).signed_head().tree_size


def _last_event(server: EngineServer, log: str) -> Event:
    server.close()
    with closing(server.directory.open_store(log, read_only=True)) as store, store.read() as snapshot:
        head = snapshot.head()
        assert head is not None
        section = snapshot.sections(SectionKind.EVENT, [head.tree_size - 1])[0]
    server.open()
    assert section is not None
    return read_event(section[SALT_SIZE:])


def test_a_retired_log_refuses_events_with_what_to_do_and_signs_a_head_over_its_last_entry(
    server: EngineServer,
) -> None:
    before = _size(server)
    head = server.administration.retire_log("default", SERVER, reason=REASON)
    assert head.tree_size == before + 1
    with pytest.raises(LogRetiredError, match=REASON) as refused:
        server.append(make_entry(9))
    assert "--continues" in refused.value.hint
    assert refused.value.metadata == {"log": "default"}
    assert _size(server) == head.tree_size
    assert server.read_only_reason() == ""
    assert server.registry.take_appends()
    last = _last_event(server, "default")
    assert (last.action, last.targets[0].id) == (LOG_RETIRED, "default")
    assert {entry.key: entry.value for entry in last.metadata} == {"reason": REASON}


def test_system_names_the_retirement_and_the_last_head(server: EngineServer) -> None:
    head = server.administration.retire_log("default", SERVER, reason=REASON)
    event = _last_event(server, SYSTEM_LOG)
    metadata = {entry.key: entry.value for entry in event.metadata}
    assert (event.action, event.targets[0].id, metadata["reason"]) == (LOG_RETIRED, "default", REASON)
    note = str(metadata["last_head"]).encode()
    checkpoint = open_checkpoint(note, server.directory.load_signer("default").verifier).checkpoint
    assert (checkpoint.tree_size, checkpoint.root_hash) == (head.tree_size, head.root_hash)


def test_retiring_again_changes_nothing(server: EngineServer) -> None:
    size = _retire(server)
    system = _size(server, SYSTEM_LOG)
    assert _retire(server, "another reason") == size
    retirement = server.administration.retirement("default")
    assert retirement is not None
    assert retirement.reason == REASON
    assert _size(server, SYSTEM_LOG) == system


def test_retirement_survives_a_restart_and_other_logs_go_on(server: EngineServer) -> None:
    server.administration.create_log("other", SERVER)
    size = _retire(server)
    server.close()
    server.open()
    with pytest.raises(LogRetiredError):
        server.append(make_entry(9))
    assert _size(server) == size
    assert server.append(make_entry(9), log="other").entries[0].outcome is Outcome.APPENDED


def test_credentials_of_a_retired_log_are_still_made_and_revoked(server: EngineServer) -> None:
    size = _retire(server)
    secret = server.new_key("default", Role.READER)
    caller = server.access.authenticate_key(secret)
    assert server.access.authorise(caller, "default", Permission.READ_EVENTS).key_id == caller.key_id
    server.administration.revoke_key("default", SERVER, key_id=caller.key_id)
    with pytest.raises(InvalidCredentialsError):
        server.access.authenticate_key(secret)
    assert _size(server) == size + 2


def test_records_of_a_retired_log_are_the_fold_of_its_entries(server: EngineServer) -> None:
    _retire(server)
    server.close()
    for name, stated in stated_logs(server.directory).items():
        assert check_stored_log(server.directory, name, stated, lambda _done: None).faults == ()


@pytest.mark.parametrize("reason", ["", "x" * 257, "two\nlines"])
def test_a_reason_without_the_form_is_refused(server: EngineServer, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match="reason"):
        _retire(server, reason)


def test_system_cannot_be_retired(server: EngineServer) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be retired"):
        server.administration.retire_log(SYSTEM_LOG, SERVER, reason=REASON)


def test_a_retirement_that_a_crash_kept_from_system_is_completed_by_the_next_start(server: EngineServer) -> None:
    with server.registry.use("default") as log:
        log.administer(AdminRequest("", b"logproof/server\0", [log_retired("default", REASON)]))
    assert read_retirement(server.open_log(SYSTEM_LOG).record, "default") is None
    server.close()
    server.open()
    stated = read_retirement(server.open_log(SYSTEM_LOG).record, "default")
    assert stated is not None
    assert stated.reason == REASON


def test_a_log_without_the_retirement_that_system_knows_is_older_than_a_signed_head_and_signs_none(
    server: EngineServer,
) -> None:
    with server.registry.use(SYSTEM_LOG) as system:
        system.administer(AdminRequest("", b"logproof/server\0", [log_retired("default", REASON, b"note")]))
    server.close()
    server.open()
    with pytest.raises(LogReadOnlyError, match="older than its retirement"):
        server.append(make_entry(9))


def test_retirement_survives_backup_and_restore(server: EngineServer, tmp_path: Path) -> None:
    size = _retire(server)
    server.close()
    made = make_backup(server.directory, tmp_path / "backups", now_us=server.clock.now_us())
    (tmp_path / "data").rename(tmp_path / "old")
    (tmp_path / "guard").mkdir()
    for guard in (tmp_path / "old" / "guard").iterdir():
        (tmp_path / "guard" / guard.name).write_bytes(guard.read_bytes())
    server.guard_path = tmp_path / "guard"
    restore_backup(made.path, tmp_path / "data", tmp_path / "guard", keys=tmp_path / "old" / "keys", map_size=MAP_SIZE)
    (tmp_path / "data" / "admin.key").write_bytes((tmp_path / "old" / "admin.key").read_bytes())
    server.open()
    with pytest.raises(LogRetiredError):
        server.append(make_entry(9))
    assert _size(server) == size


# The writing step


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path)
    made.step(append_request(make_entry(1), make_entry(2)))
    return made


def _retirement() -> AdminRequest:
    return AdminRequest("", b"logproof/server\0", [log_retired("lab", REASON)])


def test_events_of_the_same_commit_are_in_before_the_retirement_and_refused_after_it(lab: Lab) -> None:
    first, _, last = lab.step(append_request(make_entry(3)), _retirement(), append_request(make_entry(4))).answers
    assert not isinstance(first, Exception)
    assert isinstance(last, LogRetiredError)


def test_a_retry_in_the_commit_of_the_retirement_gets_its_first_acknowledgement(lab: Lab) -> None:
    *_, again = lab.step(append_request(make_entry(3)), _retirement(), append_request(make_entry(3))).answers
    assert not isinstance(again, Exception)
    assert [entry.outcome for entry in again.entries] == [Outcome.DUPLICATE]


def test_a_retry_of_what_a_retired_log_holds_gets_its_first_acknowledgement(lab: Lab) -> None:
    lab.step(_retirement())
    result = lab.step(append_request(make_entry(2)))
    (answer,) = result.answers
    assert not isinstance(answer, Exception)
    assert [(entry.outcome, entry.leaf_index) for entry in answer.entries] == [(Outcome.DUPLICATE, 3)]
    assert result.appended == 0


def test_a_batch_with_a_new_event_is_refused_whole_by_a_retired_log(lab: Lab) -> None:
    lab.step(_retirement())
    (answer,) = lab.step(append_request(make_entry(1), make_entry(9))).answers
    assert isinstance(answer, LogRetiredError)


def test_of_independent_events_a_retired_log_acknowledges_those_it_holds_and_refuses_the_others(lab: Lab) -> None:
    lab.step(_retirement())
    request = append_request(make_entry(8), make_entry(1), make_entry(9), make_entry(2, text="other"), independent=True)
    (answer,) = lab.step(request).answers
    assert not isinstance(answer, Exception)
    assert [(entry.outcome, entry.leaf_index) for entry in answer.entries] == [(Outcome.DUPLICATE, 2)]
    assert {place: error.reason for place, error in answer.refused.items()} == {
        0: "LOG_RETIRED",
        2: "LOG_RETIRED",
        3: "EVENT_ID_REUSED",
    }


def test_the_whole_retired_log_passes_its_check(lab: Lab) -> None:
    lab.step(_retirement())
    assert check_log(lab.store, lab.guard.value).is_clean
