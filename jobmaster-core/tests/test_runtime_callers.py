"""Those who schedule: concurrent callers, cancelled ones, and callers without an event loop."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
import pytest

from jobmaster import (
    CancelResult,
    Cluster,
    InvalidTransitionError,
    JobContext,
    JobReceipt,
    JobStatus,
    NotRunningError,
    Runtime,
    StoreConflictError,
    handler,
    hookimpl,
)
from jobmaster.contracts import JobStore, MasterRepository
from jobmaster.models import STANDALONE, NewJob
from jobmaster.plugins import Plugins
from jobmaster_testing.probes import Seen, until
from jobmaster_testing.wrapping import Passing, with_stores

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]


@handler("Note")
async def note(_: JobContext) -> None: ...


class Counted(Passing[JobStore]):
    """Notes the size of each insert, and lets a test hold the first one up."""

    def __init__(self, inner: JobStore, sizes: Seen[int], gate: anyio.Event) -> None:
        super().__init__(inner)
        self._sizes, self._gate = sizes, gate

    async def insert(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        self._sizes.add(len(jobs))
        await self._gate.wait()
        if any("refuse" in new.job.data for new in jobs):
            raise StoreConflictError("the store refuses one of these")
        return await self.inner.insert(jobs)


class Counting:
    """Serves `counted://name` as a counted `memory://name`."""

    def __init__(self) -> None:
        self.sizes = Seen[int]()
        self.gate = anyio.Event()

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"counted": "for tests"}

    @hookimpl
    def jobmaster_master(self, url: str, options: Any) -> MasterRepository | None:
        scheme, _, name = url.partition("://")
        if scheme != "counted":
            return None
        inner = Plugins().master(f"memory://{name}", options)
        return with_stores(inner, jobs=Counted(inner.jobs, self.sizes, self.gate))


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def counted(producer: Build, store_url: str, counting: Counting) -> Cluster:
    return producer(note, url=store_url.replace("memory", "counted")).use(counting)


def gathered(runtime: Runtime) -> int:
    return len(runtime.scheduler._calls.router._buffer(STANDALONE)._gathered)


# Group commit


async def test_concurrent_callers_share_a_flush(counted: Cluster, counting: Counting) -> None:
    receipts: dict[int, JobReceipt] = {}

    async def call(number: int) -> None:
        receipts[number] = await runtime.scheduler.once_now(note, {"n": number})

    async with counted.running() as runtime:
        async with anyio.create_task_group() as group:
            group.start_soon(call, 0)
            await counting.sizes.count(1)
            for number in range(1, 51):
                group.start_soon(call, number)
            await until(lambda: gathered(runtime) == 50)
            counting.gate.set()
        datas = {n: (await runtime.jobs.get(r.job_id)).data["n"] for n, r in receipts.items()}
    assert counting.sizes.items == [1, 50]
    assert datas == {n: n for n in range(51)}


async def test_a_lone_caller_waits_for_nobody(counted: Cluster, counting: Counting) -> None:
    counting.gate.set()
    async with counted.running() as runtime:
        for _ in range(3):
            await runtime.scheduler.once_now(note)
    assert counting.sizes.items == [1, 1, 1]


async def test_nobody_fails_for_anothers_job(counted: Cluster, counting: Counting) -> None:
    results: list[str] = []

    async def call(data: dict[str, Any]) -> None:
        try:
            await runtime.scheduler.once_now(note, data)
        except StoreConflictError:
            results.append(f"refused {sorted(data)}")
        else:
            results.append(f"accepted {sorted(data)}")

    async with counted.running() as runtime:
        async with anyio.create_task_group() as group:
            group.start_soon(call, {})
            await counting.sizes.count(1)
            for data in ({"a": 1}, {"refuse": 1}, {"b": 1}):
                group.start_soon(call, data)
            await until(lambda: gathered(runtime) == 3)
            counting.gate.set()
        stored = await runtime.jobs.count()
    assert sorted(results) == ["accepted ['a']", "accepted ['b']", "accepted []", "refused ['refuse']"]
    assert stored == 3


async def test_a_caller_cancelled_before_its_flush_has_scheduled_nothing(
    counted: Cluster, counting: Counting
) -> None:
    accepted = Seen[int]()

    async def call(number: int, scope: anyio.CancelScope) -> None:
        with scope:
            await runtime.scheduler.once_now(note, {"n": number})
            accepted.add(number)

    async with counted.running() as runtime:
        scopes = [anyio.CancelScope() for _ in range(4)]
        async with anyio.create_task_group() as group:
            group.start_soon(call, 0, scopes[0])
            await counting.sizes.count(1)
            for number in range(1, 4):
                group.start_soon(call, number, scopes[number])
            await until(lambda: gathered(runtime) == 3)
            scopes[1].cancel()
            await until(lambda: gathered(runtime) == 2)
            counting.gate.set()
        stored = {job.data["n"] for job in await runtime.jobs.query()}
    assert set(accepted.items) == stored == {0, 2, 3}


async def test_a_caller_cancelled_during_its_flush_does_not_take_the_others_along(
    counted: Cluster, counting: Counting
) -> None:
    accepted = Seen[int]()

    async def call(number: int, scope: anyio.CancelScope) -> None:
        with scope:
            await runtime.scheduler.once_now(note, {"n": number})
            accepted.add(number)

    async with counted.running() as runtime:
        leader = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(call, 0, leader)
            await counting.sizes.count(1)
            group.start_soon(call, 1, anyio.CancelScope())
            await until(lambda: gathered(runtime) == 1)
            leader.cancel()
            counting.gate.set()
        stored = {job.data["n"] for job in await runtime.jobs.query()}
        last = await runtime.scheduler.once_now(note, {"n": 2})
    assert stored == {0, 1}, "what was under way is stored, whether its caller waits or not"
    assert 1 in accepted.items
    assert last.created


async def test_a_storm_of_cancelled_callers_leaves_no_one_waiting(
    counted: Cluster, counting: Counting
) -> None:
    counting.gate.set()
    accepted: list[UUID] = []

    async def call(number: int) -> None:
        with anyio.move_on_after(0 if number % 3 == 0 else None):
            accepted.append((await runtime.scheduler.once_now(note)).job_id)

    async with counted.running() as runtime:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for number in range(300):
                    group.start_soon(call, number)
        stored = {job.id async for job in runtime.jobs.all()}
    assert len(accepted) >= 200
    assert set(accepted) <= stored


# Without an event loop


async def test_code_without_a_loop_has_the_same_verbs(cluster: Build, producer: Build) -> None:
    def use(made: Cluster) -> None:
        with made.sync_scheduler() as scheduler:
            now = scheduler.once_now(note, {"n": 1}, key="k")
            later = scheduler.once_after(note, 3600)
            exact = scheduler.once_at(note, datetime(2100, 1, 1, tzinfo=UTC))
            many = scheduler.once_many([note.request() for _ in range(3)])
            with pytest.raises(InvalidTransitionError):
                scheduler.retry(later.job_id)
            scheduler.reschedule(later.job_id, 0)
            assert scheduler.cancel(exact.job_id) is CancelResult.CANCELLED
            seen.update(receipts=[now, later, *many], read=scheduler.job(now.job_id).data["n"])

    seen: dict[str, Any] = {}
    async with cluster(note).running() as runtime:
        await anyio.to_thread.run_sync(use, producer(note))
        jobs = [await runtime.jobs.wait(r.job_id, 10) for r in seen["receipts"]]
    assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}
    assert seen["read"] == 1


async def test_many_threads_share_a_scheduler(producer: Build) -> None:
    def use(made: Cluster) -> set[UUID]:
        ids: list[UUID] = []
        with made.sync_scheduler() as scheduler:

            def call() -> None:
                ids.extend(scheduler.once_now(note).job_id for _ in range(25))

            threads = [threading.Thread(target=call) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return set(ids)

    async with producer(note).running() as runtime:
        ids = await anyio.to_thread.run_sync(use, producer(note))
        stored = {job.id async for job in runtime.jobs.all()}
    assert ids == stored
    assert len(ids) == 100


async def test_a_closed_scheduler_says_how_it_is_used(producer: Build) -> None:
    scheduler = producer(note).sync_scheduler()
    with pytest.raises(NotRunningError, match="as a context manager"):
        scheduler.once_now(note)
    with pytest.raises(NotRunningError, match="as a context manager"):
        scheduler.job(UUID(int=1))


# In a web application


async def test_the_lifespan_runs_the_cluster_for_as_long_as_the_application(cluster: Build) -> None:
    made = cluster(note)
    app = SimpleNamespace(state=SimpleNamespace())
    async with made.lifespan(app) as state:
        runtime: Runtime = app.state.jobmaster
        assert state == {"jobmaster": runtime}
        receipt = await runtime.scheduler.once_now(note)
        assert (await runtime.jobs.wait(receipt.job_id, 10)).status is JobStatus.SUCCEEDED
    with pytest.raises(NotRunningError):
        await runtime.scheduler.once_now(note)


async def test_the_lifespan_needs_no_state_on_the_application(cluster: Build) -> None:
    async with cluster(note).lifespan(object()) as state:
        assert isinstance(state["jobmaster"], Runtime)


VERBS: Mapping[str, Callable[[Runtime, UUID, UUID], Awaitable[object]]] = {
    "once_now": lambda runtime, _job, _schedule: runtime.scheduler.once_now(note),
    "once_after": lambda runtime, _job, _schedule: runtime.scheduler.once_after(note, 1),
    "once_many": lambda runtime, _job, _schedule: runtime.scheduler.once_many([note.request()] * 3),
    "cancel": lambda runtime, job, _schedule: runtime.scheduler.cancel(job),
    "reschedule": lambda runtime, job, _schedule: runtime.scheduler.reschedule(job, 60),
    "retry": lambda runtime, job, _schedule: runtime.scheduler.retry(job),
    "recurring": lambda runtime, _job, _schedule: runtime.scheduler.recurring(note, timedelta(hours=1)),
    "pause_recurring": lambda runtime, _job, schedule: runtime.scheduler.pause_recurring(schedule),
    "run_now": lambda runtime, _job, schedule: runtime.scheduler.run_now(schedule),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_caller_that_was_cancelled_asks_for_nothing_more(producer: Build, verb: str) -> None:
    """What has begun runs to its end, shielded: a loop of calls could not be cancelled if this were not looked at."""
    async with producer(note).running(workers=False) as runtime:
        job = (await runtime.scheduler.once_after(note, 3600)).job_id
        schedule = (await runtime.scheduler.recurring(note, timedelta(hours=1))).schedule_id
        before = await runtime.jobs.query(), await runtime.schedules.query()

        with anyio.CancelScope() as scope:
            scope.cancel()
            await VERBS[verb](runtime, job, schedule)

        assert scope.cancelled_caught
        assert (await runtime.jobs.query(), await runtime.schedules.query()) == before
