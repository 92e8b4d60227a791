"""Cancelling and rescheduling jobs of a distributed cluster, wherever they are at that moment."""

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
    JobNotFoundError,
    JobStatus,
    Runtime,
    StoreUnavailableError,
)
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.faults import MASTER, Fault, Faults
from jobmaster_testing.noting import Noting
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Agent = Callable[[str], MemoryAgent]

CLUSTER = "Test-1"


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
def noting() -> Noting:
    return Noting("AgentsChanging.Noting")


async def ended_as(runtime: Runtime, job_id: UUID, status: JobStatus) -> bool:
    return (await runtime.jobs.get(job_id)).status is status


async def is_empty(agent: MemoryAgent) -> bool:
    return await agent.buckets.holdings() == {}


async def cancelled_for_good(runtime: Runtime, agent: MemoryAgent, job_id: UUID) -> None:
    """Wait for a cancelled job to end, for its message to leave the agent, and some time longer."""
    await until(lambda: ended_as(runtime, job_id, JobStatus.CANCELLED), timeout=60)
    await until(lambda: is_empty(agent), timeout=60, what="the message to leave the agent")
    await anyio.sleep(200)
    assert list((await runtime.jobs.get(job_id)).attempts) == []


# Cancelling


@pytest.mark.usefixtures("bound_early")
@pytest.mark.parametrize(("save_after", "known"), [(50.0, False), (1.0, True)])
async def test_a_job_that_waits_on_an_agent_is_cancelled(
    distributed: Build, agent: Agent, master: MemoryMaster, noting: Noting, save_after: float, known: bool
) -> None:
    async with distributed(noting.handler, save_after=save_after).running() as runtime:
        receipt = await runtime.scheduler.once_after(noting.handler, 100)
        await anyio.sleep(10)
        assert (await master.jobs.get(CLUSTER, receipt.job_id) is not None) is known
        assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.REQUESTED
        await cancelled_for_good(runtime, agent("A"), receipt.job_id)
    assert noting.starts.items == []


async def test_a_job_that_runs_is_stopped(distributed: Build, agent: Agent, noting: Noting) -> None:
    async with distributed(noting.handler, beat=50).running() as runtime:
        receipt = await runtime.scheduler.once_now(noting.handler, waits=True)
        await noting.starts.count(1)
        assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.REQUESTED
        job = await runtime.jobs.wait(receipt.job_id, 10)
        assert (job.status, [a.outcome for a in job.attempts]) == (
            JobStatus.CANCELLED,
            [AttemptOutcome.CANCELLED],
        )
        await until(lambda: is_empty(agent("A")))


async def test_a_job_that_waits_for_a_slot_is_cancelled(distributed: Build, noting: Noting) -> None:
    cluster = distributed(noting.handler, workers=[{"parallelism": 0.01}])
    async with cluster.running() as runtime:
        await runtime.scheduler.once_now(noting.handler, waits=True)
        await noting.starts.count(1)
        second = await runtime.scheduler.once_now(noting.handler)
        assert await runtime.scheduler.cancel(second.job_id) is CancelResult.REQUESTED
        await until(lambda: ended_as(runtime, second.job_id, JobStatus.CANCELLED))
        noting.release.set()
    assert len(noting.starts.items) == 1


async def test_a_job_that_is_handed_over_and_not_pushed_yet_is_cancelled(
    distributed: Build, agent: Agent, noting: Noting
) -> None:
    faults = Faults()
    async with distributed(noting.handler, faults=faults).running() as runtime:
        with faults.held_up("A", "messages.push") as gate:
            receipt = await runtime.scheduler.once_now(noting.handler, confirm="master")
            await gate.reached.wait()
            assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.REQUESTED
            await until(lambda: ended_as(runtime, receipt.job_id, JobStatus.CANCELLED))
        await cancelled_for_good(runtime, agent("A"), receipt.job_id)
    assert noting.starts.items == []


@pytest.mark.usefixtures("bound_early")
async def test_a_job_whose_owner_dies_before_it_hears_of_the_request_does_not_run(
    distributed: Build, noting: Noting
) -> None:
    dying = Faults()
    mortal = distributed(noting.handler, faults=dying)
    async with distributed(noting.handler, workers=()).running() as runtime, mortal.running():
        receipt = await runtime.scheduler.once_after(noting.handler, 12)
        dying.away |= {MASTER, "A"}
        assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.REQUESTED
        async with distributed(noting.handler).running():
            await until(lambda: ended_as(runtime, receipt.job_id, JobStatus.CANCELLED), timeout=200)
    assert noting.starts.items == []


