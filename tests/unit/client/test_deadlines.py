from __future__ import annotations

import asyncio

from ledger.client._buffer import Waiting
from ledger.client._deadlines import Deadlines
from ledger.client.values import Sections


def _waiting(ends_at: float) -> Waiting:
    return Waiting(Sections(b"x"), "e", True, ends_at)


def test_each_is_told_once_and_not_before_its_deadline_and_those_removed_never() -> None:
    told: list[tuple[Waiting, float]] = []

    async def run() -> list[Waiting]:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def expire(waiting: Waiting) -> None:
            told.append((waiting, loop.time()))
            if waiting is left[-1]:
                ended.set()

        deadlines = Deadlines(loop, lambda waiting: waiting.ends_at - loop.time(), expire)
        begin = loop.time()
        left = [_waiting(begin + after) for after in (-1.0, 0.0, 0.011, 0.0111, 0.012, 0.03)]
        removed = [_waiting(begin + after) for after in (0.0111, 0.02)]
        for waiting in (*removed, *left):
            deadlines.add(waiting)
        for waiting in removed:
            deadlines.remove(waiting)
        await ended.wait()
        for waiting in left:
            deadlines.remove(waiting)
        return left

    left = asyncio.run(run())

    assert len(told) == len(left)
    assert {waiting for waiting, _ in told} == set(left)
    assert all(moment >= waiting.ends_at for waiting, moment in told)
