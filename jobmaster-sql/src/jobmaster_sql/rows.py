"""Rows and models: which columns the statements select, and what they become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import orjson

from jobmaster.clock import to_micros
from jobmaster.contracts import Message
from jobmaster.data import NO_METADATA, MessageData, Metadata
from jobmaster.models import (
    AgentRecord,
    Attempt,
    AttemptError,
    Bucket,
    Claim,
    ClusterRecord,
    HostRecord,
    Job,
    JobRecord,
    Load,
    LogLine,
    NewJob,
    Position,
    WorkerRecord,
)
from jobmaster.states import (
    AttemptOutcome,
    BucketStatus,
    ClusterMode,
    JobStatus,
    WorkerMode,
    WorkerRequest,
    WorkerStatus,
)
from jobmaster_sql.cells import (
    damage,
    is_object,
    list_of,
    mapping_of,
    moment,
    moment_of,
    priority_of,
    seconds,
)
from jobmaster_sql.checks import (
    ATTEMPT_CHECKS,
    BUCKET_CHECKS,
    CLUSTER_CHECKS,
    RECORD_CHECKS,
    RECORD_WIDTH,
    WORKER_CHECKS,
)
from jobmaster_sql.driver import Dialect
from jobmaster_sql.units import Batch

Row: TypeAlias = Sequence[Any]

JOB_COLUMNS: Final = (
    "j.id, j.cluster_id, j.definition_id, j.lane, j.priority, j.scheduled_at, j.created_at, j.timeout_us, "
    "j.max_retries, j.data, j.metadata, j.idempotency_key"
)
OF_JOB: Final = 8
"""Number of a claim's columns about its job, besides the id."""
CLAIM_COLUMNS: Final = (
    "l.attempt, l.ready_at, l.retries, l.crashes, l.suspect, l.cancel_requested, l.started_at, "
    "j.id, j.definition_id, j.scheduled_at, j.created_at, j.timeout_us, j.max_retries, j.data, j.metadata, "
    "j.idempotency_key"
)
"""What a bucket's owner does not know yet: the cluster, lane and priority of its jobs are the bucket's."""
DATA_OF_CLAIM: Final = 13
"""The place of a job's data in it."""
MESSAGE_COLUMNS: Final = (
    f"l.attempt, l.ready_at, l.retries, l.crashes, l.suspect, COALESCE(l.placed, 0), {JOB_COLUMNS}"
)
_RECORD_COLUMNS: Final = (
    "COALESCE(l.status, f.final_status), l.ready_at, f.finished_at, COALESCE(l.attempt, f.number), "
    "COALESCE(l.retries, ({retried})), "
    "l.bucket_id, l.parked, l.cancel_requested, m.schedule_id, m.nominal_at"
)
ATTEMPT_COLUMNS: Final = (
    "number, outcome, started_at, finished_at, worker, host, bucket_id, "
    "error_type, error_message, error_traceback"
)
BUCKET_COLUMNS: Final = (
    "b.id, b.cluster_id, b.agent, b.worker_id, b.lane, b.priority, b.epoch, b.status, b.load, "
    "b.claimed_ready_at, b.claimed_job_id, b.created_at, b.status_changed_at, b.running, b.free, b.offered"
)
_UNHEARD: Final = 16
"""The place, after a bucket's columns, of how long its owner has been unheard of, followed by whether it is silent."""
WORKER_COLUMNS: Final = (
    "id, cluster_id, name, agent, lane, mode, host, process_id, pid, status, version, "
    "started_at, heartbeat_at, lease_until, request"
)
CLUSTER_COLUMNS: Final = "c.id, c.mode, c.settings, c.created_at, c.changes, c.paused_lanes"
SCHEDULE_COLUMNS: Final = (
    f"{JOB_COLUMNS}, j.kind, j.expression, j.time_zone, j.name, j.ends_before, j.overlap, j.misfire, j.status, "
    "j.planned_to, j.look_at, j.next_at, j.waiting, j.newest_job_id, j.version, j.alive_until, j.changed_at"
)
LOG_COLUMNS: Final = "at, level, message, fields, subject, subject_id, attempt"

