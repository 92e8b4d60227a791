"""The bridge: asyncio's coroutines under any event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator

import anyio
import pytest

from jobmaster.bridge import Bridge
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    bridge = Bridge()
    yield bridge
    await bridge.close()


async def loop_of(number: int) -> tuple[int, asyncio.AbstractEventLoop]:
    await asyncio.sleep(0)
    return number, asyncio.get_running_loop()


async def test_all_calls_run_in_one_asyncio_loop(bridge: Bridge) -> None:
    answers = [await bridge.run(loop_of, number) for number in range(3)]

    assert [number for number, _ in answers] == [0, 1, 2]
    assert len({id(loop) for _, loop in answers}) == 1


async def test_errors_come_back(bridge: Bridge) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await bridge.run(fail)


async def test_a_call_is_shielded_from_cancellation(bridge: Bridge) -> None:
    ended = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        ended.append(True)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await bridge.run(work)

    assert ended == [True]


async def test_a_cancellable_call_has_ended_when_the_caller_goes_on(bridge: Bridge) -> None:
    steps = []
    started = threading.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            steps.append("cleaned up")

    async with anyio.create_task_group() as group:
        group.start_soon(bridge.run_cancellable, work)
        await until(started.is_set, what="the call to start")
        group.cancel_scope.cancel()

    assert steps == ["cleaned up"]


async def test_many_calls_at_once(bridge: Bridge) -> None:
    answers: list[int] = []

    async def call(number: int) -> None:
        answers.append((await bridge.run(loop_of, number))[0])

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(call, number)

    assert sorted(answers) == list(range(100))


async def test_a_closed_bridge_leaves_no_thread_and_can_be_used_again(bridge: Bridge) -> None:
    await bridge.run(loop_of, 1)

    await bridge.close()
    await bridge.close()

    assert "jobmaster-bridge" not in [thread.name for thread in threading.enumerate()]
    assert (await bridge.run(loop_of, 2))[0] == 2
