from __future__ import annotations

import asyncio
import threading

from ledger.rpc.growth import Growth


def test_a_stream_that_waits_is_woken_from_another_thread() -> None:
    async def scenario() -> bool:
        growth = Growth()
        expected = growth.expect("default")
        threading.Thread(target=growth.grew, args=("default",)).start()
        await growth.wait(expected, 60)
        return expected.is_set()

    assert asyncio.run(scenario())


def test_growth_between_the_look_and_the_wait_is_not_missed() -> None:
    async def scenario() -> None:
        growth = Growth()
        expected = growth.expect("default")
        growth.grew("default")
        await growth.wait(expected, 60)

    asyncio.run(scenario())


def test_growth_of_another_log_wakes_nobody() -> None:
    async def scenario() -> bool:
        growth = Growth()
        expected = growth.expect("default")
        growth.grew("other")
        await growth.wait(expected, 0.01)
        return expected.is_set()

    assert not asyncio.run(scenario())


def test_stopping_wakes_those_who_wait_and_those_who_come_later() -> None:
    async def scenario() -> tuple[bool, bool]:
        growth = Growth()
        before = growth.expect("a")
        growth.stop()
        return before.is_set(), growth.expect("b").is_set()

    assert asyncio.run(scenario()) == (True, True)


def test_telling_of_growth_after_the_loop_has_ended_does_nothing() -> None:
    async def scenario() -> Growth:
        growth = Growth()
        growth.expect("default")
        return growth

    asyncio.run(scenario()).grew("default")
