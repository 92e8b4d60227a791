"""Reports that bring their jobs and end them: short jobs that arrived through an agent, one write for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from jobmaster.models import Job, Report
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.finishing import Part, any_end, is_plain
from jobmaster_postgres.forms import Forms
from jobmaster_postgres.inserting import kind_of, shared_values, stamps
from jobmaster_sql import Query
from jobmaster_sql.columns import JOB_VALUES
from jobmaster_sql.rows import job_values, optional_micros

_DIALECT: Final = PostgresDialect()
_COLUMNS: Final = ("job_id", *JOB_VALUES[1:-1])
"""The columns of a job as parameters; jobs with a key do not take this path."""

_Brought = tuple[Report, Job]


def part_brought(ends: Iterable[Report]) -> tuple[list[Report], list[Report]]:
    """Split reports into the first about each job that is brought, and all others."""
    brought: dict[int, Report] = {}
    others = []
    for report in ends:
        if report.job is None or report.job_id.int in brought:
            others.append(report)
        else:
            brought[report.job_id.int] = report
    return list(brought.values()), others


def save_parts(reports: Iterable[Report]) -> list[Part]:
    """Group reports about different jobs, each of which is brought, by what one statement can write.

    A statement answers as those of `finish_parts` do. It fails with a conflict if another caller stores one of its jobs at
    the same time.
    """
    places: dict[tuple[Any, ...], list[_Brought]] = {}
    for report in reports:
        job = report.job
        if job is not None:
            bucket_id = report.bucket_id.int
            place = bucket_id, report.epoch, report.worker, report.host, job.cluster_id, report.attempt
            places.setdefault(place, []).append((report, job))
    return [part for brought in places.values() for part in _FORMS.statements(brought)]


def _kind_of(brought: _Brought) -> tuple[Any, ...] | None:
    report, job = brought
    return kind_of(job) if is_plain(report) else None


def _part(name: str, group: Sequence[_Brought], params: dict[str, Any]) -> Part:
    first, job = group[0]
    place = {
        "bucket_id": first.bucket_id,
        "epoch": first.epoch,
        "worker": first.worker,
        "host": first.host,
        "cluster_id": job.cluster_id,
        "number": first.attempt,
    }
    return [report for report, _ in group], Query(name, params | place)


def _lone(brought: _Brought) -> Part:
    report, job = brought
    columns = any_end([report])
    values = {name: column[0] for name, column in columns.items()}
    values["finished_at"] = optional_micros(report.finished_at)
    return _part(
        "report_save", [brought], dict(zip(_COLUMNS, job_values(job, _DIALECT), strict=False)) | values
    )


def _alike(group: Sequence[_Brought]) -> Part:
    params = shared_values(group[0][1]) | {
        "job_id": [job.id for _, job in group],
        "scheduled_at": stamps(job.scheduled_at for _, job in group),
        "created_at": stamps(job.created_at for _, job in group),
        "data": [job.data.encoded for _, job in group],
        "started_at": [optional_micros(report.started_at) for report, _ in group],
        "finished_at": [optional_micros(report.finished_at) for report, _ in group],
    }
    return _part("reports_save_alike", group, params)


def _of_all_sorts(group: Sequence[_Brought]) -> Part:
    reports = [report for report, _ in group]
    rows = [job_values(job, _DIALECT)[:-1] for _, job in group]
    params = {
        **dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True)),
        **any_end(reports),
        "finished_at": [optional_micros(report.finished_at) for report in reports],
    }
    return _part("reports_save", group, params)


_FORMS: Final[Forms[_Brought, Part]] = Forms(kind=_kind_of, lone=_lone, alike=_alike, mixed=_of_all_sorts)