COLUMN_MACROS: Final = {
    "job_columns": JOB_COLUMNS,
    "claim_columns": CLAIM_COLUMNS,
    "message_columns": MESSAGE_COLUMNS,
    "attempt_columns": ATTEMPT_COLUMNS,
    "bucket_columns": BUCKET_COLUMNS,
    "worker_columns": WORKER_COLUMNS,
    "cluster_columns": CLUSTER_COLUMNS,
    "log_columns": LOG_COLUMNS,
    "schedule_columns": SCHEDULE_COLUMNS,
}


def record_macros(prefix: str) -> Mapping[str, str]:
    """Return the macro for the columns of a job record.

    A finished job has no row that counts its retries: they are the failures that did not end it.
    """
    failures = f"SELECT COUNT(*) FROM {prefix}attempt a WHERE a.job_id = j.id AND a.outcome IN (2, 3)"  # noqa: S608 - a checked prefix
    return {
        "record_columns": _RECORD_COLUMNS.format(retried=f"{failures} AND a.final_status IS NULL"),
    }


_DATA: Final = 9
"""The place of a job's data among its values."""
_MILLION: Final = 1_000_000
_NEVER: Final = 2**62
"""A moment that no clock will reach."""


def micros(seconds: float) -> int:
    """Return a duration in seconds as whole microseconds."""
    return round(seconds * _MILLION)


def old_params(age: float, before: datetime | None) -> dict[str, int]:
    """Return the parameters of statements that select what is `age` seconds old, and from before a moment."""
    return {"age": micros(age), "before": _NEVER if before is None else to_micros(before)}


def optional_micros(moment: datetime | None) -> int | None:
    """Return a moment as it is stored, or None."""
    return None if moment is None else to_micros(moment)


def job_values(job: Job, dialect: Dialect) -> tuple[Any, ...]:
    """Return a job's values in the order of `JOB_COLUMNS`."""
    created_at = to_micros(job.created_at)
    at_once = job.scheduled_at is job.created_at  # as for most jobs
    return (
        dialect.uuid(job.id),
        job.cluster_id,
        job.definition_id,
        job.lane,
        int(job.priority),
        created_at if at_once else to_micros(job.scheduled_at),
        created_at,
        None if job.timeout is None else micros(job.timeout),
        job.max_retries,
        job.data.encoded.decode(),
        job.metadata.encoded.decode(),
        job.key,
    )


def jobs_values(jobs: Iterable[Job], dialect: Dialect) -> list[tuple[Any, ...]]:
    """Return the values of many jobs, as `job_values` does; values that the jobs of one call share are computed once."""
    rows: list[tuple[Any, ...]] = []
    like: Job | None = None
    head: tuple[Any, ...] = ()
    tail: tuple[Any, ...] = ()
    for job in jobs:
        if like is None or not _share_all_but_data(job, like):
            like, values = job, job_values(job, dialect)
            head, tail = values[1:_DATA], values[_DATA + 1 :]
        rows.append((dialect.uuid(job.id), *head, job.data.encoded.decode(), *tail))
    return rows


def same_kind(job: Job, other: Job) -> bool:
    """Whether two jobs certainly differ only in id, times, data and key: jobs of a bulk call share the same objects."""
    return (
        job.definition_id is other.definition_id
        and job.metadata is other.metadata
        and job.cluster_id is other.cluster_id
        and job.lane is other.lane
        and job.priority is other.priority
        and job.timeout is other.timeout
        and job.max_retries is other.max_retries
    )


def _share_all_but_data(job: Job, other: Job) -> bool:
    return (
        job.created_at is other.created_at
        and job.scheduled_at is other.scheduled_at
        and job.key is other.key
        and same_kind(job, other)
    )


def job_of(row: Row, dialect: Dialect) -> Job:
    """Return the job in a row of `JOB_COLUMNS`."""
    return Job(
        id=dialect.to_uuid(row[0]),
        cluster_id=row[1],
        definition_id=row[2],
        lane=row[3],
        priority=priority_of(row[4]),
        scheduled_at=moment_of(row[5]),
        created_at=moment_of(row[6]),
        timeout=seconds(row[7]),
        max_retries=row[8],
        data=MessageData(row[9]),
        metadata=Metadata(row[10]),
        key=row[11],
    )


