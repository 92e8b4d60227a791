"""Builders of models for tests: name what matters to the test, the rest is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from jobmaster.contracts import Message
from jobmaster.data import MessageData, Metadata
from jobmaster.ids import new_id
from jobmaster.models import (
    STANDALONE,
    AgentRecord,
    AttemptError,
    Bucket,
    Claim,
    ClusterRecord,
    HostRecord,
    Job,
    LogLine,
    NewJob,
    Position,
    Report,
    WorkerRecord,
)
from jobmaster.schedule_models import Misfire, ScheduleRecord
from jobmaster.states import (
    AttemptOutcome,
    BucketStatus,
    ClusterMode,
    JobStatus,
    Overlap,
    Priority,
    ScheduleStatus,
    WorkerMode,
    WorkerStatus,
)

CLUSTER = "Test-Cluster"
LANE = "default"

_OUTCOMES: Mapping[JobStatus, AttemptOutcome] = {
    JobStatus.SUCCEEDED: AttemptOutcome.SUCCEEDED,
    JobStatus.FAILED: AttemptOutcome.FAILED,
    JobStatus.CANCELLED: AttemptOutcome.CANCELLED,
}


class JobFields(TypedDict, total=False):
    """The fields of a job; `data` and `metadata` are plain mappings."""

    id: UUID
    cluster_id: str
    definition_id: str
    lane: str
    priority: Priority
    scheduled_at: datetime
    created_at: datetime
    timeout: float | None
    max_retries: int
    data: Mapping[str, Any]
    metadata: Mapping[str, Any]
    key: str | None


class ScheduleFields(TypedDict, total=False):
    """The fields of a recurring schedule, besides the template of its jobs."""

    kind: str
    expression: str
    time_zone: str
    name: str | None
    ends_before: datetime | None
    overlap: Overlap
    misfire: Misfire
    status: ScheduleStatus
    planned_to: datetime
    look_at: datetime | None
    next_at: datetime | None
    waiting: Sequence[datetime]
    newest_job_id: UUID | None
    starts_now: bool


class ReportFields(TypedDict, total=False):
    """The fields of a report, besides the claim it is about and the status."""

    bucket_id: UUID
    epoch: int
    attempt: int
    outcome: AttemptOutcome | None
    started_at: datetime | None
    finished_at: datetime | None
    worker: str
    host: str
    error: AttemptError | None
    delay: float
    retries: int
    crashes: int
    suspect: bool
    parked: str | None
    logs: Sequence[LogLine]
    job: Job | None


class MessageFields(TypedDict, total=False):
    """The fields of a message, besides its job and its bucket."""

    attempt: int
    saved: bool
    retries: int
    crashes: int
    placed: int
    suspect: bool


class BucketFields(TypedDict, total=False):
    """The fields of a bucket."""

    id: UUID
    cluster_id: str
    agent: str
    worker_id: UUID
    lane: str
    priority: Priority
    epoch: int
    status: BucketStatus
    load: int
    running: int
    free: int
    offered: int | None
    unheard: float
    silent: bool
    claimed_to: Position | None


class WorkerFields(TypedDict, total=False):
    """The fields of a worker."""

    id: UUID
    cluster_id: str
    name: str
    agent: str
    lane: str
    mode: WorkerMode
    host: str
    process_id: UUID
    pid: int
    status: WorkerStatus
    version: str


def make_job(**fields: Unpack[JobFields]) -> Job:
    """Return a job of medium priority on the default lane that is due when it is created."""
    now = datetime.now(UTC)
    return Job(
        id=fields.get("id") or new_id(),
        cluster_id=fields.get("cluster_id", CLUSTER),
        definition_id=fields.get("definition_id", "TestJob"),
        lane=fields.get("lane", LANE),
        priority=fields.get("priority", Priority.MEDIUM),
        scheduled_at=fields.get("scheduled_at", now),
        created_at=fields.get("created_at", now),
        timeout=fields.get("timeout", 60.0),
        max_retries=fields.get("max_retries", 3),
        data=MessageData.of(fields.get("data")),
        metadata=Metadata.of(fields.get("metadata")),
        key=fields.get("key"),
    )


def make_new_job(
    bucket: Bucket | UUID | None = None, *, delay: float = 0.0, **fields: Unpack[JobFields]
) -> NewJob:
    """Return a job to be stored in `bucket` (and on its lane and priority), or to be held if it is None."""
    if isinstance(bucket, Bucket):
        place: JobFields = {
            "cluster_id": bucket.cluster_id,
            "lane": bucket.lane,
            "priority": bucket.priority,
        }
        given: JobFields = {**place, **fields}
        return NewJob(job=make_job(**given), delay=delay, bucket_id=bucket.id)
    return NewJob(job=make_job(**fields), delay=delay, bucket_id=bucket)


def make_message(
    bucket: Bucket | UUID, job: Job | None = None, *, delay: float = 0.0, **fields: Unpack[MessageFields]
) -> Message:
    """Return the message of `job`, or of a new one like those of `make_new_job`, on its way to `bucket`.

    By default, it is the first attempt of a job that the master does not know.
    """
    bucket_id = bucket.id if isinstance(bucket, Bucket) else bucket
    new = (
        make_new_job(bucket, delay=delay)
        if job is None
        else NewJob(job=job, delay=delay, bucket_id=bucket_id)
    )
    return Message(new=new, **fields)


def make_schedule(job: Job | None = None, **fields: Unpack[ScheduleFields]) -> ScheduleRecord:
    """Return an active schedule that fires every minute, whose jobs are like `job`."""
    template = job or make_job()
    defaults: ScheduleFields = {
        "kind": "interval",
        "expression": "1m",
        "time_zone": "UTC",
        "planned_to": template.scheduled_at,
    }
    given: ScheduleFields = {**defaults, **fields}
    return ScheduleRecord(job=template, **given)


def make_cluster(
    cluster_id: str = CLUSTER, mode: ClusterMode = ClusterMode.ACTIVE, **settings: Any
) -> ClusterRecord:
    """Return a cluster with these settings."""
    return ClusterRecord(id=cluster_id, mode=mode, settings=settings)


def make_agent(name: str = "Agent-1", cluster_id: str = CLUSTER, **fields: Any) -> AgentRecord:
    """Return an agent in memory with its own fingerprint."""
    given = {"kind": "memory", "fingerprint": new_id().hex, **fields}
    return AgentRecord(cluster_id=cluster_id, name=name, **given)


def make_host(name: str = "host-1", cluster_id: str = CLUSTER, **info: Any) -> HostRecord:
    """Return a host with this `info`."""
    return HostRecord(cluster_id=cluster_id, name=name, info=info)


def make_worker(**fields: Unpack[WorkerFields]) -> WorkerRecord:
    """Return an active worker of a standalone cluster, of mode `full`, in its own process."""
    defaults: WorkerFields = {
        "id": new_id(),
        "cluster_id": CLUSTER,
        "name": "Worker-01",
        "agent": STANDALONE,
        "lane": LANE,
        "mode": WorkerMode.FULL,
        "host": "host-1",
        "process_id": new_id(),
        "pid": 4711,
    }
    given: WorkerFields = {**defaults, **fields}
    return WorkerRecord(**given)


def make_bucket(worker: WorkerRecord | None = None, **fields: Unpack[BucketFields]) -> Bucket:
    """Return an active bucket of medium priority, owned by `worker` (and on its agent and lane)."""
    owner = worker or make_worker(cluster_id=fields.get("cluster_id", CLUSTER))
    defaults: BucketFields = {
        "id": new_id(),
        "cluster_id": owner.cluster_id,
        "agent": owner.agent,
        "worker_id": owner.id,
        "lane": owner.lane,
        "priority": Priority.MEDIUM,
    }
    given: BucketFields = {**defaults, **fields}
    return Bucket(**given)


def make_report(
    claim: Claim, status: JobStatus = JobStatus.SUCCEEDED, **fields: Unpack[ReportFields]
) -> Report:
    """Return a report about `claim`, with its job if the master may not know the job yet.

    A terminal status implies its outcome; another status means that nothing ran, unless `outcome` is given. With an outcome
    the attempt started and ended just now.
    """
    outcome = _OUTCOMES.get(status)
    ran = fields.get("outcome", outcome) is not None
    now = datetime.now(UTC)
    defaults: ReportFields = {
        "bucket_id": claim.bucket_id,
        "epoch": claim.epoch,
        "attempt": claim.attempt,
        "outcome": outcome,
        "started_at": now if ran else None,
        "finished_at": now if ran else None,
        "worker": "Worker-01",
        "host": "host-1",
        "retries": claim.retries,
        "crashes": claim.crashes,
        "suspect": claim.suspect,
        "job": None if claim.saved else claim.job,
    }
    given: ReportFields = {**defaults, **fields}
    return Report(job_id=claim.job.id, status=status, **given)


def make_log_line(
    message: str, *, subject: str = "job", subject_id: str = "", attempt: int | None = None, **fields: Any
) -> LogLine:
    """Return a log line of level `info`, written now."""
    return LogLine(
        at=datetime.now(UTC),
        level="info",
        message=message,
        fields=fields,
        subject=subject,
        subject_id=subject_id,
        attempt=attempt,
    )
