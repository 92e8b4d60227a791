"""The data model of JobMaster: jobs, attempts, buckets, workers, clusters. All immutable.

Moments are aware UTC datetimes; durations are seconds as floats. Models that every job needs, the records, are frozen
for type checkers only: a frozen class takes twice as long to build. Records with many fields also take arguments by
position, for the hot path: naming them takes two thirds of the time (0.7 instead of 2.2 µs for a report).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

from attrs import define, evolve, field, frozen

from jobmaster.data import MessageData, Metadata
from jobmaster.states import (
    AttemptOutcome,
    BucketStatus,
    ClusterMode,
    JobStatus,
    Priority,
    WorkerMode,
    WorkerRequest,
    WorkerStatus,
)

if TYPE_CHECKING:
    # With a default, so that `JobReceipt` alone stands for a receipt of any result.
    from attrs import frozen as record
    from typing_extensions import TypeVar as DefaultTypeVar

    R_co = DefaultTypeVar("R_co", covariant=True, default=Any)

    class OfResult(Generic[R_co]):
        """Base of objects that belong to a job that returns an `R_co`."""

else:
    record = partial(define, unsafe_hash=True)
    R_co = TypeVar("R_co", covariant=True)

    class OfResult:
        """Generic for type checkers only: cattrs, for example, would need to know `R_co`."""

        __slots__ = ()

        def __class_getitem__(cls, result: Any) -> type:
            """Return the class itself."""
            return cls


STANDALONE = "standalone"
"""The name that buckets in the master's own rows have in place of an agent's."""

__all__ = [
    "STANDALONE",
    "AgentRecord",
    "Attempt",
    "AttemptError",
    "Bucket",
    "BucketPage",
    "CancelResult",
    "Claim",
    "ClusterRecord",
    "Cursor",
    "HostRecord",
    "Job",
    "JobQuery",
    "JobReceipt",
    "JobRecord",
    "LogLine",
    "MetadataFilter",
    "NewJob",
    "OfResult",
    "Operator",
    "Position",
    "R_co",
    "Report",
    "WorkerRecord",
    "evolve",
    "record",
]


@record
class Job:
    """A job as requested: written once when it is accepted, and never changed (except by `reschedule`)."""

    id: UUID
    cluster_id: str
    definition_id: str
    lane: str
    priority: Priority
    scheduled_at: datetime
    created_at: datetime
    timeout: float | None
    max_retries: int
    data: MessageData
    metadata: Metadata
    key: str | None = None


@record(kw_only=True)
class NewJob:
    """A job to be stored, and where: in a bucket, or (without one) held on the master.

    `delay` is the time from now until the job is due, in seconds: the store adds it to its own clock, so that skew
    between hosts does not decide when a job runs. It is negative only for a job that is held again, and has been due
    for that long.
    """

    job: Job
    delay: float = 0.0
    bucket_id: UUID | None = None


@record(kw_only=True)
class JobReceipt(OfResult[R_co]):
    """The answer to a scheduling call: the job is durable. `JobReceipt[int]` is one of a handler that returns an `int`.

    `accepted_by` names the store that accepted it: an agent, or `master`. `created` is False if the call's idempotency
    key belongs to an earlier job; `job_id` is then the id of that job.
    """

    job_id: UUID
    accepted_by: str
    created: bool = True


class CancelResult(StrEnum):
    """What a cancel call achieved."""

    CANCELLED = "cancelled"
    """The job is cancelled and will not run."""
    REQUESTED = "requested"
    """A worker has the job in flight; it was notified, and ends it as cancelled unless it has just finished."""
    TOO_LATE = "too_late"
    """The job had already reached a terminal state."""


@frozen
class Position:
    """A place in a bucket's order: due time first, then id."""

    ready_at: datetime
    job_id: UUID


@frozen
class Cursor:
    """How far an owner has read its bucket. Pass back what the last pull returned; start with `Cursor()`.

    `bounded` says that the store recorded a limit beyond which nothing was handed out yet. `taken` is the store's own
    count of how often others had taken unread jobs out of the bucket by then; None if it keeps none, or was not asked
    yet.
    """

    after: Position | None = None
    bounded: bool = False
    taken: int | None = None

    def anew(self) -> Cursor:
        """Return a cursor that starts again at the beginning of the bucket."""
        return Cursor(bounded=self.bounded, taken=self.taken)


@record
class Claim:
    """A job that its bucket's owner took into memory, to run as attempt number `attempt` (from 1).

    `retries` counts the retries used so far; `crashes` the worker deaths it may have caused; a `suspect` may have
    crashed its last worker, so its start is written before it runs. A job that is not `saved` came directly to an
    agent, and the master may not know it yet.
    """

    job: Job
    bucket_id: UUID
    epoch: int
    attempt: int
    ready_at: datetime
    retries: int = 0
    crashes: int = 0
    suspect: bool = False
    cancel_requested: bool = False
    started_at: datetime | None = None
    saved: bool = True


