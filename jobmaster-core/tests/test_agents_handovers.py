"""Jobs on their way from the master to an agent: in every order things can fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from jobmaster import AttemptOutcome, Cluster, JobContext, JobDefinition, JobStatus, Runtime, handler
from jobmaster._flow.handover import HandoverPusher
from jobmaster.contracts import Room
from jobmaster.errors import Snooze, StoreUnavailableError, StoreUnreachableError
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.factories import make_bucket, make_new_job, make_worker
from jobmaster_testing.faults import MASTER, Fault, Faults, Gate
from jobmaster_testing.probes import Seen, until
from jobmaster_testing.reach import Within

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Agent = Callable[[str], MemoryAgent]

CLUSTER, DEFINITION = "Test-1", "AgentsHandovers.Noting"
UNKNOWN = JobDefinition("AgentsHandovers.Unknown")


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


class Noting:
    """A handler that notes its starts, and fails or asks for a pause once if its job says so."""

    def __init__(self) -> None:
        self.starts = Seen[tuple[UUID, int]]()
        self.handler = handler(DEFINITION, timeout=None)(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def noting(job: JobContext) -> None:
            self.starts.add((job.id, job.attempt))
            first = job.attempt == 1
            if job.data.get("fails") and first:
                raise ValueError("the first time")
            if job.data.get("snoozes") and first:
                raise Snooze(after=30)
            await anyio.sleep(job.data.get("seconds", 0))

        return noting


@pytest.fixture
def noting() -> Noting:
    return Noting()


async def ended(runtime: Runtime, job_ids: Sequence[UUID], attempts: int = 1) -> None:
    for job_id in job_ids:
        job = await runtime.jobs.wait(job_id, 200)
        assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, attempts)


async def hold(runtime: Runtime, noting: Noting, count: int, **data: Any) -> list[UUID]:
    requests = [noting.handler.request(data, confirm="master") for _ in range(count)]
    return [receipt.job_id for receipt in await runtime.scheduler.once_many(requests)]


async def none_is_open(master: MemoryMaster) -> bool:
    return not await master.handovers.take_over(CLUSTER, 0, UUID(int=1), 10)


# To the agent


async def test_a_push_that_did_not_happen_is_taken_back_and_goes_elsewhere(
    distributed: Build, noting: Noting, master: MemoryMaster
) -> None:
    faults = Faults([Fault("messages.push", store="A", count=100, error=StoreUnreachableError)])
    workers = [{"agent": name, "batch_size": 5} for name in "AB"]  # none gets more than ten at a time
    async with distributed(noting.handler, agents="AB", workers=workers, faults=faults).running() as runtime:
        job_ids = await hold(runtime, noting, 30)
        await ended(runtime, job_ids)
        assert faults.made(MASTER, "handovers.undo") != []
        assert await none_is_open(master)
    assert len(noting.starts.items) == 30


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("seconds", [0, 60])
async def test_a_push_without_an_answer_is_repeated_and_starts_none_twice(
    distributed: Build, noting: Noting, master: MemoryMaster, when: Any, seconds: float
) -> None:
    faults = Faults([Fault("messages.push", when, store="A")])
    async with distributed(noting.handler, faults=faults).running() as runtime:
        job_ids = await hold(runtime, noting, 5, seconds=seconds)
        await ended(runtime, job_ids)
        await anyio.sleep(100)
        assert faults.made(MASTER, "handovers.undo") == []
        assert faults.made("A", "messages.push") == (
            [] if (when, seconds) == ("after", 0) else ["messages.push"]
        )
        assert await none_is_open(master)
    assert len(noting.starts.items) == 5


@pytest.mark.parametrize(
    "method", ["handovers.hand_over", "handovers.close", "handovers.undo", "handovers.take_over"]
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_master_that_does_not_answer_in_between_costs_time_only(
    distributed: Build, noting: Noting, master: MemoryMaster, method: str, when: Any
) -> None:
    error = StoreUnreachableError if method == "handovers.undo" else StoreUnavailableError
    pushes = (
        [Fault("messages.push", store="A", error=error)]
        if method in ("handovers.undo", "handovers.take_over")
        else []
    )
    faults = Faults([Fault(method, when, store=MASTER), *pushes])
    async with distributed(noting.handler, faults=faults).running() as runtime:
        job_ids = await hold(runtime, noting, 5)
        await ended(runtime, job_ids)
        await anyio.sleep(100)
        assert await none_is_open(master)
    assert all(fault.hits for fault in faults.faults)
    assert len(noting.starts.items) == 5


async def test_what_a_dead_coordinator_had_to_push_is_pushed_by_another(
    distributed: Build, noting: Noting, master: MemoryMaster
) -> None:
    dying = Faults()
    coordinator = [{"mode": "coordinator"}]
    async with distributed(noting.handler, workers=[{"mode": "execution"}]).running() as runtime:
        async with distributed(noting.handler, workers=coordinator, faults=dying).running():
            with dying.held_up("A", "messages.push") as gate:
                job_ids = await hold(runtime, noting, 5)
                await gate.reached.wait()
                dying.away |= {MASTER, "A"}
        async with distributed(noting.handler, workers=coordinator).running():
            await ended(runtime, job_ids)
            assert await none_is_open(master)
    assert len(noting.starts.items) == 5


@pytest.mark.parametrize(
    ("store", "method"),
    [(MASTER, "handovers.hand_over"), ("A", "messages.push"), (MASTER, "handovers.close")],
)
async def test_who_is_told_to_stop_first_finishes_what_it_hands_over(
    distributed: Build, noting: Noting, master: MemoryMaster, store: str, method: str
) -> None:
    """Else its jobs would wait until others may push them: nobody knows then whether a push is under way."""
    leaving = Faults()
    coordinator = [{"mode": "coordinator"}]

    async def lead(gate: Gate) -> None:
        async with distributed(noting.handler, workers=coordinator, faults=leaving).running():
            await gate.reached.wait()

    async with distributed(noting.handler, workers=[{"mode": "execution"}]).running() as runtime:
        async with anyio.create_task_group() as group:
            with leaving.held_up(store, method) as gate:
                job_ids = await hold(runtime, noting, 5)
                group.start_soon(lead, gate)
                await gate.reached.wait()
                await anyio.sleep(1)  # by now it has been told
        assert await none_is_open(master)
        await ended(runtime, job_ids)


async def test_a_handover_that_took_too_long_is_not_pushed(
    master: MemoryMaster, agent: Agent, virtual_clock: Any
) -> None:
    """By then another one may have pushed it, and its jobs may be over and done with."""
    worker = make_worker(cluster_id=CLUSTER, agent="A")
    bucket = make_bucket(worker)
    await master.workers.register(worker, [bucket], 60)
    await master.jobs.insert([make_new_job(cluster_id=CLUSTER)])
    room = Room(bucket_id=bucket.id, lane=bucket.lane, priority=bucket.priority, free=1)
    pusher = HandoverPusher(master.handovers, Within({"A": agent("A")}), virtual_clock, patience=10)
    asked_at = virtual_clock.monotonic()
    [handover] = (await master.handovers.hand_over(CLUSTER, 60, [room], uuid4())).handovers
    await anyio.sleep(11)

    assert await pusher.push([("A", handover)], asked_at) == []
    assert await agent("A").buckets.holdings() == {}
    assert await pusher.push([("A", handover)], virtual_clock.monotonic()) == [handover]


async def test_several_coordinators_share_the_work_without_doubles(
    distributed: Build, noting: Noting, master: MemoryMaster
) -> None:
    async with distributed(noting.handler, agents="AB", workers=[]).running() as runtime:
        job_ids = await hold(runtime, noting, 200)
        workers = [{"agent": name, "mode": mode} for name in "AB" for mode in ("full", "execution")]
        clusters = [distributed(noting.handler, agents="AB", workers=workers) for _ in range(3)]
        async with clusters[0].running(), clusters[1].running(), clusters[2].running():
            job_ids += await hold(runtime, noting, 200)
            await ended(runtime, job_ids)
            assert await none_is_open(master)
    assert len(noting.starts.items) == len(set(noting.starts.items)) == 400


# Running again


@pytest.mark.parametrize("kind", ["fails", "snoozes"])
async def test_a_job_that_runs_again_goes_by_the_master(
    distributed: Build, noting: Noting, agent: Agent, kind: str
) -> None:
    faults = Faults()
    async with distributed(noting.handler, faults=faults).running() as runtime:
        receipt = await runtime.scheduler.once_now(noting.handler, {kind: True})
        await noting.starts.count(1)
        job = await runtime.jobs.wait(receipt.job_id, 60)
        outcomes = [a.outcome for a in job.attempts]
        first = AttemptOutcome.FAILED if kind == "fails" else AttemptOutcome.SNOOZED
        assert outcomes == [first, AttemptOutcome.SUCCEEDED]
        [handed_over] = [c for c in faults.calls if c.method == "messages.push" and c.args[0][0].saved]
        assert handed_over.args[0][0].attempt == 2
        await until(lambda: is_empty(agent("A")))
    assert noting.starts.items == [(job.id, 1), (job.id, 2)]


async def is_empty(agent: MemoryAgent) -> bool:
    return await agent.buckets.holdings() == {}


async def test_parked_jobs_are_adopted_through_the_agent(
    distributed: Build, noting: Noting, agent: Agent, master: MemoryMaster
) -> None:
    async with distributed(noting.handler).running() as runtime:
        receipts = [await runtime.scheduler.once_now(UNKNOWN) for _ in range(3)]
        await until(lambda: parked(runtime, 3))
        await until(lambda: is_empty(agent("A")))

        @handler("AgentsHandovers.Unknown")
        async def known_now(job: JobContext) -> None:
            noting.starts.add((job.id, job.attempt))

        async with distributed(known_now).running():
            await ended(runtime, [receipt.job_id for receipt in receipts])
            await until(lambda: is_empty(agent("A")))
            assert await none_is_open(master)
    assert Counter(noting.starts.items) == {(r.job_id, 1): 1 for r in receipts}


async def parked(runtime: Runtime, count: int) -> bool:
    return await runtime.jobs.count(parked=True) == count
