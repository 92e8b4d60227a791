"""Reports that end jobs which the master knows: the most common ones, one statement for all of a bucket."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from jobmaster.models import Report
from jobmaster.states import AttemptOutcome
from jobmaster_sql import Answer, Query
from jobmaster_sql.outcomes import error_values
from jobmaster_sql.rows import log_values, optional_micros

_ERROR: Final = ("error_type", "error_message", "error_traceback")
_SUCCEEDED: Final = AttemptOutcome.SUCCEEDED
"""Enum members are slow to look up, so the one that each report is compared with is looked up once."""


Part: TypeAlias = tuple[Sequence[Report], Query]
"""Reports that one statement writes, with the statement."""


def finish_parts(reports: Iterable[Report]) -> list[Part]:
    """Group reports that end jobs by what one statement can write.

    A statement returns which reports were written, if not all, how many, and the cluster's id.
    """
    groups: dict[tuple[Any, ...], list[Report]] = {}
    seen: set[int] = set()  # ids as numbers: their hashes are cheap, those of UUIDs are computed in Python
    for report in reports:
        job_id, bucket_id = report.job_id.int, report.bucket_id.int
        place = bucket_id, report.epoch, report.worker, report.host, report.attempt
        # A second report about a job has to find what the first one left.
        groups.setdefault((is_plain(report), job_id in seen, place), []).append(report)
        seen.add(job_id)
    return [(group, _query(group)) for group in groups.values()]


def is_end(report: Report) -> bool:
    """Whether a report ends its job in a way that one statement can write: not if a key has to be checked."""
    return report.status.is_terminal and (report.job is None or report.job.key is None)


def is_plain(report: Report) -> bool:
    """Whether a job ended as usual: it ran and succeeded."""
    return report.outcome is _SUCCEEDED and report.finished_at is not None


def _query(group: Sequence[Report]) -> Query:
    first = group[0]
    params = {
        "bucket_id": first.bucket_id,
        "epoch": first.epoch,
        "worker": first.worker,
        "host": first.host,
        "job_id": [report.job_id for report in group],
        "number": first.attempt,
        "finished_at": [optional_micros(report.finished_at) for report in group],
    }
    if is_plain(first):
        started = [optional_micros(report.started_at) for report in group]
        return Query("reports_succeed", params | {"started_at": started})
    return Query("reports_finish", params | any_end(group))


def any_end(group: Sequence[Report]) -> dict[str, Any]:
    """Return the parameters that describe how jobs ended, in any way."""
    errors = zip(_ERROR, zip(*map(error_values, group), strict=True), strict=True)
    return {
        "outcome": [(report.outcome or AttemptOutcome.CANCELLED).code for report in group],
        "final_status": [report.status.code for report in group],
        "started_at": [optional_micros(report.started_at) if report.outcome else None for report in group],
        **dict(errors),
    }


def log_rows(group: Sequence[Report], stale: Container[UUID], answer: Answer) -> list[tuple[Any, ...]]:
    """Return the log lines of the reports that were written, as `LOG_VALUES`."""
    cluster_id = answer.rows[0][2]
    written = [report for report in group if report.outcome is not None and report.job_id not in stale]
    return [log_values(cluster_id, line) for report in written for line in report.logs]


def stale_of(group: Sequence[Report], answer: Answer) -> list[UUID]:
    """Return the jobs of a group that were not written; the second of two reports about one job was not."""
    some, count, _ = answer.rows[0]
    if count == len(group):
        return []
    written, stale = set(some or ()), []
    for report in group:
        if report.job_id in written:
            written.remove(report.job_id)
        else:
            stale.append(report.job_id)
    return stale