def claims_of(rows: Iterable[Row], bucket: Bucket, dialect: Dialect) -> list[Claim]:
    """Return the claims in rows of `CLAIM_COLUMNS`. The hot path of a drain.

    An agent's rows have one more column: whether the master knows the job.
    """
    claims = []
    cluster_id, lane, priority = bucket.cluster_id, bucket.lane, bucket.priority
    bucket_id, epoch, to_uuid = bucket.id, bucket.epoch, dialect.to_uuid
    for row in rows:
        attempt, ready_at, retries, crashes, suspect, cancel_requested, started_at, stored_id, *others = row
        saved = len(others) == OF_JOB or bool(others.pop())
        definition_id, scheduled_at, created_at, timeout, max_retries, data, metadata, key = others
        job = Job(  # by position, which takes half the time
            to_uuid(stored_id),
            cluster_id,
            definition_id,
            lane,
            priority,
            moment_of(scheduled_at),
            moment_of(created_at),
            None if timeout is None else seconds(timeout),
            max_retries,
            MessageData(data),
            NO_METADATA if metadata == "{}" else Metadata(metadata),
            key,
        )
        claim = Claim(
            job,
            bucket_id,
            epoch,
            attempt,
            moment_of(ready_at),
            retries,
            crashes,
            bool(suspect),
            bool(cancel_requested),
            moment(started_at),
            saved,
        )
        claims.append(claim)
    return claims


def message_of(row: Row, bucket_id: UUID, now: int, dialect: Dialect, *, placing: int = 0) -> Message:
    """Return a row of `MESSAGE_COLUMNS` as the message to its bucket, at the store's `now`.

    `placing` is how often the caller hands the job over.
    """
    attempt, ready_at, retries, crashes, suspect, placed, *job = row
    delay = max(0, ready_at - now) / _MILLION
    return Message(
        new=NewJob(job=job_of(job, dialect), delay=delay, bucket_id=bucket_id),
        attempt=attempt,
        saved=True,
        retries=retries,
        crashes=crashes,
        suspect=bool(suspect),
        placed=placed + placing,
    )


def place_of(row: Row, dialect: Dialect) -> tuple[int, UUID]:
    """Return due time, in microseconds, and job id of a row of `CLAIM_COLUMNS`."""
    return row[1], dialect.to_uuid(row[7])


def record_of(row: Row, dialect: Dialect) -> JobRecord:
    """Return the job record in a row of `record_columns` and `JOB_COLUMNS`."""
    return JobRecord(
        job=job_of(row[RECORD_WIDTH:], dialect),
        status=JobStatus.from_code(row[0] or 0),
        ready_at=moment(row[1]),
        finished_at=None if row[1] is not None else moment(row[2]),
        attempt=row[3],
        retries=row[4],
        bucket_id=dialect.to_optional_uuid(row[5]),
        reason=row[6],
        cancel_requested=bool(row[7]),
        schedule_id=dialect.to_optional_uuid(row[8]),
        nominal_at=moment(row[9]),
        damaged=damage(row, RECORD_CHECKS),
    )


def attempt_damage(row: Row) -> str | None:
    """Return which values of a row of `ATTEMPT_COLUMNS` cannot be read, or None."""
    found = damage(row, ATTEMPT_CHECKS)
    return found and f"attempt {row[0]}: {found}"


def attempt_of(row: Row, dialect: Dialect) -> Attempt:
    """Return the attempt in a row of `ATTEMPT_COLUMNS`."""
    error = None if row[7] is None else AttemptError(type=row[7], message=row[8], traceback=row[9])
    return Attempt(
        number=row[0],
        outcome=AttemptOutcome.from_code(row[1]),
        started_at=moment(row[2]),
        finished_at=moment_of(row[3]),
        worker=row[4],
        host=row[5],
        bucket_id=dialect.to_optional_uuid(row[6]),
        error=error,
    )


def is_run(attempt: Attempt) -> bool:
    """Whether an attempt was a run, and not the marker of a job that was cancelled before it ran."""
    return attempt.outcome is not AttemptOutcome.CANCELLED or attempt.started_at is not None


