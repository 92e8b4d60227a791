"""What would be left on an agent: messages that nobody reads, and what a worker that stops had there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster import (
    AttemptOutcome,
    BucketStatus,
    Cluster,
    JobContext,
    JobStatus,
    Runtime,
    WorkerStatus,
    handler,
)
from jobmaster.contracts import Message
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.factories import make_bucket, make_new_job, make_worker
from jobmaster_testing.faults import Faults
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Agent = Callable[[str], MemoryAgent]

CLUSTER, DEFINITION = "Test-1", "AgentsLeaving.Mortal"
LONG = 120.0


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


class Mortal:
    """A handler that hangs until it may not any more, and notes its starts."""

    def __init__(self) -> None:
        self.starts = Seen[tuple[UUID, int]]()
        self.hangs = True
        self.handler = handler(DEFINITION, timeout=None, max_retries=0)(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def mortal(job: JobContext) -> None:
            self.starts.add((job.id, job.attempt))
            if self.hangs:
                await anyio.sleep_forever()

        return mortal


@pytest.fixture
def mortal() -> Mortal:
    return Mortal()


@pytest.fixture
def watcher(distributed: Build) -> Cluster:
    """A process that only looks, and sends jobs."""
    return distributed(workers=())


async def succeeded(runtime: Runtime, count: int) -> bool:
    return await runtime.jobs.count(status=JobStatus.SUCCEEDED) == count


async def buckets_end(runtime: Runtime) -> bool:
    """Return whether a worker has lost its buckets, and nothing is left of any."""
    buckets = {b.status for b in await runtime.list_buckets()}
    workers = {w.status for w in await runtime.list_workers()}
    gone = WorkerStatus.LOST in workers or WorkerStatus.STOPPED in workers
    return gone and buckets == {BucketStatus.ACTIVE, BucketStatus.READY_TO_DELETE}


# Messages that nobody would read


@pytest.mark.parametrize("registered", [True, False])
async def test_late_pushes_to_a_bucket_that_is_gone_are_run(
    distributed: Build, agent: Agent, master: MemoryMaster, mortal: Mortal, registered: bool
) -> None:
    mortal.hangs = False
    worker = make_worker(cluster_id=CLUSTER, agent="A")
    bucket = make_bucket(worker, status=BucketStatus.READY_TO_DELETE)
    if registered:
        await master.register_worker(worker, [bucket], 1)
        await master.retire_worker(worker.id)
    unsaved = [make_new_job(bucket, definition_id=DEFINITION, delay=n) for n in range(3)]
    saved = [make_new_job(bucket, definition_id=DEFINITION) for _ in range(3)]
    await master.insert_jobs(saved)
    await agent("A").push([Message(new=new) for new in unsaved])
    await agent("A").push([Message(new=new, saved=True) for new in saved])
    async with distributed(mortal.handler).running() as runtime:
        await until(lambda: succeeded(runtime, 6), timeout=LONG)
        assert bucket.id not in await agent("A").holdings()
    assert len(mortal.starts.items) == 6


async def test_what_another_cluster_has_on_the_same_store_is_left_alone(
    distributed: Build, agent: Agent, mortal: Mortal
) -> None:
    others = make_bucket(make_worker(cluster_id="Another", agent="A"))
    await agent("A").push([Message(new=make_new_job(others)) for _ in range(3)])
    async with distributed(mortal.handler).running() as runtime:
        await anyio.sleep(LONG)
        assert await runtime.jobs.count() == 0
    assert await agent("A").holdings() == {others.id: 3}


# Stopping gracefully


@pytest.mark.usefixtures("bound_early")
async def test_a_graceful_stop_leaves_nothing_on_the_agent(
    distributed: Build, watcher: Cluster, agent: Agent, mortal: Mortal
) -> None:
    async with watcher.running() as runtime:
        worker = {"parallelism": 0.2, "batch_size": 2}
        async with distributed(mortal.handler, workers=[worker]).running() as up:
            await up.scheduler.once_many([mortal.handler.request() for _ in range(10)])
            await up.scheduler.once_after(mortal.handler, 60)
            await up.scheduler.once_after(mortal.handler, 60, confirm="master")
            await mortal.starts.count(1)
        assert await agent("A").holdings() == {}
        assert agent("A")._mailbox.epochs == {}
        assert {b.status for b in await runtime.list_buckets()} == {BucketStatus.READY_TO_DELETE}
        assert {w.status for w in await runtime.list_workers()} == {"stopped"}
        assert await runtime.jobs.count_by_status() == {JobStatus.HELD_ON_MASTER: 12}
        outcomes = [a.outcome for j in await all_jobs(runtime) for a in j.attempts]
        assert outcomes == [AttemptOutcome.INTERRUPTED]


async def all_jobs(runtime: Runtime) -> list[Any]:
    return [await runtime.jobs.get(job.id) for job in await runtime.jobs.query()]


async def test_a_push_that_comes_while_a_bucket_is_given_up_is_brought_back(
    distributed: Build, watcher: Cluster, agent: Agent, mortal: Mortal
) -> None:
    faults = Faults()
    async with watcher.running() as runtime, anyio.create_task_group() as group:
        stop = anyio.Event()

        async def worker() -> None:
            async with distributed(mortal.handler, faults=faults).running():
                await stop.wait()

        group.start_soon(worker)
        await until(runtime.list_buckets)
        bucket = next(b for b in await runtime.list_buckets() if b.priority == 3)
        with faults.held_up("A", "drop_bucket") as gate:
            stop.set()
            await gate.reached.wait()
            late = make_new_job(bucket, definition_id=DEFINITION)
            await agent("A").push([Message(new=late)])
    async with watcher.running() as runtime:
        assert {b.status for b in await runtime.list_buckets()} == {BucketStatus.READY_TO_DELETE}
        assert (await runtime.jobs.get(late.job.id)).status is JobStatus.HELD_ON_MASTER
    assert await agent("A").holdings() == {}


@pytest.mark.usefixtures("bound_early")
async def test_a_worker_that_stops_while_its_agent_is_away_leaves_it_to_the_rescue(
    distributed: Build, watcher: Cluster, mortal: Mortal
) -> None:
    faults = Faults()
    async with watcher.running() as runtime:
        async with distributed(mortal.handler, faults=faults).running() as up:
            await up.scheduler.once_many([mortal.handler.request(after=30) for _ in range(4)])
            faults.away.add("A")
        mortal.hangs = False
        async with distributed(mortal.handler).running():
            await until(lambda: succeeded(runtime, 4), timeout=LONG)
            await until(lambda: buckets_end(runtime), timeout=LONG)
    assert len(mortal.starts.items) == 4
