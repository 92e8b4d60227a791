"""When jobs of a distributed cluster start: never early, and soon after their time. All in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from jobmaster import Cluster, JobContext, handler
from jobmaster_testing.clock import VirtualClock
from jobmaster_testing.faults import MASTER, Faults
from jobmaster_testing.probes import Seen

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


class Timing:
    """A handler that notes how late each job starts, in seconds."""

    def __init__(self, clock: VirtualClock) -> None:
        self.delays = Seen[float]()
        self._clock = clock
        self.handler = handler("AgentsTime.Timing")(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def timing(job: JobContext) -> None:
            self.delays.add((self._clock.now() - job.scheduled_at) / timedelta(seconds=1))
            await anyio.lowlevel.checkpoint()

        return timing


@pytest.fixture
def timing(virtual_clock: VirtualClock) -> Timing:
    return Timing(virtual_clock)


def all_in_time(timing: Timing, within: float = 0.1) -> bool:
    return min(timing.delays.items) >= 0 and max(timing.delays.items) <= within


IDLE = 300
"""Seconds after which everybody looks as seldom as he ever does."""


@pytest.mark.parametrize("options", [{}, {"confirm": "master"}, {"key": "once"}])
@pytest.mark.parametrize("apart", [True, False])
async def test_a_job_scheduled_three_seconds_ahead_on_an_idle_cluster_starts_in_time(
    distributed: Build, timing: Timing, options: dict[str, Any], apart: bool
) -> None:
    """By whatever way it goes, and whether coordinator and executor are one process or two."""
    workers: list[Any] = [[{"mode": "coordinator"}], [{"mode": "execution"}]] if apart else [[], [{}]]
    first, second = (distributed(timing.handler, workers=w) for w in workers)
    async with first.running(), second.running(), distributed(workers=()).running() as runtime:
        await anyio.sleep(IDLE)
        await runtime.scheduler.once_after(timing.handler, 3, **options)
        await timing.delays.count(1)
    assert all_in_time(timing)


@pytest.mark.parametrize("after", [0, 0.09, 0.11, 1, 119, 3600])
async def test_a_job_starts_in_time_whether_it_goes_to_an_agent_or_waits_on_the_master(
    distributed: Build, timing: Timing, after: float
) -> None:
    async with distributed(timing.handler).running() as runtime:
        await anyio.sleep(IDLE)
        await runtime.scheduler.once_after(timing.handler, after)
        await timing.delays.count(1, timeout=after + 30)
    assert all_in_time(timing)


async def test_many_jobs_at_many_times_all_start_in_time(distributed: Build, timing: Timing) -> None:
    async with distributed(timing.handler, agents="AB").running() as runtime:
        for number in range(60):
            await runtime.scheduler.once_after(timing.handler, number * 3.7 % 200)
            await runtime.scheduler.once_after(timing.handler, number * 2.3 % 100, confirm="master")
        await timing.delays.count(120, timeout=300)
        await anyio.sleep(60)
    assert len(timing.delays.items) == 120
    assert all_in_time(timing)


@pytest.mark.parametrize(("given", "expected"), [({"seconds": 30}, 30.0), ({"minutes": 10}, 600.0)])
async def test_a_rescheduled_job_starts_at_its_new_time(
    distributed: Build, timing: Timing, given: dict[str, float], expected: float
) -> None:
    async with distributed(timing.handler).running() as runtime:
        receipt = await runtime.scheduler.once_after(timing.handler, 60)
        asked_at = anyio.current_time()
        await runtime.scheduler.reschedule(receipt.job_id, timedelta(**given))
        await timing.delays.count(1, timeout=700)
        assert anyio.current_time() - asked_at == pytest.approx(expected, abs=0.1)
    assert all_in_time(timing)


@pytest.mark.usefixtures("bound_early")
@pytest.mark.parametrize("stopped_for", [10, 300])
async def test_jobs_that_were_brought_back_to_the_master_are_not_early(
    distributed: Build, timing: Timing, stopped_for: float
) -> None:
    async with distributed(timing.handler).running() as runtime:
        for after in (50, 100):
            await runtime.scheduler.once_after(timing.handler, after)
    await anyio.sleep(stopped_for)
    async with distributed(timing.handler).running():
        await timing.delays.count(2, timeout=200)
    assert min(timing.delays.items) >= 0
    assert max(timing.delays.items) <= max(0.1, stopped_for - 50 + 5)


@pytest.mark.usefixtures("bound_early")
async def test_a_job_is_rescued_within_the_lease_and_two_heartbeats(
    distributed: Build, timing: Timing
) -> None:
    dying = Faults()
    mortal, other = distributed(timing.handler, faults=dying), distributed(timing.handler)
    async with mortal.running() as runtime:
        await runtime.scheduler.once_after(timing.handler, 1)
        dying.away |= {MASTER, "A"}
        async with other.running():
            await timing.delays.count(1, timeout=60)
    assert timing.delays.items[0] <= 15 + 2 * 5
