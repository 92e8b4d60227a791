"""Reading jobs in memory, and deleting old ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import anyio
import anyio.lowlevel
from attrs import evolve

from jobmaster.comparing import Comparison
from jobmaster.contracts import (
    JobStore,
)
from jobmaster.memory.base import MemoryBase
from jobmaster.memory.rows import (
    no_run,
    retries_in,
)
from jobmaster.models import (
    Job,
    JobQuery,
    JobRecord,
    LogLine,
)
from jobmaster.states import JobStatus


class MemoryQueries(MemoryBase, JobStore):
    """Reading jobs in memory, and deleting old ones."""

    def _record(self, job: Job) -> JobRecord:
        row = self._store.live.get(job.id)
        attempts = self._store.attempts.get(job.id, [])
        last = attempts[-1].number if attempts else 1
        schedule_id, nominal_at = self._store.firings.get(job.id, (None, None))
        return JobRecord(
            job=job,
            status=self._status(job.id),
            ready_at=row.ready_at if row else None,
            finished_at=None if row else self._store.final[job.id][1],
            attempt=row.attempt if row else last,
            retries=row.retries if row else retries_in(attempts),
            bucket_id=row.bucket_id if row else None,
            reason=row.parked if row else None,
            cancel_requested=row.cancel_requested if row else False,
            schedule_id=schedule_id,
            nominal_at=nominal_at,
        )

    async def get_job(self, cluster_id: str, job_id: UUID) -> JobRecord | None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            job = store.jobs.get(job_id)
            if job is None or job.cluster_id != cluster_id:
                return None
            runs = [a for a in store.attempts.get(job_id, []) if not no_run(a)]
            lines = self._lines(cluster_id, "job", str(job_id))
            return evolve(self._record(job), attempts=runs, logs=lines)

    def _matching(self, cluster_id: str, query: JobQuery) -> list[Job]:
        filters = [Comparison.of(wanted) for wanted in query.metadata]
        jobs = [
            job
            for job in self._store.jobs.values()
            if job.cluster_id == cluster_id and self._matches(job, query) and _satisfies(job, filters)
        ]
        return sorted(jobs, key=lambda job: job.id, reverse=True)

    def _matches(self, job: Job, query: JobQuery) -> bool:
        row = self._store.live.get(job.id)
        return (
            (not query.statuses or self._status(job.id) in query.statuses)
            and query.definition_id in (None, job.definition_id)
            and query.lane in (None, job.lane)
            and query.priority in (None, job.priority)
            and (query.scheduled_from is None or job.scheduled_at >= query.scheduled_from)
            and (query.scheduled_to is None or job.scheduled_at < query.scheduled_to)
            and (query.parked is None or query.parked == bool(row and row.parked))
            and query.schedule_id in (None, self._store.firings.get(job.id, (None,))[0])
        )

    async def query_jobs(self, cluster_id: str, query: JobQuery) -> Sequence[JobRecord]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            found = self._matching(cluster_id, query)
            page = [job for job in found if query.after is None or job.id < query.after]
            return [self._record(job) for job in page[: query.limit]]

    async def count_jobs(self, cluster_id: str, query: JobQuery) -> Mapping[JobStatus, int]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            counts: dict[JobStatus, int] = {}
            for job in self._matching(cluster_id, query):
                status = self._status(job.id)
                counts[status] = counts.get(status, 0) + 1
            return counts

    async def waiting_by_lane(self, cluster_id: str) -> Mapping[str, int]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            now = self._clock.now()
            waiting = [
                r for r in store.live.values() if r.status is not JobStatus.PROCESSING and not r.parked
            ]
            due = [row.job for row in waiting if row.ready_at <= now]
            return Counter(job.lane for job in due if job.cluster_id == cluster_id)

    async def add_logs(self, cluster_id: str, lines: Sequence[LogLine]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            store.logs += [(cluster_id, line) for line in lines]

    def _lines(self, cluster_id: str, subject: str, subject_id: str) -> list[LogLine]:
        return [
            line
            for owner, line in self._store.logs
            if (owner, line.subject, line.subject_id) == (cluster_id, subject, subject_id)
        ]

    async def list_logs(
        self, cluster_id: str, subject: str, subject_id: str, limit: int
    ) -> Sequence[LogLine]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return self._lines(cluster_id, subject, subject_id)[-limit:]

    async def prune_jobs(
        self, cluster_id: str, age: float, limit: int, before: datetime | None = None
    ) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            latest = self._before(age, before)
            old = [
                job_id
                for job_id, (_, finished) in store.final.items()
                if finished < latest and store.jobs[job_id].cluster_id == cluster_id
            ][:limit]
            for job_id in old:
                self._forget(job_id)
            return len(old)

    def _forget(self, job_id: UUID) -> None:
        store = self._store
        job = store.jobs.pop(job_id)
        store.final.pop(job_id, None)
        store.firings.pop(job_id, None)
        store.attempts.pop(job_id, None)
        store.logs = [e for e in store.logs if (e[1].subject, e[1].subject_id) != ("job", str(job_id))]
        if job.key is not None:
            del store.keys[job.cluster_id, job.key]


def _satisfies(job: Job, filters: Sequence[Comparison]) -> bool:
    return all(wanted.matches(job.metadata) for wanted in filters)
