"""What the scheduling verbs do to a running cluster on the memory provider."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import anyio
import pytest

from jobmaster import (
    AttemptOutcome,
    CancelResult,
    Cluster,
    InvalidDataError,
    InvalidTransitionError,
    JobContext,
    JobDefinition,
    JobNotFoundError,
    JobStatus,
    KeyTakenError,
    Priority,
    Runtime,
    handler,
)
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

ON_TIME = 2.0
"""Seconds a job may be late on a busy test machine; only a job that is forgotten takes longer."""


@handler("Work")
async def work(_: JobContext) -> None:
    await anyio.lowlevel.checkpoint()


async def status_of(runtime: Runtime, job_id: UUID) -> JobStatus:
    return (await runtime.jobs.get(job_id)).status


async def test_a_job_for_now_runs_once_and_is_on_record(cluster: Build) -> None:
    async with cluster(work).running() as runtime:
        receipt = await runtime.scheduler.once_now(work, {"name": "Ann"})
        job = await runtime.jobs.wait(receipt.job_id, 10)

        [worker] = await runtime.list_workers()
    [attempt] = job.attempts
    assert (job.status, dict(job.data), job.attempt, job.retries) == (
        JobStatus.SUCCEEDED,
        {"name": "Ann"},
        1,
        0,
    )
    assert (attempt.number, attempt.outcome, attempt.error) == (1, AttemptOutcome.SUCCEEDED, None)
    assert (attempt.worker, attempt.host) == (worker.name, worker.host)
    assert attempt.started_at is not None
    assert job.created_at <= attempt.started_at <= attempt.finished_at
    assert job.finished_at == attempt.finished_at


async def test_a_receipt_names_what_took_the_job(cluster: Build) -> None:
    async with cluster(work).running() as runtime:
        far = await runtime.scheduler.once_after(work, 5)
        near = await runtime.scheduler.once_after(work, 0.05)

        assert (near.accepted_by, near.created) == ("standalone", True)
        assert (far.accepted_by, far.created) == ("master", True)
        assert await status_of(runtime, far.job_id) is JobStatus.HELD_ON_MASTER


@pytest.mark.parametrize("delay", [0.15, 0.4])
async def test_a_delayed_job_runs_on_time_and_never_early(cluster: Build, delay: float) -> None:
    async with cluster(work, poll_interval=60).running() as runtime:
        by_delay = await runtime.scheduler.once_after(work, timedelta(seconds=delay))
        by_moment = await runtime.scheduler.once_at(work, datetime.now(UTC) + timedelta(seconds=delay))
        jobs = [await runtime.jobs.wait(receipt.job_id, 10) for receipt in (by_delay, by_moment)]

    for job in jobs:
        late = (job.attempts[0].started_at or job.created_at) - job.scheduled_at
        assert timedelta(0) <= late < timedelta(seconds=ON_TIME)


async def test_a_held_job_comes_to_a_bucket_when_it_is_due(cluster: Build, producer: Build) -> None:
    async with producer().running() as runtime:
        receipt = await runtime.scheduler.once_after(work, 0.3)
        assert receipt.accepted_by == "master"

    async with cluster(work, poll_interval=60).running() as runtime:
        job = await runtime.jobs.wait(receipt.job_id, 10)

    assert job.attempts[0].started_at is not None
    assert timedelta(0) <= job.attempts[0].started_at - job.scheduled_at < timedelta(seconds=ON_TIME)


async def test_a_moment_in_the_past_means_now(cluster: Build) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    async with cluster(work).running() as runtime:
        job_id = (await runtime.scheduler.once_at(work, past)).job_id
        job = await runtime.jobs.wait(job_id, 10)
    assert (job.status, job.scheduled_at) == (JobStatus.SUCCEEDED, past)


async def test_settings_come_from_the_call_then_the_handler_then_the_cluster(producer: Build) -> None:
    @handler("Set", timeout=5, priority=Priority.LOW, lane="Mail", metadata={"kind": "a", "team": "x"})
    async def known(_: JobContext) -> None: ...

    settings = {"default_job_timeout": 7, "default_max_retries": 9}
    async with producer(known, work, **settings).running() as runtime:
        s = runtime.scheduler
        called = await s.once_now(known, timeout=None, max_retries=0, lane="Post", metadata={"team": "y"})
        plain = await s.once_now(known)
        bare = await s.once_now(work)
        jobs = [await runtime.jobs.get(receipt.job_id) for receipt in (called, plain, bare)]

    assert [(j.timeout, j.max_retries, j.lane, j.priority) for j in jobs] == [
        (None, 0, "Post", Priority.LOW),
        (5, 9, "Mail", Priority.LOW),
        (7, 9, "default", Priority.MEDIUM),
    ]
    assert [dict(j.metadata) for j in jobs] == [
        {"kind": "a", "team": "y"},
        {"kind": "a", "team": "x"},
        {},
    ]


async def test_a_second_call_with_a_key_returns_the_first_job(cluster: Build) -> None:
    runs = Seen[str]()

    @handler("Keyed")
    async def keyed(job: JobContext) -> None:
        runs.add(job.key or "")

    async with cluster(keyed).running() as runtime:
        first = await runtime.scheduler.once_now(keyed, {"n": 1}, key="order-7")
        await runtime.jobs.wait(first.job_id, 10)
        again = await runtime.scheduler.once_now(keyed, {"n": 2}, key="order-7")
        other = await runtime.scheduler.once_now(keyed, key="order-8")
        await runtime.jobs.wait(other.job_id, 10)
        job = await runtime.jobs.get(first.job_id)
        counted = await runtime.jobs.count()

    assert (first.created, again.created, again.job_id) == (True, False, first.job_id)
    assert (dict(job.data), job.key, counted) == ({"n": 1}, "order-7", 2)
    assert runs.items == ["order-7", "order-8"]


async def test_concurrent_calls_with_one_key_make_one_job(cluster: Build) -> None:
    ids: list[UUID] = []
    async with cluster(work).running() as runtime:

        async def call() -> None:
            ids.append((await runtime.scheduler.once_now(work, key="once")).job_id)

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(call)
        assert await runtime.jobs.count() == 1
    assert len(ids) == 20
    assert len(set(ids)) == 1


@pytest.mark.parametrize("kind", ["producer", "distributed"])
async def test_a_key_of_another_handler_is_refused_and_neighbours_are_stored(
    request: pytest.FixtureRequest, kind: str
) -> None:
    made = request.getfixturevalue(kind)(work, **({"workers": ()} if kind == "distributed" else {}))
    stored, refused = Seen[UUID](), Seen[str]()
    async with made.running() as runtime:
        first = await runtime.scheduler.once_now(work, key="order-7")

        async def call(definition: JobDefinition, key: str | None) -> None:
            try:
                stored.add((await runtime.scheduler.once_now(definition, key=key)).job_id)
            except KeyTakenError as error:
                refused.add(str(error))

        async with anyio.create_task_group() as group:  # they share a flush
            for key in (None, "order-8", "order-7", "order-9", None):
                group.start_soon(call, JobDefinition("Other"), key)
        with pytest.raises(KeyTakenError):
            await runtime.scheduler.once_many([work.request(), JobDefinition("Other").request(key="order-7")])
        assert await runtime.jobs.count() == 5

        first_schedule = await runtime.scheduler.recurring(work, "every day at 03:00", key="nightly")
        with pytest.raises(
            KeyTakenError, match=f"belongs to schedule {first_schedule.schedule_id} of 'Work'"
        ):
            await runtime.scheduler.recurring(JobDefinition("Other"), "every day at 03:00", key="nightly")

    assert len(stored.items) == 4
    [message] = refused.items
    assert message.startswith(
        f"key: 'order-7' belongs to job {first.job_id} of 'Work', so nothing was stored for 'Other'; use another"
    )


async def test_once_many_returns_receipts_in_order(cluster: Build) -> None:
    runs = Seen[int]()

    @handler("Many")
    async def many(job: JobContext) -> None:
        runs.add(job.data.get_int("n"))

    async with cluster(many).running() as runtime:
        receipts = await runtime.scheduler.once_many([many.request({"n": n}) for n in range(300)])
        await runs.count(300)
        datas = [(await runtime.jobs.get(r.job_id)).data["n"] for r in (receipts[0], receipts[299])]
    assert datas == [0, 299]
    assert sorted(runs.items) == list(range(300))


async def test_once_many_stores_all_or_none(cluster: Build) -> None:
    async with cluster(work).running() as runtime:
        requests = [work.request(), work.request({"bad": object()}), work.request()]
        with pytest.raises(InvalidDataError):
            await runtime.scheduler.once_many(requests)

        assert await runtime.jobs.count() == 0
        assert await runtime.scheduler.once_many([]) == ()


async def test_once_many_takes_due_times_from_its_requests(producer: Build) -> None:
    async with producer(work).running() as runtime:
        soon, later = await runtime.scheduler.once_many([work.request(), work.request(after=3600)])
        gap = (await runtime.jobs.get(later.job_id)).scheduled_at - (
            await runtime.jobs.get(soon.job_id)
        ).scheduled_at
    assert timedelta(seconds=3599) < gap < timedelta(seconds=3601)


@pytest.mark.usefixtures("bound_early")
async def test_a_waiting_job_is_cancelled_at_once(cluster: Build) -> None:
    async with cluster(work).running() as runtime:
        receipt = await runtime.scheduler.once_after(work, 60)
        assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.CANCELLED

        job = await runtime.jobs.get(receipt.job_id)
        assert (job.status, list(job.attempts)) == (JobStatus.CANCELLED, [])
        assert await runtime.scheduler.cancel(str(receipt.job_id)) is CancelResult.TOO_LATE


async def test_a_job_that_waits_in_memory_is_cancelled_without_running(cluster: Build) -> None:
    started, release = Seen[UUID](), anyio.Event()

    @handler("Hold", priority=Priority.VERY_LOW)
    async def hold(job: JobContext) -> None:
        started.add(job.id)
        await release.wait()

    async with cluster(hold).running() as runtime:
        receipts = await runtime.scheduler.once_many([hold.request() for _ in range(3)])
        await started.count(2)
        [waiting] = {r.job_id for r in receipts} - set(started.items)
        await until(lambda: _is(runtime, waiting, JobStatus.QUEUED))

        assert await runtime.scheduler.cancel(waiting) is CancelResult.REQUESTED
        job = await runtime.jobs.wait(waiting, 10)
        release.set()
    assert (job.status, list(job.attempts)) == (JobStatus.CANCELLED, [])
    assert waiting not in started.items


async def test_a_running_job_is_cancelled_through_its_scope(cluster: Build) -> None:
    started, cleaned = Seen[UUID](), Seen[str]()

    @handler("Endless")
    async def endless(job: JobContext) -> None:
        started.add(job.id)
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.add("cleaned")

    async with cluster(endless).running() as runtime:
        receipt = await runtime.scheduler.once_now(endless)
        await started.count(1)
        assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.REQUESTED
        job = await runtime.jobs.wait(receipt.job_id, 10)

    assert cleaned.items == ["cleaned"]
    assert (job.status, [a.outcome for a in job.attempts]) == (
        JobStatus.CANCELLED,
        [AttemptOutcome.CANCELLED],
    )


async def test_a_finished_job_cannot_be_cancelled(cluster: Build) -> None:
    async with cluster(work).running() as runtime:
        receipt = await runtime.scheduler.once_now(work)
        await runtime.jobs.wait(receipt.job_id, 10)

        assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.TOO_LATE
        assert await status_of(runtime, receipt.job_id) is JobStatus.SUCCEEDED


@pytest.mark.usefixtures("bound_early")
async def test_cancel_many_cancels_all_or_none(cluster: Build) -> None:
    async with cluster(work).running() as runtime:
        receipts = await runtime.scheduler.once_many([work.request(after=60) for _ in range(2)])
        ids = [r.job_id for r in receipts]
        with pytest.raises(JobNotFoundError):
            await runtime.scheduler.cancel_many([*ids, uuid4()])
        assert [await status_of(runtime, job_id) for job_id in ids] == [JobStatus.ASSIGNED_TO_BUCKET] * 2

        assert list(await runtime.scheduler.cancel_many(ids)) == [CancelResult.CANCELLED] * 2


@pytest.mark.usefixtures("bound_early")
@pytest.mark.parametrize(("first", "held"), [(3600.0, True), (30.0, False)])
async def test_a_rescheduled_job_runs_at_its_new_time(cluster: Build, first: float, held: bool) -> None:
    async with cluster(work).running() as runtime:
        receipt = await runtime.scheduler.once_after(work, first)
        assert (receipt.accepted_by == "master") is held

        await runtime.scheduler.reschedule(receipt.job_id, 0.1)
        job = await runtime.jobs.wait(receipt.job_id, 10)
    assert job.status is JobStatus.SUCCEEDED
    assert job.attempts[0].started_at is not None
    assert job.attempts[0].started_at >= job.scheduled_at
    assert job.scheduled_at < job.created_at + timedelta(seconds=10)


@pytest.mark.usefixtures("bound_early")
async def test_a_rescheduled_job_does_not_run_at_its_old_time(cluster: Build) -> None:
    async with cluster(work).running() as runtime:
        receipt = await runtime.scheduler.once_after(work, 0.3)
        moment = datetime.now(UTC) + timedelta(seconds=60)
        await runtime.scheduler.reschedule(receipt.job_id, moment)

        later = await runtime.scheduler.once_after(work, 0.5)
        await runtime.jobs.wait(later.job_id, 10)
        job = await runtime.jobs.get(receipt.job_id)
    assert not job.status.is_terminal
    assert abs(job.scheduled_at - moment) < timedelta(seconds=1)


async def test_a_finished_job_runs_again_when_it_is_retried(cluster: Build) -> None:
    broken = True

    @handler("Mended", max_retries=0)
    async def mended(_: JobContext) -> None:
        if broken:
            raise ValueError("not yet")

    async with cluster(mended).running() as runtime:
        receipt = await runtime.scheduler.once_now(mended)
        assert (await runtime.jobs.wait(receipt.job_id, 10)).status is JobStatus.FAILED
        broken = False
        await runtime.scheduler.retry(receipt.job_id)
        job = await runtime.jobs.wait(receipt.job_id, 10)
    assert job.status is JobStatus.SUCCEEDED
    assert [(a.number, a.outcome) for a in job.attempts] == [
        (1, AttemptOutcome.FAILED),
        (2, AttemptOutcome.SUCCEEDED),
    ]


async def test_a_cancelled_job_runs_when_it_is_retried(cluster: Build) -> None:
    async with cluster(work).running() as runtime:
        receipt = await runtime.scheduler.once_after(work, 60)
        await runtime.scheduler.cancel(receipt.job_id)
        await runtime.scheduler.retry(receipt.job_id)
        job = await runtime.jobs.wait(receipt.job_id, 10)
    assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)


async def test_an_unfinished_job_is_neither_retried_nor_rescheduled_under_a_worker(cluster: Build) -> None:
    started, release = Seen[UUID](), anyio.Event()

    @handler("Busy")
    async def busy(job: JobContext) -> None:
        started.add(job.id)
        await release.wait()

    async with cluster(busy).running() as runtime:
        receipt = await runtime.scheduler.once_now(busy)
        await started.count(1)
        with pytest.raises(InvalidTransitionError):
            await runtime.scheduler.retry(receipt.job_id)
        with pytest.raises(InvalidTransitionError):
            await runtime.scheduler.reschedule(receipt.job_id, 10)
        release.set()
        job = await runtime.jobs.wait(receipt.job_id, 10)
    assert (job.status, len(started.items)) == (JobStatus.SUCCEEDED, 1)


async def test_a_producer_needs_only_the_definition_id(cluster: Build, producer: Build) -> None:
    definition = JobDefinition("Work", priority=Priority.HIGH, timeout=30)
    async with producer().running() as sender:
        one = await sender.scheduler.once_now(definition, {"name": "Ann"}, key="k")
        [two] = await sender.scheduler.once_many([definition.request({"name": "Bob"})])
        assert await sender.list_workers() == []

        async with cluster(work).running() as runtime:
            jobs = [await runtime.jobs.wait(receipt.job_id, 10) for receipt in (one, two)]
            three = await sender.scheduler.once_now(definition)
            jobs.append(await sender.jobs.wait(three.job_id, 10))
    assert [(j.status, j.priority, j.timeout) for j in jobs] == [(JobStatus.SUCCEEDED, Priority.HIGH, 30)] * 3


async def test_a_call_can_go_to_another_cluster_of_the_process(cluster: Build, producer: Build) -> None:
    with_worker = cluster(work, cluster_id="Worker-1")
    async with producer(cluster_id="Sender-1").running() as sender, with_worker.running() as runtime:
        now = await sender.scheduler.once_now(work, cluster="Worker-1")
        [many] = await sender.scheduler.once_many([work.request(after=60)], cluster="Worker-1")
        await sender.scheduler.reschedule(many.job_id, 0, cluster="Worker-1")
        jobs = [await runtime.jobs.wait(receipt.job_id, 10) for receipt in (now, many)]
        assert await sender.jobs.count() == 0
    assert [(j.job.cluster_id, j.status) for j in jobs] == [("Worker-1", JobStatus.SUCCEEDED)] * 2


async def _is(runtime: Runtime, job_id: UUID, status: JobStatus) -> bool:
    return await status_of(runtime, job_id) is status


async def test_waiting_in_vain_says_for_what(producer: Build) -> None:
    async with producer(work).running() as runtime:
        receipt = await runtime.scheduler.once_now(work)

        with pytest.raises(TimeoutError, match=f"job {receipt.job_id} has not finished within 0.01 s"):
            await runtime.jobs.wait(receipt.job_id, 0.01)