def bucket_of(row: Row, dialect: Dialect) -> Bucket:
    """Return the bucket in a row of `BUCKET_COLUMNS`."""
    claimed = None if row[10] is None else Position(moment_of(row[9]), dialect.to_uuid(row[10]))
    return Bucket(
        id=dialect.to_uuid(row[0]),
        cluster_id=row[1],
        agent=row[2],
        worker_id=dialect.to_uuid(row[3]),
        lane=row[4],
        priority=priority_of(row[5]),
        epoch=row[6],
        status=BucketStatus.from_code(row[7]),
        load=row[8],
        running=row[13],
        free=row[14],
        offered=row[15],
        unheard=max(0, row[_UNHEARD]) / _MILLION if len(row) > _UNHEARD else 0.0,
        silent=bool(row[_UNHEARD + 1]) if len(row) > _UNHEARD else False,
        claimed_to=claimed,
        created_at=moment(row[11]),
        status_changed_at=moment(row[12]),
        damaged=damage(row, BUCKET_CHECKS),
    )


LOAD_VALUES: Final = ("id", "load", "running", "free", "offered")


def load_batch(loads: Mapping[UUID, Load], dialect: Dialect) -> Batch:
    """Return the last statement of a unit that records the loads of buckets, at least one."""
    rows = [
        (dialect.uuid(bucket_id), load.in_flight, load.running, load.free, load.offered)
        for bucket_id, load in loads.items()
    ]
    return Batch("bucket_load", LOAD_VALUES, rows, last=True)


def worker_of(row: Row, dialect: Dialect) -> WorkerRecord:
    """Return the worker in a row of `WORKER_COLUMNS`."""
    return WorkerRecord(
        id=dialect.to_uuid(row[0]),
        cluster_id=row[1],
        name=row[2],
        agent=row[3],
        lane=row[4],
        mode=WorkerMode.from_code(row[5]),
        host=row[6],
        process_id=dialect.to_uuid(row[7]),
        pid=row[8],
        status=WorkerStatus.from_code(row[9]),
        version=row[10],
        started_at=moment(row[11]),
        heartbeat_at=moment(row[12]),
        lease_until=moment(row[13]),
        request=None if row[14] is None else WorkerRequest.from_code(row[14]),
        damaged=damage(row, WORKER_CHECKS),
    )


def cluster_of(row: Row) -> ClusterRecord:
    """Return the cluster in a row of `CLUSTER_COLUMNS`."""
    return ClusterRecord(
        id=row[0],
        mode=ClusterMode.from_code(row[1]),
        settings=mapping_of(row[2]),
        created_at=moment(row[3]),
        changes=mapping_of(row[4]),
        paused_lanes=frozenset(map(str, list_of(row[5]))),
        damaged=damage(row, CLUSTER_CHECKS),
    )


def agent_of(row: Row) -> AgentRecord:
    """Return the agent in a row of cluster, name, kind, fingerprint, registration and last heartbeat."""
    return AgentRecord(
        cluster_id=row[0],
        name=row[1],
        kind=row[2],
        fingerprint=row[3],
        registered_at=moment(row[4]),
        heartbeat_at=moment(row[5]),
    )


def host_of(row: Row) -> HostRecord:
    """Return the host in a row of cluster, name, info, registration and last heartbeat."""
    return HostRecord(
        cluster_id=row[0],
        name=row[1],
        info=mapping_of(row[2]),
        registered_at=moment(row[3]),
        heartbeat_at=moment(row[4]),
    )


def clean(text: str) -> str:
    """Return text that every database can hold: a traceback or log line may quote any text.

    NUL characters and lone surrogates become question marks.
    """
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def log_values(cluster_id: str, line: LogLine) -> tuple[Any, ...]:
    """Return a log line's values: the cluster's id, then the order of `LOG_COLUMNS`."""
    at, message, fields = to_micros(line.at), clean(line.message), _fields(line.fields)
    return cluster_id, at, line.level, message, fields, line.subject, line.subject_id, line.attempt


def _fields(fields: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # lone surrogates, or extreme nesting
        return orjson.dumps({"unreadable": clean(repr(fields))}).decode()


def _fields_of(text: str) -> dict[str, Any]:
    return {"unreadable": text} if is_object(text) else mapping_of(text)


def log_of(row: Row) -> LogLine:
    """Return the log line in a row of `LOG_COLUMNS`."""
    return LogLine(
        at=moment_of(row[0]),
        level=row[1],
        message=row[2],
        fields=_fields_of(row[3]),
        subject=row[4],
        subject_id=row[5],
        attempt=row[6],
    )


MAX_UUID: Final = UUID(int=2**128 - 1)
"""Greater than or equal to every id: the end of all positions of one moment."""
