"""Which statements store new jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import evolve

from jobmaster.clock import to_micros
from jobmaster.models import Job, NewJob
from jobmaster.states import JobStatus
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.forms import Forms
from jobmaster_sql import Batch, Query, Step
from jobmaster_sql.columns import JOB_VALUES
from jobmaster_sql.rows import job_values, micros, same_kind

_DIALECT: Final = PostgresDialect()
_VALUES: Final = (*JOB_VALUES, "bucket_id", "status", "delay")


def insert_steps(jobs: Sequence[NewJob]) -> tuple[Query | Batch, ...]:
    """Return the statements that store jobs. Together they touch one row for each new job."""
    if len(jobs) > 1 and any(new.job.key is not None for new in jobs):
        # The commit is not sent along: if a key turns out to be taken by another definition, nothing must be stored.
        return (_of_all_sorts(jobs, last=False),)
    return tuple(_FORMS.statements(jobs))


def in_order(jobs: Sequence[NewJob]) -> Sequence[NewJob]:
    """Return jobs in the order in which all callers insert jobs with keys, if there are any among them."""
    if all(new.job.key is None for new in jobs):
        return jobs
    return sorted(jobs, key=lambda new: new.job.key or "")


def ending_with(steps: Sequence[Query | Batch], *, last: bool) -> tuple[Step, ...]:
    """Return the steps of a part of a unit, which ends with them only if they are `last`."""
    return tuple(steps) if last else tuple(evolve(step, last=False) for step in steps)


def _lone(new: NewJob) -> Query:
    name = "job_insert" if new.job.key is None else "job_insert_keyed"
    return Query(name, dict(zip(_VALUES, _values(new), strict=True)), last=True)


def _of_all_sorts(jobs: Sequence[NewJob], *, last: bool = True) -> Batch:
    """Store any jobs, in the order of keys: two callers then wait for each other in one direction at most."""
    unique = sorted({new.job.id: new for new in jobs}.values(), key=lambda new: new.job.key or "")
    return Batch("jobs_insert", _VALUES, [_values(new) for new in unique], last=last)


def _values(new: NewJob) -> tuple[Any, ...]:
    status = JobStatus.ASSIGNED_TO_BUCKET if new.bucket_id else JobStatus.HELD_ON_MASTER
    return (*job_values(new.job, _DIALECT), new.bucket_id, status.code, micros(new.delay))


def kind_of(job: Job) -> tuple[Any, ...]:
    """Return the common values of jobs that one statement can store with few arrays."""
    settings = job.lane, job.priority, job.timeout, job.max_retries, job.metadata.encoded
    return job.definition_id, job.cluster_id, settings


def shared_values(job: Job) -> dict[str, Any]:
    """Return the parameters that a job has in common with others of its kind."""
    return {
        "cluster_id": job.cluster_id,
        "definition_id": job.definition_id,
        "lane": job.lane,
        "priority": int(job.priority),
        "timeout_us": None if job.timeout is None else micros(job.timeout),
        "max_retries": job.max_retries,
        "metadata": job.metadata.encoded.decode(),
    }


def _alike(kind: Sequence[NewJob]) -> Query:
    params = {
        **shared_values(kind[0].job),
        "id": [new.job.id for new in kind],
        "bucket_id": [new.bucket_id for new in kind],
        "scheduled_at": stamps(new.job.scheduled_at for new in kind),
        "created_at": stamps(new.job.created_at for new in kind),
        "delay": [micros(new.delay) if new.delay else 0 for new in kind],
        "data": [new.job.data.encoded for new in kind],
    }
    return Query("jobs_insert_alike", params, last=True)


def stamps(moments: Iterable[datetime]) -> list[int]:
    """Return moments as they are stored: the moments of one call are the same object."""
    last, stamp, stamps = None, 0, []
    for moment in moments:
        if moment is not last:
            last, stamp = moment, to_micros(moment)
        stamps.append(stamp)
    return stamps


_FORMS: Final[Forms[NewJob, Query | Batch]] = Forms(
    kind=lambda new: kind_of(new.job),
    lone=_lone,
    alike=_alike,
    mixed=_of_all_sorts,
    is_like=lambda new, before: same_kind(new.job, before.job),
)
