"""Agents and masters that are away: nothing accepted is lost, and who cannot be served is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster import (
    Cluster,
    JobReceipt,
    JobStatus,
    Runtime,
    StoreUnavailableError,
)
from jobmaster.contracts import MasterRepository
from jobmaster.errors import InvalidTransitionError, StoreUnreachableError
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
    return Noting("AgentsOutages.Noting", max_retries=0)


@pytest.fixture
def faults() -> Faults:
    return Faults()


async def each_ran_once(runtime: Runtime, noting: Noting, receipts: Sequence[JobReceipt]) -> None:
    """Wait for the end of jobs, and for longer than any handover could be pushed once more."""
    for receipt in receipts:
        job = await runtime.jobs.wait(receipt.job_id, 120)
        assert (job.status, len(job.attempts), job.attempt) == (JobStatus.SUCCEEDED, 1, 1)
    await anyio.sleep(100)
    assert sorted(noting.starts.items) == sorted((r.job_id, 1) for r in receipts)


async def nothing_is_open(master: MasterRepository) -> bool:
    return not await master.handovers.take_over(CLUSTER, 0, UUID(int=1), 10)


# One agent


async def test_while_an_agent_is_away_new_jobs_go_elsewhere(
    distributed: Build, noting: Noting, faults: Faults
) -> None:
    async with distributed(noting.handler, agents="AB", faults=faults).running() as runtime:
        faults.away.add("A")
        first = await runtime.scheduler.once_many([noting.handler.request() for _ in range(3)])
        later = [await runtime.scheduler.once_now(noting.handler) for _ in range(6)]
        assert {r.accepted_by for r in first} == {"B"}, "who found it out turned to the next"
        assert {r.accepted_by for r in later} == {"B"}
        await each_ran_once(runtime, noting, [*first, *later])
        faults.away.clear()
        back = [await runtime.scheduler.once_now(noting.handler) for _ in range(6)]
        assert {r.accepted_by for r in back} == {"A", "B"}


async def test_while_the_master_is_away_an_agent_takes_what_is_due_soon(
    distributed: Build, noting: Noting, faults: Faults
) -> None:
    async with distributed(noting.handler, agents="A", faults=faults).running() as runtime:
        first = await runtime.scheduler.once_after(noting.handler, 30)
        assert first.accepted_by == "master", "who runs it is found when it is due"
        await runtime.scheduler.once_now(noting.handler)

        faults.away.add(MASTER)
        soon = await runtime.scheduler.once_after(noting.handler, 30)
        assert soon.accepted_by == "A"
        for refused in ({"key": "k"}, {"confirm": "master"}):
            with pytest.raises(StoreUnavailableError):
                await runtime.scheduler.once_after(noting.handler, 30, **refused)
        with pytest.raises(StoreUnavailableError):
            await runtime.scheduler.once_after(noting.handler, 200)
        faults.away.clear()

        for receipt in (first, soon):
            job = await runtime.jobs.wait(receipt.job_id, 120)
            assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)


async def test_that_an_agent_is_away_is_said_once(
    distributed: Build, noting: Noting, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    async with distributed(noting.handler, agents="AB", faults=faults).running() as runtime:
        for _ in range(2):
            faults.away.add("A")
            for _ in range(20):
                await runtime.scheduler.once_now(noting.handler)
                await anyio.sleep(5)
            faults.away.clear()
            await anyio.sleep(60)
            await runtime.scheduler.once_many([noting.handler.request() for _ in range(2)])
            for _ in range(6):
                await runtime.scheduler.once_now(noting.handler)
    said = [r for r in caplog.records if r.name == "jobmaster.scheduler" and r.levelname == "WARNING"]
    assert len(said) == 2


@pytest.mark.usefixtures("bound_early")
async def test_jobs_on_an_agent_that_goes_away_run_when_it_is_back(
    distributed: Build, noting: Noting, faults: Faults
) -> None:
    async with distributed(noting.handler, faults=faults).running() as runtime:
        receipts = await runtime.scheduler.once_many([noting.handler.request(after=5) for _ in range(5)])
        faults.away.add("A")
        await anyio.sleep(30)
        assert noting.starts.items == []
        faults.away.clear()
        await each_ran_once(runtime, noting, receipts)


async def test_what_ended_while_its_agent_was_away_does_not_run_again(
    distributed: Build, noting: Noting, faults: Faults, agent: Agent
) -> None:
    async with distributed(noting.handler, faults=faults).running() as runtime:
        receipt = await runtime.scheduler.once_now(noting.handler, waits=True)
        await noting.starts.count(1)
        faults.away.add("A")
        noting.release.set()
        await anyio.sleep(30)
        assert (await runtime.jobs.get(receipt.job_id)).status is JobStatus.SUCCEEDED
        assert len(await agent("A").buckets.holdings()) == 1
        faults.away.clear()
        await each_ran_once(runtime, noting, [receipt])
        assert await agent("A").buckets.holdings() == {}


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_push_without_an_answer_is_made_up_for_by_the_master(
    distributed: Build, noting: Noting, faults: Faults, master: MemoryMaster, when: Any
) -> None:
    async with distributed(noting.handler, agents="AB", faults=faults).running() as runtime:
        faults.add(Fault("messages.push", when, store="A"))
        receipts = await runtime.scheduler.once_many([noting.handler.request() for _ in range(4)])
        assert {r.accepted_by for r in receipts} == {"master"}
        await each_ran_once(runtime, noting, receipts)
        assert await nothing_is_open(master)


async def test_an_unanswered_push_of_jobs_that_go_on_for_long_starts_none_twice(
    distributed: Build, noting: Noting, faults: Faults, master: MemoryMaster
) -> None:
    async with distributed(noting.handler, faults=faults).running() as runtime:
        faults.add(Fault("messages.push", "after", store="A"))
        receipts = await runtime.scheduler.once_many([noting.handler.request(waits=True) for _ in range(8)])
        await anyio.sleep(100)
        assert faults.made("A", "messages.push") == ["messages.push"], "the handover was pushed again"
        noting.release.set()
        await each_ran_once(runtime, noting, receipts)
        assert await nothing_is_open(master)


# Joining


async def test_an_agent_that_is_away_at_the_start_is_joined_later(
    distributed: Build, noting: Noting, faults: Faults
) -> None:
    faults.away.add("A")
    async with distributed(noting.handler, faults=faults, fallback_patience=None).running() as runtime:
        early = await runtime.scheduler.once_now(noting.handler)
        assert early.accepted_by == "master"
        await anyio.sleep(30)
        assert await runtime.jobs.count(status=JobStatus.HELD_ON_MASTER) == 1
        faults.away.clear()
        await until(lambda: takes_jobs(runtime), timeout=10, what="the worker to be there")
        late = await runtime.scheduler.once_now(noting.handler)
        assert late.accepted_by == "A"
        await each_ran_once(runtime, noting, [early, late])


async def takes_jobs(runtime: Runtime) -> bool:
    return bool(await runtime.master.buckets.list_active(CLUSTER))


async def test_an_agent_that_is_away_at_the_start_holds_up_no_other(
    distributed: Build, noting: Noting, faults: Faults
) -> None:
    faults.away.add("A")
    async with distributed(noting.handler, agents="AB", faults=faults).running() as runtime:
        receipts = [await runtime.scheduler.once_now(noting.handler) for _ in range(3)]
        held = await runtime.scheduler.once_now(noting.handler, confirm="master")
        assert {r.accepted_by for r in receipts} == {"B"}
        await each_ran_once(runtime, noting, [*receipts, held])


# The master


async def test_while_the_master_is_away_jobs_are_accepted_and_run(
    distributed: Build, noting: Noting, faults: Faults, agent: Agent
) -> None:
    async with distributed(noting.handler, lease=60, faults=faults).running() as runtime:
        first = await runtime.scheduler.once_now(noting.handler)
        faults.away.add(MASTER)
        receipts = [first]
        for pause in (1, 1, 20, 1, 1):  # soon, and when what the sender knows of buckets is old
            receipts.append(await runtime.scheduler.once_now(noting.handler))
            await anyio.sleep(pause)
        assert {r.accepted_by for r in receipts} == {"A"}
        assert len(noting.starts.items) == 6
        assert sum((await agent("A").buckets.holdings()).values()) >= 5, (
            "they stay until the master knows of them"
        )
        faults.away.clear()
        await each_ran_once(runtime, noting, receipts)
        assert await agent("A").buckets.holdings() == {}


async def test_a_worker_whose_master_stays_away_for_longer_than_its_lease_takes_part_again(
    distributed: Build, noting: Noting, faults: Faults, agent: Agent
) -> None:
    async with distributed(noting.handler, faults=faults).running() as runtime:
        await runtime.scheduler.once_now(noting.handler)
        await noting.starts.count(1)
        faults.away.add(MASTER)
        await anyio.sleep(14)
        late = await runtime.scheduler.once_now(noting.handler)
        assert late.accepted_by == "A"
        await anyio.sleep(30)
        assert len(noting.starts.items) == 1, "a worker without a lease starts nothing"
        faults.away.clear()
        assert (await runtime.jobs.wait(late.job_id, 60)).status is JobStatus.SUCCEEDED
        await until(lambda: is_empty(agent("A")), timeout=60)


async def is_empty(agent: MemoryAgent) -> bool:
    return await agent.buckets.holdings() == {}


# Both


async def test_with_both_away_the_call_fails_and_nothing_is_stored(
    distributed: Build, noting: Noting, faults: Faults, agent: Agent, master: MemoryMaster
) -> None:
    async with distributed(noting.handler, faults=faults).running() as runtime:
        await runtime.scheduler.once_now(noting.handler)
        await noting.starts.count(1)
        faults.away |= {MASTER, "A"}
        with pytest.raises(StoreUnreachableError, match="master cannot be reached"):
            await runtime.scheduler.once_now(noting.handler)
        with pytest.raises(StoreUnavailableError):
            await runtime.scheduler.once_many([noting.handler.request() for _ in range(3)])
        faults.away.clear()
        await anyio.sleep(60)
        assert await runtime.jobs.count() == 1
        assert await agent("A").buckets.holdings() == {}
        assert await nothing_is_open(master)
    assert len(noting.starts.items) == 1


async def test_nothing_half_accepted_of_an_unanswered_push_remains_a_riddle(
    distributed: Build, noting: Noting, faults: Faults, agent: Agent
) -> None:
    """The push did not arrive, and the master is away: the call fails, and its jobs never run."""
    async with distributed(noting.handler, faults=faults).running() as runtime:
        await runtime.scheduler.once_now(noting.handler)
        faults.add(Fault("messages.push", store="A"))
        faults.away.add(MASTER)
        with pytest.raises(StoreUnavailableError):
            await runtime.scheduler.once_many([noting.handler.request() for _ in range(3)])
        faults.away.clear()
        await anyio.sleep(100)
        assert (await runtime.jobs.count(), await agent("A").buckets.holdings()) == (1, {})


async def test_a_push_without_an_answer_and_no_master_is_not_said_to_be_refused(
    distributed: Build, noting: Noting, faults: Faults
) -> None:
    async with distributed(noting.handler, faults=faults).running() as runtime:
        await runtime.scheduler.once_now(noting.handler)
        faults.add(Fault("messages.push", "after", store="A"))
        faults.away.add(MASTER)
        with pytest.raises(StoreUnavailableError, match="may have been accepted") as caught:
            await runtime.scheduler.once_now(noting.handler)
        assert not isinstance(caught.value, StoreUnreachableError)
        faults.away.clear()


@pytest.mark.usefixtures("bound_early")
async def test_a_job_that_only_an_agent_knows_is_not_one_to_be_retried(
    distributed: Build, noting: Noting
) -> None:
    async with distributed(noting.handler).running() as runtime:
        receipt = await runtime.scheduler.once_after(noting.handler, 60)
        with pytest.raises(InvalidTransitionError, match="only a finished job can be retried"):
            await runtime.scheduler.retry(receipt.job_id)
