"""Writing outcomes: the other half of the hot path, on any SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from attrs import evolve, field, frozen

from jobmaster.contracts import JobStore
from jobmaster.models import Report
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_sql.driver import Dialect
from jobmaster_sql.jobs import ATTEMPT_VALUES
from jobmaster_sql.rows import clean, log_values, micros, optional_micros
from jobmaster_sql.store import SqlStore
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
LOG_VALUES: Final = ("cluster_id", "at", "level", "message", "fields", "subject", "subject_id", "attempt")


@frozen
class _Found:
    """The live row that a report is about."""

    stored_id: Any
    bucket_id: UUID | None
    epoch: int | None
    attempt: int
    cluster_id: str
    cancel_requested: bool
    now: int


@frozen
class _Writes:
    """The rows that a batch of reports comes to."""

    attempts: list[tuple[Any, ...]] = field(factory=list)
    finished: list[tuple[Any, ...]] = field(factory=list)
    requeued: list[tuple[Any, ...]] = field(factory=list)
    logs: list[tuple[Any, ...]] = field(factory=list)

    def batches(self) -> tuple[Batch, ...]:
        """Return the statements to run, without those that have nothing to do."""
        *batches, last = (
            batch
            for batch in (
                Batch("log_add", LOG_VALUES, self.logs),
                Batch("attempt_add", ATTEMPT_VALUES, self.attempts),
                Batch("live_delete", ("job_id",), self.finished),
                Batch("live_requeue", REQUEUE_VALUES, self.requeued),
            )
            if batch.rows
        )
        return (*batches, evolve(last, last=True))


class SqlReportStore(SqlStore, JobStore):
    """Implements `report` of `JobStore`."""

    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        """Write the outcomes of claimed jobs, all in one unit; return the ids of the stale ones."""
        if not reports:
            return frozenset()
        return await self._driver.run(lambda: self._report(reports))

    def _report(self, reports: Sequence[Report]) -> Unit[frozenset[UUID]]:
        """Lock the live rows, keep the reports that hold, and write them in bulk.

        The live row is the gate: whoever deletes it ends the job, and nobody can do so twice.
        """
        ids = self._dialect.uuids([report.job_id for report in reports])
        answer: Answer = yield Query("live_reported", {"ids": ids})
        found = {row.stored_id: row for row in map(self._found, answer.rows)}
        stale, writes = set(), _Writes()
        for report in reports:
            # A second report of the same attempt in one batch is stale: the first one moved the job on.
            row = found.pop(self._dialect.uuid(report.job_id), None)
            if row is not None and holds(report, row):
                self._write(report, row, writes)
            else:
                stale.add(report.job_id)
        if writes.attempts or writes.requeued:
            yield writes.batches()
        return frozenset(stale)

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
        if status.is_terminal:
            writes.finished.append((row.stored_id,))
        else:
            writes.requeued.append(requeue_values(report, row.stored_id, self._dialect))

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


def holds(report: Report, row: _Found) -> bool:
    """Whether a report is about the live row as it stands."""
    return (report.bucket_id, report.epoch, report.attempt) == (row.bucket_id, row.epoch, row.attempt)


def error_values(report: Report) -> tuple[str | None, str | None, str | None]:
    """Return the columns of a report's error."""
    error = report.error
    if error is None:
        return None, None, None
    return clean(error.type), clean(error.message), clean(error.traceback)


def requeue_values(report: Report, stored_id: Any, dialect: Dialect) -> tuple[Any, ...]:
    """Return what a report that does not end its job makes of the live row, as `REQUEUE_VALUES`."""
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