async def test_a_held_job_is_cancelled_at_once_and_a_finished_one_is_too_late(
    distributed: Build, noting: Noting
) -> None:
    async with distributed(noting.handler).running() as runtime:
        held = await runtime.scheduler.once_after(noting.handler, 3600)
        done = await runtime.scheduler.once_now(noting.handler)
        await runtime.jobs.wait(done.job_id, 10)
        assert await runtime.scheduler.cancel_many([held.job_id, done.job_id]) == [
            CancelResult.CANCELLED,
            CancelResult.TOO_LATE,
        ]
        with pytest.raises(JobNotFoundError):
            await runtime.scheduler.cancel(UUID(int=7))


async def test_a_job_that_is_about_to_be_due_is_cancelled_by_its_owner(
    distributed: Build, noting: Noting
) -> None:
    """In a standalone cluster, where it is due before the bucket's row could be taken away for certain."""
    async with distributed(noting.handler, agents="", workers=[{}]).running() as runtime:
        receipt = await runtime.scheduler.once_after(noting.handler, 0.05)
        assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.REQUESTED
        job = await runtime.jobs.wait(receipt.job_id, 10)
        assert (job.status, list(job.attempts)) == (JobStatus.CANCELLED, [])
        soon = await runtime.scheduler.once_after(noting.handler, 0.05)
        with pytest.raises(InvalidTransitionError, match="only a job that still waits"):
            await runtime.scheduler.reschedule(soon.job_id, 30)
    assert receipt.job_id not in {job_id for job_id, _ in noting.starts.items}


async def test_a_job_that_ends_while_it_is_looked_for_is_found(distributed: Build, noting: Noting) -> None:
    """Its report is written after the master said that it knows no such job, and before the agent is asked."""
    faults, answers = Faults(), list[CancelResult]()
    client = distributed(noting.handler, workers=(), faults=faults)
    async with distributed(noting.handler).running(), client.running() as runtime:
        receipt = await runtime.scheduler.once_now(noting.handler, waits=True)
        await noting.starts.count(1)

        async def cancel() -> None:
            answers.append(await runtime.scheduler.cancel(receipt.job_id))

        with faults.held_up("A", "messages.find") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(cancel)
                await gate.reached.wait()
                noting.release.set()
                await anyio.sleep(1)
                gate.opened.set()
    assert answers == [CancelResult.TOO_LATE]


@pytest.mark.usefixtures("bound_early")
async def test_while_its_agent_is_away_a_job_is_not_said_to_be_unknown(
    distributed: Build, noting: Noting
) -> None:
    faults = Faults()
    async with distributed(noting.handler, save_after=90, faults=faults).running() as runtime:
        receipt = await runtime.scheduler.once_after(noting.handler, 100)
        faults.away.add("A")
        for ask in (runtime.jobs.get, runtime.scheduler.cancel):
            with pytest.raises(StoreUnavailableError, match="agent A"):
                await ask(receipt.job_id)
        with pytest.raises(StoreUnavailableError, match="agent A"):
            await runtime.scheduler.reschedule(receipt.job_id, 5)
        faults.away.clear()
        assert (await runtime.jobs.get(receipt.job_id)).status is JobStatus.SAVE_PENDING


@pytest.mark.usefixtures("bound_early")
async def test_waiting_goes_on_while_its_agent_is_away(
    distributed: Build, noting: Noting, caplog: pytest.LogCaptureFixture
) -> None:
    faults = Faults()
    async with distributed(noting.handler, save_after=90, faults=faults).running() as runtime:
        receipt = await runtime.scheduler.once_after(noting.handler, 50)
        faults.away.add("A")
        with pytest.raises(TimeoutError, match=f"{receipt.job_id} .* within 40 s: .*agent A cannot be asked"):
            await runtime.jobs.wait(receipt.job_id, 40)
        async with anyio.create_task_group() as group:
            group.start_soon(_come_back, faults)
            job = await runtime.jobs.wait(receipt.job_id)
    assert job.status is JobStatus.SUCCEEDED
    assert [r.name for r in caplog.records].count("jobmaster.jobs") == 2, "once for each time it waited"