@frozen(kw_only=True)
class BucketPage:
    """The result of a pull: claims in order, the cursor for the next pull, and when to pull again.

    `next_due_in` is the time in seconds until the bucket's next job is due (None if it holds none); `more` says that
    more due jobs are in the bucket than the limit allowed.
    """

    claims: Sequence[Claim]
    cursor: Cursor
    more: bool = False
    next_due_in: float | None = None


@frozen(kw_only=True)
class AttemptError:
    """Why an attempt failed: the exception's qualified name, its message, and the traceback's text."""

    type: str
    message: str
    traceback: str = ""


@frozen(kw_only=True)
class LogLine:
    """One structured log line about a subject (`job`, `worker`, `bucket`, `cluster`)."""

    at: datetime
    level: str
    message: str
    fields: Mapping[str, Any] = field(factory=dict)
    subject: str = "job"
    subject_id: str = ""
    attempt: int | None = None


@frozen(kw_only=True)
class Attempt:
    """One run of a job, or a possible one.

    `started_at` is None for an attempt that was lost with its worker before the start was recorded: it may never have
    begun, and its `error` says so.
    """

    number: int
    outcome: AttemptOutcome
    started_at: datetime | None
    finished_at: datetime
    worker: str
    host: str
    bucket_id: UUID | None
    error: AttemptError | None = None
    logs: Sequence[LogLine] = ()


@record
class Report:
    """An owner's report about a job it claimed. A stale report (wrong bucket, epoch or attempt) changes nothing.

    With an `outcome` it appends an attempt record; without one nothing ran (the job is released or parked). `status` is
    the job's new status: terminal; `held_on_master`, due in `delay` seconds; or `assigned_to_bucket`, due in `delay`
    seconds in the same bucket. A report about a job that the master may not know yet includes the `job`, to be stored
    with it: a job without a key, since the master owns the keys.
    """

    job_id: UUID
    bucket_id: UUID
    epoch: int
    attempt: int
    status: JobStatus
    outcome: AttemptOutcome | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str = ""
    host: str = ""
    error: AttemptError | None = None
    delay: float = 0.0
    retries: int = 0
    crashes: int = 0
    suspect: bool = False
    parked: str | None = None
    logs: Sequence[LogLine] = ()
    job: Job | None = None

    @property
    def next_attempt(self) -> int:
        """The number of the job's next attempt, if it has one."""
        return self.attempt + (self.outcome is not None)


@frozen(kw_only=True)
class JobRecord:
    """A job with everything that the master knows about it.

    `ready_at` is when it is due next (None when finished); `reason` says why a job waits that could otherwise run (for
    example an unknown handler); `attempts` are complete only when a single job is read. `retries` are those used so
    far; for a finished job, how many of its failed attempts were tried again. A job of a recurring schedule has its
    `schedule_id`, and the nominal time that it was made for. `damaged` says which part of its rows cannot be read and
    is replaced by a stand-in; None if all can be read.
    """

    job: Job
    status: JobStatus
    ready_at: datetime | None
    finished_at: datetime | None
    attempt: int
    retries: int
    bucket_id: UUID | None = None
    reason: str | None = None
    cancel_requested: bool = False
    schedule_id: UUID | None = None
    nominal_at: datetime | None = None
    attempts: Sequence[Attempt] = ()
    logs: Sequence[LogLine] = ()
    damaged: str | None = None

    @property
    def id(self) -> UUID:
        """The job's id."""
        return self.job.id

    @property
    def definition_id(self) -> str:
        """The id of the definition that says which handler runs the job."""
        return self.job.definition_id

    @property
    def lane(self) -> str:
        """The job's lane."""
        return self.job.lane

    @property
    def priority(self) -> Priority:
        """The job's priority."""
        return self.job.priority

    @property
    def scheduled_at(self) -> datetime:
        """When the job was asked to run."""
        return self.job.scheduled_at

    @property
    def created_at(self) -> datetime:
        """When the job was accepted."""
        return self.job.created_at

    @property
    def timeout(self) -> float | None:
        """Seconds an attempt may take; None for no limit."""
        return self.job.timeout

    @property
    def max_retries(self) -> int:
        """How often the job may be tried again after a failure."""
        return self.job.max_retries

    @property
    def data(self) -> MessageData:
        """The job's message data."""
        return self.job.data

    @property
    def metadata(self) -> Metadata:
        """The job's metadata."""
        return self.job.metadata

    @property
    def key(self) -> str | None:
        """The job's idempotency key."""
        return self.job.key


