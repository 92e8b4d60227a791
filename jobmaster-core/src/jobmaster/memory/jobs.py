"""Jobs in memory, from the insert to the end."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import anyio
import anyio.lowlevel
from attrs import evolve

from jobmaster.contracts import (
    OUT_OF_REACH,
    CancelAnswer,
    Mark,
)
from jobmaster.errors import InvalidTransitionError, KeyTakenError
from jobmaster.memory.assigning import MemoryAssigning
from jobmaster.memory.rows import (
    Live,
    attempt_of,
    never_started,
)
from jobmaster.models import (
    Attempt,
    Bucket,
    CancelResult,
    Job,
    JobReceipt,
    NewJob,
    Report,
)
from jobmaster.states import JobStatus


class MemoryJobs(MemoryAssigning):
    """Jobs in memory, from the insert to the end."""

    async def insert_jobs(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            self._check_keys(jobs)
            return [self._insert(new) for new in jobs]

    def _check_keys(self, jobs: Sequence[NewJob]) -> None:
        """Raise `KeyTakenError` if a key belongs to another definition's job, of the store or of the same call."""
        store, given = self._store, dict[tuple[str, str], Job]()
        for job in (new.job for new in jobs):
            if job.key is not None and job.id not in store.jobs:
                place = job.cluster_id, job.key
                holder_id = store.keys.get(place)
                holder = given.setdefault(place, job) if holder_id is None else store.jobs[holder_id]
                if holder.definition_id != job.definition_id:
                    raise KeyTakenError(job.key, job.definition_id, holder.id, holder.definition_id)

    def _insert(self, new: NewJob) -> JobReceipt:
        store, job = self._store, new.job
        if job.id in store.jobs:
            return JobReceipt(job_id=job.id, accepted_by="master")
        if job.key is not None:
            holder = store.keys.setdefault((job.cluster_id, job.key), job.id)
            if holder != job.id:
                return JobReceipt(job_id=holder, accepted_by="master", created=False)
        store.jobs[job.id] = job
        status = JobStatus.ASSIGNED_TO_BUCKET if new.bucket_id else JobStatus.HELD_ON_MASTER
        store.live[job.id] = Live(job, status, self._later(new.delay), new.bucket_id)
        return JobReceipt(job_id=job.id, accepted_by="master")

    async def mark(self, bucket: Bucket, marks: Sequence[Mark]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            self._owned(bucket)
            for mark in marks:
                row = store.live.get(mark.job_id)
                here = row and row.bucket_id == bucket.id and row.attempt == mark.attempt
                if row and here and row.status.code <= mark.status.code:
                    row.status, row.started_at = mark.status, mark.started_at

    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return frozenset(report.job_id for report in reports if not self._report(report))

    def _report(self, report: Report) -> bool:
        row = self._reported(report)
        if row is None:
            return False
        status = report.status
        if row.cancel_requested and not status.is_terminal:
            status = JobStatus.CANCELLED
        if report.outcome is not None:
            self._append_attempt(report.job_id, attempt_of(report, self._clock.now()))
            self._store.logs += [(row.job.cluster_id, line) for line in report.logs]
        if status.is_terminal:
            self._finish(row, status, report)
        else:
            self._requeue(row, report)
        return True

    def _reported(self, report: Report) -> Live | None:
        """Return the row of a report, made from the job that it includes if that is new; None if the report is stale."""
        store = self._store
        bucket = store.buckets.get(report.bucket_id)
        if bucket is None or bucket.epoch != report.epoch:
            return None
        if report.job is not None and report.job.id not in store.jobs:
            return self._save(report.job, report)
        row = store.live.get(report.job_id)
        fits = row and (row.bucket_id, row.attempt) == (report.bucket_id, report.attempt)
        return row if fits else None

    def _save(self, job: Job, report: Report) -> Live:
        """Store a job from its owner's report; it is in the owner's bucket until the rest of the report is applied."""
        self._store.jobs[job.id] = job
        since = self._later(min(0.0, report.delay))
        row = Live(job, JobStatus.ASSIGNED_TO_BUCKET, since, report.bucket_id, attempt=report.attempt)
        self._store.live[job.id] = row
        return row

    def _append_attempt(self, job_id: UUID, attempt: Attempt) -> None:
        self._store.attempts.setdefault(job_id, []).append(attempt)

    def _finish(self, row: Live, status: JobStatus, report: Report) -> None:
        now = self._clock.now()
        if report.outcome is None:
            self._append_attempt(row.job.id, never_started(row, report.worker, now))
        self._store.final[row.job.id] = status, report.finished_at or now
        del self._store.live[row.job.id]

    def _requeue(self, row: Live, report: Report) -> None:
        goes_on = row.attempt == report.next_attempt
        row.attempt, row.retries = report.next_attempt, report.retries
        row.crashes, row.suspect, row.parked = report.crashes, report.suspect, report.parked
        if report.status is JobStatus.HELD_ON_MASTER:
            row.hold()
        else:
            row.status, row.started_at = report.status, None
        if not goes_on:
            row.ready_at = self._later(report.delay)
        row.due_at = None

    async def ended_attempts(self, attempts: Sequence[tuple[UUID, int]]) -> frozenset[tuple[UUID, int]]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            ended = {(job_id, a.number) for job_id, _ in attempts for a in store.attempts.get(job_id, ())}
            return frozenset(ended.intersection(attempts))

    async def cancel(
        self, cluster_id: str, job_ids: Sequence[UUID], worker: str = ""
    ) -> Sequence[CancelAnswer]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            for job_id in job_ids:
                self._known(cluster_id, job_id)
            return [self._cancel(job_id, worker) for job_id in job_ids]

    def _cancel(self, job_id: UUID, worker: str) -> CancelAnswer:
        row = self._store.live.get(job_id)
        if row is None:
            return CancelAnswer(job_id=job_id, result=CancelResult.TOO_LATE)
        if row.bucket_id and (self._is_in_reach(row) or self._on_an_agent(row.bucket_id)):
            row.cancel_requested = True
            return CancelAnswer(job_id=job_id, result=CancelResult.REQUESTED, bucket_id=row.bucket_id)
        self._end_unstarted(row, worker)
        return CancelAnswer(job_id=job_id, result=CancelResult.CANCELLED)

    async def cancel_requests(self, bucket_ids: Sequence[UUID]) -> Sequence[tuple[UUID, UUID, int]]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            return [
                (bucket_id, row.job.id, row.attempt)
                for bucket_id in bucket_ids
                for row in store.live.among(bucket_id)
                if row.cancel_requested
            ]

    async def reschedule(
        self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None = None
    ) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            self._known(cluster_id, job_id)
            row = store.live.get(job_id)
            if row is None or row.cancel_requested or not self._is_out_of_hand(row, withdrawn):
                raise InvalidTransitionError(job_id, self._status(job_id), (), JobStatus.HELD_ON_MASTER)
            row.hold()
            row.ready_at, row.due_at = self._later(delay), None
            store.jobs[job_id] = row.job = evolve(row.job, scheduled_at=row.ready_at)
            if withdrawn is not None:
                store.handovers.pop(withdrawn, None)

    def _is_out_of_hand(self, row: Live, withdrawn: UUID | None) -> bool:
        if not self._on_an_agent(row.bucket_id):
            return row.bucket_id is None or not self._is_in_reach(row)
        carried = self._store.handovers.get(withdrawn) if withdrawn else None
        return carried is not None and (carried.bucket_id == row.bucket_id and row.job.id in carried.job_ids)

    def _is_in_reach(self, row: Live) -> bool:
        return row.ready_at <= self._later(OUT_OF_REACH)

    async def retry(self, cluster_id: str, job_id: UUID) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            job = self._known(cluster_id, job_id)
            if job_id not in store.final:
                raise InvalidTransitionError(job_id, self._status(job_id), (), JobStatus.HELD_ON_MASTER)
            del store.final[job_id]
            number = store.attempts[job_id][-1].number + 1
            store.live[job_id] = Live(job, JobStatus.HELD_ON_MASTER, self._clock.now(), attempt=number)
