"""What happens to jobs when processes start and stop, on a provider's store."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from contextlib import AsyncExitStack
from uuid import UUID

import anyio

from jobmaster.context import JobContext
from jobmaster.contracts import Mark
from jobmaster.definitions import JobDefinition
from jobmaster.handlers import handler
from jobmaster.models import JobRecord
from jobmaster.states import BucketStatus, JobStatus, WorkerStatus
from jobmaster_testing.contracts.running import Clusters, RunningTests, ended, outcomes
from jobmaster_testing.contracts.world import SHORT, World
from jobmaster_testing.probes import Seen, until


class SurvivingContract(RunningTests, suite=True):
    """Several runtimes on one store, one after the other and at the same time."""

    async def test_a_job_of_a_producer_is_run_by_a_worker(self, clusters: Clusters) -> None:
        @handler("Produced")
        async def produced(job: JobContext) -> None: ...

        async with clusters.scheduling() as producer, clusters.running(produced):
            receipt = await producer.scheduler.once_now(JobDefinition("Produced"))
            job = await ended(producer, receipt.job_id)

        assert outcomes(job) == ["succeeded"]

    async def test_jobs_wait_for_a_worker(self, clusters: Clusters) -> None:
        @handler("Patient")
        async def patient(job: JobContext) -> None: ...

        async with clusters.scheduling() as producer:
            receipts = await producer.scheduler.once_many([patient.request() for _ in range(20)])
        async with clusters.running(patient) as runtime:
            jobs = [await ended(runtime, receipt.job_id) for receipt in receipts]

        assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}

    async def test_two_runtimes_share_the_work(self, clusters: Clusters) -> None:
        runs: Seen[tuple[UUID, str]] = Seen()

        @handler("Shared")
        async def shared(job: JobContext) -> None:
            runs.add((job.id, job.worker))
            await anyio.lowlevel.checkpoint()

        async with AsyncExitStack() as stack:
            runtimes = [
                await stack.enter_async_context(clusters.running(shared, name=f"Worker-{n}")) for n in (1, 2)
            ]
            scheduler = runtimes[0].scheduler
            # A producer learns about new buckets from notifications, or soon after: let it read them anew.
            scheduler.directory.invalidate("")
            receipts = await scheduler.once_many([shared.request() for _ in range(100)])
            jobs = [await ended(runtimes[1], receipt.job_id) for receipt in receipts]

        assert [outcomes(job) for job in jobs] == [["succeeded"]] * 100
        assert len(runs.items) == len({job_id for job_id, _ in runs.items}) == 100

    async def test_a_job_without_a_handler_is_parked_until_there_is_one(self, clusters: Clusters) -> None:
        @handler("Other")
        async def other(job: JobContext) -> None: ...

        @handler("New")
        async def new(job: JobContext) -> None: ...

        async with clusters.running(other, name="Old-01") as runtime:
            receipt = await runtime.scheduler.once_now(JobDefinition("New"))

            async def parked() -> bool:
                return await runtime.jobs.count(parked=True) == 1

            await until(parked, what="the job to be parked")
            waiting = await runtime.jobs.get(receipt.job_id)
            async with clusters.running(new, name="New-01"):
                job = await ended(runtime, receipt.job_id)

        assert "New" in str(waiting.reason)
        assert (waiting.status, outcomes(waiting)) == (JobStatus.HELD_ON_MASTER, [])
        assert (job.retries, outcomes(job)) == (0, ["succeeded"])
        assert job.attempts[0].worker == "New-01"

    async def test_a_graceful_stop_lets_running_jobs_end(self, clusters: Clusters) -> None:
        started: Seen[UUID] = Seen()
        finish = anyio.Event()

        @handler("Ending")
        async def ending(job: JobContext) -> None:
            started.add(job.id)
            await finish.wait()

        async with clusters.running(ending) as runtime:
            receipt = await runtime.scheduler.once_now(ending)
            await started.count(1)
            finish.set()

        async with clusters.scheduling() as runtime:
            job = await runtime.jobs.get(receipt.job_id)
        assert outcomes(job) == ["succeeded"]

    async def test_a_graceful_stop_returns_the_rest(self, clusters: Clusters, world: World) -> None:
        started: Seen[UUID] = Seen()
        deployed = anyio.Event()

        @handler("Deployed", timeout=None, max_retries=0)
        async def deploy(job: JobContext) -> None:
            started.add(job.id)
            await deployed.wait()

        async with clusters.running(deploy, stop_grace=0.01) as runtime:
            receipts = await runtime.scheduler.once_many([deploy.request() for _ in range(30)])
            await started.count(1)

        holdings = await world.master.buckets.holdings(world.cluster_id)
        waiting = [await world.record(receipt.job_id) for receipt in receipts]
        assert dict(holdings) == {}
        assert {(job.status, job.retries) for job in waiting} == {(JobStatus.HELD_ON_MASTER, 0)}
        deployed.set()
        async with clusters.running(deploy, name="Next-01") as runtime:
            jobs = [await ended(runtime, receipt.job_id) for receipt in receipts]
        assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}
        interrupted = {job.id for job in jobs if "interrupted" in outcomes(job)}
        assert interrupted
        assert interrupted == set(started.items[: len(interrupted)])

    async def test_a_graceful_stop_leaves_no_worker_behind(self, clusters: Clusters, world: World) -> None:
        @handler("Nothing")
        async def nothing(job: JobContext) -> None: ...

        async with clusters.running(nothing):
            [worker] = await world.master.workers.list_all(world.cluster_id)
            assert worker.status is WorkerStatus.ACTIVE

        [worker] = await world.master.workers.list_all(world.cluster_id)
        buckets = await world.master.buckets.list_all(world.cluster_id)
        assert worker.status is WorkerStatus.STOPPED
        assert {bucket.status for bucket in buckets} == {BucketStatus.READY_TO_DELETE}

    async def test_jobs_of_a_dead_worker_are_run_by_another(self, clusters: Clusters, world: World) -> None:
        @handler("TestJob")
        async def survivor(job: JobContext) -> None: ...

        bucket = await world.bucket(lease=SHORT)
        running, in_hand = await world.put(bucket, 2)
        waiting = await world.put_one(bucket, delay=0.2)
        claim = next(claim for claim in await world.claims(bucket) if claim.job.id == running.id)
        started = await world.master.now()
        mark = Mark(job_id=claim.job.id, attempt=1, status=JobStatus.PROCESSING, started_at=started)
        await world.master.outcomes.mark(bucket, [mark])

        async with clusters.running(survivor) as runtime:
            lost = await ended(runtime, running.id)
            unknown = await ended(runtime, in_hand.id)
            spared = await ended(runtime, waiting.id)

        assert (outcomes(lost), lost.retries) == (["lost", "succeeded"], 0)
        assert lost.attempts[0].started_at == started
        assert "its start is on record" in said_of_the_first(lost)
        assert (outcomes(unknown), unknown.retries) == (["lost", "succeeded"], 0)
        assert unknown.attempts[0].started_at is None
        assert "it is not known whether the attempt had started" in said_of_the_first(unknown)
        assert spared.status is JobStatus.SUCCEEDED
        assert (await world.stored_worker(bucket.worker_id)).status is WorkerStatus.LOST
        assert dict(await world.master.buckets.holdings(world.cluster_id)) == {}

    async def test_orphaned_jobs_are_found(self, clusters: Clusters, world: World) -> None:
        @handler("TestJob")
        async def stray(job: JobContext) -> None: ...

        bucket = await world.bucket()
        await world.close_bucket(bucket)
        job = await world.put_one(bucket)

        async with clusters.running(stray) as runtime:
            found = await ended(runtime, job.id)

        assert outcomes(found) == ["succeeded"]


def said_of_the_first(job: JobRecord) -> str:
    """Return what the record says about the end of a job's first attempt."""
    error = job.attempts[0].error
    return error.message if error else ""
