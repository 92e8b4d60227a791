"""Time that passes at once."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from jobmaster_testing import VirtualClock, virtual_backend

pytestmark = pytest.mark.anyio

DAY = 86400.0


@pytest.fixture
def anyio_backend(virtual_backend: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return virtual_backend


async def test_a_day_passes_at_once() -> None:
    started, before = time.monotonic(), anyio.current_time()

    await anyio.sleep(DAY)

    assert anyio.current_time() - before == pytest.approx(DAY)
    assert time.monotonic() - started < 10


async def test_sleepers_wake_in_order() -> None:
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        woken.append(seconds)

    async with anyio.create_task_group() as group:
        for seconds in (3 * DAY, 1.0, 2 * DAY, 0.001):
            group.start_soon(sleep, seconds)

    assert woken == [0.001, 1.0, 2 * DAY, 3 * DAY]


async def test_deadlines_come_in_virtual_time() -> None:
    before = anyio.current_time()

    with anyio.move_on_after(DAY) as scope:
        await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert anyio.current_time() - before == pytest.approx(DAY)


async def test_time_stands_still_while_there_is_something_to_do() -> None:
    async def sleep() -> None:
        await anyio.sleep(0.001)

    before = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(sleep)
        for _ in range(1000):
            await anyio.lowlevel.cancel_shielded_checkpoint()
        assert anyio.current_time() == before


async def test_the_clock_shows_the_time_of_the_loop(virtual_clock: VirtualClock) -> None:
    start, seconds = virtual_clock.now(), virtual_clock.monotonic()

    await anyio.sleep(90 * DAY)

    assert start == datetime(2026, 1, 1, tzinfo=UTC)
    assert virtual_clock.now() - start == pytest.approx(timedelta(days=90), abs=timedelta(milliseconds=1))
    assert virtual_clock.monotonic() - seconds == pytest.approx(90 * DAY)


async def test_the_clock_starts_where_it_is_told() -> None:
    clock = VirtualClock(datetime(2030, 2, 28, 23, 0, tzinfo=UTC))
    assert clock.now() == datetime(2030, 2, 28, 23, 0, tzinfo=UTC)

    await anyio.sleep(3600)

    assert clock.now().date().isoformat() == "2030-03-01"


async def test_a_thread_sees_the_last_time(virtual_clock: VirtualClock) -> None:
    await anyio.sleep(10)
    expected = virtual_clock.now()

    assert await anyio.to_thread.run_sync(virtual_clock.now) == expected


async def test_threads_are_waited_for_when_nothing_else_is_to_come() -> None:
    before = anyio.current_time()
    release = threading.Event()

    def work() -> str:
        anyio.from_thread.run_sync(release.set)
        return f"released: {release.wait(5)}"

    assert await anyio.to_thread.run_sync(work) == "released: True"
    assert anyio.current_time() == before


class TestPatience:
    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
        return virtual_backend(request.param, patience=5.0)

    async def test_threads_may_be_waited_for_before_a_jump(self) -> None:
        before = anyio.current_time()

        with anyio.fail_after(DAY):
            await anyio.to_thread.run_sync(threading.Event().wait, 0.01)

        assert anyio.current_time() - before < DAY
