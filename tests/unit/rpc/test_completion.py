from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from ledger.errors import OverloadedError
from ledger.rpc.completion import Completions


def test_results_of_another_thread_reach_those_who_wait_for_them() -> None:
    async def scenario() -> list[int]:
        completions = Completions[int]()
        futures = [Future[int]() for _ in range(200)]

        def finish() -> None:
            for number, future in enumerate(futures):
                future.set_result(number)

        waits = [asyncio.create_task(completions.wait(future)) for future in futures]
        await asyncio.sleep(0)
        threading.Thread(target=finish).start()
        return await asyncio.gather(*waits)

    assert asyncio.run(scenario()) == list(range(200))


def test_a_future_that_is_finished_already_is_answered() -> None:
    async def scenario() -> int:
        future = Future[int]()
        future.set_result(7)
        return await Completions[int]().wait(future)

    assert asyncio.run(scenario()) == 7


def test_an_error_is_raised_where_it_is_waited_for() -> None:
    async def scenario() -> None:
        future = Future[int]()
        future.set_exception(OverloadedError("busy"))
        await Completions[int]().wait(future)

    with pytest.raises(OverloadedError):
        asyncio.run(scenario())


def test_a_wait_that_is_cancelled_cancels_what_was_not_begun() -> None:
    async def scenario() -> Future[int]:
        future = Future[int]()
        wait = asyncio.create_task(Completions[int]().wait(future))
        await asyncio.sleep(0)
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
        return future

    assert asyncio.run(scenario()).cancelled()


def test_what_is_finished_after_the_loop_has_ended_harms_nobody() -> None:
    future = Future[int]()

    async def scenario() -> None:
        wait = asyncio.create_task(Completions[int]().wait(future))
        await asyncio.sleep(0)
        assert future.set_running_or_notify_cancel()
        wait.cancel()

    asyncio.run(scenario())
    future.set_result(1)
