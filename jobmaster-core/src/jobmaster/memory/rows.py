"""The rows of an in-memory store, and how they become models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from threading import RLock
from typing import Any
from uuid import UUID

from attrs import define, field

from jobmaster.contracts import Moving
from jobmaster.memory.grouped import Grouped
from jobmaster.models import (
    AgentRecord,
    Attempt,
    Bucket,
    Claim,
    ClusterRecord,
    HostRecord,
    Job,
    LogLine,
    Report,
    WorkerRecord,
)
from jobmaster.notifications import NotificationHub
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.states import AttemptOutcome, BucketStatus, JobStatus, WorkerStatus

RUNNING = frozenset({WorkerStatus.ACTIVE, WorkerStatus.STOPPING})
FAILURES = frozenset({AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT})
OWNED = frozenset({BucketStatus.ACTIVE, BucketStatus.COMPLETING, BucketStatus.DRAINING, BucketStatus.LOST})


def _moved(row: Live, _: Any, bucket_id: UUID | None) -> UUID | None:
    """Make a stored row findable in its new bucket."""
    if row.stored_in is not None and bucket_id != row.bucket_id:
        row.stored_in.regroup(row.job.id, row.bucket_id, bucket_id)
    return bucket_id


@define
class Live:
    """The live row of a job: where it waits or runs."""

    job: Job
    status: JobStatus
    ready_at: datetime
    bucket_id: UUID | None = field(default=None, on_setattr=_moved)
    attempt: int = 1
    retries: int = 0
    crashes: int = 0
    suspect: bool = False
    started_at: datetime | None = None
    cancel_requested: bool = False
    parked: str | None = None
    placed: int = 0
    """How often it was placed in a bucket while it was held."""
    due_at: datetime | None = None
    """Its original due time, if it was placed in a bucket while held: in the bucket it is due from its placing on."""
    stored_in: LiveRows | None = field(default=None, init=False, repr=False, eq=False)

    @property
    def position(self) -> tuple[datetime, UUID]:
        return self.ready_at, self.job.id

    def hold(self) -> None:
        self.status, self.bucket_id, self.started_at = JobStatus.HELD_ON_MASTER, None, None
        self.ready_at, self.due_at = self.due_at or self.ready_at, None


class LiveRows(Grouped[UUID, UUID | None, Live]):
    """Live rows by their job's id, and by their bucket; None is the master."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__(lambda _, row: row.bucket_id)

    def __setitem__(self, job_id: UUID, row: Live) -> None:
        super().__setitem__(job_id, row)
        row.stored_in = self

    def in_buckets(self) -> Iterator[Live]:
        """Iterate over the rows that are not held on the master."""
        return (row for bucket_id, rows in self.groups.items() if bucket_id for row in rows.values())


@define
class Carried:
    """A stored handover: which jobs may be missing in a bucket, and which pusher has had it since when."""

    cluster_id: str
    bucket_id: UUID
    job_ids: tuple[UUID, ...]
    pusher: UUID
    taken_at: datetime


@define
class Tables:
    """All rows of one store."""

    lock: RLock = field(factory=RLock)
    notifications: NotificationHub = field(factory=NotificationHub)
    clusters: dict[str, ClusterRecord] = field(factory=dict)
    workers: dict[UUID, WorkerRecord] = field(factory=dict)
    buckets: dict[UUID, Bucket] = field(factory=dict)
    lost_at: dict[UUID, datetime] = field(factory=dict)
    handed_out: dict[UUID, tuple[datetime, UUID]] = field(factory=dict)
    """The furthest position in each bucket that was ever handed out."""
    silent_at: dict[UUID, datetime] = field(factory=dict)
    """When buckets were last marked as silent, if no load was reported since."""
    jobs: dict[UUID, Job] = field(factory=dict)
    keys: dict[tuple[str, str], UUID] = field(factory=dict)
    live: LiveRows = field(factory=LiveRows)
    attempts: dict[UUID, list[Attempt]] = field(factory=dict)
    final: dict[UUID, tuple[JobStatus, datetime]] = field(factory=dict)
    logs: list[tuple[str, LogLine]] = field(factory=list)
    schedules: dict[UUID, ScheduleRecord] = field(factory=dict)
    firings: dict[UUID, tuple[UUID, datetime | None]] = field(factory=dict)
    """The schedule and the nominal time of each job that was made for one."""
    agents: dict[tuple[str, str], AgentRecord] = field(factory=dict)
    hosts: dict[tuple[str, str], HostRecord] = field(factory=dict)
    handovers: dict[UUID, Carried] = field(factory=dict)
    arrivals: dict[tuple[str, UUID], dict[UUID, Moving]] = field(factory=dict)
    """Staged things, by cluster and consignment."""
    departures: dict[tuple[str, UUID], tuple[str, frozenset[UUID]]] = field(factory=dict)
    """What a cluster gave up in a consignment, and the cluster that it went to."""


named_tables: dict[str, Tables] = {}
"""The tables of each store that was ever named in this process."""


def claim_of(row: Live, bucket: Bucket) -> Claim:
    """Return a live row as a claim of its bucket's owner."""
    return Claim(
        job=row.job,
        bucket_id=bucket.id,
        epoch=bucket.epoch,
        attempt=row.attempt,
        ready_at=row.ready_at,
        retries=row.retries,
        crashes=row.crashes,
        suspect=row.suspect,
        cancel_requested=row.cancel_requested,
        started_at=row.started_at,
    )


def attempt_of(report: Report, now: datetime) -> Attempt:
    """Return the attempt record of a report."""
    return Attempt(
        number=report.attempt,
        outcome=report.outcome or AttemptOutcome.CANCELLED,
        started_at=report.started_at,
        finished_at=report.finished_at or now,
        worker=report.worker,
        host=report.host,
        bucket_id=report.bucket_id,
        error=report.error,
    )


def never_started(row: Live, worker: str, now: datetime) -> Attempt:
    """Return the record of a job that was cancelled while it waited."""
    return Attempt(
        number=row.attempt,
        outcome=AttemptOutcome.CANCELLED,
        started_at=None,
        finished_at=now,
        worker=worker,
        host="",
        bucket_id=row.bucket_id,
    )


def retries_in(attempts: Sequence[Attempt]) -> int:
    """Return how many retries a finished job had: the failures that did not end it."""
    return sum(attempt.outcome in FAILURES for attempt in attempts[:-1])


def no_run(attempt: Attempt) -> bool:
    """Return whether a record stands for a cancellation rather than a run."""
    return attempt.outcome is AttemptOutcome.CANCELLED and attempt.started_at is None
