"""The outcomes of jobs in memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import anyio.lowlevel
from attrs import define

from jobmaster.contracts import Mark, OutcomeStore
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import Live, attempt_of, never_started
from jobmaster.models import Attempt, Bucket, Job, Report
from jobmaster.states import JobStatus


@define(eq=False, repr=False, slots=False)
class MemoryOutcomes(OutcomeStore):
    """The outcomes of jobs in memory."""

    rows: MasterRows

    async def mark(self, bucket: Bucket, marks: Sequence[Mark]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            self.rows.owned(bucket)
            for mark in marks:
                row = tables.live.get(mark.job_id)
                here = row and row.bucket_id == bucket.id and row.attempt == mark.attempt
                if row and here and row.status.code <= mark.status.code:
                    row.status, row.started_at = mark.status, mark.started_at

    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return frozenset(report.job_id for report in reports if not self._report(report))

    def _report(self, report: Report) -> bool:
        row = self._reported(report)
        if row is None:
            return False
        status = report.status
        if row.cancel_requested and not status.is_terminal:
            status = JobStatus.CANCELLED
        if report.outcome is not None:
            self._append_attempt(report.job_id, attempt_of(report, self.rows.now()))
            self.rows.tables.logs += [(row.job.cluster_id, line) for line in report.logs]
        if status.is_terminal:
            self._finish(row, status, report)
        else:
            self._requeue(row, report)
        return True

    def _reported(self, report: Report) -> Live | None:
        """Return the row of a report, made from the job that it includes if that is new; None if the report is stale."""
        tables = self.rows.tables
        bucket = tables.buckets.get(report.bucket_id)
        if bucket is None or bucket.epoch != report.epoch:
            return None
        if report.job is not None and report.job.id not in tables.jobs:
            return self._save(report.job, report)
        row = tables.live.get(report.job_id)
        fits = row and (row.bucket_id, row.attempt) == (report.bucket_id, report.attempt)
        return row if fits else None

    def _save(self, job: Job, report: Report) -> Live:
        """Store a job from its owner's report; it is in the owner's bucket until the rest of the report is applied."""
        self.rows.tables.jobs[job.id] = job
        since = self.rows.later(min(0.0, report.delay))
        row = Live(job, JobStatus.ASSIGNED_TO_BUCKET, since, report.bucket_id, attempt=report.attempt)
        self.rows.tables.live[job.id] = row
        return row

    def _append_attempt(self, job_id: UUID, attempt: Attempt) -> None:
        self.rows.tables.attempts.setdefault(job_id, []).append(attempt)

    def _finish(self, row: Live, status: JobStatus, report: Report) -> None:
        now = self.rows.now()
        if report.outcome is None:
            self._append_attempt(row.job.id, never_started(row, report.worker, now))
        self.rows.tables.final[row.job.id] = status, report.finished_at or now
        del self.rows.tables.live[row.job.id]

    def _requeue(self, row: Live, report: Report) -> None:
        goes_on = row.attempt == report.next_attempt
        row.attempt, row.retries = report.next_attempt, report.retries
        row.crashes, row.suspect, row.parked = report.crashes, report.suspect, report.parked
        if report.status is JobStatus.HELD_ON_MASTER:
            row.hold()
        else:
            row.status, row.started_at = report.status, None
        if not goes_on:
            row.ready_at = self.rows.later(report.delay)
        row.due_at = None

    async def ended_attempts(self, attempts: Sequence[tuple[UUID, int]]) -> frozenset[tuple[UUID, int]]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            ended = {(job_id, a.number) for job_id, _ in attempts for a in tables.attempts.get(job_id, ())}
            return frozenset(ended.intersection(attempts))
