"""Nobody is inside gRPC while the process forks."""

from __future__ import annotations

import os
import threading

from ledger.client._forking import inside_grpc, stand_still_at_forks

_SECONDS = 10


class LongCall:
    """A call that takes until it is cancelled."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def cancel(self) -> None:
        self.ended.set()


def _fork() -> None:
    child = os.fork()
    if not child:
        # Nobody of the parent's is inside here.
        with inside_grpc() as passage:
            os._exit(int(passage.was_interrupted))
    assert os.waitpid(child, 0)[1] == 0


def test_a_long_call_is_ended_before_a_fork_and_told_why() -> None:
    stand_still_at_forks()
    call, is_inside, told = LongCall(), threading.Event(), []

    def wait() -> None:
        with inside_grpc() as passage:
            passage.begin(call)
            is_inside.set()
            assert call.ended.wait(_SECONDS)
            told.append(passage.was_interrupted)

    thread = threading.Thread(target=wait)
    thread.start()
    assert is_inside.wait(_SECONDS)
    _fork()
    thread.join(_SECONDS)

    assert told == [True]


def test_a_short_call_is_waited_for() -> None:
    stand_still_at_forks()
    is_inside, may_end, left = threading.Event(), threading.Event(), []

    def wait() -> None:
        with inside_grpc() as passage:
            is_inside.set()
            assert may_end.wait(_SECONDS)
            left.append(passage.was_interrupted)

    thread = threading.Thread(target=wait)
    thread.start()
    assert is_inside.wait(_SECONDS)
    threading.Timer(0.05, may_end.set).start()
    _fork()

    assert left == [False]
    thread.join(_SECONDS)


def test_who_forks_inside_waits_for_nobody() -> None:
    stand_still_at_forks()
    with inside_grpc():
        _fork()
    with inside_grpc() as passage:
        assert not passage.was_interrupted
