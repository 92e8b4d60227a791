"""The store fails before a call does anything, or after it has committed: nothing is lost or run twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster import (
    AttemptOutcome,
    Cluster,
    JobContext,
    JobRecord,
    JobStatus,
    Priority,
    Runtime,
    StoreUnavailableError,
    handler,
)
from jobmaster.contracts import MasterRepository, Message
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import Cursor
from jobmaster_testing.factories import make_bucket, make_new_job, make_worker
from jobmaster_testing.faults import MASTER, Fault, Faults, When
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Start = tuple[UUID, int]
Agent = Callable[[str], MemoryAgent]
Faulty = Callable[..., Cluster]
"""Builds a cluster for a life whose store has some faults: `faulty(life, *faults)`."""

CLUSTER = "Test-1"
PLAIN = {"kind": "plain", "seconds": 0}


class Life:
    """A short life of a cluster in which every part of it has something to do."""

    patience = 10.0

    def __init__(self) -> None:
        self.starts: list[Start] = []
        self.accepted: set[UUID] = set()
        self.job = handler("Live", max_retries=3)(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def live(job: JobContext) -> None:
            self.starts.append((job.id, job.attempt))
            if job.data["kind"] == "fails once" and job.retries == 0:
                raise ValueError("the first time")
            await anyio.sleep(job.data["seconds"])

        return live

    async def produce(self, runtime: Runtime, count: int, kind: str = "plain", seconds: float = 0) -> None:
        """Schedule jobs, half in one call and half in concurrent ones."""
        data = {"kind": kind, "seconds": seconds}
        half = count // 2
        receipts = await runtime.scheduler.once_many([self.job.request(data) for _ in range(half)])
        self.accepted.update(r.job_id for r in receipts)
        async with anyio.create_task_group() as group:
            for _ in range(count - half):
                group.start_soon(self._produce_one, runtime, data)

    async def _produce_one(self, runtime: Runtime, data: dict[str, Any]) -> None:
        self.accepted.add((await runtime.scheduler.once_now(self.job, data)).job_id)

    async def leave_behind(self, master: MasterRepository) -> None:
        """Put jobs into the bucket of a worker that dies with some of them in hand."""
        worker = make_worker(cluster_id=CLUSTER)
        bucket = make_bucket(worker, priority=Priority.MEDIUM)
        await master.workers.register(worker, [bucket], 0.05)
        jobs = [make_new_job(bucket, definition_id="Live", data=PLAIN) for _ in range(8)]
        await master.jobs.insert(jobs)
        await master.claims.pull(bucket, Cursor(), 4)
        self.accepted.update(new.job.id for new in jobs)

    async def run(self, watcher: Runtime, build: Callable[[], Cluster]) -> list[JobRecord]:
        """Live, and return what became of the accepted jobs."""
        await self.produce(watcher, 4)
        await self.leave_behind(watcher.master)
        async with build().running() as runtime:
            await self.produce(runtime, 20)
            await self.produce(runtime, 6, "fails once")
            await self.produce_more(runtime)
            await until(lambda: self._ended(watcher), timeout=self.patience)
            count = len(self.accepted)
            await self.produce(runtime, 4, "long", 0.12)
            await until(lambda: len(self.starts) > count, timeout=self.patience)
        async with build().running() as runtime:
            await until(lambda: self._ended(watcher), timeout=2 * self.patience)
        return [await watcher.jobs.get(job_id) for job_id in self.accepted]

    async def produce_more(self, runtime: Runtime) -> None:
        """Schedule what only some clusters have something to do with."""

    async def _ended(self, watcher: Runtime) -> bool:
        return await watcher.jobs.count(status=JobStatus.SUCCEEDED) == len(self.accepted)


@pytest.fixture
def faulty(cluster: Build, store_url: str) -> Faulty:
    def build(life: Life, *faults: Fault) -> Cluster:
        quick = {"lease": 2.0, "heartbeat": 0.05, "stop_grace": 0.02, "poll_interval": 0.1}
        return cluster(life.job, url=f"faulty+{store_url}", **quick).use(Faults(list(faults)))

    return build


WRITES = [
    "jobs.insert",
    "outcomes.report",
    "workers.register",
    "workers.heartbeat",
    "outcomes.mark",
    "buckets.release",
    "rescue.take_lost_buckets",
    "assignments.assign_due",
]
OTHERS = [
    "buckets.list_active",
    "buckets.holdings",
    "claims.pull",
    "workers.list_all",
    "claims.exposed",
    "buckets.set_status",
    "rescue.sweep_orphans",
    "requests.read_cancels",
    "assignments.adopt_parked",
    "workers.set_stopping",
    "workers.retire",
    "now",
    "schedules.due",
    "notifications.announce",
    "assignments.due_places",
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", WRITES)
async def test_no_failing_write_loses_a_job_or_runs_one_twice(
    producer: Build, faulty: Faulty, method: str, when: When
) -> None:
    await live(producer, faulty, Fault(method, when, first=1, count=2))


@pytest.mark.parametrize("method", OTHERS)
async def test_no_failing_call_loses_a_job_or_runs_one_twice(
    producer: Build, faulty: Faulty, method: str
) -> None:
    await live(producer, faulty, Fault(method, "after", first=1, count=2))


class SharedLife(Life):
    """The life of a cluster in which an owner reads nothing, long before its lease runs out; another one is busy."""

    async def leave_behind(self, master: MasterRepository) -> None:
        """Put jobs into the bucket of a worker that is not heard of any more, besides."""
        await super().leave_behind(master)
        worker = make_worker(cluster_id=CLUSTER)
        bucket = make_bucket(worker, priority=Priority.MEDIUM)
        await master.workers.register(worker, [bucket], 600.0)
        jobs = [make_new_job(bucket, definition_id="Live", data=PLAIN) for _ in range(5)]
        await master.jobs.insert(jobs)
        self.accepted.update(new.job.id for new in jobs)

    async def produce_more(self, runtime: Runtime) -> None:
        """Schedule more than the worker begins at once: it has no free slots for a while."""
        await self.produce(runtime, 10, "long", 0.4)


SHARING_CALLS = ["buckets.note_loads", "claims.unread", "buckets.hold_unread"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", SHARING_CALLS)
async def test_no_failing_call_loses_a_job_that_others_take_or_runs_it_twice(
    producer: Build, faulty: Faulty, method: str, when: When
) -> None:
    await live(producer, faulty, Fault(method, when, count=2), life=SharedLife(), count=42 + 5 + 10)


class DistributedLife(Life):
    """The life of a cluster with an agent, on which jobs wait, too, and go there by way of the master."""

    patience = 200.0

    def __init__(self, agent: MemoryAgent) -> None:
        super().__init__()
        self._agent = agent

    async def leave_behind(self, master: MasterRepository) -> None:
        """Push jobs to the bucket of a worker that dies with some of them in hand; the master knows of none."""
        worker = make_worker(cluster_id=CLUSTER, agent="A")
        bucket = make_bucket(worker, priority=Priority.MEDIUM)
        await self._agent.buckets.create([bucket])
        await master.workers.register(worker, [bucket], 0.05)
        jobs = [make_new_job(bucket, definition_id="Live", data=PLAIN) for _ in range(8)]
        await self._agent.messages.push([Message(new=new) for new in jobs])
        await self._agent.claims.pull(bucket, Cursor(), 4)
        self.accepted.update(new.job.id for new in jobs)
        await self._leave_unread(master)

    async def _leave_unread(self, master: MasterRepository) -> None:
        """Push jobs to the bucket of a worker that is not heard of any more; the master knows of one of them."""
        worker = make_worker(cluster_id=CLUSTER, agent="A")
        bucket = make_bucket(worker, priority=Priority.MEDIUM)
        await self._agent.buckets.create([bucket])
        await master.workers.register(worker, [bucket], 60.0)
        known, *jobs = [make_new_job(bucket, definition_id="Live", data=PLAIN) for _ in range(5)]
        await master.jobs.insert([known])
        await self._agent.messages.push([Message(new=known, saved=True), *(Message(new=new) for new in jobs)])
        self.accepted.update(new.job.id for new in [known, *jobs])

    async def produce_more(self, runtime: Runtime) -> None:
        """Schedule jobs that have to wait on the agent, and one that is pushed to a bucket that is not there."""
        request = self.job.request(PLAIN, after=3)
        receipts = await runtime.scheduler.once_many([request] * 4)
        orphan = make_new_job(make_bucket(cluster_id=CLUSTER), definition_id="Live", data=PLAIN)
        await self._agent.messages.push([Message(new=orphan)])
        self.accepted |= {r.job_id for r in receipts} | {orphan.job.id}


MASTER_CALLS = [
    *WRITES,
    *(
        name
        for name in OTHERS
        if name not in ("buckets.holdings", "assignments.adopt_parked", "claims.exposed")
    ),
    "handovers.hand_over",
    "handovers.hand_over_parked",
    "handovers.close",
    "handovers.take_over",
    "members.register_agents",
    "buckets.list_all",
    "buckets.note_loads",
    "handovers.jobs_of",
    "buckets.hold_messages",
]
AGENT_CALLS = [
    "open",
    "fingerprint",
    "messages.push",
    "buckets.create",
    "claims.pull",
    "claims.due",
    "messages.acknowledge",
    "claims.exposed",
    "messages.read_unsaved",
    "messages.note_saved",
    "messages.read_all",
    "buckets.holdings",
    "buckets.drop",
    "notifications.announce",
    "claims.unread",
    "asides.set_aside",
]
CALLS = [(MASTER, name) for name in MASTER_CALLS] + [("A", name) for name in AGENT_CALLS]


@pytest.mark.usefixtures("bound_early")
class TestDistributed:
    """The same with an agent, in virtual time: what is pushed once more has to wait for a while."""

    @pytest.fixture
    def anyio_backend(self, virtual_backend: Any) -> Any:
        return virtual_backend

    @pytest.fixture
    def life(self, agent: Agent) -> DistributedLife:
        return DistributedLife(agent("A"))

    @pytest.mark.parametrize(("store", "method"), CALLS)
    async def test_no_failing_call_loses_a_job_or_runs_one_twice(
        self,
        distributed: Build,
        life: DistributedLife,
        agent: Agent,
        master: MemoryMaster,
        store: str,
        method: str,
    ) -> None:
        """The first call fails before the store does anything, the next two after it has."""
        faults = [
            Fault(method, "before", store=store),
            Fault(method, "after", first=2, count=2, store=store),
        ]
        jobs = await self.live(distributed, life, faults)
        assert any(fault.hits for fault in faults), f"{method} was called {faults[0].calls} times"
        check(jobs, life.starts)
        assert await master.buckets.holdings(CLUSTER) == await agent("A").buckets.holdings() == {}
        assert await master.handovers.take_over(CLUSTER, 0, UUID(int=1), 10) == []

    async def live(self, distributed: Build, life: DistributedLife, faults: list[Fault]) -> list[JobRecord]:
        def build(beat: float = 0.1) -> Cluster:
            return distributed(life.job, faults=Faults(faults), stop_grace=0.02, save_after=1.0, beat=beat)

        async with distributed(life.job, workers=()).running() as watcher:
            jobs = await life.run(watcher, build)
            assert await watcher.jobs.count() == len(life.accepted) == 52
            async with build(beat=1.0).running():
                await anyio.sleep(40)  # longer than anything is left for somebody to take care of
        return jobs

    async def test_the_life_makes_every_call(self, distributed: Build, life: DistributedLife) -> None:
        quiet = [Fault(method, "after", count=0, store=store) for store, method in CALLS]
        jobs = await self.live(distributed, life, quiet)
        assert [(fault.store, fault.method) for fault in quiet if not fault.calls] == []
        check(jobs, life.starts)
        outcomes = Counter(attempt.outcome for job in jobs for attempt in job.attempts)
        assert outcomes[AttemptOutcome.LOST] == 4, "exactly the jobs in the dead worker's hands"
        assert len(life.starts) == 52 + 6 + outcomes[AttemptOutcome.INTERRUPTED]


@pytest.mark.parametrize("when", ["before", "after"])
class TestOnDisk:
    @pytest.fixture
    def store_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/jobs.db"

    async def test_a_database_where_every_write_fails_now_and_then(
        self, producer: Build, faulty: Faulty, when: When
    ) -> None:
        await live(producer, faulty, *(Fault(method, when, first=2, count=2) for method in WRITES))


async def live(
    producer: Build, faulty: Faulty, *faults: Fault, life: Life | None = None, count: int = 42
) -> None:
    life = life or Life()
    async with producer(life.job).running() as watcher:
        jobs = await life.run(watcher, lambda: faulty(life, *faults))
        assert await watcher.jobs.count() == len(life.accepted) == count
        assert await watcher.master.buckets.holdings(CLUSTER) == {}

    for fault in faults:
        assert fault.hits > 0, f"{fault.method} was called {fault.calls} times: the fault never struck"
    check(jobs, life.starts)


def check(jobs: list[JobRecord], starts: list[Start]) -> None:
    assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}
    assert [start for start, times in Counter(starts).items() if times > 1] == [], "an attempt ran twice"
    started = {(job.id, job.attempt) for job in jobs}
    assert started <= set(starts), "a job succeeded without being run"
    recorded = {(job.id, attempt.number) for job in jobs for attempt in job.attempts}
    assert set(starts) <= recorded, "a start is on no record"
    for job in jobs:
        outcomes = [attempt.outcome for attempt in job.attempts]
        assert [a.number for a in job.attempts] == list(range(1, len(job.attempts) + 1))
        assert outcomes[-1] is AttemptOutcome.SUCCEEDED
        assert outcomes.count(AttemptOutcome.FAILED) == (job.data["kind"] == "fails once")
        assert set(outcomes[:-1]) <= {
            AttemptOutcome.FAILED,
            AttemptOutcome.LOST,
            AttemptOutcome.INTERRUPTED,
        }


async def test_the_life_makes_every_call(producer: Build, faulty: Faulty) -> None:
    """Without faults: only the jobs that were left behind or interrupted run more often than they ought."""
    life, quiet = Life(), [Fault(method, "after", first=1, count=0) for method in WRITES + OTHERS]
    async with producer(life.job).running() as watcher:
        jobs = await life.run(watcher, lambda: faulty(life, *quiet))
    assert [fault.method for fault in quiet if not fault.calls] == []
    check(jobs, life.starts)
    outcomes = Counter(attempt.outcome for job in jobs for attempt in job.attempts)
    assert outcomes[AttemptOutcome.LOST] == 4, "exactly the jobs in the dead worker's hands"
    assert outcomes[AttemptOutcome.INTERRUPTED] <= 4
    assert len(life.starts) == 42 + 6 + outcomes[AttemptOutcome.INTERRUPTED]


async def test_a_call_whose_answer_is_lost_can_be_repeated_with_its_key(
    producer: Build, faulty: Faulty
) -> None:
    life, fault = Life(), Fault("jobs.insert", "after", 1, 3)
    data = {"kind": "plain", "seconds": 0}
    async with producer(life.job).running() as watcher, faulty(life, fault).running() as runtime:
        with pytest.raises(StoreUnavailableError):
            await runtime.scheduler.once_now(life.job, data, key="order-7")
        receipt = await runtime.scheduler.once_now(life.job, data, key="order-7")
        job = await watcher.jobs.wait(receipt.job_id, 10)
        assert await watcher.jobs.count() == 1
    assert fault.hits == 3
    assert not receipt.created
    assert (job.status, life.starts) == (JobStatus.SUCCEEDED, [(job.id, 1)])


async def test_a_call_that_never_reached_the_store_left_nothing_there(
    producer: Build, faulty: Faulty
) -> None:
    life, fault = Life(), Fault("jobs.insert", "before", 1, 3)
    async with producer(life.job).running() as watcher, faulty(life, fault).running() as runtime:
        with pytest.raises(StoreUnavailableError):
            await runtime.scheduler.once_now(life.job, {"kind": "plain", "seconds": 0})
        assert await watcher.jobs.count() == 0
