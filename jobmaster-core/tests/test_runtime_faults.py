"""The store fails before a call does anything, or after it has committed: nothing is lost or run twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import anyio
import pytest
from attrs import define, field

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
    hookimpl,
)
from jobmaster.contracts import MasterRepository
from jobmaster.models import Cursor
from jobmaster.plugins import Plugins
from jobmaster_testing.factories import make_bucket, make_new_job, make_worker
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Start = tuple[UUID, int]
Faulty = Callable[..., Cluster]
"""Builds a cluster for a life whose store has some faults: `faulty(life, *faults)`."""

CLUSTER = "Test-1"


@define
class Fault:
    """Fails `count` calls of one method from call number `first`, before or after the store did its work."""

    method: str
    when: str
    first: int
    count: int
    calls: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    def strikes(self) -> bool:
        self.calls += 1
        strikes = self.first <= self.calls < self.first + self.count
        self.hits += strikes
        return strikes

    async def around(self, call: Callable[[], Awaitable[Any]]) -> Any:
        strikes = self.strikes()
        if strikes and self.when == "before":
            raise StoreUnavailableError("the connection broke before the call")
        result = await call()
        if strikes:
            raise StoreUnavailableError("the connection broke before the answer")
        return result


class FaultyMaster:
    """Hands every call on to a real master, and lets faults strike the ones they are about."""

    def __init__(self, inner: MasterRepository, faults: Sequence[Fault]) -> None:
        self._inner = inner
        self._faults = {fault.method: fault for fault in faults}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        fault = self._faults.get(name)
        if fault is None:
            return method
        assert iscoroutinefunction(method)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await fault.around(lambda: method(*args, **kwargs))

        return call


class Faults:
    """Serves `faulty+<url>` as `<url>` with faults."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = faults

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"faulty+memory": "for tests", "faulty+sqlite": "for tests"}

    @hookimpl
    def jobmaster_master(self, url: str, options: Any) -> MasterRepository | None:
        before, faulty, inner = url.partition("faulty+")
        if before or not faulty:
            return None
        return cast("MasterRepository", FaultyMaster(Plugins().master(inner, options), self.faults))


class Life:
    """A short life of a cluster in which every part of it has something to do."""

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
        await master.register_worker(worker, [bucket], 0.05)
        jobs = [
            make_new_job(bucket, definition_id="Live", data={"kind": "plain", "seconds": 0}) for _ in range(8)
        ]
        await master.insert_jobs(jobs)
        await master.read_bucket(bucket, Cursor(), 4)
        self.accepted.update(new.job.id for new in jobs)

    async def run(self, watcher: Runtime, build: Callable[[], Cluster]) -> list[JobRecord]:
        """Live, and return what became of the accepted jobs."""
        await self.produce(watcher, 4)
        await self.leave_behind(watcher.master)
        async with build().running() as runtime:
            await self.produce(runtime, 20)
            await self.produce(runtime, 6, "fails once")
            await until(lambda: self._ended(watcher, 38))
            await self.produce(runtime, 4, "long", 0.12)
            await until(lambda: len(self.starts) > 38)
        async with build().running() as runtime:
            await until(lambda: self._ended(watcher, 42), timeout=20)
        return [await watcher.jobs.get(job_id) for job_id in self.accepted]

    async def _ended(self, watcher: Runtime, count: int) -> bool:
        return await watcher.jobs.count(status=JobStatus.SUCCEEDED) == count


@pytest.fixture
def faulty(cluster: Build, store_url: str) -> Faulty:
    def build(life: Life, *faults: Fault) -> Cluster:
        quick = {"lease": 2.0, "heartbeat": 0.05, "stop_grace": 0.02, "poll_interval": 0.1}
        return cluster(life.job, url=f"faulty+{store_url}", **quick).use(Faults(faults))

    return build


WRITES = [
    "insert_jobs",
    "report",
    "register_worker",
    "heartbeat",
    "mark",
    "release_bucket",
    "take_lost_buckets",
    "assign_due",
]
OTHERS = [
    "active_buckets",
    "bucket_holdings",
    "read_bucket",
    "list_workers",
    "read_exposed",
    "set_bucket_status",
    "sweep_orphans",
    "cancel_requests",
    "adopt_parked",
    "set_worker_stopping",
    "retire_worker",
    "prune_workers",
    "prune_jobs",
    "prune_schedules",
    "due_schedules",
    "expired_schedules",
    "announce",
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", WRITES)
async def test_no_failing_write_loses_a_job_or_runs_one_twice(
    producer: Build, faulty: Faulty, method: str, when: str
) -> None:
    await live(producer, faulty, Fault(method, when, first=1, count=2))


@pytest.mark.parametrize("method", OTHERS)
async def test_no_failing_call_loses_a_job_or_runs_one_twice(
    producer: Build, faulty: Faulty, method: str
) -> None:
    await live(producer, faulty, Fault(method, "after", first=1, count=2))


@pytest.mark.parametrize("when", ["before", "after"])
class TestOnDisk:
    @pytest.fixture
    def store_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/jobs.db"

    async def test_a_database_where_every_write_fails_now_and_then(
        self, producer: Build, faulty: Faulty, when: str
    ) -> None:
        await live(producer, faulty, *(Fault(method, when, first=2, count=2) for method in WRITES))


async def live(producer: Build, faulty: Faulty, *faults: Fault) -> None:
    life = Life()
    async with producer(life.job).running() as watcher:
        jobs = await life.run(watcher, lambda: faulty(life, *faults))
        assert await watcher.jobs.count() == len(life.accepted) == 42
        assert await watcher.master.bucket_holdings(CLUSTER) == {}

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
    life, fault = Life(), Fault("insert_jobs", "after", 1, 3)
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
    life, fault = Life(), Fault("insert_jobs", "before", 1, 3)
    async with producer(life.job).running() as watcher, faulty(life, fault).running() as runtime:
        with pytest.raises(StoreUnavailableError):
            await runtime.scheduler.once_now(life.job, {"kind": "plain", "seconds": 0})
        assert await watcher.jobs.count() == 0
