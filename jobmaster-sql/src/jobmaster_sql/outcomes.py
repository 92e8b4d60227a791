"""What owners record about jobs in flight: the other half of the hot path, on any SQL database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from attrs import evolve, field, frozen

from jobmaster.contracts import Mark, OutcomeStore
from jobmaster.errors import StoreConflictError
from jobmaster.models import Bucket, Job, NewJob, Report
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_sql.columns import ATTEMPT_VALUES, JOB_VALUES, LOG_VALUES
from jobmaster_sql.driver import Dialect
from jobmaster_sql.new_jobs import SomeExistError, sort_out
from jobmaster_sql.rows import clean, jobs_values, log_values, micros, optional_micros
from jobmaster_sql.store import SqlStore, lock_owned
from jobmaster_sql.units import Answer, Batch, Query, Unit

REQUEUE_VALUES: Final = (
    "job_id",
    "bucket_id",
    "status",
    "delay",
    "attempt",
    "retries",
    "crashes",
    "suspect",
    "parked",
)


PUT_VALUES: Final = (*REQUEUE_VALUES, "cluster_id", "lane", "priority")


_REPORT_TRIES: Final = 10
"""Maximum number of attempts when other callers store the same jobs between our read and our insert."""


@frozen
class _Found:
    """The live row that a report is about; `new` is the job if the report brought it and no row exists yet."""

    stored_id: Any
    bucket_id: UUID | None
    epoch: int | None
    attempt: int
    cluster_id: str
    cancel_requested: bool
    now: int
    new: Job | None = None


@frozen
class _Writes:
    """The rows that a batch of reports results in."""

    attempts: list[tuple[Any, ...]] = field(factory=list)
    finished: list[tuple[Any, ...]] = field(factory=list)
    requeued: list[tuple[Any, ...]] = field(factory=list)
    put: list[tuple[Any, ...]] = field(factory=list)
    logs: list[tuple[Any, ...]] = field(factory=list)

    def batches(self) -> tuple[Batch, ...]:
        """Return the statements to run, without empty ones."""
        all_of_them = (
            Batch("log_add", LOG_VALUES, self.logs),
            Batch("attempt_add", ATTEMPT_VALUES, self.attempts),
            Batch("live_delete", ("job_id",), self.finished),
            Batch("live_requeue", REQUEUE_VALUES, self.requeued),
            Batch("live_put", PUT_VALUES, self.put),
        )
        batches = [batch for batch in all_of_them if batch.rows]
        return (*batches[:-1], evolve(batches[-1], last=True)) if batches else ()


class SqlOutcomeStore(SqlStore, OutcomeStore):
    """Implements `OutcomeStore`; the contract's docstrings say what each method does.

    Override point: `report_all`.
    """

    async def mark(self, bucket: Bucket, marks: Sequence[Mark]) -> None:
        """Record states that last."""
        await self._driver.run(lambda: self._mark(bucket, marks))

    def _mark(self, bucket: Bucket, marks: Sequence[Mark]) -> Unit[None]:
        yield from lock_owned(bucket, self._dialect)
        bucket_id = self._dialect.uuid(bucket.id)
        rows = [
            (self._dialect.uuid(m.job_id), bucket_id, m.attempt, m.status.code, optional_micros(m.started_at))
            for m in marks
        ]
        if rows:
            columns = ("job_id", "bucket_id", "attempt", "status", "started_at")
            yield Batch("live_mark", columns, rows, last=True)

    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        """Write the outcomes of claimed jobs, all in one unit; return the ids of the stale ones."""
        if not reports:
            return frozenset()
        report = self.report_all
        for _ in range(_REPORT_TRIES):
            try:
                return await self._driver.run(partial(report, reports))
            except (SomeExistError, StoreConflictError):
                report = self.report_any
        raise StoreConflictError("other callers keep storing the jobs that are reported about")

    def report_all(self, reports: Sequence[Report]) -> Unit[frozenset[UUID]]:
        """Write outcomes as fast as the database can; raises if other callers have just stored the same jobs."""
        return self.report_any(reports)

    def report_any(self, reports: Sequence[Report]) -> Unit[frozenset[UUID]]:
        """Lock the live rows, keep the reports that hold, and write them in bulk.

        The live row is the gate: the caller that deletes it ends the job, and this can happen only once. For a job that its
        report brings, the gate is the job's own row.
        """
        brought = yield from self._store_brought(reports)
        ids = self._dialect.uuids([report.job_id for report in reports if report.job_id not in brought])
        answer: Answer = yield Query("live_reported", {"ids": ids})
        found = {row.stored_id: row for row in (*map(self._found, answer.rows), *brought.values())}
        stale, writes = set(), _Writes()
        for report in reports:
            row = found.get(self._dialect.uuid(report.job_id))
            if row is not None and holds(report, row):
                self._write(report, row, writes)
                # A second report of the same attempt in one batch is stale: the first one moves the job on.
                del found[row.stored_id]
            else:
                stale.add(report.job_id)
        if batches := writes.batches():
            yield batches
        return frozenset(stale)

    def _store_brought(self, reports: Sequence[Report]) -> Unit[dict[UUID, _Found]]:
        """Store the new jobs that reports bring; return what takes the place of their live rows."""
        bringing = {report.job_id: report for report in reversed(reports) if report.job is not None}
        if not bringing:
            return {}
        owned, now = yield from self._epochs({report.bucket_id for report in bringing.values()})
        jobs = [
            NewJob(job=report.job)
            for report in bringing.values()
            if report.job is not None and owned.get(report.bucket_id) == report.epoch
        ]
        new = (yield from sort_out(jobs, self._dialect, refusing=False))[0] if jobs else []
        if new:
            added: Answer = yield Batch(
                "job_add", JOB_VALUES, jobs_values((one.job for one in new), self._dialect)
            )
            if added.touched < len(new):
                raise SomeExistError
        return {one.job.id: self._brought(bringing[one.job.id], one.job, now) for one in new}

    def _epochs(self, bucket_ids: Collection[UUID]) -> Unit[tuple[dict[UUID, int], int]]:
        """Return the epochs of buckets, and the store's time."""
        answer: Answer = yield Query("bucket_epochs", {"ids": self._dialect.uuids(sorted(bucket_ids))})
        epochs = {self._dialect.to_uuid(stored): epoch for stored, epoch, _ in answer.rows}
        return epochs, answer.rows[0][-1] if answer.rows else 0

    def _brought(self, report: Report, job: Job, now: int) -> _Found:
        return _Found(
            stored_id=self._dialect.uuid(job.id),
            bucket_id=report.bucket_id,
            epoch=report.epoch,
            attempt=report.attempt,
            cluster_id=job.cluster_id,
            cancel_requested=False,
            now=now,
            new=job,
        )

    def _found(self, row: Sequence[Any]) -> _Found:
        stored_id, bucket_id, epoch, attempt, cluster_id, cancel_requested, now = row
        bucket = self._dialect.to_optional_uuid(bucket_id)
        return _Found(stored_id, bucket, epoch, attempt, cluster_id, bool(cancel_requested), now)

    def _write(self, report: Report, row: _Found, writes: _Writes) -> None:
        status = (
            JobStatus.CANCELLED if row.cancel_requested and not report.status.is_terminal else report.status
        )
        if status.is_terminal or report.outcome is not None:
            writes.attempts.append(self._attempt_values(report, row, status))
        if report.outcome is not None:
            writes.logs.extend(log_values(row.cluster_id, line) for line in report.logs)
        self._move(report, row, status, writes)

    def _move(self, report: Report, row: _Found, status: JobStatus, writes: _Writes) -> None:
        """Record the change of the live row. A job that its report brought has no live row until it continues."""
        if status.is_terminal:
            writes.finished.extend([(row.stored_id,)] if row.new is None else [])
            return
        goes_on = requeue_values(report, row.stored_id, self._dialect)
        if row.new is None:
            writes.requeued.append(goes_on)
        else:
            writes.put.append((*goes_on, row.cluster_id, row.new.lane, int(row.new.priority)))

    def _attempt_values(self, report: Report, row: _Found, status: JobStatus) -> tuple[Any, ...]:
        finished_at = optional_micros(report.finished_at)
        return (
            row.stored_id,
            row.attempt,
            row.cluster_id,
            (report.outcome or AttemptOutcome.CANCELLED).code,
            status.code if status.is_terminal else None,
            optional_micros(report.started_at) if report.outcome else None,
            row.now if finished_at is None else finished_at,
            report.worker,
            report.host,
            self._dialect.uuid(report.bucket_id),
            *error_values(report),
        )

    async def ended_attempts(self, attempts: Sequence[tuple[UUID, int]]) -> frozenset[tuple[UUID, int]]:
        """Return which of these attempts, given as (job id, number), have a recorded end."""
        if not attempts:
            return frozenset()
        return await self._driver.run(lambda: self._ended(attempts), read_only=True)

    def _ended(self, attempts: Sequence[tuple[UUID, int]]) -> Unit[frozenset[tuple[UUID, int]]]:
        ids = self._dialect.uuids([job_id for job_id, _ in attempts])
        answer: Answer = yield Query("attempt_numbers", {"ids": ids}, last=True)
        ended = {(self._dialect.to_uuid(stored_id), number) for stored_id, number in answer.rows}
        return frozenset(ended.intersection(attempts))


def holds(report: Report, row: _Found) -> bool:
    """Whether a report is about the live row in its current state."""
    return (report.bucket_id, report.epoch, report.attempt) == (row.bucket_id, row.epoch, row.attempt)


def error_values(report: Report) -> tuple[str | None, str | None, str | None]:
    """Return the columns of a report's error."""
    error = report.error
    if error is None:
        return None, None, None
    return clean(error.type), clean(error.message), clean(error.traceback)


def requeue_values(report: Report, stored_id: Any, dialect: Dialect) -> tuple[Any, ...]:
    """Return the new values of the live row after a report that does not end its job, as `REQUEUE_VALUES`."""
    stays = report.status is JobStatus.ASSIGNED_TO_BUCKET
    return (
        stored_id,
        dialect.uuid(report.bucket_id) if stays else None,
        report.status.code,
        micros(report.delay),
        report.next_attempt,
        report.retries,
        report.crashes,
        int(report.suspect),
        report.parked,
    )
