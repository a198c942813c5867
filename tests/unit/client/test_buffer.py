from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from ledger.client._buffer import Buffer, Place, Waiting
from ledger.client.values import Sections
from ledger.events.event import BATCH_MAX_BYTES, BATCH_MAX_EVENTS


def _waiting(name: str = "e", size: int = 10) -> Waiting:
    return Waiting(Sections(bytes(size)), name, new_id=True, ends_at=9.0)


def test_message_has_what_waits_in_order_up_to_its_limits() -> None:
    buffer = Buffer()
    events = [_waiting(str(number)) for number in range(BATCH_MAX_EVENTS + 1)]
    for event in events:
        buffer.put(event, 1.0)

    assert buffer.fills_a_message
    assert buffer.take() == events[:BATCH_MAX_EVENTS]
    assert buffer.take() == events[BATCH_MAX_EVENTS:]
    assert {event.place for event in events} == {Place.SENT}


def test_message_ends_before_its_limit_of_bytes() -> None:
    buffer = Buffer()
    events = [_waiting(size=BATCH_MAX_BYTES // 2), _waiting(size=BATCH_MAX_BYTES // 2), _waiting()]
    for event in events:
        buffer.put(event, 1.0)

    assert buffer.take() == events[:2]
    assert buffer.take() == events[2:]


def test_what_finds_no_room_waits_outside_and_comes_in_in_order() -> None:
    buffer = Buffer(max_events=2, max_bytes=100)
    large, small, late = _waiting(size=95), _waiting(size=10), _waiting(size=1)
    for event in (large, small, late):
        buffer.put(event, 1.0)

    # The small one would fit its place in line only once the large one is gone; the late one does not overtake it.
    assert [event.place for event in (large, small, late)] == [Place.QUEUED, Place.OUTSIDE, Place.OUTSIDE]
    assert buffer.end(large, 2.0)
    assert [event.place for event in (small, late)] == [Place.QUEUED, Place.QUEUED]
    assert buffer.queued_since == 2.0


def test_event_larger_than_the_buffer_is_let_in_alone() -> None:
    buffer = Buffer(max_events=10, max_bytes=10)
    event = _waiting(size=50)
    buffer.put(event, 1.0)

    assert event.place is Place.QUEUED


def test_what_is_sent_again_goes_before_all_others() -> None:
    buffer = Buffer()
    first, second, third = (_waiting(name) for name in "abc")
    buffer.put(first, 1.0)
    buffer.put(second, 1.0)
    sent = buffer.take()
    buffer.put(third, 1.0)
    for event in reversed(sent):
        buffer.put_back(event)

    assert buffer.take() == [first, second, third]


def test_append_whose_caller_left_before_it_was_taken_in_is_never_sent() -> None:
    buffer = Buffer()
    event = _waiting()
    assert buffer.end(event, 1.0)
    buffer.put(event, 1.0)

    assert buffer.is_empty
    assert buffer.take() == []


@given(st.data())
def test_every_append_ends_once_and_the_bounds_hold(data: st.DataObject) -> None:
    buffer = Buffer(max_events=3, max_bytes=100)
    alive: list[Waiting] = []
    sent: deque[Waiting] = deque()
    for _ in range(data.draw(st.integers(0, 40))):
        step = data.draw(st.sampled_from(("put", "take", "end", "put_back")))
        if step == "put":
            event = _waiting(size=data.draw(st.integers(1, 120)))
            buffer.put(event, 1.0)
            alive.append(event)
        elif step == "take":
            sent.extend(buffer.take())
        elif step == "end" and alive:
            event = alive.pop(data.draw(st.integers(0, len(alive) - 1)))
            assert buffer.end(event, 1.0)
            assert not buffer.end(event, 1.0)
        elif step == "put_back" and sent and (event := sent.popleft()).place is Place.SENT:
            buffer.put_back(event)
        inside = [event for event in alive if event.place in {Place.QUEUED, Place.SENT}]
        assert len(inside) <= 3
        assert len(inside) <= 1 or sum(event.size for event in inside) <= 100
        assert buffer.queued_events == sum(event.place is Place.QUEUED for event in alive)
        assert buffer.is_empty == (not alive)
        # Whoever waits outside waits for something inside.
        assert inside or not alive
