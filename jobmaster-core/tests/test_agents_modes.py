"""Duties of workers in a distributed cluster: who looks on the master for jobs, who runs them, and what idling costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
import pytest

from jobmaster import BucketStatus, Cluster, JobContext, JobStatus, Priority, Runtime, handler
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import STANDALONE
from jobmaster_testing.faults import MASTER, Faults
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Agent = Callable[[str], MemoryAgent]

SCANS = {
    "assignments.assign_due",
    "handovers.hand_over",
    "handovers.take_over",
    "rescue.is_needed",
    "rescue.take_lost_buckets",
    "rescue.sweep_orphans",
    "schedules.due",
}
COORDINATOR, EXECUTION = {"mode": "coordinator"}, {"mode": "execution"}


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


class Noting:
    """A handler that notes when and where it starts."""

    def __init__(self) -> None:
        self.starts = Seen[tuple[float, str]]()
        self.handler = handler("AgentsModes.Noting")(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def noting(job: JobContext) -> None:
            self.starts.add((anyio.current_time(), job.worker))
            await anyio.lowlevel.checkpoint()

        return noting


@pytest.fixture
def noting() -> Noting:
    return Noting()


async def ended(runtime: Runtime, job_ids: Sequence[UUID]) -> None:
    for job_id in job_ids:
        assert (await runtime.jobs.wait(job_id, 200)).status is JobStatus.SUCCEEDED


async def hold(runtime: Runtime, noting: Noting, count: int, **options: Any) -> list[UUID]:
    requests = [noting.handler.request(confirm="master", **options) for _ in range(count)]
    return [receipt.job_id for receipt in await runtime.scheduler.once_many(requests)]


# Duties


async def test_an_execution_worker_never_looks_on_the_master_for_jobs(
    distributed: Build, noting: Noting
) -> None:
    faults = Faults()
    executing = distributed(noting.handler, workers=[EXECUTION], faults=faults)
    async with executing.running() as runtime, distributed(noting.handler, workers=[COORDINATOR]).running():
        await ended(runtime, [(await runtime.scheduler.once_now(noting.handler)).job_id])
        await ended(runtime, await hold(runtime, noting, 20))
        await anyio.sleep(100)
        assert SCANS.isdisjoint(faults.made(MASTER))
        assert not any(call.args[3:] for call in faults.calls if call.method == "workers.heartbeat")


@pytest.mark.parametrize("mode", ["coordinator", "drain"])
async def test_a_worker_that_executes_nothing_has_no_buckets(
    distributed: Build, noting: Noting, mode: str
) -> None:
    faults = Faults()
    cluster = distributed(noting.handler, workers=[{"mode": mode}], faults=faults, fallback_patience=None)
    async with cluster.running() as runtime:
        job_ids = await hold(runtime, noting, 3)
        await anyio.sleep(60)
        assert await runtime.list_buckets() == []
        assert noting.starts.items == []
        assert ("assignments.assign_due" in faults.made(MASTER)) is (mode == "coordinator")
        async with distributed(noting.handler).running():
            await ended(runtime, job_ids)


@pytest.mark.parametrize(("mode", "on_master"), [("full", 0.68), ("execution", 0.3)])
async def test_idling_costs_next_to_nothing(
    distributed: Build, noting: Noting, mode: str, on_master: float
) -> None:
    """In answers per second, of the master and of the agent."""
    faults = Faults()
    async with distributed(noting.handler, workers=[{"mode": mode}], faults=faults).running() as runtime:
        await ended(runtime, [(await runtime.scheduler.once_now(noting.handler)).job_id])
        await anyio.sleep(60)
        faults.calls.clear()
        await anyio.sleep(600)
        counts = Counter((call.store, call.method) for call in faults.calls)
    assert sum(n for (store, _), n in counts.items() if store == MASTER) < 600 * on_master, counts
    assert sum(n for (store, _), n in counts.items() if store == "A") < 600 * 0.25, counts


# Fallback


async def test_a_coordinator_runs_what_nobody_else_does_after_its_patience(
    distributed: Build, noting: Noting
) -> None:
    cluster = distributed(noting.handler, workers=[COORDINATOR | {"name": "C"}], fallback_patience=30)
    async with cluster.running() as runtime:
        scheduled_at = anyio.current_time()
        await ended(runtime, await hold(runtime, noting, 5))
        waits = {at - scheduled_at for at, _ in noting.starts.items}
        assert min(waits) >= 30
        assert max(waits) < 40
        assert {worker for _, worker in noting.starts.items} == {"C-fallback"}


async def test_the_fallback_closes_when_there_are_workers_again(
    distributed: Build, noting: Noting, master: MemoryMaster
) -> None:
    cluster = distributed(noting.handler, workers=[COORDINATOR], fallback_patience=5)
    async with cluster.running() as runtime:
        await ended(runtime, await hold(runtime, noting, 5))
        async with distributed(noting.handler, workers=[EXECUTION | {"name": "E"}]).running():
            await until(lambda: only_on_agents(runtime), timeout=30)
            await ended(runtime, await hold(runtime, noting, 5))
            assert {worker for _, worker in noting.starts.items[5:]} == {"E"}
            await anyio.sleep(30)
            assert await master.buckets.holdings(runtime.id) == {}


async def only_on_agents(runtime: Runtime) -> bool:
    buckets = [b for b in await runtime.list_buckets() if b.status is not BucketStatus.READY_TO_DELETE]
    return {bucket.agent for bucket in buckets} == {"A"}


async def test_patience_begins_anew_with_each_time_that_nobody_is_there(
    distributed: Build, noting: Noting
) -> None:
    cluster = distributed(noting.handler, workers=[COORDINATOR], fallback_patience=60)
    async with cluster.running() as runtime:
        first = await hold(runtime, noting, 1)
        await anyio.sleep(30)
        async with distributed(noting.handler, workers=[EXECUTION]).running():
            await ended(runtime, first)
        await anyio.sleep(60)
        scheduled_at = anyio.current_time()
        await ended(runtime, await hold(runtime, noting, 1))
    assert noting.starts.items[-1][0] - scheduled_at >= 60


async def test_the_fallback_opens_when_no_agent_can_be_reached(distributed: Build, noting: Noting) -> None:
    """The executors are alive, but they cannot be given anything, and run nothing."""
    faults = Faults()
    workers = [COORDINATOR, EXECUTION]
    cluster = distributed(noting.handler, workers=workers, faults=faults, fallback_patience=20)
    async with cluster.running() as runtime:
        faults.away.add("A")
        scheduled_at = anyio.current_time()
        await ended(runtime, await hold(runtime, noting, 5))
        assert 20 <= noting.starts.items[0][0] - scheduled_at < 40
        faults.away.clear()
        await until(lambda: only_on_agents(runtime), timeout=60)


async def test_a_coordinator_that_is_to_have_no_buckets_has_no_fallback(
    distributed: Build, noting: Noting
) -> None:
    none = COORDINATOR | {"buckets": dict.fromkeys(Priority, 0)}
    cluster = distributed(noting.handler, workers=[none], fallback_patience=5)
    async with cluster.running() as runtime:
        await hold(runtime, noting, 1)
        await anyio.sleep(30)
        assert noting.starts.items == []


async def test_without_patience_there_is_no_fallback(distributed: Build, noting: Noting) -> None:
    cluster = distributed(noting.handler, workers=[COORDINATOR], fallback_patience=None)
    async with cluster.running() as runtime:
        await hold(runtime, noting, 1)
        await anyio.sleep(300)
        assert noting.starts.items == []


# Fallback, by lane and priority


HIGH_ONLY = dict.fromkeys(Priority, 0) | {Priority.HIGH: 1}


async def run_by(runtime: Runtime, job_ids: Sequence[UUID]) -> set[str]:
    await ended(runtime, job_ids)
    found = [await runtime.jobs.get(job_id) for job_id in job_ids]
    return {attempt.worker for job in found for attempt in job.attempts}


async def fallback_places(runtime: Runtime) -> list[tuple[str, Priority]]:
    """Return the places of the buckets that a coordinator has open."""
    alive = [b for b in await runtime.list_buckets() if b.status is BucketStatus.ACTIVE]
    return sorted((b.lane, b.priority) for b in alive if b.agent == STANDALONE)


async def test_a_lane_that_nobody_serves_has_a_fallback_while_another_is_served(
    distributed: Build, noting: Noting
) -> None:
    workers = [COORDINATOR | {"name": "C"}, EXECUTION | {"name": "E"}]
    async with distributed(noting.handler, workers=workers, fallback_patience=30).running() as runtime:
        scheduled_at = anyio.current_time()
        assert await run_by(runtime, await hold(runtime, noting, 3, lane="Other")) == {"C-fallback"}
        assert 30 <= noting.starts.items[0][0] - scheduled_at < 40
        assert await fallback_places(runtime) == [("Other", Priority.MEDIUM)]
        assert await run_by(runtime, await hold(runtime, noting, 3)) == {"E"}


async def test_a_priority_that_nobody_serves_has_a_fallback_and_no_other_has(
    distributed: Build, noting: Noting
) -> None:
    workers = [COORDINATOR | {"name": "C"}, EXECUTION | {"name": "E", "buckets": HIGH_ONLY}]
    async with distributed(noting.handler, workers=workers, fallback_patience=5).running() as runtime:
        urgent = await hold(runtime, noting, 3, priority=Priority.HIGH)
        assert await run_by(runtime, await hold(runtime, noting, 3)) == {"C-fallback"}
        assert await run_by(runtime, urgent) == {"E"}
        await anyio.sleep(60)
        assert await fallback_places(runtime) == [("default", Priority.MEDIUM)]


async def test_a_worker_closes_the_fallback_of_the_priorities_that_it_serves(
    distributed: Build, noting: Noting
) -> None:
    """Whoever serves one priority leaves the jobs of the others where they are."""
    coordinating = distributed(noting.handler, workers=[COORDINATOR | {"name": "C"}], fallback_patience=5)
    high_only = distributed(noting.handler, workers=[EXECUTION | {"name": "E", "buckets": HIGH_ONLY}])
    async with coordinating.running() as runtime:
        for priority in (Priority.HIGH, Priority.MEDIUM):
            await ended(runtime, await hold(runtime, noting, 1, priority=priority))
        assert await fallback_places(runtime) == [("default", Priority.MEDIUM), ("default", Priority.HIGH)]
        async with high_only.running():
            await until(lambda: only_open_for(runtime, Priority.MEDIUM), timeout=30)
            assert await run_by(runtime, await hold(runtime, noting, 2, priority=Priority.HIGH)) == {"E"}
            assert await run_by(runtime, await hold(runtime, noting, 2)) == {"C-fallback"}
            async with distributed(noting.handler, workers=[EXECUTION]).running():
                await until(lambda: only_open_for(runtime), timeout=30)


async def only_open_for(runtime: Runtime, *priorities: Priority) -> bool:
    return await fallback_places(runtime) == [("default", priority) for priority in priorities]


async def test_a_fallback_goes_on_while_that_of_another_lane_closes(
    distributed: Build, noting: Noting
) -> None:
    coordinating = distributed(noting.handler, workers=[COORDINATOR], fallback_patience=5)
    async with coordinating.running() as runtime:
        for lane in ("Other", "default"):
            await ended(runtime, await hold(runtime, noting, 1, lane=lane))
        before = {bucket.id for bucket in await runtime.list_buckets() if bucket.lane == "Other"}
        async with distributed(noting.handler, workers=[EXECUTION]).running():
            await until(lambda: open_lanes(runtime, "Other"), timeout=30)
            await anyio.sleep(60)
        assert {bucket.id for bucket in await runtime.list_buckets() if bucket.lane == "Other"} == before


async def open_lanes(runtime: Runtime, *lanes: str) -> bool:
    return [lane for lane, _ in await fallback_places(runtime)] == list(lanes)


async def test_patience_is_had_with_each_place_by_itself(distributed: Build, noting: Noting) -> None:
    cluster = distributed(noting.handler, workers=[COORDINATOR], fallback_patience=30)
    async with cluster.running() as runtime:
        await ended(runtime, await hold(runtime, noting, 1))
        scheduled_at = anyio.current_time()
        await ended(runtime, await hold(runtime, noting, 1, lane="Other"))
        assert noting.starts.items[-1][0] - scheduled_at >= 30


async def test_a_paused_lane_has_no_fallback(distributed: Build, noting: Noting) -> None:
    cluster = distributed(noting.handler, workers=[COORDINATOR], fallback_patience=5)
    async with cluster.running() as runtime:
        await runtime.pause_lane("Other")
        paused = await hold(runtime, noting, 1, lane="Other")
        await ended(runtime, await hold(runtime, noting, 1))
        await anyio.sleep(60)
        assert await fallback_places(runtime) == [("default", Priority.MEDIUM)]
        await runtime.resume_lane("Other")
        await ended(runtime, paused)
        await runtime.pause_lane("Other")
        await until(lambda: open_lanes(runtime, "default"), timeout=30)


async def test_a_priority_that_the_coordinator_is_to_leave_out_has_no_fallback(
    distributed: Build, noting: Noting
) -> None:
    picky = COORDINATOR | {"buckets": {Priority.LOW: 0}}
    cluster = distributed(noting.handler, workers=[picky], fallback_patience=5)
    async with cluster.running() as runtime:
        left = await hold(runtime, noting, 1, priority=Priority.LOW)
        await ended(runtime, await hold(runtime, noting, 1))
        await anyio.sleep(60)
        assert await fallback_places(runtime) == [("default", Priority.MEDIUM)]
        assert (await runtime.jobs.get(left[0])).status is JobStatus.HELD_ON_MASTER


async def test_what_the_coordinator_has_no_handler_for_is_parked_until_somebody_has(
    distributed: Build, noting: Noting
) -> None:
    @handler("AgentsModes.Known")
    async def known(_: JobContext) -> None:
        await anyio.lowlevel.checkpoint()

    cluster = distributed(known, workers=[COORDINATOR], fallback_patience=5)
    async with cluster.running() as runtime:
        job_ids = await hold(runtime, noting, 3, lane="Other")
        await anyio.sleep(20)
        before = [worker.id for worker in await runtime.list_workers()]
        await anyio.sleep(300)
        assert await runtime.jobs.count(parked=True) == 3
        assert [worker.id for worker in await runtime.list_workers()] == before
        assert noting.starts.items == []
        executing = EXECUTION | {"name": "E", "lane": "Other"}
        async with distributed(noting.handler, workers=[executing]).running():
            assert await run_by(runtime, job_ids) == {"E"}


# From standalone to distributed


@pytest.mark.usefixtures("bound_early")
async def test_what_the_standalone_buckets_held_is_run_by_the_distributed_cluster(
    distributed: Build, noting: Noting
) -> None:
    dying = Faults()
    alone = distributed(noting.handler, agents="", workers=[{}], faults=dying)
    async with alone.running() as before:
        held = await before.scheduler.once_after(noting.handler, 200)
        soon = [await before.scheduler.once_after(noting.handler, 100) for _ in range(5)]
        assert {r.accepted_by for r in soon} == {"standalone"}
        dying.away.add(MASTER)
        async with distributed(noting.handler).running() as runtime:
            await ended(runtime, [r.job_id for r in [*soon, held]])
            await until(lambda: only_on_agents(runtime), timeout=60)
    assert len(noting.starts.items) == 6
