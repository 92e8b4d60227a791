"""Jobs whose handler no running worker knows are parked, shown, and run once somebody knows it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import anyio
import pytest

from jobmaster import (
    AttemptOutcome,
    CancelResult,
    Cluster,
    JobContext,
    JobDefinition,
    JobRecord,
    JobStatus,
    Runtime,
    handler,
)
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

UNKNOWN = JobDefinition("NewFeature", max_retries=0)


@handler("Known")
async def known(_: JobContext) -> None: ...


@handler("NewFeature", max_retries=0)
async def new_feature(_: JobContext) -> None: ...


async def parked(runtime: Runtime, job_id: UUID) -> JobRecord:
    async def look() -> JobRecord | None:
        job = await runtime.jobs.get(job_id)
        return job if job.reason else None

    found = await until(look)
    assert found is not None
    return found


async def test_a_job_without_a_handler_is_parked_with_its_reason(cluster: Build) -> None:
    async with cluster(known).running() as runtime:
        receipt = await runtime.scheduler.once_now(UNKNOWN)
        job = await parked(runtime, receipt.job_id)

        assert job.reason == (
            "no handler for 'NewFeature' on the worker that claimed it; start a worker whose application imports one"
        )
        assert (job.status, job.bucket_id) == (JobStatus.HELD_ON_MASTER, None)
        assert (job.attempt, job.retries, list(job.attempts)) == (1, 0, [])
        [found] = await runtime.jobs.query(parked=True)
        assert found.id == receipt.job_id
        assert await runtime.jobs.count(parked=False) == 0


async def test_parked_jobs_do_not_go_round_in_circles(cluster: Build) -> None:
    async with cluster(known, poll_interval=0.02, heartbeat=0.02).running() as runtime:
        receipt = await runtime.scheduler.once_now(UNKNOWN)
        before = await parked(runtime, receipt.job_id)
        for _ in range(3):
            last = await runtime.scheduler.once_now(known)
            await runtime.jobs.wait(last.job_id, 10)
        assert await runtime.jobs.get(receipt.job_id) == before


async def test_a_parked_job_runs_when_a_worker_appears_that_knows_it(cluster: Build) -> None:
    async with cluster(known).running() as runtime:
        receipt = await runtime.scheduler.once_now(UNKNOWN)
        await parked(runtime, receipt.job_id)

        async with cluster(new_feature).running():
            job = await runtime.jobs.wait(receipt.job_id, 10)
    assert (job.status, job.reason, job.retries) == (JobStatus.SUCCEEDED, None, 0)
    assert [(a.number, a.outcome) for a in job.attempts] == [(1, AttemptOutcome.SUCCEEDED)]


async def test_a_parked_job_survives_a_restart_without_its_handler(cluster: Build) -> None:
    async with cluster(known).running() as runtime:
        receipt = await runtime.scheduler.once_now(UNKNOWN)
        await parked(runtime, receipt.job_id)
    async with cluster(known).running() as runtime:
        await parked(runtime, receipt.job_id)
    async with cluster(known, new_feature).running() as runtime:
        job = await runtime.jobs.wait(receipt.job_id, 10)
    assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)


async def test_a_job_that_meets_both_workers_ends_at_the_one_that_knows_it(cluster: Build) -> None:
    async with cluster(known).running() as runtime, cluster(known, new_feature).running():
        receipts = await runtime.scheduler.once_many([UNKNOWN.request() for _ in range(40)])
        with anyio.fail_after(20):
            jobs = [await runtime.jobs.wait(r.job_id) for r in receipts]
    assert {(j.status, len(j.attempts), j.retries) for j in jobs} == {(JobStatus.SUCCEEDED, 1, 0)}


async def test_a_parked_job_can_be_cancelled(cluster: Build) -> None:
    async with cluster(known).running() as runtime:
        receipt = await runtime.scheduler.once_now(UNKNOWN)
        await parked(runtime, receipt.job_id)
        assert await runtime.scheduler.cancel(receipt.job_id) is CancelResult.CANCELLED
        assert (await runtime.jobs.get(receipt.job_id)).status is JobStatus.CANCELLED
