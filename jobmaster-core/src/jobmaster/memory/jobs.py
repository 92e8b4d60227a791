"""Inserting and querying jobs in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.comparing import Comparison
from jobmaster.contracts import JobStore
from jobmaster.errors import KeyTakenError
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import Live, no_run, retries_in
from jobmaster.models import Job, JobQuery, JobReceipt, JobRecord, NewJob
from jobmaster.states import JobStatus


@define(eq=False, repr=False, slots=False)
class MemoryJobs(JobStore):
    """Inserting and querying jobs in memory."""

    rows: MasterRows

    async def insert(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            self._check_keys(jobs)
            return [self._insert(new) for new in jobs]

    def _check_keys(self, jobs: Sequence[NewJob]) -> None:
        """Raise `KeyTakenError` if a key belongs to another definition's job, of the store or of the same call."""
        tables, given = self.rows.tables, dict[tuple[str, str], Job]()
        for job in (new.job for new in jobs):
            if job.key is not None and job.id not in tables.jobs:
                place = job.cluster_id, job.key
                holder_id = tables.keys.get(place)
                holder = given.setdefault(place, job) if holder_id is None else tables.jobs[holder_id]
                if holder.definition_id != job.definition_id:
                    raise KeyTakenError(job.key, job.definition_id, holder.id, holder.definition_id)

    def _insert(self, new: NewJob) -> JobReceipt:
        tables, job = self.rows.tables, new.job
        if job.id in tables.jobs:
            return JobReceipt(job_id=job.id, accepted_by="master")
        if job.key is not None:
            holder = tables.keys.setdefault((job.cluster_id, job.key), job.id)
            if holder != job.id:
                return JobReceipt(job_id=holder, accepted_by="master", created=False)
        tables.jobs[job.id] = job
        status = JobStatus.ASSIGNED_TO_BUCKET if new.bucket_id else JobStatus.HELD_ON_MASTER
        tables.live[job.id] = Live(job, status, self.rows.later(new.delay), new.bucket_id)
        return JobReceipt(job_id=job.id, accepted_by="master")

    async def get(self, cluster_id: str, job_id: UUID) -> JobRecord | None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            job = tables.jobs.get(job_id)
            if job is None or job.cluster_id != cluster_id:
                return None
            runs = [a for a in tables.attempts.get(job_id, []) if not no_run(a)]
            lines = self.rows.lines_of(cluster_id, "job", str(job_id))
            return evolve(self._record(job), attempts=runs, logs=lines)

    def _record(self, job: Job) -> JobRecord:
        row = self.rows.tables.live.get(job.id)
        attempts = self.rows.tables.attempts.get(job.id, [])
        last = attempts[-1].number if attempts else 1
        schedule_id, nominal_at = self.rows.tables.firings.get(job.id, (None, None))
        return JobRecord(
            job=job,
            status=self.rows.status_of(job.id),
            ready_at=row.ready_at if row else None,
            finished_at=None if row else self.rows.tables.final[job.id][1],
            attempt=row.attempt if row else last,
            retries=row.retries if row else retries_in(attempts),
            bucket_id=row.bucket_id if row else None,
            reason=row.parked if row else None,
            cancel_requested=row.cancel_requested if row else False,
            schedule_id=schedule_id,
            nominal_at=nominal_at,
        )

    async def query(self, cluster_id: str, query: JobQuery) -> Sequence[JobRecord]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            found = self._matching(cluster_id, query)
            page = [job for job in found if query.after is None or job.id < query.after]
            return [self._record(job) for job in page[: query.limit]]

    async def count(self, cluster_id: str, query: JobQuery) -> Mapping[JobStatus, int]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            counts: dict[JobStatus, int] = {}
            for job in self._matching(cluster_id, query):
                status = self.rows.status_of(job.id)
                counts[status] = counts.get(status, 0) + 1
            return counts

    def _matching(self, cluster_id: str, query: JobQuery) -> list[Job]:
        filters = [Comparison.of(wanted) for wanted in query.metadata]
        jobs = [
            job
            for job in self.rows.tables.jobs.values()
            if job.cluster_id == cluster_id and self._matches(job, query) and _satisfies(job, filters)
        ]
        return sorted(jobs, key=lambda job: job.id, reverse=True)

    def _matches(self, job: Job, query: JobQuery) -> bool:
        row = self.rows.tables.live.get(job.id)
        return (
            (not query.statuses or self.rows.status_of(job.id) in query.statuses)
            and query.definition_id in (None, job.definition_id)
            and query.lane in (None, job.lane)
            and query.priority in (None, job.priority)
            and (query.scheduled_from is None or job.scheduled_at >= query.scheduled_from)
            and (query.scheduled_to is None or job.scheduled_at < query.scheduled_to)
            and (query.parked is None or query.parked == bool(row and row.parked))
            and query.schedule_id in (None, self.rows.tables.firings.get(job.id, (None,))[0])
        )

    async def waiting_by_lane(self, cluster_id: str) -> Mapping[str, int]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            now = self.rows.now()
            waiting = [
                r for r in tables.live.values() if r.status is not JobStatus.PROCESSING and not r.parked
            ]
            due = [row.job for row in waiting if row.ready_at <= now]
            return Counter(job.lane for job in due if job.cluster_id == cluster_id)

    async def prune(self, cluster_id: str, age: float, limit: int, before: datetime | None = None) -> int:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            latest = self.rows.before(age, before)
            old = [
                job_id
                for job_id, (_, finished) in tables.final.items()
                if finished < latest and tables.jobs[job_id].cluster_id == cluster_id
            ][:limit]
            for job_id in old:
                self.rows.forget_job(job_id)
            return len(old)


def _satisfies(job: Job, filters: Sequence[Comparison]) -> bool:
    return all(wanted.matches(job.metadata) for wanted in filters)
