"""Messages on their way out of an agent: not before the master has what became of their jobs, and then for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from jobmaster import Cluster, JobContext, handler
from jobmaster._flow.ownership import Finished, OwnedBucket, WorkerLease
from jobmaster._pipeline.acknowledge import Acknowledge
from jobmaster.contracts import Message, Room
from jobmaster.errors import LeaseLostError
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import Claim, Cursor, NewJob
from jobmaster.states import JobStatus
from jobmaster_testing.clock import HandMovedClock
from jobmaster_testing.factories import make_bucket, make_new_job, make_report, make_worker
from jobmaster_testing.faults import Faults
from jobmaster_testing.probes import Seen

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Agent = Callable[[str], MemoryAgent]

CLUSTER = "Test-1"


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


class Owner:
    """A bucket on agent A with one job in hand, and its owner's step of acknowledging."""

    def __init__(self, master: MemoryMaster, agent: MemoryAgent) -> None:
        self.master, self.agent = master, agent
        self.worker = make_worker(cluster_id=CLUSTER, agent="A")
        self.bucket = make_bucket(self.worker)
        self.owned = OwnedBucket(
            self.bucket, WorkerLease(self.worker.id, 60, 0), 5, 10, finished=Finished(10.0, HandMovedClock())
        )
        self.step = Acknowledge(master.handovers, master.outcomes, agent.messages)

    async def claim(self) -> Claim:
        await self.agent.buckets.create([self.bucket])
        await self.master.workers.register(self.worker, [self.bucket], 60)
        await self.agent.messages.push([Message(new=make_new_job(self.bucket, cluster_id=CLUSTER))])
        page = await self.agent.claims.pull(self.bucket, Cursor(), 1)
        return page.claims[0]

    async def settle_parked(self, claim: Claim) -> None:
        report = make_report(claim, JobStatus.HELD_ON_MASTER, parked="no handler", job=claim.job)
        assert await self.master.outcomes.report([report]) == frozenset()
        self.owned.settled(report)
        self.step.submit([(self.owned, report)], frozenset())

    def settle(self, claim: Claim, *, stale: bool) -> None:
        report = make_report(claim)
        self.owned.settled(report)
        self.step.submit([(self.owned, report)], frozenset([claim.job.id] if stale else []))


async def test_what_a_former_owner_reports_in_vain_stays_on_the_agent(
    master: MemoryMaster, agent: Agent
) -> None:
    owner = Owner(master, agent("A"))
    claim = await owner.claim()
    await master.workers.retire(owner.worker.id)
    await master.rescue.take_lost_buckets(CLUSTER, uuid4(), 1)
    owner.settle(claim, stale=True)

    with pytest.raises(LeaseLostError):
        await owner.step.run_once()
    assert await agent("A").buckets.holdings() == {owner.bucket.id: 1}


async def test_what_is_stale_because_the_master_has_moved_it_on_leaves_the_agent(
    master: MemoryMaster, agent: Agent
) -> None:
    owner = Owner(master, agent("A"))
    claim = await owner.claim()
    owner.settle(claim, stale=True)

    assert await owner.step.run_once()
    assert await agent("A").buckets.holdings() == {}
    assert not await owner.step.run_once()
    assert (owner.owned.unacknowledged, owner.step.pending) == (set(), 0)


async def test_what_could_not_be_acknowledged_is_known_until_it_is(
    master: MemoryMaster, agent: Agent
) -> None:
    owner = Owner(master, agent("A"))
    claim = await owner.claim()
    owner.settle(claim, stale=False)
    assert owner.owned.knows(claim), "the next pull hands it out again"

    await owner.step.run_once()
    assert not owner.owned.knows(claim)


async def test_a_parked_job_that_is_back_in_its_bucket_is_not_left_without_a_message(
    master: MemoryMaster, agent: Agent
) -> None:
    """It comes with the attempt that it had: to remove the old message late is to remove the new one."""
    owner = Owner(master, agent("A"))
    claim = await owner.claim()
    await owner.settle_parked(claim)
    [handover] = await master.handovers.hand_over_parked(
        [owner.bucket], [claim.job.definition_id], 1, uuid4()
    )
    await agent("A").messages.push(handover.messages)
    await master.handovers.close([handover.id])

    await owner.step.run_once()

    assert await agent("A").buckets.holdings() == {}
    assert await noted_as_missing(master) == [(owner.bucket.id, claim.job.id, 1)]


async def test_a_job_that_was_moved_and_is_back_in_its_bucket_is_not_left_without_a_message(
    master: MemoryMaster, agent: Agent
) -> None:
    """Its report was stale while it was held, and it is not over."""
    owner = Owner(master, agent("A"))
    claim = await owner.claim()
    await master.jobs.insert([NewJob(job=claim.job)])
    owner.settle(claim, stale=True)
    room = Room(bucket_id=owner.bucket.id, lane=claim.job.lane, priority=claim.job.priority, free=1)
    [handover] = (await master.handovers.hand_over(CLUSTER, 60, [room], uuid4())).handovers
    await agent("A").messages.push(handover.messages)
    await master.handovers.close([handover.id])

    await owner.step.run_once()

    assert await noted_as_missing(master) == [(owner.bucket.id, claim.job.id, 1)]


async def noted_as_missing(master: MemoryMaster) -> list[tuple[UUID, UUID, int]]:
    taken = await master.handovers.take_over(CLUSTER, 0, uuid4(), 10)
    return [(one.bucket_id, m.new.job.id, m.attempt) for one in taken for m in one.messages]


async def test_a_worker_that_lost_a_bucket_asks_the_master_once_and_stops(
    distributed: Build, master: MemoryMaster
) -> None:
    """A handler that takes its time to stop gives its worker some seconds to go wrong in."""
    faults, started = Faults(), Seen[UUID]()

    @handler("AgentsAcknowledging.Slow", timeout=None)
    async def slow(job: JobContext) -> None:
        started.add(job.id)
        await anyio.sleep(1)

    @handler("AgentsAcknowledging.Stubborn", timeout=None)
    async def stubborn(_: JobContext) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(20)

    async with distributed(slow, stubborn, faults=faults).running() as runtime:
        await runtime.scheduler.once_now(stubborn)
        await runtime.scheduler.once_now(slow)
        await started.count(1)
        with faults.held_up("A", "claims.pull"):
            await master.workers.retire((await runtime.list_workers())[0].id)
            await master.rescue.take_lost_buckets(CLUSTER, uuid4(), 10)
            faults.calls.clear()
            await anyio.sleep(4)
        marks = [c for c in faults.calls if c.method == "outcomes.mark" and c.args[1] == ()]
        assert len(marks) <= 2
