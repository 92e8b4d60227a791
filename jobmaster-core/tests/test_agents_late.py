"""Messages that come late: when they arrive, their attempts are over, and nobody may start them any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster import (
    AttemptOutcome,
    CancelResult,
    Cluster,
    InvalidTransitionError,
    JobStatus,
    Runtime,
)
from jobmaster._upkeep.rescue import Rescue
from jobmaster.contracts import Message, Room
from jobmaster.ids import new_id
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import Cursor, Job, NewJob
from jobmaster_testing.clock import VirtualClock
from jobmaster_testing.factories import make_bucket, make_new_job, make_report, make_worker
from jobmaster_testing.faults import MASTER, Fault, Faults
from jobmaster_testing.noting import Noting
from jobmaster_testing.probes import until
from jobmaster_testing.reach import Within

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Agent = Callable[[str], MemoryAgent]

CLUSTER = "Test-1"
LONG = 300.0
"""Seconds after which nobody reckons with a push any more: each handover has been retaken and closed."""


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
def noting() -> Noting:
    return Noting("AgentsLate.Noting")


async def ended(runtime: Runtime, job_id: UUID) -> Job:
    return (await runtime.jobs.wait(job_id, 60)).job


async def is_empty(agent: MemoryAgent) -> bool:
    return await agent.buckets.holdings() == {}


async def removed(agent: MemoryAgent) -> None:
    await until(lambda: is_empty(agent), timeout=60, what="the message to leave the agent")


async def push_again(agent: MemoryAgent, job: Job, bucket_id: UUID, *, saved: bool = True) -> None:
    """Have a pusher push a message that it got from the master before its job ended."""
    await agent.messages.push([Message(new=NewJob(job=job, bucket_id=bucket_id), saved=saved)])


async def cancel_on_its_way(runtime: Runtime, noting: Noting, gate: Any) -> UUID:
    """Cancel a job that a coordinator is about to push; return its id when the master has it as cancelled."""
    receipt = await runtime.scheduler.once_now(noting.handler, confirm="master")
    await gate.reached.wait()
    assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.REQUESTED
    assert (await runtime.jobs.wait(receipt.job_id, 60)).status is JobStatus.CANCELLED
    return receipt.job_id


# Cancelled


@pytest.mark.parametrize("later", [0.0, LONG])
async def test_a_job_that_is_cancelled_before_its_message_comes_never_runs(
    distributed: Build, agent: Agent, noting: Noting, later: float
) -> None:
    """Its owner has to write the end twice, because the first answer gets lost: the second time, it is stale."""
    faults = Faults([Fault("outcomes.report", "after", store=MASTER)])
    async with distributed(noting.handler, faults=faults).running() as runtime:
        with faults.held_up("A", "messages.push") as gate:
            await cancel_on_its_way(runtime, noting, gate)
            await until(lambda: reported_twice(faults), timeout=60)
            await anyio.sleep(later)
            other = await run_another(distributed, runtime, noting)
        await removed(agent("A"))
        await anyio.sleep(LONG)
    assert noting.starts.items == [(other, 1)]


async def run_another(distributed: Build, runtime: Runtime, noting: Noting) -> UUID:
    """Have another coordinator hand over another job, whose end makes its owner forget what ended long ago."""
    async with distributed(noting.handler, workers=[{"mode": "coordinator"}]).running():
        receipt = await runtime.scheduler.once_now(noting.handler, confirm="master")
        await ended(runtime, receipt.job_id)
    return receipt.job_id


async def reported_twice(faults: Faults) -> bool:
    return faults.made(MASTER, "outcomes.report", "outcomes.ended_attempts") == [
        "outcomes.report",
        "outcomes.ended_attempts",
    ]


@pytest.mark.parametrize("saved", [True, False])
async def test_a_job_that_is_cancelled_in_line_does_not_run_when_its_message_comes_again(
    distributed: Build, agent: Agent, noting: Noting, saved: bool
) -> None:
    """Its producer got no answer: the message came to the bucket, and comes once more by a handover, much later."""
    cluster = distributed(noting.handler, workers=[{"parallelism": 0.01}], beat=5 * LONG, save_after=5 * LONG)
    async with cluster.running() as runtime:
        first = await runtime.scheduler.once_now(noting.handler, waits=True)
        await noting.starts.count(1)
        second = await runtime.scheduler.once_now(noting.handler, confirm="master" if saved else None)
        await until(lambda: lies_on(agent("A"), 2))
        [message] = await agent("A").messages.find([second.job_id])
        assert await runtime.scheduler.cancel(second.job_id) is CancelResult.REQUESTED
        job = await ended(runtime, second.job_id)
        await anyio.sleep(LONG)
        assert message.new.bucket_id is not None
        await push_again(agent("A"), job, message.new.bucket_id)
        noting.release.set()
        await removed(agent("A"))
    assert noting.starts.items == [(first.job_id, 1)]


async def lies_on(agent: MemoryAgent, count: int) -> bool:
    return sum((await agent.buckets.holdings()).values()) == count


@pytest.mark.parametrize("leaves", ["stops", "dies", "registers anew"])
async def test_a_job_that_is_cancelled_does_not_run_when_its_owner_leaves_before_its_message_comes(
    distributed: Build, master: MemoryMaster, agent: Agent, noting: Noting, leaves: str
) -> None:
    carrying, owning = Faults(), Faults()
    coordinator = distributed(noting.handler, workers=[{"mode": "coordinator"}], faults=carrying)
    first = distributed(noting.handler, workers=[{"mode": "execution"}], faults=owning)
    second = distributed(noting.handler, workers=[{"mode": "execution"}])
    async with coordinator.running() as runtime:
        with carrying.held_up("A", "messages.push") as gate:
            async with first.running():
                await cancel_on_its_way(runtime, noting, gate)
                if leaves != "stops":
                    owning.away |= {MASTER, "A"}
                    await anyio.sleep(60)
                if leaves == "registers anew":
                    owning.away.clear()
                    await anyio.sleep(60)
                    gate.opened.set()
                    await removed_for_good(agent("A"))
            async with second.running():
                gate.opened.set()
                await removed_for_good(agent("A"))
                assert await master.handovers.take_over(CLUSTER, 0, UUID(int=1), 10) == []
    assert noting.starts.items == []


async def removed_for_good(agent: MemoryAgent) -> None:
    await anyio.sleep(1)
    await removed(agent)
    await anyio.sleep(LONG)


@pytest.mark.parametrize("unanswered", [0, 1])
async def test_a_job_that_is_cancelled_and_retried_runs_once_whenever_its_first_message_comes(
    distributed: Build, agent: Agent, noting: Noting, unanswered: int
) -> None:
    faults = Faults([Fault("outcomes.report", "after", count=unanswered, store=MASTER)])
    async with distributed(noting.handler, faults=faults).running() as runtime:
        with faults.held_up("A", "messages.push") as gate:
            job_id = await cancel_on_its_way(runtime, noting, gate)
            other = distributed(noting.handler, workers=[{"mode": "coordinator"}])
            async with other.running():
                await runtime.scheduler.retry(job_id)
                assert (await runtime.jobs.wait(job_id, 60)).status is JobStatus.SUCCEEDED
        await removed(agent("A"))
        await anyio.sleep(LONG)
    assert noting.starts.items == [(job_id, 2)]


# Ended


async def test_a_job_whose_end_is_written_twice_does_not_run_when_its_message_comes_again(
    distributed: Build, agent: Agent, noting: Noting
) -> None:
    faults = Faults([Fault("outcomes.report", "after", store=MASTER)])
    async with distributed(noting.handler, faults=faults).running() as runtime:
        receipt = await runtime.scheduler.once_now(noting.handler, confirm="master")
        job = await ended(runtime, receipt.job_id)
        await removed(agent("A"))
        [attempt] = (await runtime.jobs.get(receipt.job_id)).attempts
        assert attempt.bucket_id is not None
        await push_again(agent("A"), job, attempt.bucket_id)
        await removed(agent("A"))
    assert noting.starts.items == [(receipt.job_id, 1)]


async def test_a_late_message_costs_the_next_attempt_nothing_when_its_owner_dies(
    master: MemoryMaster, agent: Agent, virtual_clock: VirtualClock
) -> None:
    """The message of the first attempt was handed out once more; the second one waits, and nobody had it in hand."""
    worker, rescuer = make_worker(cluster_id=CLUSTER, agent="A"), make_worker(cluster_id=CLUSTER, agent="A")
    bucket = make_bucket(worker)
    await agent("A").buckets.create([bucket])
    await master.workers.register(worker, [bucket], 60)
    await master.workers.register(rescuer, [], 600)
    await master.jobs.insert([make_new_job(cluster_id=CLUSTER)])
    job = await run_in(master, agent("A"), bucket)
    await push_again(agent("A"), job, bucket.id)
    assert len((await agent("A").claims.pull(bucket, Cursor(), 10)).claims) == 1
    await hand_over(master, agent("A"), bucket)
    await master.workers.retire(worker.id)

    await Rescue(CLUSTER, master, Within({"A": agent("A")}), virtual_clock).run_once(rescuer.id)

    record = await master.jobs.get(CLUSTER, job.id)
    assert record is not None
    assert (record.status, record.attempt) == (JobStatus.HELD_ON_MASTER, 2)
    assert [attempt.outcome for attempt in record.attempts] == [AttemptOutcome.FAILED]
    assert await is_empty(agent("A"))


async def hand_over(master: MemoryMaster, agent: MemoryAgent, bucket: Any) -> None:
    room = Room(bucket_id=bucket.id, lane=bucket.lane, priority=bucket.priority, free=1)
    [handover] = (await master.handovers.hand_over(CLUSTER, 60, [room], new_id())).handovers
    await agent.messages.push(handover.messages)
    await master.handovers.close([handover.id])


async def run_in(master: MemoryMaster, agent: MemoryAgent, bucket: Any) -> Job:
    """Hand a job over to a bucket, and let its first attempt fail there."""
    await hand_over(master, agent, bucket)
    [claim] = (await agent.claims.pull(bucket, Cursor(), 10)).claims
    failed = make_report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.FAILED, retries=1)
    assert await master.outcomes.report([failed]) == frozenset()
    await agent.messages.acknowledge(bucket, [(claim.job.id, claim.attempt)])
    return claim.job


# Rescheduled


@pytest.mark.usefixtures("bound_early")
async def test_a_job_whose_message_may_be_pushed_again_is_not_rescheduled(
    distributed: Build, master: MemoryMaster, noting: Noting
) -> None:
    """Pushed again after it was withdrawn, it would run at its old time, and at the new one once more."""
    faults = Faults([Fault("messages.push", "after", store="A")])
    async with distributed(noting.handler, faults=faults).running() as runtime:
        receipt = await runtime.scheduler.once_after(noting.handler, 60, confirm="master")
        await anyio.sleep(5)
        with pytest.raises(InvalidTransitionError, match="only a job that still waits"):
            await runtime.scheduler.reschedule(receipt.job_id, 20)
        await until(lambda: nothing_is_open(master), timeout=50)
        await runtime.scheduler.reschedule(receipt.job_id, 20)
        await ended(runtime, receipt.job_id)
        await anyio.sleep(LONG)
    assert noting.starts.items == [(receipt.job_id, 1)]


async def nothing_is_open(master: MemoryMaster) -> bool:
    return not master.rows.tables.handovers
