"""Logs and credentials over the wire, and what the logs say of it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from ledger.clock import ManualClock
from ledger.engine.kernel import installed_kernel
from ledger.events.wire import read_event
from ledger.notes.checkpoint import Checkpoint, sign_checkpoint
from ledger.notes.keys import Ed25519Signer, format_verifier_key
from ledger.v1 import admin_pb2, ledger_pb2
from ledger.v1.admin_pb2_grpc import AdminServiceStub
from tests.support.calls import code_of, failure, new_sections
from tests.support.live_server import LiveServer, live_server

_DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = LiveServer(tmp_path_factory.mktemp("admin") / "data")
    yield live
    live.stop()


@pytest.fixture(scope="module")
def admin(server: LiveServer) -> AdminServiceStub:
    return server.admin()


def _works(server: LiveServer, key: str, log: str = "default") -> bool:
    code = code_of(lambda: server.ledger(key).GetCheckpoint(ledger_pb2.GetCheckpointRequest(log=log)))
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED}
    return code is grpc.StatusCode.OK


def _last_event(server: LiveServer, log: str) -> tuple[str, dict[str, object]]:
    ledger = server.ledger()
    size = ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(log=log)).checkpoint.tree_size
    request = ledger_pb2.GetEntryRequest(log=log, leaf_index=size - 1, view=ledger_pb2.ENTRY_VIEW_EVENT)
    event = read_event(ledger.GetEntry(request).entry.event.content)
    return event.action, {entry.key: entry.value for entry in event.metadata}


def test_a_new_log_has_its_own_origin_and_key_and_takes_events_at_once(
    server: LiveServer, admin: AdminServiceStub
) -> None:
    made = admin.CreateLog(admin_pb2.CreateLogRequest(name="fresh")).log

    assert made.origin == "logs.example/live/fresh"
    assert made.verifier_key.startswith("logs.example/live/fresh+")
    assert (made.state, made.guard) == (admin_pb2.LOG_STATE_ACTIVE, "strict")
    assert made.tree_size >= 1
    answer = server.ledger().Append(ledger_pb2.AppendRequest(log="fresh", sections=new_sections()))
    assert answer.acknowledgement.leaf_index == made.tree_size
    assert _last_event(server, "_system")[0] == "ledger.log.created"


def _first_event(server: LiveServer, log: str) -> tuple[str, dict[str, object]]:
    request = ledger_pb2.GetEntryRequest(log=log, leaf_index=0, view=ledger_pb2.ENTRY_VIEW_EVENT)
    event = read_event(server.ledger().GetEntry(request).entry.event.content)
    return event.action, {entry.key: entry.value for entry in event.metadata}


def test_a_log_that_continues_another_names_its_last_head_in_entry_0(
    server: LiveServer, admin: AdminServiceStub
) -> None:
    note = server.ledger().GetCheckpoint(ledger_pb2.GetCheckpointRequest(log="default")).checkpoint.note

    admin.CreateLog(admin_pb2.CreateLogRequest(name="successor", continues=note))

    action, metadata = _first_event(server, "successor")
    assert action == "ledger.log.created"
    assert metadata["continues"] == note.decode()
    assert str(metadata["continues_verifier_key"]).startswith("logs.example/live/default+")


def test_a_retired_log_refuses_appends_of_every_kind_and_is_read_and_proven_as_before(
    server: LiveServer, admin: AdminServiceStub
) -> None:
    admin.CreateLog(admin_pb2.CreateLogRequest(name="ending"))
    ledger = server.ledger()
    kept = new_sections()
    index = ledger.Append(ledger_pb2.AppendRequest(log="ending", sections=kept)).acknowledgement.leaf_index

    retired = admin.RetireLog(admin_pb2.RetireLogRequest(name="ending", reason="moved"))

    assert (retired.log.state, retired.log.state_reason) == (admin_pb2.LOG_STATE_RETIRED, "moved")
    assert _last_event(server, "ending")[0] == "ledger.log.retired"
    for refused in (
        failure(lambda: ledger.Append(ledger_pb2.AppendRequest(log="ending", sections=new_sections()))),
        failure(
            lambda: ledger.AppendBatch(
                ledger_pb2.AppendBatchRequest(log="ending", sections=[new_sections(), new_sections()])
            )
        ),
    ):
        assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LOG_RETIRED")
        assert "log create NEW --continues NOTE" in refused.metadata["hint"]
    message = ledger_pb2.AppendStreamRequest(log="ending", events=[new_sections(), kept])
    (answer,) = ledger.AppendStream(iter([message]))
    assert answer.results.results[0].error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert answer.results.results[1].acknowledgement.leaf_index == index
    proof = ledger.GetInclusionProof(ledger_pb2.GetInclusionProofRequest(log="ending", leaf_index=index))
    assert proof.checkpoint.note == retired.last_head
    assert admin.CreateLog(admin_pb2.CreateLogRequest(name="ended-2", continues=retired.last_head)).log.name
    assert failure(lambda: admin.RetireLog(admin_pb2.RetireLogRequest(name="_system", reason="x"))).reason == (
        "REQUEST_INVALID"
    )


def test_retiring_twice_leaves_the_first_reason(admin: AdminServiceStub) -> None:
    admin.CreateLog(admin_pb2.CreateLogRequest(name="twice"))
    first = admin.RetireLog(admin_pb2.RetireLogRequest(name="twice", reason="first"))

    again = admin.RetireLog(admin_pb2.RetireLogRequest(name="twice", reason="second"))

    assert again == first


def test_a_server_with_a_retired_log_is_well(tmp_path_factory: pytest.TempPathFactory) -> None:
    with live_server(tmp_path_factory.mktemp("well") / "data") as server:
        server.admin().RetireLog(admin_pb2.RetireLogRequest(name="default", reason="over"))

        listed = server.admin().ListLogs(admin_pb2.ListLogsRequest()).logs

        assert {log.name: log.state for log in listed}["default"] == admin_pb2.LOG_STATE_RETIRED
        assert server.ledger().GetServerInfo(ledger_pb2.GetServerInfoRequest()).kernel == installed_kernel().name


def test_a_log_of_another_server_is_continued_under_the_key_that_is_named(
    server: LiveServer, admin: AdminServiceStub
) -> None:
    signer = Ed25519Signer("logs.example/elsewhere", bytes(range(32)))
    note = sign_checkpoint(Checkpoint(signer.name, 5, bytes(range(32))), signer)
    key = format_verifier_key(signer.verifier)

    admin.CreateLog(admin_pb2.CreateLogRequest(name="moved", continues=note, continues_verifier_key=key))

    assert _first_event(server, "moved")[1]["continues_verifier_key"] == key


@pytest.mark.parametrize("wrong", ["no key", "other key", "not signed", "no note", "too long"])
def test_a_head_that_no_named_log_signed_is_refused_and_no_log_is_made(admin: AdminServiceStub, wrong: str) -> None:
    signer = Ed25519Signer("logs.example/elsewhere", bytes(range(32)))
    note = sign_checkpoint(Checkpoint(signer.name, 5, bytes(range(32))), signer)
    key = format_verifier_key(signer.verifier)
    other = format_verifier_key(Ed25519Signer("logs.example/elsewhere", bytes(32)).verifier)
    continues, verifier_key = {
        "no key": (note, ""),
        "other key": (note, other),
        "not signed": (note.replace(b"\n5\n", b"\n6\n"), key),
        "no note": (b"", key),
        "too long": (note + b"x" * 2048, key),
    }[wrong]
    request = admin_pb2.CreateLogRequest(name="unmade", continues=continues, continues_verifier_key=verifier_key)

    refused = failure(lambda: admin.CreateLog(request))

    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert refused.metadata["field"] == ("continues_verifier_key" if wrong == "no key" else "continues")
    assert "unmade" not in {log.name for log in admin.ListLogs(admin_pb2.ListLogsRequest()).logs}


def test_a_key_is_shown_once_and_never_listed(server: LiveServer, admin: AdminServiceStub) -> None:
    request = admin_pb2.CreateApiKeyRequest(
        log="default", label="billing", roles=[admin_pb2.ROLE_READER, admin_pb2.ROLE_WRITER], personal=True
    )

    made = admin.CreateApiKey(request)

    assert made.secret.startswith(f"lp_default_{made.api_key.key_id}_")
    listed = admin.ListApiKeys(admin_pb2.ListApiKeysRequest(log="default")).api_keys
    assert made.api_key in listed
    assert made.secret.rpartition("_")[2] not in str(listed)
    assert list(made.api_key.roles) == [admin_pb2.ROLE_WRITER, admin_pb2.ROLE_READER]
    assert made.api_key.personal
    action, metadata = _last_event(server, "default")
    assert action == "ledger.key.created"
    assert made.secret.rpartition("_")[2] not in str(metadata)


def test_a_rotation_without_overlap_ends_the_old_key_at_once(server: LiveServer, admin: AdminServiceStub) -> None:
    old = admin.CreateApiKey(admin_pb2.CreateApiKeyRequest(log="default", roles=[admin_pb2.ROLE_WRITER]))

    new = admin.RotateApiKey(admin_pb2.RotateApiKeyRequest(log="default", key_id=old.api_key.key_id))

    assert new.api_key.principal == old.api_key.principal
    assert (_works(server, old.secret), _works(server, new.secret)) == (False, True)


def test_a_revoked_key_cannot_be_rotated_or_revoked_again(admin: AdminServiceStub) -> None:
    made = admin.CreateApiKey(admin_pb2.CreateApiKeyRequest(log="default", roles=[admin_pb2.ROLE_WRITER]))
    key_id = made.api_key.key_id
    assert admin.RevokeApiKey(admin_pb2.RevokeApiKeyRequest(log="default", key_id=key_id)).api_key.revoked_at

    for ask in (
        lambda: admin.RevokeApiKey(admin_pb2.RevokeApiKeyRequest(log="default", key_id=key_id)),
        lambda: admin.RotateApiKey(admin_pb2.RotateApiKeyRequest(log="default", key_id=key_id)),
    ):
        assert failure(ask).reason == "API_KEY_NOT_FOUND"


def test_a_server_administrator_may_do_everything_on_every_log_until_revoked(
    server: LiveServer, admin: AdminServiceStub
) -> None:
    made = admin.CreateApiKey(
        admin_pb2.CreateApiKeyRequest(log="_system", roles=[admin_pb2.ROLE_ADMIN, admin_pb2.ROLE_WRITER])
    )
    mine = server.admin(made.secret)
    mine.CreateLog(admin_pb2.CreateLogRequest(name="theirs"))
    assert _works(server, made.secret, "theirs")
    assert _works(server, made.secret, "default")

    admin.RevokeApiKey(admin_pb2.RevokeApiKeyRequest(log="_system", key_id=made.api_key.key_id))

    assert not any(_works(server, made.secret, log) for log in ("theirs", "default", "_system"))


def test_keys_end_by_the_clock_and_a_rotated_one_at_the_end_of_its_overlap(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    clock = ManualClock(synchronised=True)
    with live_server(tmp_path_factory.mktemp("clock") / "data", clock=clock) as server:
        admin = server.admin()
        made = admin.CreateApiKey(
            admin_pb2.CreateApiKeyRequest(log="default", roles=[admin_pb2.ROLE_WRITER], expires_in_days=10)
        )
        new = admin.RotateApiKey(
            admin_pb2.RotateApiKeyRequest(log="default", key_id=made.api_key.key_id, overlap_seconds=60)
        )
        assert (_works(server, made.secret), _works(server, new.secret)) == (True, True)
        clock.advance(61_000_000)
        assert (_works(server, made.secret), _works(server, new.secret)) == (False, True)
        clock.advance(10 * _DAY_US)
        assert not _works(server, new.secret)
        assert _works(server, server.admin_key)


def test_a_clock_that_jumped_stops_appends_until_an_administrator_confirms_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    clock = ManualClock()
    with live_server(tmp_path_factory.mktemp("jump") / "data", clock=clock) as server:
        ledger = server.ledger()
        request = ledger_pb2.AppendRequest(log="default", sections=new_sections())
        clock.step_wall(-3_600_000_000)
        refused = failure(lambda: ledger.Append(request))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "CLOCK")
        assert refused.retry_seconds

        index = server.admin().ConfirmClock(admin_pb2.ConfirmClockRequest(log="default")).leaf_index

        assert ledger.Append(request).acknowledgement.leaf_index == index + 1


def test_the_first_key_file_goes_away_when_that_key_is_rotated(tmp_path_factory: pytest.TempPathFactory) -> None:
    with live_server(tmp_path_factory.mktemp("first") / "data") as server:
        key = server.admin_key
        new = server.admin().RotateApiKey(admin_pb2.RotateApiKeyRequest(log="_system", key_id=key.split("_")[3]))

        assert not (server.data / "admin.key").exists()
        assert (_works(server, key), _works(server, new.secret)) == (False, True)
