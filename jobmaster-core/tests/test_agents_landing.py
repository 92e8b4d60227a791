"""Where jobs of a distributed cluster land, what their way costs the master, and how they can be seen meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster import Cluster, JobContext, JobReceipt, JobStatus, Priority, Runtime, handler
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.faults import MASTER, Faults
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Agent = Callable[[str], MemoryAgent]

WRITES = ("jobs.insert", "outcomes.report", "outcomes.mark", "assignments.assign_due", "handovers.hand_over")
"""What a job could be written to the master by."""


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@handler("AgentsLanding.Quick", lane="default")
async def quick(_: JobContext) -> None: ...


@handler("AgentsLanding.Urgent", priority=Priority.CRITICAL)
async def urgent(_: JobContext) -> None: ...


class Long:
    """A handler that runs until it is released."""

    def __init__(self) -> None:
        self.started, self.release = Seen[UUID](), anyio.Event()
        self.handler = handler("AgentsLanding.Long", timeout=None)(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def long(job: JobContext) -> None:
            self.started.add(job.id)
            await self.release.wait()

        return long


async def all_succeeded(runtime: Runtime, receipts: Sequence[JobReceipt]) -> None:
    for receipt in receipts:
        assert (await runtime.jobs.wait(receipt.job_id, 300)).status is JobStatus.SUCCEEDED


# Where they go


async def test_a_job_that_is_due_now_goes_to_an_agent(distributed: Build) -> None:
    async with distributed(quick).running() as runtime:
        receipt = await runtime.scheduler.once_now(quick)
        assert receipt.accepted_by == "A"
        await all_succeeded(runtime, [receipt])


@pytest.mark.parametrize("after", [0.2, 100])
async def test_a_job_that_is_due_later_waits_on_the_master_until_then(
    distributed: Build, agent: Agent, after: float
) -> None:
    """By then another worker may be the one that is free."""
    async with distributed(quick).running() as runtime:
        receipt = await runtime.scheduler.once_after(quick, after)
        assert receipt.accepted_by == "master"
        await anyio.sleep(after - 0.15)
        assert (await runtime.jobs.get(receipt.job_id)).status is JobStatus.HELD_ON_MASTER
        assert await is_empty(agent("A"))
        await all_succeeded(runtime, [receipt])
        job = await runtime.jobs.get(receipt.job_id)
        assert job.attempts[0].started_at is not None
        assert job.attempts[0].started_at - job.scheduled_at < timedelta(seconds=0.1)


async def test_a_job_that_is_due_at_once_by_the_time_it_gets_there_goes_to_an_agent(
    distributed: Build,
) -> None:
    async with distributed(quick).running() as runtime:
        receipt = await runtime.scheduler.once_after(quick, 0.05)
        assert receipt.accepted_by == "A"
        await all_succeeded(runtime, [receipt])


@pytest.mark.parametrize("options", [{"key": "order-7"}, {"after": 121}, {"confirm": "master"}])
async def test_what_only_the_master_can_promise_goes_there(
    distributed: Build, master: MemoryMaster, options: dict[str, Any]
) -> None:
    faults = Faults()
    async with distributed(quick, workers=[{"mode": "execution"}], faults=faults).running() as runtime:
        [receipt] = await runtime.scheduler.once_many([quick.request(**options)])
        assert receipt.accepted_by == "master"
        assert await master.jobs.get("Test-1", receipt.job_id) is not None
        assert faults.made("A", "messages.push") == []
        async with distributed(quick).running() as consumer:
            await all_succeeded(consumer, [receipt])


@pytest.mark.parametrize("worker", [{"lane": "Elsewhere"}, {"buckets": {Priority.MEDIUM: 0}}])
async def test_a_job_for_which_there_is_no_bucket_waits_on_the_master(
    distributed: Build, worker: dict[str, Any]
) -> None:
    async with distributed(quick, workers=[worker], fallback_patience=None).running() as runtime:
        receipt = await runtime.scheduler.once_now(quick)
        assert receipt.accepted_by == "master"
        async with distributed(quick).running():
            await all_succeeded(runtime, [receipt])


@pytest.mark.parametrize(
    ("second", "takes_both"),
    [
        (urgent.request(), "A"),
        (urgent.request(after=3600), "master"),
        (urgent.request(key="k"), "master"),
        (quick.request(lane="Nobodys"), "master"),
    ],
)
async def test_the_jobs_of_one_call_go_one_way(distributed: Build, second: Any, takes_both: str) -> None:
    async with distributed(quick, urgent).running() as runtime:
        receipts = await runtime.scheduler.once_many([quick.request(), second])
        assert [r.accepted_by for r in receipts] == [takes_both] * 2


async def test_jobs_go_to_the_agent_that_has_a_bucket_for_each_of_them(distributed: Build) -> None:
    workers = [{"agent": "A", "buckets": {Priority.CRITICAL: 0}}, {"agent": "B"}]
    async with distributed(quick, urgent, agents="AB", workers=workers).running() as runtime:
        receipts = await runtime.scheduler.once_many([quick.request(), urgent.request()])
        assert [r.accepted_by for r in receipts] == ["B"] * 2


async def test_a_mixed_call_runs_whatever_way_it_went(distributed: Build) -> None:
    requests = [quick.request(), urgent.request(after=5), quick.request(key="k"), quick.request(after=130)]
    async with distributed(quick, urgent, agents="AB").running() as runtime:
        await all_succeeded(runtime, await runtime.scheduler.once_many(requests))


async def test_jobs_are_spread_over_agents(distributed: Build) -> None:
    long = Long()
    async with distributed(long.handler, agents="ABC").running() as runtime:
        receipts = [await runtime.scheduler.once_now(long.handler) for _ in range(30)]
        assert Counter(r.accepted_by for r in receipts) == {"A": 10, "B": 10, "C": 10}
        long.release.set()
        await all_succeeded(runtime, receipts)


async def test_an_agent_gets_its_share_by_weight(distributed: Build) -> None:
    long = Long()
    cluster = distributed(long.handler)
    cluster.add_agent("Big", f"{cluster.master_url}-Big", weight=3).add_worker(agent="Big")
    async with cluster.running() as runtime:
        receipts = [await runtime.scheduler.once_now(long.handler) for _ in range(40)]
        assert Counter(r.accepted_by for r in receipts) == {
            "A": pytest.approx(10, abs=1),
            "Big": pytest.approx(30, abs=1),
        }
        long.release.set()
        await all_succeeded(runtime, receipts)


async def test_callers_that_come_at_the_same_time_are_shared_out_by_weight(distributed: Build) -> None:
    long = Long()
    cluster = distributed(long.handler, agents="AB")
    cluster.add_agent("Big", f"{cluster.master_url}-Big", weight=2).add_worker(agent="Big")
    accepted: Counter[str] = Counter()
    async with cluster.running() as runtime:

        async def call() -> None:
            accepted[(await runtime.scheduler.once_now(long.handler)).accepted_by] += 1

        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(call)
        assert accepted == {
            "A": pytest.approx(10, abs=2),
            "B": pytest.approx(10, abs=2),
            "Big": pytest.approx(20, abs=2),
        }
        long.release.set()


# What they cost


async def test_a_short_job_costs_the_master_one_write(distributed: Build, agent: Agent) -> None:
    faults = Faults()
    async with distributed(quick, faults=faults, workers=[{"mode": "execution"}]).running() as runtime:
        faults.calls.clear()
        for _ in range(5):
            await all_succeeded(runtime, [await runtime.scheduler.once_now(quick)])
        assert faults.made(MASTER, *WRITES) == ["outcomes.report"] * 5
        assert faults.made("A", "messages.push") == ["messages.push"] * 5
        await until(lambda: is_empty(agent("A")))


async def is_empty(agent: MemoryAgent) -> bool:
    return await agent.buckets.holdings() == {}


async def test_a_message_leaves_the_agent_after_its_report_is_written(distributed: Build) -> None:
    faults = Faults()
    async with distributed(quick, faults=faults).running() as runtime:
        with faults.held_up(MASTER, "outcomes.report") as gate:
            await runtime.scheduler.once_now(quick)
            await gate.reached.wait()
            await anyio.sleep(5)
            assert faults.made("A", "messages.acknowledge") == []
        await until(lambda: faults.made("A", "messages.acknowledge"))
    steps = [
        c.method
        for c in faults.calls
        if c.method in ("messages.push", "outcomes.report", "messages.acknowledge")
    ]
    assert steps == ["messages.push", "outcomes.report", "messages.acknowledge"]


# How they are seen


@pytest.mark.usefixtures("bound_early")
async def test_a_job_that_only_an_agent_knows_is_shown_as_save_pending(
    distributed: Build, master: MemoryMaster
) -> None:
    async with distributed(quick, save_after=50).running() as runtime:
        receipt = await runtime.scheduler.once_after(quick, 30, {"n": 7})
        job = await runtime.jobs.get(receipt.job_id)
        assert (job.status, job.attempt, list(job.attempts)) == (JobStatus.SAVE_PENDING, 1, [])
        assert (job.data["n"], job.ready_at) == (7, job.scheduled_at)
        assert await master.jobs.get("Test-1", receipt.job_id) is None
        assert (await runtime.jobs.wait(receipt.job_id, 60)).status is JobStatus.SUCCEEDED


@pytest.mark.usefixtures("bound_early")
async def test_a_job_that_has_to_wait_is_saved_after_a_while(
    distributed: Build, agent: Agent, master: MemoryMaster
) -> None:
    async with distributed(quick, save_after=2).running() as runtime:
        receipt = await runtime.scheduler.once_after(quick, 60)
        await anyio.sleep(1.5)
        assert await master.jobs.get("Test-1", receipt.job_id) is None
        await anyio.sleep(2)
        job = await master.jobs.get("Test-1", receipt.job_id)
        assert job is not None
        assert job.status is JobStatus.ASSIGNED_TO_BUCKET
        assert job.ready_at is not None
        assert abs(job.ready_at - job.scheduled_at) < timedelta(seconds=0.1)
        assert [b.save_pending for b in (await agent("A").buckets.backlog("Test-1")).values()] == [0]
        await all_succeeded(runtime, [receipt])
    assert await agent("A").buckets.holdings() == {}


async def test_jobs_that_wait_for_a_slot_are_saved_too(distributed: Build) -> None:
    long = Long()
    async with distributed(long.handler, workers=[{"batch_size": 5}]).running() as runtime:
        receipts = await runtime.scheduler.once_many([long.handler.request() for _ in range(40)])
        await until(lambda: known(runtime, 40), what="all to be known to the master")
        counts = await runtime.jobs.count_by_status()
        assert counts[JobStatus.PROCESSING] == 5
        long.release.set()
        await all_succeeded(runtime, receipts)
    assert len(long.started.items) == len(set(long.started.items)) == 40


async def known(runtime: Runtime, count: int) -> bool:
    return await runtime.jobs.count() == count


async def test_a_job_that_lasts_is_shown_where_it_runs(distributed: Build) -> None:
    long = Long()
    async with distributed(long.handler).running() as runtime:
        receipt = await runtime.scheduler.once_now(long.handler)
        await long.started.count(1)
        await until(lambda: has_status(runtime, receipt.job_id, JobStatus.PROCESSING))
        long.release.set()
        job = await runtime.jobs.wait(receipt.job_id, 10)
    assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)


async def has_status(runtime: Runtime, job_id: UUID, status: JobStatus) -> bool:
    return (await runtime.jobs.get(job_id)).status is status
