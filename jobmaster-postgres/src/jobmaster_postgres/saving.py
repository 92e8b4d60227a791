"""Reports that bring their jobs and end them: short jobs that arrived through an agent, one write for each.

Which statements store them: one for a single job, one for each kind among many, or one for a mixture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from jobmaster.models import Job, Report
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.finishing import Part, any_end, is_plain
from jobmaster_postgres.inserting import FEW, kind_of, shared_values, stamps
from jobmaster_sql import Query
from jobmaster_sql.jobs import JOB_VALUES
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
    return [part for brought in places.values() for part in _parts(brought)]


def _parts(brought: Sequence[_Brought]) -> Iterator[Part]:
    if len(brought) == 1:
        yield _part("report_save", brought, _lone(*brought[0]))
        return
    kinds: dict[tuple[Any, ...] | None, list[_Brought]] = {}
    for report, job in brought:
        kind = kind_of(job) if is_plain(report) else None
        kinds.setdefault(kind, []).append((report, job))
    if len(kinds) * FEW > len(brought):
        kinds = {None: list(brought)}
    for kind, group in kinds.items():
        if kind is None:
            yield _part("reports_save", group, _of_all_sorts(group))
        else:
            yield _part("reports_save_alike", group, _alike(group))


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


def _lone(report: Report, job: Job) -> dict[str, Any]:
    columns = any_end([report])
    values = {name: column[0] for name, column in columns.items()}
    values["finished_at"] = optional_micros(report.finished_at)
    return dict(zip(_COLUMNS, job_values(job, _DIALECT), strict=False)) | values


def _alike(group: Sequence[_Brought]) -> dict[str, Any]:
    return shared_values(group[0][1]) | {
        "job_id": [job.id for _, job in group],
        "scheduled_at": stamps(job.scheduled_at for _, job in group),
        "created_at": stamps(job.created_at for _, job in group),
        "data": [job.data.encoded for _, job in group],
        "started_at": [optional_micros(report.started_at) for report, _ in group],
        "finished_at": [optional_micros(report.finished_at) for report, _ in group],
    }


def _of_all_sorts(group: Sequence[_Brought]) -> dict[str, Any]:
    reports = [report for report, _ in group]
    rows = [job_values(job, _DIALECT)[:-1] for _, job in group]
    return {
        **dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True)),
        **any_end(reports),
        "finished_at": [optional_micros(report.finished_at) for report in reports],
    }
