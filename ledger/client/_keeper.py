"""Puts the trusted head on disk, once for all the answers that wait for it.

Syncing a file takes longer than verifying an answer, and needs no interpreter: so it has a thread of its own, and
while it syncs, the next answers are verified and gather. The rule that must not break: no answer is passed on before
its head, or a newer one, is on disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.client._answers import Proven
from ledger.client._buffer import Waiting
from ledger.client._unanswered import own_copy
from ledger.errors import LedgerError, StateError

Outcome = Proven | LedgerError
Finish = Callable[[Sequence[Waiting], Sequence[Outcome], StateError | None], None]


@dataclass(frozen=True, slots=True)
class _Verified:
    events: Sequence[Waiting]
    outcomes: Sequence[Outcome]


class Keeper:
    """Keeps heads for one run of an appender. `put` and `close` are for one thread."""

    def __init__(self, keep: Callable[[], None], finish: Finish) -> None:
        """Keep the parts; the thread starts when it is first needed.

        Args:
            keep: Puts the newest trusted head on disk.
            finish: Takes what has its head on disk, or the reason why it has not.
        """
        self._keep = keep
        self._finish = finish
        self._changed = threading.Condition()  # guards all below
        self._verified: list[_Verified] = []
        self._closing = False
        self._thread: threading.Thread | None = None

    def put(self, events: Sequence[Waiting], outcomes: Sequence[Outcome], *, at_once: bool) -> None:
        """Take a verified answer.

        Args:
            events: The appends.
            outcomes: What is proven of each, or why it was refused.
            at_once: Whether nothing else is on its way, so that the caller's thread may as well wait for the disk.
        """
        verified = _Verified(events, outcomes)
        with self._changed:
            if not at_once or self._verified:
                self._verified.append(verified)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="logproof keeper", daemon=True)
                    self._thread.start()
                self._changed.notify_all()
                return
        self._pass_on([verified])

    def close(self) -> None:
        """Pass on what waits, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._verified or self._closing)
                batch, self._verified = self._verified, []
            if not batch:
                return
            self._pass_on(batch)

    def _pass_on(self, batch: Sequence[_Verified]) -> None:
        not_kept: StateError | None = None
        broken: LedgerError | None = None
        try:
            self._keep()
        except StateError as error:
            not_kept = error
        except LedgerError as error:
            broken = error
        except Exception as error:  # noqa: BLE001 - told to those who wait for it
            broken = LedgerError(f"the trusted head could not be kept: {error!r}")
        for verified in batch:
            outcomes: Sequence[Outcome] = verified.outcomes
            if broken is not None:
                outcomes = [own_copy(broken) if isinstance(item, Proven) else item for item in outcomes]
            self._finish(verified.events, outcomes, not_kept)
