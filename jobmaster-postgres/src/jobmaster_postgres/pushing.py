"""Which statements store messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jobmaster.contracts import Message
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.forms import Forms
from jobmaster_postgres.inserting import kind_of, shared_values, stamps
from jobmaster_sql import Batch, Query
from jobmaster_sql.message_rows import MESSAGE_VALUES, message_values
from jobmaster_sql.rows import micros

_DIALECT: Final = PostgresDialect()


def push_steps(messages: Sequence[Message]) -> tuple[Query | Batch, ...]:
    """Return the statements that store messages which are probably new."""
    if len(messages) > 1 and any(message.new.job.key is not None for message in messages):
        return (push_any(messages),)
    return tuple(_FORMS.statements(messages))


def _lone(message: Message) -> Query:
    params = dict(zip(MESSAGE_VALUES, message_values(message, _DIALECT), strict=True))
    return Query("message_add", params, last=True)


def push_any(messages: Sequence[Message]) -> Batch:
    """Return the statement that stores the new ones among messages."""
    ordered = sorted(messages, key=lambda message: message.new.job.id)
    return Batch(
        "messages_add", MESSAGE_VALUES, [message_values(message, _DIALECT) for message in ordered], last=True
    )


def _kind_of(message: Message) -> tuple[Any, ...]:
    state = message.attempt, message.saved, message.retries, message.crashes, message.suspect, message.placed
    return kind_of(message.new.job), state


def _alike(kind: Sequence[Message]) -> Query:
    first, jobs = kind[0], [message.new.job for message in kind]
    params = {
        **shared_values(jobs[0]),
        "attempt": first.attempt,
        "saved": int(first.saved),
        "retries": first.retries,
        "crashes": first.crashes,
        "suspect": int(first.suspect),
        "placed": first.placed,
        "job_id": [job.id for job in jobs],
        "bucket_id": [message.new.bucket_id for message in kind],
        "scheduled_at": stamps(job.scheduled_at for job in jobs),
        "created_at": stamps(job.created_at for job in jobs),
        "delay": [micros(message.new.delay) for message in kind],
        "data": [job.data.encoded for job in jobs],
    }
    return Query("messages_alike", params, last=True)


_FORMS: Final[Forms[Message, Query | Batch]] = Forms(kind=_kind_of, lone=_lone, alike=_alike, mixed=push_any)
