"""The stage for tests of a master: each test's own cluster in the provider's store."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack
from uuid import UUID

from attrs import frozen

from jobmaster.contracts import Mark, MasterRepository, Repository, Room
from jobmaster.models import (
    STANDALONE,
    Attempt,
    Bucket,
    Claim,
    Cursor,
    Job,
    JobQuery,
    JobRecord,
    NewJob,
    Report,
    WorkerRecord,
)
from jobmaster.states import BucketStatus, JobStatus, Priority
from jobmaster_testing.factories import (
    LANE,
    JobFields,
    ReportFields,
    WorkerFields,
    make_bucket,
    make_new_job,
    make_report,
    make_worker,
)
from jobmaster_testing.probes import until

LONG = 60.0
"""A lease that outlives every test, in seconds."""

SHORT = 0.05
"""A lease that a test waits out, in seconds."""

MOMENT = 1.0
"""A job that arrives this many seconds after an owner last read something is not a suspect when that owner dies."""


@frozen
class World:
    """A cluster on a master, with the calls that tests make repeatedly."""

    master: MasterRepository
    cluster_id: str

    # Workers and buckets

    async def worker(
        self, *, lease: float = LONG, buckets: Sequence[Bucket] = (), **fields: Unpack[WorkerFields]
    ) -> WorkerRecord:
        """Register a worker that owns `buckets`."""
        given: WorkerFields = {"cluster_id": self.cluster_id, **fields}
        worker = make_worker(**given)
        await self.master.workers.register(worker, buckets, lease)
        return worker

    async def bucket(
        self,
        *,
        lane: str = LANE,
        priority: Priority = Priority.MEDIUM,
        lease: float = LONG,
        agent: str = STANDALONE,
    ) -> Bucket:
        """Register a worker with one bucket and return the bucket."""
        return (await self.buckets(1, lane=lane, priority=priority, lease=lease, agent=agent))[0]

    async def buckets(
        self,
        count: int,
        *,
        lane: str = LANE,
        priority: Priority = Priority.MEDIUM,
        lease: float = LONG,
        agent: str = STANDALONE,
    ) -> list[Bucket]:
        """Register a worker with some buckets and return them."""
        worker = make_worker(cluster_id=self.cluster_id, lane=lane, agent=agent)
        buckets = [make_bucket(worker, priority=priority) for _ in range(count)]
        await self.master.workers.register(worker, buckets, lease)
        return buckets

    async def stored_bucket(self, bucket: Bucket) -> Bucket:
        """Return a bucket as stored."""
        return next(b for b in await self.master.buckets.list_all(self.cluster_id) if b.id == bucket.id)

    async def stored_worker(self, worker_id: UUID) -> WorkerRecord:
        """Return a worker as stored."""
        return next(w for w in await self.master.workers.list_all(self.cluster_id) if w.id == worker_id)

    async def rescue(self, count: int = 1, rescuer: WorkerRecord | None = None) -> list[Bucket]:
        """Wait until `count` buckets are lost, and take them over for a (new) worker with a long lease."""
        owner = rescuer or await self.worker(name="Rescuer")
        taken: list[Bucket] = []

        async def take() -> bool:
            taken.extend(await self.master.rescue.take_lost_buckets(self.cluster_id, owner.id, 100))
            return len(taken) >= count

        await until(take, what=f"{count} lost buckets")
        return taken

    # Jobs

    async def insert(self, *jobs: NewJob) -> list[Job]:
        """Insert jobs in one call and return them."""
        await self.master.jobs.insert(jobs)
        return [new.job for new in jobs]

    async def put(
        self,
        bucket: Bucket | None = None,
        count: int = 1,
        *,
        delay: float = 0.0,
        **fields: Unpack[JobFields],
    ) -> list[Job]:
        """Insert `count` similar jobs: in a bucket (on its lane and priority), or held."""
        given: JobFields = {"cluster_id": self.cluster_id, **fields}
        new = [make_new_job(bucket, delay=delay, **given) for _ in range(count)]
        await self.master.jobs.insert(new)
        return [one.job for one in new]

    async def put_one(
        self, bucket: Bucket | None = None, *, delay: float = 0.0, **fields: Unpack[JobFields]
    ) -> Job:
        """Insert one job and return it."""
        return (await self.put(bucket, delay=delay, **fields))[0]

    async def claims(self, bucket: Bucket, limit: int = 1000) -> list[Claim]:
        """Return the jobs that the owner of a bucket can run now."""
        return list((await self.master.claims.pull(bucket, Cursor(), limit)).claims)

    async def claim(self, bucket: Bucket, **fields: Unpack[JobFields]) -> Claim:
        """Put a job into a bucket and claim it."""
        job = await self.put_one(bucket, **fields)
        return next(claim for claim in await self.claims(bucket) if claim.job.id == job.id)

    async def report(
        self, claim: Claim, status: JobStatus = JobStatus.SUCCEEDED, **fields: Unpack[ReportFields]
    ) -> Report:
        """Report about a claim, and check that it was not stale."""
        report = make_report(claim, status, **fields)
        assert await self.master.outcomes.report([report]) == frozenset()
        return report

    async def mark(self, bucket: Bucket, job: Job, status: JobStatus, attempt: int = 1) -> None:
        """Record that a job of the bucket is queued, or processing since now."""
        started = await self.master.now() if status is JobStatus.PROCESSING else None
        await self.master.outcomes.mark(
            bucket, [Mark(job_id=job.id, attempt=attempt, status=status, started_at=started)]
        )

    async def finished(
        self, bucket: Bucket, status: JobStatus = JobStatus.SUCCEEDED, **fields: Unpack[JobFields]
    ) -> Job:
        """Run a job through a bucket to a terminal state."""
        claim = await self.claim(bucket, **fields)
        await self.report(claim, status)
        return claim.job

    async def parked(self, bucket: Bucket, reason: str = "no handler", **fields: Unpack[JobFields]) -> Job:
        """Run a job through a bucket until it is parked."""
        claim = await self.claim(bucket, **fields)
        await self.report(claim, JobStatus.HELD_ON_MASTER, parked=reason)
        return claim.job

    async def record(self, job: Job | UUID) -> JobRecord:
        """Return a job as stored."""
        found = await self.master.jobs.get(self.cluster_id, job if isinstance(job, UUID) else job.id)
        assert found is not None
        return found

    async def status(self, job: Job | UUID) -> JobStatus:
        """Return a job's status."""
        return (await self.record(job)).status

    async def attempts(self, job: Job | UUID) -> Sequence[Attempt]:
        """Return the runs of a job."""
        return (await self.record(job)).attempts

    async def all_jobs(self) -> Sequence[JobRecord]:
        """Return all jobs of the cluster (up to 1,000), newest first."""
        return await self.master.jobs.query(self.cluster_id, JobQuery(limit=1000))

    async def assign(self, *rooms: Room, ahead: float = 1.0) -> int:
        """Assign held jobs and return how many were assigned."""
        return sum(
            (await self.master.assignments.assign_due(self.cluster_id, ahead, rooms)).assigned.values()
        )

    async def tick(self) -> None:
        """Wait until the store's clock has moved on."""
        await clock_moved(self.master)

    async def close_bucket(self, bucket: Bucket) -> None:
        """Let the owner close a bucket in an orderly way."""
        if bucket.status is BucketStatus.ACTIVE:
            assert await self.master.buckets.set_status(bucket, BucketStatus.COMPLETING)
        assert await self.master.buckets.set_status(bucket, BucketStatus.READY_TO_DELETE)


async def clock_moved(store: Repository) -> None:
    """Wait until a store's clock has moved on."""
    before = await store.now()

    async def moved() -> bool:
        return await store.now() > before

    await until(moved, what="the store's clock to move")


def room(bucket: Bucket, free: int = 1000) -> Room:
    """Return a bucket's room."""
    return Room(bucket_id=bucket.id, lane=bucket.lane, priority=bucket.priority, free=free)


def ids(jobs: Sequence[Job | Claim | JobRecord]) -> list[UUID]:
    """Return the job ids of jobs, claims or records, in order."""
    return [item.job.id if isinstance(item, Claim) else item.id for item in jobs]
