"""Reports that end their jobs: the most common ones, written by one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jobmaster.models import Report
from jobmaster.states import AttemptOutcome
from jobmaster_sql.reports import error_values
from jobmaster_sql.rows import optional_micros

FINISH_VALUES: Final = (
    "job_id",
    "bucket_id",
    "epoch",
    "number",
    "outcome",
    "final_status",
    "started_at",
    "finished_at",
    "worker",
    "host",
    "error_type",
    "error_message",
    "error_traceback",
)


def can_finish(reports: Sequence[Report]) -> bool:
    """Whether one statement can write these reports: each ends another job, and none has log lines."""
    ends = all(report.status.is_terminal and not report.logs for report in reports)
    return ends and len({report.job_id for report in reports}) == len(reports)


def finish_values(report: Report) -> tuple[Any, ...]:
    """Return a report as `FINISH_VALUES`."""
    return (
        report.job_id,
        report.bucket_id,
        report.epoch,
        report.attempt,
        (report.outcome or AttemptOutcome.CANCELLED).code,
        report.status.code,
        optional_micros(report.started_at) if report.outcome else None,
        optional_micros(report.finished_at),
        report.worker,
        report.host,
        *error_values(report),
    )
