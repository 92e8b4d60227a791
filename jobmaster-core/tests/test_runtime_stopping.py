"""Stopping, losing the lease, and what is deleted in the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
import pytest

from jobmaster import (
    AttemptOutcome,
    BucketStatus,
    Cluster,
    JobContext,
    JobStatus,
    NotRunningError,
    Priority,
    Runtime,
    StoreUnavailableError,
    WorkerStatus,
    handler,
    hookimpl,
)
from jobmaster.contracts import ClaimStore, HeartbeatReply, MasterRepository, WorkerStore
from jobmaster.models import Bucket, BucketPage, Cursor, Load
from jobmaster.plugins import Plugins
from jobmaster_testing.factories import make_new_job
from jobmaster_testing.probes import Seen, until
from jobmaster_testing.wrapping import Passing, with_stores

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]


@handler("Quick")
async def quick(_: JobContext) -> None: ...


async def statuses(runtime: Runtime) -> dict[JobStatus, int]:
    return dict(await runtime.jobs.count_by_status())


# Graceful stop


@pytest.mark.parametrize("count", [6, 30], ids=["all in memory", "some unread in the bucket"])
async def test_running_jobs_end_within_the_grace_and_the_rest_goes_back(
    cluster: Build, producer: Build, count: int
) -> None:
    started, release = Seen[UUID](), anyio.Event()

    @handler("Hold", priority=Priority.VERY_LOW, max_retries=0)
    async def hold(job: JobContext) -> None:
        started.add(job.id)
        await release.wait()

    async def release_when_the_rest_is_back() -> None:
        await until(lambda: _has(watcher, JobStatus.HELD_ON_MASTER, count - 2))
        release.set()

    async with producer(hold).running() as watcher, anyio.create_task_group() as group:
        async with cluster(hold, stop_grace=30).running() as runtime:
            receipts = await runtime.scheduler.once_many([hold.request() for _ in range(count)])
            await started.count(2)
            group.start_soon(release_when_the_rest_is_back)
        jobs = [await watcher.jobs.get(r.job_id) for r in receipts]
        [worker] = await watcher.list_workers()

    assert len(started.items) == 2
    ended = [job for job in jobs if job.id in started.items]
    waiting = [job for job in jobs if job.id not in started.items]
    assert [[a.outcome for a in job.attempts] for job in ended] == [[AttemptOutcome.SUCCEEDED]] * 2
    assert [(j.status, j.attempt, j.retries, list(j.attempts)) for j in waiting] == [
        (JobStatus.HELD_ON_MASTER, 1, 0, [])
    ] * (count - 2)
    assert worker.status is WorkerStatus.STOPPED


async def _has(runtime: Runtime, status: JobStatus, count: int) -> bool:
    return (await statuses(runtime)).get(status) == count


@pytest.mark.parametrize("form", ["async", "sync"])
async def test_a_job_that_outlasts_the_grace_is_interrupted_and_uses_no_retry(
    cluster: Build, form: str
) -> None:
    started, told = threading.Event(), Seen[str]()

    @handler("async", max_retries=0)
    async def asynchronous(job: JobContext) -> None:
        if job.attempt == 1:
            started.set()
            try:
                await anyio.sleep_forever()
            finally:
                told.add(str(job._stop_reason))

    @handler("sync", max_retries=0)
    def sync(job: JobContext) -> None:
        if job.attempt == 1:
            started.set()
            job.wait_cancelled(30)
            anyio.from_thread.run_sync(told.add, str(job._stop_reason))

    target = {"async": asynchronous, "sync": sync}[form]
    async with cluster(target, stop_grace=0.1).running() as runtime:
        receipt = await runtime.scheduler.once_now(target)
        assert await anyio.to_thread.run_sync(started.wait, 10)
    await told.count(1)
    async with cluster(target).running() as runtime:
        job = await runtime.jobs.wait(receipt.job_id, 10)

    assert told.items == ["the worker is stopping"]
    assert (job.status, [(a.number, a.outcome) for a in job.attempts]) == (
        JobStatus.SUCCEEDED,
        [(1, AttemptOutcome.INTERRUPTED), (2, AttemptOutcome.SUCCEEDED)],
    )


@pytest.mark.usefixtures("bound_early")
async def test_nothing_is_left_in_the_buckets_of_a_stopped_worker(cluster: Build, producer: Build) -> None:
    async with producer(quick).running() as watcher:
        async with cluster(quick).running() as runtime:
            await runtime.scheduler.once_many([quick.request(after=5) for _ in range(10)])
            await runtime.scheduler.once_now(quick)
        assert await watcher.master.buckets.holdings(watcher.id) == {}
        assert {b.status for b in await watcher.list_buckets()} == {BucketStatus.READY_TO_DELETE}
        assert (await statuses(watcher))[JobStatus.HELD_ON_MASTER] >= 10


async def test_jobs_sent_to_a_worker_that_has_left_are_run_by_the_next(
    cluster: Build, producer: Build
) -> None:
    async with producer(quick).running() as sender:
        async with cluster(quick).running():
            bucket = (await sender.list_buckets())[0]
        late = [make_new_job(bucket, definition_id="Quick") for _ in range(20)]
        await sender.master.jobs.insert(late)

        async with cluster(quick).running():
            jobs = [await sender.jobs.wait(new.job.id, 10) for new in late]
    assert {(j.status, len(j.attempts)) for j in jobs} == {(JobStatus.SUCCEEDED, 1)}


async def test_a_stopped_cluster_accepts_nothing(cluster: Build) -> None:
    async with cluster(quick).running() as runtime:
        pass
    for call in (
        lambda: runtime.scheduler.once_now(quick),
        lambda: runtime.scheduler.once_many([quick.request()]),
        lambda: runtime.scheduler.cancel(UUID(int=1)),
    ):
        with pytest.raises(NotRunningError, match="is not running any more"):
            await call()


async def test_an_error_in_the_block_comes_out_as_it_is(cluster: Build) -> None:
    with pytest.raises(ValueError, match="of the application"):
        async with cluster(quick).running():
            raise ValueError("of the application")


async def test_a_cancelled_block_stops_gracefully(cluster: Build, producer: Build) -> None:
    async with producer(quick).running() as watcher:
        with anyio.CancelScope() as scope:
            async with cluster(quick).running():
                scope.cancel()
                await anyio.sleep_forever()
        [worker] = await watcher.list_workers()
    assert scope.cancelled_caught
    assert worker.status is WorkerStatus.STOPPED


# Losing the lease


class Ailing:
    """Serves `ailing://name`: a `memory://name` that a test makes sick."""

    def __init__(self) -> None:
        self.heartbeats_fail = False
        self.declared_lost = False
        self.reads_hang = False

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"ailing": "for tests"}

    @hookimpl
    def jobmaster_master(self, url: str, options: Any) -> MasterRepository | None:
        scheme, _, name = url.partition("://")
        if scheme != "ailing":
            return None
        master = Plugins().master(f"memory://{name}", options)
        workers, claims = AilingWorkers(master.workers, self), AilingClaims(master.claims, self)
        return with_stores(master, workers=workers, claims=claims)


class AilingWorkers(Passing[WorkerStore]):
    def __init__(self, inner: WorkerStore, state: Ailing) -> None:
        super().__init__(inner)
        self._state = state

    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        if self._state.heartbeats_fail:
            raise StoreUnavailableError("no answer")
        if self._state.declared_lost:
            self._state.declared_lost = False
            return await self.inner.heartbeat([], {}, lease)
        return await self.inner.heartbeat(worker_ids, loads, lease, rescuing)


class AilingClaims(Passing[ClaimStore]):
    def __init__(self, inner: ClaimStore, state: Ailing) -> None:
        super().__init__(inner)
        self._state = state

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        if self._state.reads_hang:
            await anyio.sleep_forever()
        return await self.inner.pull(bucket, cursor, limit, known)


@pytest.fixture
def ailing() -> Ailing:
    return Ailing()


class Patient:
    """A job that waits on its first attempt and notes when it was told to stop."""

    def __init__(self) -> None:
        self.started, self.stopped = Seen[float](), Seen[float]()
        self.handler = handler("Patient", max_retries=0)(self._run_function())

    def _run_function(self) -> Callable[[JobContext], Any]:
        async def patient(job: JobContext) -> None:
            self.started.add(anyio.current_time())
            if job.attempt > 1:
                return
            try:
                await anyio.sleep_forever()
            finally:
                self.stopped.add(anyio.current_time())

        return patient


@pytest.fixture
def sick_cluster(cluster: Build, store_url: str, ailing: Ailing) -> Callable[..., Cluster]:
    def build(*handlers: Any) -> Cluster:
        url = store_url.replace("memory", "ailing")
        return cluster(*handlers, url=url, heartbeat=0.1, lease=1.0).use(ailing)

    return build


async def test_a_worker_that_cannot_renew_its_lease_stops_before_it_ends(
    sick_cluster: Build, ailing: Ailing
) -> None:
    patient = Patient()
    async with sick_cluster(patient.handler).running() as runtime:
        receipt = await runtime.scheduler.once_now(patient.handler)
        await patient.started.count(1)
        ailing.heartbeats_fail = True
        failed_at = anyio.current_time()
        [stopped_at] = await patient.stopped.count(1)
        ailing.heartbeats_fail = False
        job = await runtime.jobs.wait(receipt.job_id, 10)
        workers = await runtime.list_workers()

    assert stopped_at - failed_at < 1.0, "it ran on when others could already have its job"
    assert job.status is JobStatus.SUCCEEDED
    assert len(patient.started.items) == 2
    *stopped, last = [attempt.outcome for attempt in job.attempts]
    assert last is AttemptOutcome.SUCCEEDED
    assert set(stopped) <= {AttemptOutcome.INTERRUPTED, AttemptOutcome.LOST}
    assert len(workers) >= 2, "it registers anew"


async def test_a_worker_that_was_declared_lost_starts_anew(
    sick_cluster: Build, ailing: Ailing, caplog: pytest.LogCaptureFixture
) -> None:
    patient = Patient()
    with caplog.at_level(logging.WARNING, "jobmaster"):
        async with sick_cluster(patient.handler).running() as runtime:
            receipt = await runtime.scheduler.once_now(patient.handler)
            await patient.started.count(1)
            ailing.declared_lost = True
            await patient.stopped.count(1)
            job = await runtime.jobs.wait(receipt.job_id, 10)
            last = await runtime.scheduler.once_now(patient.handler, key="after")
            await patient.started.count(3)
            assert not (await runtime.jobs.get(last.job_id)).status.is_terminal
    assert job.status is JobStatus.SUCCEEDED
    assert "was declared lost; it starts again" in caplog.text


async def test_a_worker_whose_claim_loops_stand_still_is_no_live_worker(
    sick_cluster: Build, ailing: Ailing, caplog: pytest.LogCaptureFixture
) -> None:
    patient = Patient()
    with caplog.at_level(logging.ERROR, "jobmaster"):
        async with sick_cluster(patient.handler).running() as runtime:
            receipt = await runtime.scheduler.once_now(patient.handler)
            await patient.started.count(1)
            ailing.reads_hang = True
            await patient.stopped.count(1)
            ailing.reads_hang = False
            job = await runtime.jobs.wait(receipt.job_id, 10)
    assert job.status is JobStatus.SUCCEEDED
    assert "1 claim loop is stuck" in caplog.text


# Retention


async def test_finished_jobs_are_deleted_after_the_retention(cluster: Build, producer: Build) -> None:
    async with cluster(quick).running() as runtime:
        done = await runtime.scheduler.once_now(quick)
        held = await runtime.scheduler.once_after(quick, 3600)
        await runtime.jobs.wait(done.job_id, 10)

    async with producer(quick).running() as watcher:
        async with cluster(quick, retention=None).running():
            assert await watcher.jobs.count() == 2
        async with cluster(quick, retention=3600).running():
            assert await watcher.jobs.count() == 2
        async with cluster(quick, retention=0).running():
            await until(lambda: _has_gone(watcher, done.job_id))
        assert (await watcher.jobs.get(held.job_id)).status is JobStatus.HELD_ON_MASTER


async def _has_gone(runtime: Runtime, job_id: UUID) -> bool:
    return await runtime.jobs.find(job_id) is None
