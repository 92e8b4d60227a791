"""Steering a running cluster in virtual time: with notifications and without, and what it costs a process that is idle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from uuid import UUID

import anyio
import pytest

from jobmaster import Cluster, ClusterMode, JobContext, JobStatus, Runtime, handler, hookimpl
from jobmaster.contracts import Capabilities, ClusterChange, MasterRepository
from jobmaster.plugins import Plugins
from jobmaster_testing.clock import VirtualClock, virtual_backend
from jobmaster_testing.wrapping import Around, Intercepted

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

HOUR = 3600.0


@handler("ControlTime.Quick")
async def quick(_: JobContext) -> None: ...


async def held_again(runtime: Runtime, job_id: UUID) -> bool:
    return (await runtime.jobs.get(job_id)).status is JobStatus.HELD_ON_MASTER


class Counting:
    """Serves `counted://name`: a `memory://name` whose calls are counted, and that brings notifications if it `hears`."""

    def __init__(self, *, hears: bool = True) -> None:
        self.calls: Counter[str] = Counter()
        self._hears = hears

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"counted": "for tests"}

    @hookimpl
    def jobmaster_master(self, url: str, options: Any) -> MasterRepository | None:
        scheme, _, name = url.partition("://")
        if scheme != "counted":
            return None
        inner = Plugins().master(f"memory://{name}", options)
        return cast("MasterRepository", CountedMaster(inner, self._count, hears=self._hears))

    async def _count(self, name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        self.calls[name] += 1
        return await act()


class CountedMaster(Intercepted):
    def __init__(self, inner: MasterRepository, around: Around, *, hears: bool) -> None:
        super().__init__(inner, around)
        self._hears = hears

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(notifications=self._hears)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)


@pytest.fixture
def made(store_url: str, virtual_clock: VirtualClock) -> Build:
    """Return what builds a cluster with default settings on one and the same store: `made(counting)`."""

    def build(counting: Counting | None = None, **settings: Any) -> Cluster:
        options = {"store_options": {"clock": virtual_clock}, **settings}
        url = store_url.replace("memory", "counted")
        found = Cluster("Test-1", url, clock=virtual_clock).configure(**options)
        return found.add_handlers(quick).use(counting or Counting())

    return build


async def test_an_idle_process_asks_two_questions_in_three_seconds(made: Build) -> None:
    counting, minutes = Counting(), 20
    async with made(counting).add_worker().running():
        await anyio.sleep(60)
        counting.calls.clear()
        await anyio.sleep(minutes * 60)
        asked = Counter(counting.calls)

    assert asked["control.read_orders"] >= minutes * 2
    assert asked["rescue.is_needed"] == asked["requests.read_cancels"] == 0
    assert asked.total() / (minutes * 60) < 0.68, dict(asked)


async def test_a_paused_lane_with_jobs_that_wait_costs_little(made: Build) -> None:
    counting, minutes = Counting(), 10
    busy = made(counting).add_worker().add_worker(lane="slow")
    async with busy.running() as runtime:
        await runtime.pause_lane("slow")
        waits = await runtime.scheduler.once_now(quick, lane="slow")
        later = await runtime.scheduler.once_after(quick, 5 * 60)
        await anyio.sleep(60)
        counting.calls.clear()
        await anyio.sleep(minutes * 60)
        asked = Counter(counting.calls)
        ran = await runtime.jobs.get(later.job_id)
        await runtime.resume_lane("slow")
        await anyio.sleep(1)
        assert (await runtime.jobs.get(waits.job_id)).status is JobStatus.SUCCEEDED

    assert asked.total() / (minutes * 60) < 1.5, dict(asked)
    [attempt] = ran.attempts
    assert attempt.started_at is not None
    assert (attempt.started_at - ran.scheduled_at).total_seconds() < 0.1


async def test_a_process_that_is_cancelled_while_its_worker_comes_to_rest_ends(made: Build) -> None:
    started = anyio.Event()

    @handler("ControlTime.Hold")
    async def hold(_: JobContext) -> None:
        started.set()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        async with made().add_handlers(hold).add_worker().running() as runtime:
            await runtime.scheduler.once_now(hold)
            await started.wait()
            await runtime.pause_lane("default")
            await anyio.sleep(1)
            scope.cancel()
            await anyio.sleep_forever()

    assert scope.cancelled_caught


async def test_a_passive_cluster_makes_no_jobs_of_schedules_and_assigns_none(made: Build) -> None:
    async with made().add_worker().running() as runtime:
        await runtime.scheduler.recurring(quick, "every minute", overlap="allow")
        later = await runtime.scheduler.once_after(quick, 10 * 60)
        await runtime.set_mode("passive")
        before = await runtime.jobs.count()
        await anyio.sleep(HOUR)
        assert await runtime.jobs.count() == before
        assert await held_again(runtime, later.job_id)

        await runtime.set_mode("active")

        await anyio.sleep(180)
        assert (await runtime.jobs.get(later.job_id)).status is JobStatus.SUCCEEDED
        assert await runtime.jobs.count() > before


async def test_a_stopped_coordinator_assigns_and_plans_nothing(made: Build) -> None:
    busy = made().add_worker(name="c", mode="coordinator")
    async with busy.add_worker(name="e", mode="execution").running() as runtime:
        await runtime.stop_worker("c")
        await anyio.sleep(1)
        later = await runtime.scheduler.once_after(quick, 10 * 60)
        await runtime.scheduler.recurring(quick, "every minute")
        await anyio.sleep(HOUR)
        assert await held_again(runtime, later.job_id)
        assert await runtime.jobs.count() == 1
        now = await runtime.scheduler.once_now(quick)
        assert (await runtime.jobs.wait(now.job_id, 10)).status is JobStatus.SUCCEEDED


async def test_a_shorter_retention_is_followed(made: Build) -> None:
    async with made().add_worker().running() as runtime:
        done = await runtime.scheduler.once_now(quick)
        await anyio.sleep(HOUR)
        assert await runtime.jobs.find(done.job_id) is not None

        await runtime.configure(retention=60)

        await anyio.sleep(HOUR / 2)
        assert await runtime.jobs.find(done.job_id) is None


async def test_an_archived_cluster_keeps_its_history(made: Build) -> None:
    async with made(retention=60).add_worker().running() as runtime:
        done = await runtime.scheduler.once_now(quick)
        await anyio.sleep(1)
        await runtime.set_mode("archived")
        await anyio.sleep(HOUR)
        assert await runtime.jobs.find(done.job_id) is not None


async def test_without_notifications_processes_follow_with_the_next_heartbeat(made: Build) -> None:
    deaf = made(Counting(hears=False)).add_worker(name="a")
    async with deaf.running() as runtime, made().running() as elsewhere:
        heartbeat = runtime.settings.heartbeat
        await elsewhere.set_mode("passive")
        await elsewhere.configure(default_max_retries=9)
        assert runtime.mode is ClusterMode.ACTIVE
        await anyio.sleep(heartbeat)
        assert (runtime.mode, runtime.settings.default_max_retries) == (ClusterMode.PASSIVE, 9)
        await elsewhere.stop_worker("a")
        with anyio.fail_after(heartbeat + 1):
            await runtime.workers_stopped()


async def test_lost_notifications_cost_half_a_minute(made: Build) -> None:
    counting = Counting()
    async with made(counting).add_worker().running() as runtime:
        await anyio.sleep(60)
        await runtime.master.control.change_cluster(runtime.id, ClusterChange(mode=ClusterMode.PASSIVE))
        await anyio.sleep(30)
        assert runtime.mode is ClusterMode.PASSIVE