@pytest.mark.usefixtures("bound_early")
@pytest.mark.parametrize("agents", ["", "A"])
async def test_waiting_goes_on_while_the_master_is_away(
    distributed: Build, noting: Noting, agents: str
) -> None:
    faults = Faults()
    workers = [{"agent": name} for name in agents] or [{}]
    async with distributed(
        noting.handler, agents=agents, workers=workers, faults=faults
    ).running() as runtime:
        receipt = await runtime.scheduler.once_after(noting.handler, 20)
        faults.away.add(MASTER)
        with pytest.raises(TimeoutError, match=r"within 5 s: master cannot be reached"):
            await runtime.jobs.wait(receipt.job_id, 5)
        async with anyio.create_task_group() as group:
            group.start_soon(_come_back, faults)
            job = await runtime.jobs.wait(receipt.job_id, 60)
    assert job.status is JobStatus.SUCCEEDED


async def _come_back(faults: Faults) -> None:
    await anyio.sleep(3)
    faults.away.clear()


# Rescheduling


@pytest.mark.usefixtures("bound_early")
@pytest.mark.parametrize("save_after", [50.0, 1.0])
@pytest.mark.parametrize("delay", [5, 300])
async def test_a_job_that_waits_on_an_agent_is_rescheduled(
    distributed: Build, noting: Noting, master: MemoryMaster, save_after: float, delay: float
) -> None:
    async with distributed(noting.handler, save_after=save_after).running() as runtime:
        receipt = await runtime.scheduler.once_after(noting.handler, 60)
        await anyio.sleep(10)
        asked_at = anyio.current_time()
        await runtime.scheduler.reschedule(receipt.job_id, delay)
        await noting.starts.count(1, timeout=400)
        assert anyio.current_time() - asked_at == pytest.approx(delay, abs=0.5)
        job = await runtime.jobs.wait(receipt.job_id, 10)
        assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)
        await anyio.sleep(200)
        assert await master.handovers.take_over(CLUSTER, 0, UUID(int=1), 10) == []
    assert len(noting.starts.items) == 1


async def test_a_job_in_hand_is_not_rescheduled(
    distributed: Build, noting: Noting, master: MemoryMaster
) -> None:
    async with distributed(noting.handler).running() as runtime:
        receipt = await runtime.scheduler.once_now(noting.handler, waits=True)
        await noting.starts.count(1)
        with pytest.raises(InvalidTransitionError, match="only a job that still waits"):
            await runtime.scheduler.reschedule(receipt.job_id, 5)
        assert await master.handovers.take_over(CLUSTER, 0, UUID(int=1), 10) == []
        noting.release.set()
        assert (await runtime.jobs.wait(receipt.job_id, 10)).status is JobStatus.SUCCEEDED
    assert len(noting.starts.items) == 1


@pytest.mark.usefixtures("bound_early")
async def test_a_job_on_its_way_to_a_bucket_is_not_rescheduled(distributed: Build, noting: Noting) -> None:
    faults = Faults()
    async with distributed(noting.handler, faults=faults).running() as runtime:
        with faults.held_up("A", "messages.push") as gate:
            receipt = await runtime.scheduler.once_after(noting.handler, 60, confirm="master")
            await gate.reached.wait()
            with pytest.raises(InvalidTransitionError, match="only a job that still waits"):
                await runtime.scheduler.reschedule(receipt.job_id, 300)
        await noting.starts.count(1, timeout=61)
        assert (await runtime.jobs.wait(receipt.job_id, 10)).status is JobStatus.SUCCEEDED


@pytest.mark.usefixtures("bound_early")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("store", "method"),
    [
        ("A", "messages.find"),
        ("A", "messages.withdraw"),
        (MASTER, "handovers.open"),
        (MASTER, "requests.reschedule"),
    ],
)
async def test_a_rescheduling_that_fails_half_way_loses_nothing(
    distributed: Build, noting: Noting, store: str, method: str, when: Any
) -> None:
    faults = Faults([Fault(method, when, store=store)])
    async with distributed(noting.handler, save_after=1, faults=faults).running() as runtime:
        receipt = await runtime.scheduler.once_after(noting.handler, 60)
        await anyio.sleep(5)
        with pytest.raises(StoreUnavailableError):
            await runtime.scheduler.reschedule(receipt.job_id, 30)
        job = await runtime.jobs.wait(receipt.job_id, 200)
        await anyio.sleep(100)
        assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)
    assert [fault.hits for fault in faults.faults] == [1]
    assert len(noting.starts.items) == 1
