"""Successes: the most common reports, written in two statements for each bucket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobmaster.models import Report
from jobmaster.states import AttemptOutcome
from jobmaster_sql import Answer, Dialect, Query, Unit
from jobmaster_sql.rows import optional_micros


class SomeStaleError(Exception):
    """Not all of the reports hold: look closer, one by one."""


def are_plain(reports: Sequence[Report]) -> bool:
    """Whether all jobs ran, succeeded and left no log lines."""
    return all(
        report.outcome is AttemptOutcome.SUCCEEDED and report.finished_at is not None and not report.logs
        for report in reports
    )


def finish(reports: Sequence[Report], dialect: Dialect) -> Unit[None]:
    """Write successes; raises `SomeStaleError`, and then nothing is written, unless all of them hold."""
    groups: dict[tuple[Any, ...], list[Report]] = {}
    for report in reports:
        who = report.worker, report.host
        groups.setdefault((report.bucket_id, report.epoch, report.attempt, who), []).append(report)
    for group in groups.values():
        yield from _finish_group(group, dialect)


def _finish_group(group: Sequence[Report], dialect: Dialect) -> Unit[None]:
    first = group[0]
    params = {
        "bucket_id": dialect.uuid(first.bucket_id),
        "epoch": first.epoch,
        "attempt": first.attempt,
        "worker": first.worker,
        "host": first.host,
        "rows": dialect.array([_row(report, dialect) for report in group]),
    }
    gone: Answer = yield Query("live_finish", params)
    if gone.touched < len(group):
        raise SomeStaleError
    yield Query("attempts_succeed", params)


def _row(report: Report, dialect: Dialect) -> tuple[Any, ...]:
    moments = optional_micros(report.started_at), optional_micros(report.finished_at)
    return dialect.uuid(report.job_id), *moments
