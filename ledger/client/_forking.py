"""Nobody of ours is inside gRPC while this process forks.

gRPC copes with a fork only while no thread calls into it: a child forked meanwhile waits for ever for a lock that a
thread held which it does not have, or its calls are never answered. So whoever calls into gRPC says so here; before a
fork, calls that would take long are ended, to be made again after it, and short ones are waited for. The rule that must
not break: nobody goes in while a fork is under way, and a fork waits for a bounded time only.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

_WAIT_SECONDS: Final = 2.0


class Cancellable(Protocol):
    """A call that can be ended."""

    def cancel(self) -> object:
        """End it at once."""


class Passage:
    """One stay of a thread inside gRPC.

    Attributes:
        was_interrupted: Whether its call was ended because of a fork, and is to be made again.
    """

    def __init__(self) -> None:
        """Begin without a call."""
        self.was_interrupted = False
        self._thread = threading.get_ident()
        self._call: Cancellable | None = None

    def begin(self, call: Cancellable) -> None:
        """Take note of the call that is waited for, which may take long."""
        with _GATE.changed:
            self._call = call
            self.was_interrupted = _GATE.forks > 0
        if self.was_interrupted:
            call.cancel()

    def interrupt(self) -> Cancellable | None:
        """Return the call that is to be ended, if any; with the gate's lock."""
        self.was_interrupted = self._call is not None
        return self._call

    @property
    def is_of_this_thread(self) -> bool:
        """Return whether the calling thread itself is inside."""
        return self._thread == threading.get_ident()


class _Gate:
    """Who is inside gRPC, and how many forks are under way."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.Lock())  # guards both below
        self.inside: set[Passage] = set()
        self.forks = 0


_GATE = _Gate()
_is_registered = False


@contextmanager
def inside_grpc() -> Iterator[Passage]:
    """Be inside gRPC for the length of the block; waits while a fork is under way."""
    gate = _GATE
    passage = Passage()
    with gate.changed:
        while gate.forks:
            gate.changed.wait()
        gate.inside.add(passage)
    try:
        yield passage
    finally:
        with gate.changed:
            gate.inside.discard(passage)
            if gate.forks:
                gate.changed.notify_all()


def _before() -> None:
    gate = _GATE
    with gate.changed:
        gate.forks += 1
        calls = [call for passage in gate.inside if (call := passage.interrupt()) is not None]
    for call in calls:
        call.cancel()
    with gate.changed:
        gate.changed.wait_for(lambda: all(passage.is_of_this_thread for passage in gate.inside), _WAIT_SECONDS)


def _after_in_parent() -> None:
    with _GATE.changed:
        _GATE.forks -= 1
        _GATE.changed.notify_all()


def _after_in_child() -> None:
    global _GATE  # noqa: PLW0603 - the parent's threads may hold its lock, and are not here to give it up
    _GATE = _Gate()


def stand_still_at_forks() -> None:
    """Have all this happen from now on; to be called once a channel was made.

    Of the hooks that run before a fork the last one registered is the first: gRPC registers its own with the first channel,
    and after it has run, none of its calls can be ended any more.
    """
    global _is_registered
    with _GATE.changed:
        is_registered, _is_registered = _is_registered, True
    if not is_registered:
        os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
