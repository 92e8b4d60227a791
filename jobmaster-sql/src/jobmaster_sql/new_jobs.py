"""Which jobs of a call are new, and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from jobmaster.errors import KeyTakenError
from jobmaster.models import Job, JobReceipt, NewJob
from jobmaster.states import JobStatus
from jobmaster_sql.driver import Dialect
from jobmaster_sql.rows import micros
from jobmaster_sql.units import Answer, Query, Unit

_HELD, _ASSIGNED = JobStatus.HELD_ON_MASTER.code, JobStatus.ASSIGNED_TO_BUCKET.code


KeyHolders = dict[tuple[str, str | None], tuple[UUID, str]]
"""By cluster and idempotency key: the id of the key's holder and the id of its definition."""


class SomeExistError(Exception):
    """Some rows of an insert already existed; read which."""


def sort_out(
    jobs: Sequence[NewJob], dialect: Dialect, *, refusing: bool = True
) -> Unit[tuple[list[NewJob], list[JobReceipt]]]:
    """Return the jobs that do not exist yet, and the receipts of all.

    With `refusing`, raises `KeyTakenError` for a job whose key belongs to a job of another definition.
    """
    known, keys = yield from _known(jobs, dialect)
    new_jobs, receipts = [], []
    for new in jobs:
        holder = _holder(new.job, known, keys, refusing=refusing)
        if holder is None:
            new_jobs.append(new)
            known.add(new.job.id)
            keys[new.job.cluster_id, new.job.key] = new.job.id, new.job.definition_id
        receipts.append(receipt_for(holder or new.job.id, created=holder in (None, new.job.id)))
    return new_jobs, receipts


def _known(jobs: Sequence[NewJob], dialect: Dialect) -> Unit[tuple[set[UUID], KeyHolders]]:
    """Return which of these jobs' ids exist, and the holders of their idempotency keys."""
    keyed = [new.job for new in jobs if new.job.key is not None]
    clusters = dialect.array(sorted({job.cluster_id for job in keyed}))
    keys = dialect.array([job.key for job in keyed])
    answers: list[Answer] = yield (
        Query("job_known", {"ids": dialect.uuids([new.job.id for new in jobs])}),
        Query("job_known_keys", {"clusters": clusters, "keys": keys}),
    )
    known = {dialect.to_uuid(row[0]) for row in answers[0].rows}
    return known, key_holders(answers[1], dialect)


def live_rows(
    jobs: Sequence[NewJob], stored_ids: Sequence[Any], dialect: Dialect, since: int = 0
) -> list[tuple[Any, ...]]:
    """Return the live rows of new jobs, as `LIVE_VALUES`; each delay, in microseconds, counts from `since`."""
    return [
        (
            stored_id,
            new.job.cluster_id,
            *((None, _HELD) if new.bucket_id is None else (dialect.uuid(new.bucket_id), _ASSIGNED)),
            since + micros(new.delay) if new.delay else since,
            new.job.lane,
            int(new.job.priority),
        )
        for new, stored_id in zip(jobs, stored_ids, strict=True)
    ]


def receipt_for(job_id: UUID, *, created: bool = True) -> JobReceipt:
    """Return the receipt of a job that the master holds."""
    return JobReceipt(job_id=job_id, accepted_by="master", created=created)


def _holder(job: Job, known: Iterable[UUID], keys: KeyHolders, *, refusing: bool) -> UUID | None:
    """Return the id of the job that conflicts with a new one (its own id if it already exists), or None."""
    if job.id in known:
        return job.id
    return None if job.key is None else holder_of(job, keys, "job", refusing=refusing)


def key_holders(answer: Answer, dialect: Dialect) -> KeyHolders:
    """Return the holders of keys, from rows of cluster, key, id and definition."""
    return {
        (cluster_id, key): (dialect.to_uuid(id_), made_of) for cluster_id, key, id_, made_of in answer.rows
    }


def holder_of(job: Job, keys: KeyHolders, what: str, *, refusing: bool = True) -> UUID | None:
    """Return the id of the holder of a job's key; raises `KeyTakenError`, if refusing, for one of another definition."""
    id_, definition_id = keys.get((job.cluster_id, job.key), (None, job.definition_id))
    if refusing and job.key is not None and definition_id != job.definition_id:
        raise KeyTakenError(job.key, job.definition_id, id_, definition_id, what)
    return id_
