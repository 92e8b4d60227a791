"""How handlers are run: slots, timeouts, and everything a handler may do when it is told to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
import pytest

from jobmaster import (
    AttemptOutcome,
    Cluster,
    JobCancelled,
    JobContext,
    JobRecord,
    JobStatus,
    Priority,
    Runtime,
    handler,
)
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

QUICKLY = 3.0
"""Seconds that are enough for anything but a wait that nobody ends."""


async def run_one(cluster: Cluster, target: Any, **options: Any) -> JobRecord:
    async with cluster.running() as runtime:
        receipt = await runtime.scheduler.once_now(target, **options)
        return await runtime.jobs.wait(receipt.job_id, 15)


async def run_and_cancel(cluster: Cluster, target: Any, started: Seen[UUID]) -> JobRecord:
    async with cluster.running() as runtime:
        receipt = await runtime.scheduler.once_now(target)
        await started.count(1)
        await runtime.scheduler.cancel(receipt.job_id)
        return await runtime.jobs.wait(receipt.job_id, 15)


def end_of(job: JobRecord) -> tuple[JobStatus, list[AttemptOutcome]]:
    return job.status, [attempt.outcome for attempt in job.attempts]


TIMED_OUT = (JobStatus.FAILED, [AttemptOutcome.TIMED_OUT])
CANCELLED = (JobStatus.CANCELLED, [AttemptOutcome.CANCELLED])
SUCCEEDED = (JobStatus.SUCCEEDED, [AttemptOutcome.SUCCEEDED])


# Slots


@pytest.mark.parametrize(
    ("priority", "slots"),
    [
        (Priority.VERY_LOW, 2),
        (Priority.LOW, 3),
        (Priority.MEDIUM, 5),
        (Priority.HIGH, 8),
        (Priority.CRITICAL, 13),
    ],
)
@pytest.mark.parametrize("parallelism", [1.0, 2.0])
async def test_each_priority_has_its_slots(
    cluster: Build, priority: Priority, slots: int, parallelism: float
) -> None:
    release = anyio.Event()
    expected = round(slots * parallelism)

    @handler("Hold", priority=priority)
    async def hold(_: JobContext) -> None:
        await release.wait()

    async with cluster(hold, worker={"parallelism": parallelism}).running() as runtime:
        await runtime.scheduler.once_many([hold.request() for _ in range(expected + 2)])
        wanted = {JobStatus.PROCESSING: expected, JobStatus.QUEUED: 2}
        await until(lambda: _counts_are(runtime, wanted))
        release.set()
        await until(lambda: _counts_are(runtime, {JobStatus.SUCCEEDED: expected + 2}))


async def _counts_are(runtime: Runtime, wanted: dict[JobStatus, int]) -> bool:
    return dict(await runtime.jobs.count_by_status()) == wanted


async def test_plain_functions_fill_the_slots_too(cluster: Build) -> None:
    together = threading.Barrier(5)

    @handler("Together")
    def meet(_: JobContext) -> None:
        together.wait(10)

    async with cluster(meet).running() as runtime:
        receipts = await runtime.scheduler.once_many([meet.request() for _ in range(5)])
        jobs = [await runtime.jobs.wait(r.job_id, 15) for r in receipts]
    assert [end_of(job) for job in jobs] == [SUCCEEDED] * 5


async def test_a_priority_set_to_zero_is_left_out(cluster: Build) -> None:
    ran = Seen[Priority]()

    @handler("Ranked")
    async def ranked(job: JobContext) -> None:
        ran.add(job.priority)

    worker = {"buckets": {Priority.LOW: 0, Priority.HIGH: 2}}
    async with cluster(ranked, worker=worker).running() as runtime:
        low = await runtime.scheduler.once_now(ranked, priority=Priority.LOW)
        high = await runtime.scheduler.once_now(ranked, priority=Priority.HIGH)
        await runtime.jobs.wait(high.job_id, 10)
        buckets = sorted(b.priority.name for b in await runtime.list_buckets())

        assert buckets == ["CRITICAL", "HIGH", "HIGH", "MEDIUM", "VERY_LOW"]
        assert (await runtime.jobs.get(low.job_id)).status is JobStatus.HELD_ON_MASTER
    assert ran.items == [Priority.HIGH]


async def test_a_worker_serves_its_lane_only(cluster: Build) -> None:
    @handler("Anywhere")
    async def anywhere(_: JobContext) -> None: ...

    async with cluster(anywhere, worker={"lane": "Payroll"}).running() as runtime:
        elsewhere = await runtime.scheduler.once_now(anywhere)
        here = await runtime.scheduler.once_now(anywhere, lane="Payroll")
        assert (await runtime.jobs.wait(here.job_id, 10)).status is JobStatus.SUCCEEDED
        assert (await runtime.jobs.get(elsewhere.job_id)).status is JobStatus.HELD_ON_MASTER


async def test_jobs_that_last_are_shown_as_processing(cluster: Build) -> None:
    release = anyio.Event()

    @handler("Long")
    async def long(_: JobContext) -> None:
        await release.wait()

    async with cluster(long).running() as runtime:
        receipt = await runtime.scheduler.once_now(long)
        await until(lambda: _counts_are(runtime, {JobStatus.PROCESSING: 1}))
        assert (await runtime.jobs.get(receipt.job_id)).bucket_id is not None
        release.set()


# Timeouts


async def test_an_attempt_is_cancelled_at_its_timeout(cluster: Build) -> None:
    cleaned = Seen[bool]()

    @handler("Slow", timeout=0.2, max_retries=0)
    async def slow(job: JobContext) -> None:
        try:
            await anyio.sleep(60)
        finally:
            cleaned.add(job.cancelled)

    job = await run_one(cluster(slow), slow)

    assert (end_of(job), cleaned.items) == (TIMED_OUT, [True])
    [attempt] = job.attempts
    assert attempt.started_at is not None
    assert 0.2 <= (attempt.finished_at - attempt.started_at).total_seconds() < QUICKLY
    assert "timeout of 0.2 s" in (attempt.error or pytest.fail("no error")).message


async def test_a_timeout_is_retried_like_a_failure(cluster: Build) -> None:
    @handler("SlowOnce", timeout=0.1, max_retries=1)
    async def slow_once(job: JobContext) -> None:
        if job.attempt == 1:
            await anyio.sleep(60)

    job = await run_one(cluster(slow_once), slow_once)

    assert end_of(job) == (JobStatus.SUCCEEDED, [AttemptOutcome.TIMED_OUT, AttemptOutcome.SUCCEEDED])


async def test_every_job_has_its_own_deadline(cluster: Build) -> None:
    @handler("Timed", max_retries=0)
    async def timed(job: JobContext) -> None:
        await anyio.sleep(60 if job.data["slow"] else 0.3)

    async with cluster(timed).running() as runtime:
        requests = [
            timed.request({"slow": False}, timeout=30),
            timed.request({"slow": True}, timeout=0.4),
            timed.request({"slow": True}, timeout=0.1),
            timed.request({"slow": False}, timeout=None),
        ]
        receipts = await runtime.scheduler.once_many(requests)
        jobs = [await runtime.jobs.wait(r.job_id, 10) for r in receipts]
    assert [end_of(job) for job in jobs] == [SUCCEEDED, TIMED_OUT, TIMED_OUT, SUCCEEDED]


async def test_a_plain_function_that_overstays_is_left_behind(cluster: Build) -> None:
    release, left = threading.Event(), threading.Event()

    @handler("Stuck", timeout=0.2, max_retries=0)
    def stuck(_: JobContext) -> None:
        release.wait(30)
        left.set()

    try:
        job = await run_one(cluster(stuck), stuck)
        assert end_of(job) == TIMED_OUT
        assert not left.is_set()
    finally:
        release.set()
    assert await anyio.to_thread.run_sync(left.wait, 10)


async def test_a_plain_function_can_stop_when_it_is_told_to(cluster: Build) -> None:
    reasons: list[str] = []
    noticed = threading.Event()

    @handler("Polite", timeout=0.2, max_retries=0)
    def polite(job: JobContext) -> None:
        assert not job.cancelled
        assert job.wait_cancelled(30)
        try:
            job.raise_if_cancelled()
        except JobCancelled as error:
            reasons.append(str(error))
            noticed.set()
            raise

    job = await run_one(cluster(polite), polite)

    assert end_of(job) == TIMED_OUT
    assert await anyio.to_thread.run_sync(noticed.wait, 10)
    assert reasons == ["the job's timeout ran out"]


async def test_a_job_that_was_too_late_has_timed_out_even_if_it_ended_well(cluster: Build) -> None:
    @handler("Stubborn", timeout=0.1, max_retries=0)
    async def stubborn(_: JobContext) -> None:
        try:
            await anyio.sleep(60)
        except BaseException:  # noqa: BLE001 - the handler is badly behaved
            return

    assert end_of(await run_one(cluster(stubborn), stubborn)) == TIMED_OUT


# Handlers that are told to stop


async def test_a_plain_function_is_cancelled_while_it_runs(cluster: Build) -> None:
    started, told = threading.Event(), threading.Event()

    @handler("Sync")
    def sync(job: JobContext) -> None:
        started.set()
        assert job.wait_cancelled(30)
        told.set()

    async with cluster(sync).running() as runtime:
        receipt = await runtime.scheduler.once_now(sync)
        assert await anyio.to_thread.run_sync(started.wait, 10)
        await runtime.scheduler.cancel(receipt.job_id)
        job = await runtime.jobs.wait(receipt.job_id, 10)
        assert await anyio.to_thread.run_sync(told.wait, 10)
    assert end_of(job) == CANCELLED


async def test_a_handler_that_swallows_the_cancellation_and_returns_has_succeeded(cluster: Build) -> None:
    started = Seen[UUID]()

    @handler("Swallow")
    async def swallow(job: JobContext) -> None:
        started.add(job.id)
        try:
            await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001 - the handler is badly behaved
            return

    assert end_of(await run_and_cancel(cluster(swallow), swallow, started)) == SUCCEEDED


async def test_a_handler_that_swallows_the_cancellation_cannot_wait_again(cluster: Build) -> None:
    started, tries = Seen[UUID](), Seen[int]()

    @handler("Deaf")
    async def deaf(job: JobContext) -> None:
        started.add(job.id)
        for number in range(3):
            try:
                await anyio.sleep_forever()
            except BaseException:  # noqa: BLE001 - the handler is badly behaved
                tries.add(number)
        await anyio.sleep_forever()

    assert end_of(await run_and_cancel(cluster(deaf), deaf, started)) == CANCELLED
    assert tries.items == [0, 1, 2]


async def test_a_handler_that_turns_the_cancellation_into_an_error_was_cancelled(cluster: Build) -> None:
    started = Seen[UUID]()

    @handler("Converts")
    async def converts(job: JobContext) -> None:
        started.add(job.id)
        try:
            await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001 - the handler is badly behaved
            raise RuntimeError("interrupted") from None

    assert end_of(await run_and_cancel(cluster(converts), converts, started)) == CANCELLED


async def test_errors_of_child_tasks_while_cancelled_do_not_hurt_the_worker(cluster: Build) -> None:
    started = Seen[UUID]()

    async def child() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("while cleaning up")

    @handler("Parent")
    async def parent(job: JobContext) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child)
            group.start_soon(child)
            await anyio.lowlevel.checkpoint()
            started.add(job.id)
            await anyio.sleep_forever()

    async with cluster(parent).running() as runtime:
        receipt = await runtime.scheduler.once_now(parent)
        await started.count(1)
        await runtime.scheduler.cancel(receipt.job_id)
        job = await runtime.jobs.wait(receipt.job_id, 10)
        again = await runtime.scheduler.once_now(parent)
        await started.count(2)
        await runtime.scheduler.cancel(again.job_id)
        await runtime.jobs.wait(again.job_id, 10)
    assert end_of(job) == CANCELLED


async def test_a_slot_is_free_again_after_every_kind_of_end(cluster: Build) -> None:
    @handler("AllKinds", max_retries=0, timeout=0.2, priority=Priority.VERY_LOW)
    async def all_kinds(job: JobContext) -> None:
        kind = job.data["kind"]
        if kind == "raise":
            raise ValueError(kind)
        if kind == "exit":
            raise SystemExit(1)
        if kind == "late":
            await anyio.sleep(60)
        if kind == "scope":
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anyio.sleep(60)

    kinds = ["raise", "exit", "late", "scope", "return"] * 4
    async with cluster(all_kinds).running() as runtime:
        requests = [all_kinds.request({"kind": kind}) for kind in kinds]
        receipts = await runtime.scheduler.once_many(requests)
        jobs = [await runtime.jobs.wait(r.job_id, 20) for r in receipts]
    expected = [AttemptOutcome.FAILED] * 2 + [AttemptOutcome.TIMED_OUT] + [AttemptOutcome.SUCCEEDED] * 2
    assert [job.attempts[0].outcome for job in jobs] == expected * 4


async def test_a_handler_that_raises_a_cancellation_of_its_own_has_failed(cluster: Build) -> None:
    @handler("Own", max_retries=0)
    async def own(_: JobContext) -> None:
        raise asyncio.CancelledError("of my own")

    assert end_of(await run_one(cluster(own), own)) == (JobStatus.FAILED, [AttemptOutcome.FAILED])


async def test_a_handler_whose_future_was_cancelled_has_failed(cluster: Build, anyio_backend: str) -> None:
    if anyio_backend == "trio":
        pytest.skip("futures are asyncio's")

    @handler("Future", max_retries=0)
    async def future(_: JobContext) -> None:
        inner = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(inner.cancel)
        await inner

    assert end_of(await run_one(cluster(future), future)) == (JobStatus.FAILED, [AttemptOutcome.FAILED])


# Fairness


@pytest.mark.alone
async def test_jobs_that_never_wait_do_not_starve_the_heartbeat(cluster: Build) -> None:
    @handler("Cpu")
    async def cpu(_: JobContext) -> None:
        end = monotonic() + 0.002
        while monotonic() < end:
            pass

    async with cluster(cpu, lease=1.0).running() as runtime:
        [before] = await runtime.list_workers()
        receipts = await runtime.scheduler.once_many([cpu.request() for _ in range(750)])
        jobs = [await runtime.jobs.wait(r.job_id, 30) for r in receipts]
        [after] = await runtime.list_workers()
    assert [end_of(job) for job in jobs] == [SUCCEEDED] * 750
    assert after.id == before.id, "the worker had to start anew"
    assert after.heartbeat_at is not None
    assert before.heartbeat_at is not None
    assert after.heartbeat_at > before.heartbeat_at
