"""Messages and rows: what an agent stores, and which columns its statements select."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from jobmaster.contracts import Message
from jobmaster.models import NewJob
from jobmaster_sql.columns import JOB_VALUES
from jobmaster_sql.driver import Dialect
from jobmaster_sql.rows import Row, job_of, job_values, micros
from jobmaster_sql.units import Query

_JOB_COLUMNS: Final = JOB_VALUES[1:]
_ROUTING: Final = ("bucket_id", "attempt", "saved", "retries", "crashes", "suspect", "placed")

MESSAGE_VALUES: Final = (*_ROUTING, "job_id", *_JOB_COLUMNS, "delay")
"""The columns of a stored message, in the order of `message_values`."""

AGENT_MACROS: Final = {
    "message_columns": ", ".join(f"m.{name}" for name in (*_ROUTING, "job_id", *_JOB_COLUMNS)),
    # As `CLAIM_COLUMNS` of a master, from which owners learn about cancellations and starts.
    "claim_columns": (
        "m.attempt, m.ready_at, m.retries, m.crashes, m.suspect, 0 AS cancel_requested, NULL AS started_at, "
        "m.job_id, m.definition_id, m.scheduled_at, m.created_at, m.timeout_us, m.max_retries, m.data, m.metadata, "
        "m.idempotency_key, m.saved"
    ),
}


def message_values(message: Message, dialect: Dialect) -> tuple[Any, ...]:
    """Return a message's values in the order of `MESSAGE_VALUES`."""
    new = message.new
    return (
        dialect.optional_uuid(new.bucket_id),
        message.attempt,
        int(message.saved),
        message.retries,
        message.crashes,
        int(message.suspect),
        message.placed,
        *job_values(new.job, dialect),
        micros(new.delay),
    )


def message_of(row: Row, dialect: Dialect) -> Message:
    """Return the message in a row: the time until it is due, in microseconds, then the message's columns."""
    wait, bucket_id, attempt, saved, retries, crashes, suspect, placed, *job = row
    new = NewJob(
        job=job_of(job, dialect), delay=max(0, wait) / 1_000_000, bucket_id=dialect.to_uuid(bucket_id)
    )
    return Message(
        new=new,
        attempt=attempt,
        saved=bool(saved),
        retries=retries,
        crashes=crashes,
        suspect=bool(suspect),
        placed=placed or 0,
        waited=max(0, -wait) / 1_000_000,
    )


def by_attempt(
    name: str, bucket_id: UUID, messages: Iterable[tuple[UUID, int]], dialect: Dialect
) -> tuple[Query, ...]:
    """Return the last statements of a unit about messages, given as (job id, attempt): one for each attempt number."""
    attempts: dict[int, list[UUID]] = {}
    for job_id, attempt in messages:
        attempts.setdefault(attempt, []).append(job_id)
    bucket = {"bucket_id": dialect.uuid(bucket_id)}
    return tuple(
        Query(name, {**bucket, "attempt": attempt, "job_ids": dialect.uuids(job_ids)}, last=True)
        for attempt, job_ids in attempts.items()
    )


def by_placing(
    name: str, bucket_id: UUID, messages: Iterable[Message], dialect: Dialect
) -> tuple[Query, ...]:
    """Return the last statements of a unit about messages as read: one for each attempt number and placing."""
    alike: dict[tuple[int, int], list[UUID]] = {}
    for message in messages:
        alike.setdefault((message.attempt, message.placed), []).append(message.new.job.id)
    bucket = {"bucket_id": dialect.uuid(bucket_id)}
    return tuple(
        Query(
            name,
            {**bucket, "attempt": attempt, "placed": placed, "job_ids": dialect.uuids(job_ids)},
            last=True,
        )
        for (attempt, placed), job_ids in alike.items()
    )
