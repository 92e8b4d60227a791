"""Whole jobs and schedules as staged text, and as rows of a cluster's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from attrs import evolve

from jobmaster.clock import to_micros
from jobmaster.contracts import Moving, Standing, WholeJob
from jobmaster.models import Attempt
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.states import JobStatus
from jobmaster_sql.cells import moment, moment_of
from jobmaster_sql.driver import Dialect
from jobmaster_sql.rows import (
    Row,
    attempt_of,
    clean,
    job_of,
    job_values,
    log_of,
    log_values,
    optional_micros,
)
from jobmaster_sql.schedule_rows import moved_values, schedule_of, schedule_values

ARRIVING: Final = (
    "job_id",
    "cluster_id",
    "ready_at",
    "attempt",
    "retries",
    "crashes",
    "suspect",
    "lane",
    "priority",
    "cancel_requested",
    "parked",
)
FIRING: Final = ("job_id", "schedule_id", "nominal_at")


class _TextDialect(Dialect):
    """How a body stores values: as JSON can. Nothing else of the dialect is used."""

    def uuid(self, value: UUID) -> str:
        """Return a UUID as text."""
        return str(value)

    def to_uuid(self, stored: Any) -> UUID:
        """Return a UUID from its text."""
        return UUID(stored)

    def array(self, values: Sequence[Any]) -> list[Any]:
        """Return values as a list."""
        return list(values)

    def to_uuids(self, stored: Any) -> list[UUID]:
        """Return the UUIDs in a list of texts."""
        return [UUID(one) for one in stored]


_TEXT: Final = _TextDialect()


# Bodies


def body_of(thing: Moving) -> str:
    """Return a thing as the text of its body."""
    plain = _schedule(thing) if isinstance(thing, ScheduleRecord) else _job(thing)
    return orjson.dumps(plain).decode()


def _job(whole: WholeJob) -> dict[str, Any]:
    cluster_id = whole.job.cluster_id
    return {
        "job": job_values(whole.job, _TEXT),
        "status": whole.status.code,
        "standing": None if whole.standing is None else _standing_values(whole.standing),
        "attempts": [_attempt_values(attempt, _TEXT) for attempt in whole.attempts],
        "logs": [log_values(cluster_id, line)[1:] for line in whole.logs],
        "firing": (_TEXT.optional_uuid(whole.schedule_id), optional_micros(whole.nominal_at)),
    }


def _schedule(record: ScheduleRecord) -> dict[str, Any]:
    planned = (*moved_values(record, _TEXT), record.version, optional_micros(record.alive_until))
    what = (
        record.kind,
        record.expression,
        record.time_zone,
        record.name,
        optional_micros(record.ends_before),
    )
    rules = (record.overlap.code, str(record.misfire))
    return {"schedule": (*job_values(record.job, _TEXT), *what, *rules, *planned)}


def thing_of(body: str) -> Moving:
    """Return the thing in a body."""
    plain = orjson.loads(body)
    if "schedule" in plain:
        changed_at, busy, last, following, read_at = None, False, None, None, None
        return schedule_of([*plain["schedule"], changed_at, busy, last, following, read_at], _TEXT)
    schedule_id, nominal_at = plain["firing"]
    return WholeJob(
        job=job_of(plain["job"], _TEXT),
        status=JobStatus.from_code(plain["status"]),
        standing=None if plain["standing"] is None else standing_of(plain["standing"]),
        attempts=[attempt_of(row, _TEXT) for row in plain["attempts"]],
        logs=[log_of(row) for row in plain["logs"]],
        schedule_id=_TEXT.to_optional_uuid(schedule_id),
        nominal_at=moment(nominal_at),
    )


# Standings


def standing_of(row: Row) -> Standing:
    """Return the standing in the columns ready_at, attempt, retries, crashes, suspect, parked, cancel_requested."""
    ready_at, attempt, retries, crashes, suspect, parked, cancel_requested = row
    return Standing(
        ready_at=moment_of(ready_at),
        attempt=attempt,
        retries=retries,
        crashes=crashes,
        suspect=bool(suspect),
        parked=parked,
        cancel_requested=bool(cancel_requested),
    )


def _standing_values(standing: Standing) -> tuple[Any, ...]:
    return (
        to_micros(standing.ready_at),
        standing.attempt,
        standing.retries,
        standing.crashes,
        int(standing.suspect),
        standing.parked,
        int(standing.cancel_requested),
    )


# Rows of the cluster that things arrive in


def live_values(whole: WholeJob, standing: Standing, dialect: Dialect) -> tuple[Any, ...]:
    """Return the live row of a held job, as `ARRIVING`."""
    job = whole.job
    ready_at, attempt, retries, crashes, suspect, parked, cancel_requested = _standing_values(standing)
    head = (dialect.uuid(job.id), job.cluster_id, ready_at, attempt, retries, crashes, suspect)
    return (*head, job.lane, int(job.priority), cancel_requested, parked)


def attempt_rows(whole: WholeJob, dialect: Dialect) -> list[tuple[Any, ...]]:
    """Return all attempts of a job, as `ATTEMPT_VALUES`; the last attempt of a finished job is final."""
    final = None if whole.standing is not None else whole.status.code
    last = len(whole.attempts) - 1
    stored_id, rows = dialect.uuid(whole.job.id), []
    for place, attempt in enumerate(whole.attempts):
        number, outcome, *rest = _attempt_values(attempt, dialect)
        ended = final if place == last else None
        rows.append((stored_id, number, whole.job.cluster_id, outcome, ended, *rest))
    return rows


def log_rows(whole: WholeJob) -> list[tuple[Any, ...]]:
    """Return all log lines of a job, as `LOG_VALUES`."""
    return [log_values(whole.job.cluster_id, line) for line in whole.logs]


def firing_rows(whole: WholeJob, dialect: Dialect) -> list[tuple[Any, ...]]:
    """Return which time of which schedule a job was made for, as `FIRING`; empty for any other job."""
    if whole.schedule_id is None:
        return []
    nominal = optional_micros(whole.nominal_at)
    return [(dialect.uuid(whole.job.id), dialect.uuid(whole.schedule_id), nominal)]


def arriving_values(record: ScheduleRecord, lease: int, dialect: Dialect) -> tuple[Any, ...]:
    """Return a schedule in the order of `SCHEDULE_VALUES`, with its next version at the end."""
    until = None if record.alive_until is None else lease
    return (*schedule_values(record, dialect), until, record.version + 1)


def _attempt_values(attempt: Attempt, dialect: Dialect) -> tuple[Any, ...]:
    """Return an attempt in the order of `ATTEMPT_COLUMNS`."""
    error = attempt.error
    texts = (None, None, None) if error is None else (error.type, error.message, error.traceback)
    return (
        attempt.number,
        attempt.outcome.code,
        optional_micros(attempt.started_at),
        to_micros(attempt.finished_at),
        attempt.worker,
        attempt.host,
        dialect.optional_uuid(attempt.bucket_id),
        *(None if text is None else clean(text) for text in texts),
    )


def in_cluster(thing: Moving, cluster_id: str, *, with_key: bool) -> Moving:
    """Return a thing as one of another cluster, with or without its idempotency key."""
    key = thing.job.key if with_key else None
    return evolve(thing, job=evolve(thing.job, cluster_id=cluster_id, key=key))