@frozen(kw_only=True)
class Bucket:
    """A partition of work for one (agent, worker, lane, priority).

    By its owner's last report (see `Load`), `load` counts the jobs in flight, and `running` those in slots. `free` and
    `offered` say what else it would take. In the results of `buckets.list_active`, `unheard` is the number of seconds since
    the owner's last heartbeat, and `silent` says that it left due jobs unread, and showed no sign of life since.
    `claimed_to` bounds what the owner can have in flight, once it has read something. `former_owner` is the worker it
    was taken over from, in the results of `rescue.take_lost_buckets`. `damaged` says which part of its row cannot be
    read, as in the records of workers, clusters and jobs.
    """

    id: UUID
    cluster_id: str
    agent: str
    worker_id: UUID
    former_owner: UUID | None = None
    lane: str
    priority: Priority
    epoch: int = 1
    status: BucketStatus = BucketStatus.ACTIVE
    load: int = 0
    running: int = 0
    free: int = 0
    offered: int | None = None
    unheard: float = 0.0
    silent: bool = False
    claimed_to: Position | None = None
    created_at: datetime | None = None
    status_changed_at: datetime | None = None
    damaged: str | None = None

    @property
    def is_on_agent(self) -> bool:
        """Whether its jobs are messages on an agent, rather than the master's own rows."""
        return self.agent != STANDALONE


@frozen(kw_only=True)
class Load:
    """What the owner of a bucket reports about it.

    Args:
        in_flight: the jobs that its owner has taken: running, in line, and ended but not yet reported.
        running: how many of them are in slots.
        free: slots that have nothing to do.
        offered: how many jobs in total it would have in its bucket: those in its slots, and those that it expects to
            start within a second. None while it cannot tell, because it has nothing to do.

    """

    in_flight: int = 0
    running: int = 0
    free: int = 0
    offered: int | None = None


@frozen(kw_only=True)
class WorkerRecord:
    """A worker as the master knows it. `lease_until` is by the master's clock; `request` is the request to it."""

    id: UUID
    cluster_id: str
    name: str
    agent: str
    lane: str
    mode: WorkerMode
    host: str
    process_id: UUID
    pid: int
    status: WorkerStatus = WorkerStatus.ACTIVE
    version: str = ""
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    lease_until: datetime | None = None
    request: WorkerRequest | None = None
    damaged: str | None = None

    @property
    def is_on_agent(self) -> bool:
        """Whether its buckets are on an agent, rather than the master's own rows."""
        return self.agent != STANDALONE


@frozen(kw_only=True)
class AgentRecord:
    """An agent as the master knows it. `kind` is the scheme of its URL; `fingerprint` identifies its store."""

    cluster_id: str
    name: str
    kind: str
    fingerprint: str
    registered_at: datetime | None = None
    heartbeat_at: datetime | None = None


@frozen(kw_only=True)
class HostRecord:
    """A host on which processes of the cluster run. `info` describes it, as plain JSON values."""

    cluster_id: str
    name: str
    info: Mapping[str, Any] = field(factory=dict)
    registered_at: datetime | None = None
    heartbeat_at: datetime | None = None


@frozen(kw_only=True)
class ClusterRecord:
    """A cluster as registered on its master, with its cluster-wide settings as plain JSON values.

    `settings` are those that its processes were started with; `changes` were made since, while it ran, and override
    them. Jobs in `paused_lanes` wait.
    """

    id: str
    mode: ClusterMode = ClusterMode.ACTIVE
    settings: Mapping[str, Any] = field(factory=dict)
    changes: Mapping[str, Any] = field(factory=dict)
    paused_lanes: frozenset[str] = frozenset()
    created_at: datetime | None = None
    damaged: str | None = None


class Operator(StrEnum):
    """How a metadata filter compares."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"


OperatorName: TypeAlias = Literal[
    "eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "starts_with", "ends_with"
]


def _operator_of(given: Operator | OperatorName) -> Operator:
    """Return the operator of a name; an unknown one is refused when the query runs."""
    try:
        return Operator(given)
    except ValueError:
        return given  # type: ignore[return-value]  # see above


@frozen
class MetadataFilter:
    """`metadata[name] <operator> value`.

    Values of another type than `value` never match, `ne` included: it finds jobs that have the name with
    an equal type and another value. Integers and floats are one type here; a bool is not.
    """

    name: str
    operator: Operator = field(converter=_operator_of)
    value: Any


@frozen(kw_only=True)
class JobQuery:
    """Which jobs to find. Every given condition must hold; the newest jobs come first.

    `after` is the id of the last job of the previous page, to continue after it; `limit` is at most 1,000.
    """

    statuses: frozenset[JobStatus] = frozenset()
    definition_id: str | None = None
    lane: str | None = None
    priority: Priority | None = None
    scheduled_from: datetime | None = None
    scheduled_to: datetime | None = None
    parked: bool | None = None
    schedule_id: UUID | None = None
    metadata: Sequence[MetadataFilter] = ()
    after: UUID | None = None
    limit: int = 100
