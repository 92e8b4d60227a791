"""Steering a cluster while it runs: its mode, settings and lanes, and requests to workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster import (
    AttemptOutcome,
    BucketStatus,
    Cluster,
    ClusterArchivedError,
    ClusterMode,
    ConfigurationError,
    JobContext,
    JobReceipt,
    JobStatus,
    MessageTooLargeError,
    Priority,
    Runtime,
    StaticSchedule,
    WorkerNotFoundError,
    WorkerRequest,
    WorkerStatus,
    handler,
)
from jobmaster.contracts import ClusterChange, ControlStore, Orders, Topics
from jobmaster.models import Bucket, Cursor, WorkerRecord
from jobmaster_testing.factories import make_bucket, make_new_job, make_report, make_worker
from jobmaster_testing.probes import Seen, until
from jobmaster_testing.wrapping import Passing, with_stores

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

HOUR = 3600.0


@handler("Control.Quick")
async def quick(_: JobContext) -> None: ...


@pytest.fixture
def running() -> Seen[UUID]:
    """Return the jobs of `gate` that have started."""
    return Seen[UUID]()


@pytest.fixture
def opened() -> anyio.Event:
    """Return what lets the jobs of `gate` end."""
    return anyio.Event()


@pytest.fixture
def gate(running: Seen[UUID], opened: anyio.Event) -> Any:
    """Return a handler with two slots that waits until `opened`."""

    @handler("Control.Gate", priority=Priority.VERY_LOW, max_retries=0)
    async def wait(job: JobContext) -> None:
        running.add(job.id)
        await opened.wait()

    return wait


async def counts(runtime: Runtime) -> dict[JobStatus, int]:
    return dict(await runtime.jobs.count_by_status())


async def active(runtime: Runtime, lane: str = "default") -> list[Bucket]:
    return [b for b in await runtime.master.buckets.list_active(runtime.id) if b.lane == lane]


async def without_buckets(runtime: Runtime, lane: str = "default") -> None:
    """Wait until no bucket of a lane takes jobs, and none still holds any."""

    async def gone() -> bool:
        left = [b for b in await runtime.list_buckets() if b.status is not BucketStatus.READY_TO_DELETE]
        return not [b for b in left if b.lane == lane]

    await until(gone)


async def with_buckets(runtime: Runtime, lane: str = "default") -> None:
    await until(lambda: active(runtime, lane))


async def named(runtime: Runtime, name: str) -> WorkerRecord:
    """Return the newest registration of a worker."""
    return next(worker for worker in await runtime.list_workers() if worker.name == name)


async def stopped(runtime: Runtime, name: str) -> None:
    async def gone() -> bool:
        return (await named(runtime, name)).status is WorkerStatus.STOPPED

    await until(gone)


# Modes


async def test_a_passive_cluster_lets_running_jobs_end_and_holds_the_rest(
    cluster: Build, producer: Build, gate: Any, running: Seen[UUID], opened: anyio.Event
) -> None:
    async with cluster(gate, stop_grace=30).running() as runtime, producer(gate).running() as elsewhere:
        receipts = await runtime.scheduler.once_many([gate.request() for _ in range(5)])
        await running.count(2)

        await elsewhere.set_mode("passive")

        await until(lambda: holds(elsewhere, {JobStatus.HELD_ON_MASTER: 3}))
        assert runtime.mode is ClusterMode.PASSIVE
        late = await runtime.scheduler.once_now(gate)
        opened.set()
        await without_buckets(elsewhere)
        assert len(running.items) == 2
        assert await counts(elsewhere) == {JobStatus.SUCCEEDED: 2, JobStatus.HELD_ON_MASTER: 4}

        await elsewhere.set_mode("active")

        jobs = [await elsewhere.jobs.wait(r.job_id, 10) for r in (*receipts, late)]
    assert {(job.status, len(job.attempts), job.retries) for job in jobs} == {(JobStatus.SUCCEEDED, 1, 0)}


async def holds(runtime: Runtime, expected: Mapping[JobStatus, int]) -> bool:
    found = await counts(runtime)
    return all(found.get(status) == count for status, count in expected.items())


async def test_what_outlasts_the_grace_of_a_passive_cluster_uses_no_retry(
    cluster: Build, gate: Any, running: Seen[UUID], opened: anyio.Event
) -> None:
    async with cluster(gate, stop_grace=0.05).running() as runtime:
        receipt = await runtime.scheduler.once_now(gate)
        await running.count(1)
        await runtime.set_mode("passive")
        await without_buckets(runtime)
        held = await runtime.jobs.get(receipt.job_id)
        opened.set()
        await runtime.set_mode("active")
        job = await runtime.jobs.wait(receipt.job_id, 10)

    assert (held.status, held.retries) == (JobStatus.HELD_ON_MASTER, 0)
    outcomes = [attempt.outcome for attempt in job.attempts]
    assert outcomes == [AttemptOutcome.INTERRUPTED, AttemptOutcome.SUCCEEDED]


async def test_workers_of_a_passive_cluster_are_there_and_rescue(cluster: Build) -> None:
    async with passive(cluster(quick)).running() as runtime:
        [worker] = await runtime.list_workers()
        assert (worker.status, await active(runtime)) == (WorkerStatus.ACTIVE, [])
        lost = await stranded(runtime)
        job = await runtime.scheduler.once_now(quick)
        await until(lambda: held_again(runtime, lost))

        await runtime.set_mode("active")

        assert (await runtime.jobs.wait(job.job_id, 10)).status is JobStatus.SUCCEEDED
        assert (await runtime.jobs.wait(lost, 10)).status is JobStatus.SUCCEEDED


def passive(cluster: Cluster) -> Cluster:
    """Let a cluster be passive from its first day."""
    cluster.mode = ClusterMode.PASSIVE
    return cluster


async def stranded(runtime: Runtime) -> UUID:
    """Return a job in the bucket of a worker whose lease has run out."""
    worker = make_worker(cluster_id=runtime.id, agent="standalone")
    bucket = make_bucket(worker)
    await runtime.master.workers.register(worker, [bucket], 0.001)
    new = make_new_job(bucket, definition_id="Control.Quick")
    await runtime.master.jobs.insert([new])
    return new.job.id


async def held_again(runtime: Runtime, job_id: UUID) -> bool:
    return (await runtime.jobs.get(job_id)).status is JobStatus.HELD_ON_MASTER


async def test_an_archived_cluster_refuses_jobs_in_processes_that_run_already(
    cluster: Build, producer: Build
) -> None:
    async with cluster(quick).running() as runtime, producer(quick).running() as elsewhere:
        await runtime.set_mode("archived")
        with pytest.raises(ClusterArchivedError):
            await runtime.scheduler.once_now(quick)
        await until(lambda: elsewhere.mode is ClusterMode.ARCHIVED)
        with pytest.raises(ClusterArchivedError):
            await elsewhere.scheduler.once_now(quick)
        await without_buckets(elsewhere)

        await elsewhere.set_mode("active")
        receipt = await elsewhere.scheduler.once_now(quick)
        assert (await elsewhere.jobs.wait(receipt.job_id, 10)).status is JobStatus.SUCCEEDED


async def test_a_migrating_cluster_accepts_jobs_and_runs_none(cluster: Build) -> None:
    async with cluster(quick).running() as runtime:
        await runtime.set_mode("migrating")
        await without_buckets(runtime)
        receipt = await runtime.scheduler.once_now(quick)
        assert await held_again(runtime, receipt.job_id)


async def test_a_stop_waits_for_the_grace_of_workers_that_suspend(
    cluster: Build, producer: Build, gate: Any, running: Seen[UUID], opened: anyio.Event
) -> None:
    async def open_later() -> None:
        await until(lambda: runtime.scope.is_over)
        await anyio.wait_all_tasks_blocked()
        opened.set()

    async with producer(gate).running() as elsewhere, anyio.create_task_group() as group:
        async with cluster(gate, stop_grace=30).running() as runtime:
            receipt = await runtime.scheduler.once_now(gate)
            await running.count(1)
            await runtime.set_mode("passive")
            await until(lambda: all_completing(elsewhere))
            group.start_soon(open_later)
        job = await elsewhere.jobs.get(receipt.job_id)

    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.SUCCEEDED]


async def all_completing(runtime: Runtime) -> bool:
    return not await active(runtime)


# Lanes


async def test_a_paused_lane_waits_and_the_others_run(cluster: Build, producer: Build) -> None:
    made = cluster(quick, worker={"lane": "slow", "name": "slow"}).add_worker(name="other", parallelism=1.0)
    async with made.running() as runtime, producer(quick).running() as elsewhere:
        await elsewhere.pause_lane("slow")
        await without_buckets(elsewhere, "slow")
        assert runtime.paused_lanes == {"slow"}
        slow = await runtime.scheduler.once_now(quick, lane="slow")
        other = await runtime.scheduler.once_now(quick)
        assert (await elsewhere.jobs.wait(other.job_id, 10)).status is JobStatus.SUCCEEDED
        assert await held_again(elsewhere, slow.job_id)

        await elsewhere.resume_lane("slow")

        assert (await elsewhere.jobs.wait(slow.job_id, 10)).status is JobStatus.SUCCEEDED


async def test_a_worker_that_starts_on_a_paused_lane_waits_too(cluster: Build, producer: Build) -> None:
    async with producer(quick).running() as elsewhere:
        await elsewhere.pause_lane("default")
        async with cluster(quick).running() as runtime:
            assert runtime.paused_lanes == {"default"}
            assert await active(runtime) == []
            await runtime.resume_lane("default")
            await with_buckets(runtime)


async def test_a_bad_lane_is_refused(producer: Build) -> None:
    async with producer(quick).running() as runtime:
        with pytest.raises(ConfigurationError, match="lane: 'a b' is not a valid name"):
            await runtime.pause_lane("a b")


# Settings


async def test_changed_settings_count_for_new_jobs_everywhere(cluster: Build, producer: Build) -> None:
    async with cluster(quick).running() as runtime, producer(quick).running() as elsewhere:
        before = await scheduled(runtime, 60)

        await elsewhere.configure(
            default_max_retries=7,
            default_job_timeout=timedelta(minutes=2),
            transient_threshold=10,
            max_message_bytes=256,
        )

        await until(lambda: runtime.settings.default_max_retries == 7)
        after = await scheduled(runtime, 60)
        with pytest.raises(MessageTooLargeError, match="max_message_bytes=256"):
            await runtime.scheduler.once_now(quick, {"text": "x" * 300})
        old, new = [await elsewhere.jobs.get(r.job_id) for r in (before, after)]
        assert runtime.settings.transient_threshold == 10
    assert (old.max_retries, old.timeout) == (3, 60.0)
    assert (new.max_retries, new.timeout) == (7, 120.0)


async def scheduled(runtime: Runtime, after: float) -> JobReceipt:
    return await runtime.scheduler.once_after(quick, after)


async def test_a_changed_time_zone_counts_for_new_schedules(producer: Build) -> None:
    async with producer(quick).running() as runtime:
        await runtime.configure(time_zone="Asia/Tokyo")
        receipt = await runtime.scheduler.recurring(quick, "every day at 18:00")
        assert (await runtime.schedules.get(receipt.schedule_id)).time_zone == "Asia/Tokyo"


async def test_changes_outlive_restarts_until_they_are_taken_back(cluster: Build) -> None:
    async with cluster(quick, default_max_retries=1, retention=HOUR).running() as runtime:
        await runtime.configure(default_max_retries=5, retention=None)
    static = StaticSchedule("Control.static", quick, "every hour")
    async with cluster(quick, default_max_retries=2, retention=9).add_schedules(static).running() as runtime:
        assert (runtime.settings.default_max_retries, runtime.settings.retention) == (5, None)
        [schedule] = await runtime.schedules.query()
        assert schedule.max_retries == 5

        await runtime.reset_settings("default_max_retries")

        assert (runtime.settings.default_max_retries, runtime.settings.retention) == (2, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heartbeat": 1}, "heartbeat belongs to each process.*These can: default_job_timeout,"),
        ({"retension": 1}, "there is no setting 'retension'; did you mean 'retention'"),
        ({"default_max_retries": -1}, "default_max_retries: -1 is out of range"),
    ],
)
async def test_what_cannot_be_changed_is_refused(
    producer: Build, settings: dict[str, Any], message: str
) -> None:
    async with producer(quick).running() as runtime:
        with pytest.raises(ConfigurationError, match=message):
            await runtime.configure(**{"retention": 5, **settings})
        record = await runtime.master.clusters.get(runtime.id)
    assert record is not None
    assert dict(record.changes) == {}


async def test_a_stored_setting_that_this_version_does_not_take_stops_nothing(
    cluster: Build, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(quick).running() as runtime:
        strange = ClusterChange(mode=ClusterMode.PASSIVE, settings={"retention": -1, "of_the_future": 1})
        await runtime.master.control.change_cluster(runtime.id, strange)
        await runtime.pause_lane("other")
        assert (runtime.mode, runtime.paused_lanes) == (ClusterMode.PASSIVE, frozenset({"other"}))
        assert runtime.settings.retention == 30 * 86400
    assert "retention: -1 s is out of range" in caplog.text


# Workers


async def test_a_worker_that_is_asked_to_stop_stays_stopped(
    cluster: Build, producer: Build, gate: Any, running: Seen[UUID], opened: anyio.Event
) -> None:
    made = cluster(gate, worker={"name": "a"}, stop_grace=30).add_worker(name="b", parallelism=1.0)
    async with made.running() as runtime, producer(gate).running() as elsewhere:
        await runtime.scheduler.once_many([gate.request() for _ in range(8)])
        await running.count(4)

        assert await elsewhere.stop_worker("a") == 1

        await until(lambda: is_status(elsewhere, "a", WorkerStatus.STOPPING))
        opened.set()
        await stopped(elsewhere, "a")
        assert (await named(elsewhere, "a")).request is WorkerRequest.STOP
        await until(lambda: holds(elsewhere, {JobStatus.SUCCEEDED: 8}))
        assert {job.attempt for job in await elsewhere.jobs.query()} == {1}
        await elsewhere.set_mode("passive")
        await elsewhere.set_mode("active")
        await with_buckets(elsewhere)
        assert {b.worker_id for b in await active(elsewhere)} == {(await named(elsewhere, "b")).id}

        with anyio.fail_after(10):
            await elsewhere.stop_worker("b")
            await runtime.workers_stopped()


async def is_status(runtime: Runtime, name: str, status: WorkerStatus) -> bool:
    return (await named(runtime, name)).status is status


async def test_a_worker_that_drains_finishes_what_it_has_and_takes_nothing_new(
    cluster: Build, producer: Build, gate: Any, running: Seen[UUID], opened: anyio.Event
) -> None:
    async with (
        cluster(gate, worker={"name": "a"}).running() as runtime,
        producer(gate).running() as elsewhere,
    ):
        its_own = await runtime.scheduler.once_many([gate.request() for _ in range(6)])
        await running.count(2)

        assert await elsewhere.drain_worker("a") == 1

        await until(lambda: all_completing(elsewhere))
        late = await elsewhere.scheduler.once_now(gate)
        assert not runtime_has_stopped(runtime)
        opened.set()
        await stopped(elsewhere, "a")
        jobs = [await elsewhere.jobs.get(r.job_id) for r in its_own]
        assert [(job.status, len(job.attempts)) for job in jobs] == [(JobStatus.SUCCEEDED, 1)] * 6
        assert await held_again(elsewhere, late.job_id)
        assert await elsewhere.master.buckets.holdings(elsewhere.id) == {}


def runtime_has_stopped(runtime: Runtime) -> bool:
    return all(worker.stopped.is_set() for worker in runtime._supervisor.workers)


async def test_a_worker_that_drains_adopts_nothing(
    cluster: Build, gate: Any, running: Seen[UUID], opened: anyio.Event
) -> None:
    async with cluster(gate, worker={"name": "a"}).running() as runtime:
        await runtime.scheduler.once_now(gate)
        await running.count(1)
        await runtime.drain_worker("a")
        await until(lambda: all_completing(runtime))
        parked = await parked_elsewhere(runtime, "Control.Gate")
        await anyio.wait_all_tasks_blocked()
        assert (await runtime.jobs.get(parked)).reason == "no handler"
        opened.set()
        await stopped(runtime, "a")
        assert await held_again(runtime, parked)


async def parked_elsewhere(runtime: Runtime, definition_id: str) -> UUID:
    """Return a job that some worker has parked, for want of a handler."""
    worker = make_worker(cluster_id=runtime.id, agent="standalone")
    bucket = make_bucket(worker, priority=Priority.VERY_LOW)
    await runtime.master.workers.register(worker, [bucket], 60)
    new = make_new_job(bucket, definition_id=definition_id)
    await runtime.master.jobs.insert([new])
    [claim] = (await runtime.master.claims.pull(bucket, Cursor(), 10)).claims
    await runtime.master.outcomes.report([make_report(claim, JobStatus.HELD_ON_MASTER, parked="no handler")])
    runtime._env.notify.tell(Topics.parked(runtime.id))
    return new.job.id


async def test_a_stop_cuts_a_drain_short(cluster: Build, gate: Any, running: Seen[UUID]) -> None:
    async with cluster(gate, worker={"name": "a"}, stop_grace=0.05).running() as runtime:
        receipt = await runtime.scheduler.once_now(gate)
        await running.count(1)
        await runtime.drain_worker("a")
        await until(lambda: all_completing(runtime))

        await runtime.stop_worker("a")

        await stopped(runtime, "a")
        job = await runtime.jobs.get(receipt.job_id)
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.INTERRUPTED]


async def test_a_suspended_worker_can_be_stopped(cluster: Build) -> None:
    async with passive(cluster(quick, worker={"name": "a"})).running() as runtime:
        await runtime.drain_worker("a")
        await stopped(runtime, "a")
        await runtime.set_mode("active")
        await anyio.wait_all_tasks_blocked()
        assert await active(runtime) == []


async def test_nobody_of_that_name(producer: Build) -> None:
    async with producer(quick).running() as runtime:
        for ask in (runtime.stop_worker, runtime.drain_worker):
            with pytest.raises(WorkerNotFoundError, match="no worker 'ghost' runs in cluster 'Test-1'"):
                await ask("ghost")


# What was read before


class Slow(Passing[ControlStore]):
    """First orders that arrive late, and next ones that never do."""

    def __init__(self, inner: ControlStore) -> None:
        super().__init__(inner)
        self.asked, self.arrives = anyio.Event(), anyio.Event()

    async def read_orders(self, cluster_id: str, process_id: UUID) -> Orders | None:
        orders = await self.inner.read_orders(cluster_id, process_id)
        if self.asked.is_set():
            await anyio.sleep_forever()
        self.asked.set()
        await self.arrives.wait()
        return orders


async def test_an_answer_that_was_under_way_does_not_take_a_change_back(producer: Build) -> None:
    async with producer(quick).running() as runtime:
        slow = Slow(runtime.master.control)
        runtime._env.master = with_stores(runtime.master, control=slow)
        async with anyio.create_task_group() as group:
            runtime._env.orders.set()
            await slow.asked.wait()
            group.start_soon(runtime.set_mode, "archived")
            await anyio.wait_all_tasks_blocked()
            slow.arrives.set()
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ClusterArchivedError):
            await runtime.scheduler.once_now(quick)


# Losing the lease


async def test_a_worker_that_lost_its_lease_heeds_what_it_was_asked_before_it_lives_again(
    cluster: Build, producer: Build
) -> None:
    async with (
        cluster(quick, worker={"name": "a"}).running() as runtime,
        producer(quick).running() as elsewhere,
    ):
        first = await named(elsewhere, "a")
        await elsewhere.master.control.request_worker(
            elsewhere.id, "a", WorkerRequest.STOP
        )  # of which no notifications come
        await elsewhere.master.workers.retire(first.id)

        with anyio.fail_after(10):
            await runtime.workers_stopped()
        assert [worker.id for worker in await elsewhere.list_workers()] == [first.id]
