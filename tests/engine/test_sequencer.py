"""What the writing step promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.auth.roles import Role
from ledger.engine.records import FREEZE, Credential, clock_confirmed, key_created, key_revoked
from ledger.engine.requests import AdminRequest, NewEntry, Outcome
from ledger.engine.sequencer import SERVER_PRINCIPAL
from ledger.errors import (
    BatchConflictError,
    CorruptionError,
    DeadlinePassedError,
    EventIdReusedError,
    InvalidCredentialsError,
    LedgerError,
    LogReadOnlyError,
    OutcomeUnknownError,
    PermissionMissingError,
)
from ledger.events.codec import encode_sections
from ledger.events.event import Event, Original, PersonalData
from tests.support.engine_lab import (
    KEY_ID,
    NOW,
    OTHER_KEY_ID,
    Altered,
    DoubtfulStore,
    Lab,
    answer_of,
    append_request,
    make_entry,
)
from tests.support.kernels import KERNELS, kernel_named


@pytest.fixture(params=KERNELS)
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Lab:
    return Lab(tmp_path, kernel=kernel_named(request.param))


def test_new_events_get_contiguous_indexes_in_order(lab: Lab) -> None:
    first = lab.size
    result = lab.append(*(make_entry(number) for number in range(5)))
    assert [entry.leaf_index for entry in result.entries] == list(range(first, first + 5))
    assert {entry.outcome for entry in result.entries} == {Outcome.APPENDED}
    assert result.head.tree_size == first + 5


def test_requests_of_one_group_share_one_head(lab: Lab) -> None:
    result = lab.step(*(append_request(make_entry(number)) for number in range(3)))
    assert {answer_of(answer).head for answer in result.answers} == {result.head}
    assert result.appended == 3


def test_the_same_bytes_again_are_answered_with_the_first_acknowledgement(lab: Lab) -> None:
    first = lab.append(make_entry(1)).entries[0]
    size = lab.size
    again = lab.append(make_entry(1)).entries[0]
    assert again == first._replace(outcome=Outcome.DUPLICATE)
    assert lab.size == size


def test_other_bytes_under_a_used_id_are_refused_with_the_first_index(lab: Lab) -> None:
    index = lab.append(make_entry(1)).entries[0].leaf_index
    with pytest.raises(EventIdReusedError) as refused:
        lab.append(make_entry(1, text="x"))
    assert refused.value.metadata["leafIndex"] == str(index)


def test_another_personal_section_under_a_used_id_is_refused(lab: Lab) -> None:
    lab.append(make_entry(1))
    with pytest.raises(EventIdReusedError):
        lab.append(make_entry(1, personal=False))


def test_another_principal_gets_the_index_of_equal_bytes_and_never_salts(lab: Lab) -> None:
    first = lab.append(make_entry(1)).entries[0]
    other = lab.append(make_entry(1), other=True).entries[0]
    assert other.outcome is Outcome.DUPLICATE_OF_OTHER_PRINCIPAL
    assert (other.leaf_index, other.leaf) == (first.leaf_index, first.leaf)
    assert (other.event_salt, other.personal_salt) == (b"", b"")


def test_another_principal_learns_nothing_of_an_id_with_other_bytes(lab: Lab) -> None:
    lab.append(make_entry(1))
    with pytest.raises(EventIdReusedError) as refused:
        lab.append(make_entry(1, text="x"), other=True)
    assert "leafIndex" not in refused.value.metadata


def test_a_batch_with_a_conflict_is_refused_whole_and_names_all_positions(lab: Lab) -> None:
    lab.append(make_entry(1), make_entry(2))
    size = lab.size
    with pytest.raises(BatchConflictError) as refused:
        lab.append(make_entry(3), make_entry(1, text="x"), make_entry(4), make_entry(2, text="x"))
    assert [problem.position for problem in refused.value.problems] == [1, 3]
    assert lab.size == size


def test_ids_that_come_again_with_other_bytes_are_counted_by_who_sent_them(lab: Lab) -> None:
    lab.append(make_entry(1), make_entry(2))
    other = make_entry(1, text="x")
    step = lab.step(
        append_request(other),
        append_request(make_entry(3), other, make_entry(2, text="x"), other=True),
        append_request(make_entry(4)),
    )

    assert step.reused_ids == {KEY_ID: 1, OTHER_KEY_ID: 2}


def test_an_id_twice_in_a_batch_is_a_duplicate_of_the_first(lab: Lab) -> None:
    first, second = lab.append(make_entry(1), make_entry(1)).entries
    assert (first.outcome, second.outcome) == (Outcome.APPENDED, Outcome.DUPLICATE)
    assert first.leaf_index == second.leaf_index


def test_an_id_twice_in_a_batch_with_other_bytes_is_refused(lab: Lab) -> None:
    with pytest.raises(BatchConflictError) as refused:
        lab.append(make_entry(1), make_entry(1, text="x"))
    assert "comes twice in the batch with other bytes" in refused.value.message
    assert "in the log" not in refused.value.message


def test_the_same_event_in_two_requests_of_a_group_is_appended_once(lab: Lab) -> None:
    size = lab.size
    result = lab.step(
        append_request(make_entry(1)), append_request(make_entry(1)), append_request(make_entry(1), other=True)
    )
    outcomes = [answer_of(answer).entries[0].outcome for answer in result.answers]
    assert outcomes == [Outcome.APPENDED, Outcome.DUPLICATE, Outcome.DUPLICATE_OF_OTHER_PRINCIPAL]
    assert lab.size == size + 1


def test_a_refused_request_never_aborts_its_neighbours(lab: Lab) -> None:
    lab.append(make_entry(1))
    result = lab.step(
        append_request(make_entry(2)), append_request(make_entry(1, text="x")), append_request(make_entry(3))
    )
    assert isinstance(result.answers[1], EventIdReusedError)
    assert result.appended == 2


def test_independent_events_are_refused_each_for_itself(lab: Lab) -> None:
    first = lab.append(make_entry(1)).entries[0]
    result = lab.step(
        append_request(
            make_entry(2),
            make_entry(1, text="x"),
            make_entry(1),
            make_entry(3),
            make_entry(3, text="x"),
            make_entry(2),
            independent=True,
        )
    )
    answer = answer_of(result.answers[0])
    assert list(answer.refused) == [1, 4]
    assert all(isinstance(error, EventIdReusedError) for error in answer.refused.values())
    assert [entry.outcome for entry in answer.entries] == [
        Outcome.APPENDED,
        Outcome.DUPLICATE,
        Outcome.APPENDED,
        Outcome.DUPLICATE,
    ]
    index = first.leaf_index
    assert [entry.leaf_index for entry in answer.entries] == [index + 1, index, index + 2, index + 1]
    assert result.appended == 2


def test_independent_events_that_are_all_refused_leave_no_trace(lab: Lab) -> None:
    lab.append(make_entry(1))
    size = lab.size
    answer = answer_of(lab.step(append_request(make_entry(1, text="x"), independent=True)).answers[0])
    assert (list(answer.refused), list(answer.entries), lab.size) == ([0], [], size)


def test_a_request_whose_deadline_passed_in_the_queue_leaves_no_trace(lab: Lab) -> None:
    size = lab.size
    lab.clock.advance(10)
    answer = lab.step(append_request(make_entry(1), deadline=lab.clock.boottime_us())).answers[0]
    assert isinstance(answer, DeadlinePassedError)
    assert lab.size == size


def test_no_entry_of_a_key_follows_its_revocation_within_one_group(lab: Lab) -> None:
    revocation = AdminRequest("", SERVER_PRINCIPAL, [key_revoked(KEY_ID)])
    result = lab.step(append_request(make_entry(1)), revocation, append_request(make_entry(2)))
    assert not isinstance(result.answers[0], LedgerError)
    assert isinstance(result.answers[2], InvalidCredentialsError)


def test_an_expired_key_appends_nothing(lab: Lab) -> None:
    ends = NOW + 1_000_000
    credential = Credential(
        "shortKey0001", b"principal-short!", "", frozenset({Role.WRITER}), False, b"\x01" * 32, "", 0, ends
    )
    lab.step(AdminRequest("", SERVER_PRINCIPAL, [key_created(credential)]))
    request = append_request(make_entry(1))
    lab.clock.advance(2_000_000)
    expired = type(request)("shortKey0001", b"principal-short!", request.entries)
    assert isinstance(lab.step(expired).answers[0], InvalidCredentialsError)


def test_a_key_without_the_writer_role_appends_nothing(lab: Lab) -> None:
    credential = Credential(
        "readerKey001", b"principal-reader", "", frozenset({Role.READER}), False, b"\x01" * 32, "", 0
    )
    lab.step(AdminRequest("", SERVER_PRINCIPAL, [key_created(credential)]))
    request = append_request(make_entry(1))
    refused = lab.step(type(request)("readerKey001", b"principal-reader", request.entries)).answers[0]
    assert isinstance(refused, PermissionMissingError)


def test_a_writer_administers_nothing(lab: Lab) -> None:
    request = AdminRequest(KEY_ID, append_request().principal, [key_revoked(KEY_ID)])
    assert isinstance(lab.step(request).answers[0], PermissionMissingError)


def test_a_refused_confirmation_of_the_clock_never_aborts_its_neighbours(lab: Lab) -> None:
    refused = AdminRequest(KEY_ID, append_request().principal, [clock_confirmed(NOW)])
    result = lab.step(append_request(make_entry(1)), refused)
    assert answer_of(result.answers[0]).entries[0].outcome is Outcome.APPENDED
    assert isinstance(result.answers[1], PermissionMissingError)


def test_a_frozen_log_appends_and_administers_nothing(lab: Lab) -> None:
    with lab.store.write() as transaction:
        transaction.put_record(FREEZE, b"a test")
    size = lab.size
    answer = lab.step(append_request(make_entry(1))).answers[0]
    assert isinstance(answer, LogReadOnlyError)
    assert lab.size == size


@pytest.mark.parametrize("fate", ["lost", "kept"])
def test_a_commit_of_unknown_outcome_is_resolved_by_a_retry_exactly_once(lab: Lab, fate: str) -> None:
    store = DoubtfulStore(lab.store)
    lab.store = store
    lab.restart()
    size = lab.size
    store.fail_next = fate
    with pytest.raises(OutcomeUnknownError):
        lab.append(make_entry(1), make_entry(2))
    lab.restart()
    result = lab.append(make_entry(1), make_entry(2))
    assert [entry.leaf_index for entry in result.entries] == [size, size + 1]
    assert lab.size == size + 2


class _ForgetfulStore(DoubtfulStore):
    """A store whose snapshots are altered; its write transactions are as they should be."""

    @contextmanager
    def read(self) -> Iterator[Any]:
        with super().read() as snapshot:
            yield Altered(snapshot)


def test_nothing_is_signed_that_does_not_read_back(lab: Lab) -> None:
    lab.store = _ForgetfulStore(lab.store)
    lab.restart()
    before = lab.guard.value
    with pytest.raises(CorruptionError, match="does not read back"):
        lab.sequencer.step([append_request(make_entry(1))])
    assert lab.guard.value == before


def test_a_record_imported_under_another_mapping_counts_as_already_there(lab: Lab) -> None:
    original = Original(media_type="application/json", content=b'{"a":1}')

    def mapped(action: str) -> NewEntry:
        event = Event(event_id="imported-1", action=action, occurred_at=NOW)
        return NewEntry(b"imported-1", *encode_sections(event, PersonalData(original=original)))

    index = lab.append(mapped("aws.iam.create_user")).entries[0].leaf_index
    again = lab.append(mapped("user.created")).entries[0]
    assert (again.outcome, again.leaf_index) == (Outcome.DUPLICATE_MAPPING_DIFFERS, index)
    assert again.event_salt == b""


@settings(max_examples=40)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["", "x"])), min_size=1, max_size=4),
                st.booleans(),
            ),
            min_size=1,
            max_size=4,
        ),
        max_size=5,
    )
)
def test_any_sequence_of_groups_is_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[tuple[list[tuple[int, str]], bool]]]
) -> None:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    model: dict[int, tuple[str, int]] = {}
    size = lab.size
    for group in groups:
        requests = [append_request(*(make_entry(n, text=t) for n, t in batch), other=other) for batch, other in group]
        result = lab.step(*requests)
        for (batch, _), answer in zip(group, result.answers, strict=True):
            texts: dict[int, str] = {}
            fits = all(texts.setdefault(n, t) == t and model.get(n, (t, 0))[0] == t for n, t in batch)
            assert fits == (not isinstance(answer, LedgerError))
            if not fits:
                continue
            for (number, text), entry in zip(batch, answer_of(answer).entries, strict=True):
                if number not in model:
                    model[number] = (text, size)
                    size += 1
                assert entry.leaf_index == model[number][1]
    assert lab.size == size
