"""What workers leave on their agent when they die or stop: it is brought back, once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
from jobmaster.errors import StoreUnreachableError
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.factories import make_bucket, make_new_job, make_worker
from jobmaster_testing.faults import MASTER, Fault, Faults
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Agent = Callable[[str], MemoryAgent]

CLUSTER, DEFINITION = "Test-1", "AgentsRescue.Mortal"
LONG = 120.0


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


class Mortal:
    """A handler that hangs for as long as its worker is to die, and notes its starts."""

    def __init__(self) -> None:
        self.starts = Seen[tuple[UUID, int]]()
        self.hangs = True
        self.handler = handler(DEFINITION, timeout=None, max_retries=0)(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def mortal(job: JobContext) -> None:
            self.starts.add((job.id, job.attempt))
            if self.hangs or job.data.get("deadly"):
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


# The dead


@pytest.mark.parametrize("beat", [1.0, 50.0])
async def test_what_was_in_hand_has_a_lost_attempt_and_what_waited_has_none(
    distributed: Build, watcher: Cluster, agent: Agent, mortal: Mortal, beat: float
) -> None:
    """Whether the master knew these jobs when their worker died, or only the agent."""
    dying = Faults()
    worker = {"parallelism": 0.2, "batch_size": 2}
    mortal_cluster = distributed(mortal.handler, workers=[worker], faults=dying, beat=beat, save_after=beat)
    async with watcher.running() as runtime, mortal_cluster.running() as first:
        jobs = await first.scheduler.once_many([mortal.handler.request() for _ in range(8)])
        await mortal.starts.count(1)
        await anyio.sleep(5)
        dying.away |= {MASTER, "A"}
        letters = agent("A").mail.box.letters.values()
        in_hand = {letter.message.new.job.id for letter in letters if letter.handed_out}
        mortal.hangs = False
        async with distributed(mortal.handler).running():
            await until(lambda: succeeded(runtime, 8), timeout=LONG)
            await until(lambda: buckets_end(runtime), timeout=LONG)
        for receipt in jobs:
            job = await runtime.jobs.get(receipt.job_id)
            lost = [AttemptOutcome.LOST] if job.id in in_hand else []
            assert [a.outcome for a in job.attempts] == [*lost, AttemptOutcome.SUCCEEDED]
    assert 1 <= len(in_hand) < 8
    assert len(mortal.starts.items) == len(set(mortal.starts.items)) == 8 + 1
    assert await agent("A").buckets.holdings() == {}


async def test_a_job_that_ended_before_its_worker_died_does_not_run_again(
    distributed: Build, watcher: Cluster, agent: Agent, mortal: Mortal
) -> None:
    dying = Faults([Fault("messages.acknowledge", count=10_000)])
    mortal.hangs = False
    async with (
        watcher.running() as runtime,
        distributed(mortal.handler, faults=dying).running() as first,
    ):
        receipt = await first.scheduler.once_now(mortal.handler)
        await until(lambda: succeeded(runtime, 1))
        dying.away |= {MASTER, "A"}
        async with distributed(mortal.handler).running():
            await until(lambda: buckets_end(runtime), timeout=LONG)
        job = await runtime.jobs.get(receipt.job_id)
    assert [a.outcome for a in job.attempts] == [AttemptOutcome.SUCCEEDED]
    assert len(mortal.starts.items) == 1
    assert await agent("A").buckets.holdings() == {}


async def test_only_the_job_that_brings_workers_down_is_poison(
    distributed: Build, watcher: Cluster, mortal: Mortal, caplog: pytest.LogCaptureFixture
) -> None:
    mortal.hangs = False
    async with watcher.running() as runtime, anyio.create_task_group() as group:
        first = Faults()
        async with distributed(mortal.handler, workers=[{"parallelism": 0.2}], faults=first).running() as up:
            deadly = await up.scheduler.once_now(mortal.handler, deadly=True)
            await mortal.starts.count(1)
            bystander = await up.scheduler.once_now(mortal.handler)
            await anyio.sleep(1)
            first.away |= {MASTER, "A"}
            await until(lambda: runs_on(runtime, first), timeout=LONG)
        for crash in range(2, 4):
            faults = Faults()
            async with distributed(mortal.handler, faults=faults).running():
                await until(partial(deadly_starts, mortal, deadly.job_id, crash), timeout=LONG)
                await anyio.sleep(2)
                faults.away |= {MASTER, "A"}
                await anyio.sleep(30)
        async with distributed(mortal.handler).running():
            job = await runtime.jobs.wait(deadly.job_id, LONG)
            other = await runtime.jobs.wait(bystander.job_id, LONG)
        group.cancel_scope.cancel()
    assert job.status is JobStatus.FAILED
    assert [a.outcome for a in job.attempts] == [
        AttemptOutcome.LOST,
        AttemptOutcome.LOST,
        AttemptOutcome.POISONED,
    ]
    assert (other.status, other.retries) == (JobStatus.SUCCEEDED, 0)
    told = [r for r in caplog.records if vars(r).get("job_id") == str(job.id)]
    assert [(r.levelname, vars(r)["outcome"], vars(r)["attempt"]) for r in told] == [
        ("WARNING", "lost", 1),
        ("WARNING", "lost", 2),
        ("ERROR", "poisoned", 3),
    ]


async def runs_on(runtime: Runtime, faults: Faults) -> bool:
    """Return whether the lease of everybody has run out."""
    return bool(faults.away) and not await runtime.master.buckets.list_active(CLUSTER)


def deadly_starts(mortal: Mortal, job_id: UUID, number: int) -> bool:
    return (job_id, number) in mortal.starts.items


async def test_a_bucket_on_an_agent_that_is_away_is_rescued_when_it_is_back(
    distributed: Build, watcher: Cluster, agent: Agent, mortal: Mortal
) -> None:
    dying, rescuing = Faults(), Faults()
    async with (
        watcher.running() as runtime,
        distributed(mortal.handler, faults=dying).running() as first,
    ):
        await first.scheduler.once_many([mortal.handler.request() for _ in range(5)])
        await mortal.starts.count(5)
        dying.away |= {MASTER, "A"}
        mortal.hangs = False
        async with distributed(mortal.handler, faults=rescuing).running():
            rescuing.away.add("A")
            await anyio.sleep(90)
            assert await runtime.jobs.count(status=JobStatus.SUCCEEDED) == 0
            rescuing.away.clear()
            await until(lambda: succeeded(runtime, 5), timeout=60)
            await until(lambda: buckets_end(runtime), timeout=60)
    assert await agent("A").buckets.holdings() == {}


@pytest.mark.usefixtures("bound_early")
async def test_no_bucket_waits_for_an_agent_that_was_found_to_be_away(
    distributed: Build, watcher: Cluster, mortal: Mortal
) -> None:
    """Each try may take as long as a connection: one a round is enough, or the buckets of others wait for all."""
    dying, silent = Faults(), Fault("claims.exposed", store="A", count=100, error=StoreUnreachableError)
    rescuing = Faults([silent, Fault("now", store="A", count=100, error=StoreUnreachableError)])
    cluster = distributed(mortal.handler, agents="AB", faults=dying)
    async with watcher.running() as runtime, cluster.running() as first:
        mortal.hangs = False
        receipts = [await first.scheduler.once_after(mortal.handler, 5) for _ in range(4)]
        dying.away |= {MASTER, "A", "B"}
        async with distributed(
            mortal.handler, agents="AB", workers=[{"agent": "B"}], faults=rescuing
        ).running():
            on_b = [r.job_id for r in receipts if r.accepted_by == "B"]
            await until(lambda: succeeded(runtime, len(on_b)), timeout=25)
            assert silent.hits <= 2
            rescuing.faults.clear()
            await until(lambda: succeeded(runtime, 4), timeout=LONG)


@pytest.mark.usefixtures("bound_early")
@pytest.mark.parametrize(("mode", "rescues"), [("drain", True), ("coordinator", True), ("execution", False)])
async def test_who_rescues(
    distributed: Build, watcher: Cluster, agent: Agent, mortal: Mortal, mode: str, rescues: bool
) -> None:
    dying = Faults()
    async with (
        watcher.running() as runtime,
        distributed(mortal.handler, faults=dying).running() as first,
    ):
        await first.scheduler.once_many([mortal.handler.request(after=20 * n) for n in range(5)])
        await mortal.starts.count(1)
        dying.away |= {MASTER, "A"}
        other = distributed(mortal.handler, workers=[{"mode": mode, "lane": "Other"}], fallback_patience=None)
        async with other.running():
            await anyio.sleep(60)
            counts = await runtime.jobs.count_by_status()
            assert counts.get(JobStatus.HELD_ON_MASTER, 0) == (5 if rescues else 0)
            assert (await agent("A").buckets.holdings() == {}) is rescues


# Messages that nobody would read


@pytest.mark.parametrize("registered", [True, False])
async def test_late_pushes_to_a_bucket_that_is_gone_are_run(
    distributed: Build, agent: Agent, master: MemoryMaster, mortal: Mortal, registered: bool
) -> None:
    mortal.hangs = False
    worker = make_worker(cluster_id=CLUSTER, agent="A")
    bucket = make_bucket(worker, status=BucketStatus.READY_TO_DELETE)
    if registered:
        await master.workers.register(worker, [bucket], 1)
        await master.workers.retire(worker.id)
    unsaved = [make_new_job(bucket, definition_id=DEFINITION, delay=n) for n in range(3)]
    saved = [make_new_job(bucket, definition_id=DEFINITION) for _ in range(3)]
    await master.jobs.insert(saved)
    await agent("A").messages.push([Message(new=new) for new in unsaved])
    await agent("A").messages.push([Message(new=new, saved=True) for new in saved])
    async with distributed(mortal.handler).running() as runtime:
        await until(lambda: succeeded(runtime, 6), timeout=LONG)
        assert bucket.id not in await agent("A").buckets.holdings()
    assert len(mortal.starts.items) == 6


async def test_what_another_cluster_has_on_the_same_store_is_left_alone(
    distributed: Build, agent: Agent, mortal: Mortal
) -> None:
    others = make_bucket(make_worker(cluster_id="Another", agent="A"))
    await agent("A").messages.push([Message(new=make_new_job(others)) for _ in range(3)])
    async with distributed(mortal.handler).running() as runtime:
        await anyio.sleep(LONG)
        assert await runtime.jobs.count() == 0
    assert await agent("A").buckets.holdings() == {others.id: 3}


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
        assert await agent("A").buckets.holdings() == {}
        assert agent("A").mail.box.epochs == {}
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
        with faults.held_up("A", "buckets.drop") as gate:
            stop.set()
            await gate.reached.wait()
            late = make_new_job(bucket, definition_id=DEFINITION)
            await agent("A").messages.push([Message(new=late)])
    async with watcher.running() as runtime:
        assert {b.status for b in await runtime.list_buckets()} == {BucketStatus.READY_TO_DELETE}
        assert (await runtime.jobs.get(late.job.id)).status is JobStatus.HELD_ON_MASTER
    assert await agent("A").buckets.holdings() == {}


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
