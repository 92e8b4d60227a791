"""States of jobs, buckets, workers, schedules and clusters, and the table of allowed transitions of each.

A provider stores the integer `code` of a state; people and JSON see its name. Codes are never reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import Self, TypeVar

from jobmaster.errors import InvalidTransitionError


class CodedEnum(StrEnum):
    """A string enum whose members also have a small, stable integer for storage."""

    code: int

    def __new__(cls, value: str, code: int = 0) -> Self:
        """Build a member from its name and its storage code."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.code = code
        return member

    @classmethod
    def from_code(cls, code: int) -> Self:
        """Return the member stored as `code`.

        An unknown code, as of a later version or a damaged row, gives a stand-in: it is called `unknown_<code>`, keeps
        the code, and does not equal any member. This way one row does not break a list.
        """
        return _members_by_code(cls).get(code) or cls._stand_in(code)

    @classmethod
    def _stand_in(cls, code: int) -> Self:
        made = str.__new__(cls, f"unknown_{code}")
        made._name_, made._value_, made.code = f"UNKNOWN_{code}", str.__str__(made), code
        return made

    def __reduce_ex__(self, _protocol: object) -> tuple[Callable[[int], Self], tuple[int]]:
        """Restore members and stand-ins by their code."""
        return type(self).from_code, (self.code,)

    @property
    def is_known(self) -> bool:
        """Whether this is a member, and not a stand-in for an unknown code."""
        return self._name_ in type(self).__members__


E = TypeVar("E", bound=CodedEnum)
_BY_CODE: dict[type[CodedEnum], dict[int, CodedEnum]] = {}


def _members_by_code(cls: type[E]) -> dict[int, E]:
    table = _BY_CODE.get(cls)
    if table is None:
        table = _BY_CODE[cls] = {member.code: member for member in cls}
    return table  # type: ignore[return-value]  # the dictionary was filled from `cls`


class Priority(IntEnum):
    """How urgent a job is. A worker gives each priority its own bucket and number of slots."""

    VERY_LOW = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @classmethod
    def from_code(cls, code: int) -> Self:
        """Return the priority stored as `code`, or a stand-in called `unknown_<code>`, as for other states."""
        if code in cls._value2member_map_:
            return cls(code)
        made = int.__new__(cls, code)
        made._name_, made._value_ = f"UNKNOWN_{code}", code
        return made

    @property
    def slots(self) -> int:
        """Jobs of this priority that run at once in one bucket, before applying the worker's `parallelism`."""
        return _SLOTS.get(self, _SLOTS[Priority.MEDIUM])


_SLOTS: Mapping[Priority, int] = {
    Priority.VERY_LOW: 2,
    Priority.LOW: 3,
    Priority.MEDIUM: 5,
    Priority.HIGH: 8,
    Priority.CRITICAL: 13,
}


class JobStatus(CodedEnum):
    """The status of a job. The last three are terminal."""

    SAVE_PENDING = "save_pending", 1
    HELD_ON_MASTER = "held_on_master", 2
    ASSIGNED_TO_BUCKET = "assigned_to_bucket", 3
    QUEUED = "queued", 4
    PROCESSING = "processing", 5
    SUCCEEDED = "succeeded", 6
    FAILED = "failed", 7
    CANCELLED = "cancelled", 8

    @property
    def is_terminal(self) -> bool:
        """Whether the job is finished: it runs again only if a retry is requested."""
        return self in TERMINAL


class AttemptOutcome(CodedEnum):
    """How one run of a job ended."""

    SUCCEEDED = "succeeded", 1
    FAILED = "failed", 2
    TIMED_OUT = "timed_out", 3
    CANCELLED = "cancelled", 4
    DISCARDED = "discarded", 5
    SNOOZED = "snoozed", 6
    INTERRUPTED = "interrupted", 7
    LOST = "lost", 8
    POISONED = "poisoned", 9


class BucketStatus(CodedEnum):
    """The life of a bucket: `active`, then `completing` (graceful) or `lost` and `draining` (crash)."""

    ACTIVE = "active", 1
    COMPLETING = "completing", 2
    LOST = "lost", 3
    DRAINING = "draining", 4
    READY_TO_DELETE = "ready_to_delete", 5


class WorkerStatus(CodedEnum):
    """The life of a worker: `active`, `stopping`, and then `stopped` by itself or `lost` by a crash."""

    ACTIVE = "active", 1
    STOPPING = "stopping", 2
    STOPPED = "stopped", 3
    LOST = "lost", 4


class WorkerRequest(CodedEnum):
    """A request to a worker from outside. The one with the higher code wins: a stop ends a drain."""

    DRAIN = "drain", 1
    STOP = "stop", 2


class WorkerMode(CodedEnum):
    """The duties that a worker takes."""

    FULL = "full", 1
    COORDINATOR = "coordinator", 2
    EXECUTION = "execution", 3
    DRAIN = "drain", 4

    @property
    def executes(self) -> bool:
        """Owns buckets and runs handlers."""
        return self in (WorkerMode.FULL, WorkerMode.EXECUTION)

    @property
    def coordinates(self) -> bool:
        """Looks ahead in the master and assigns due jobs to buckets."""
        return self in (WorkerMode.FULL, WorkerMode.COORDINATOR)

    @property
    def rescues(self) -> bool:
        """Recovers the buckets of crashed workers."""
        return self is not WorkerMode.EXECUTION


class ClusterMode(CodedEnum):
    """The mode of a cluster as a whole."""

    ACTIVE = "active", 1
    PASSIVE = "passive", 2
    ARCHIVED = "archived", 3
    MIGRATING = "migrating", 4


class ScheduleStatus(CodedEnum):
    """The status of a recurring schedule. The last two are terminal."""

    ACTIVE = "active", 1
    PAUSED = "paused", 2
    INACTIVE = "inactive", 3
    ENDED = "ended", 4
    CANCELLED = "cancelled", 5

    @property
    def is_terminal(self) -> bool:
        """Whether the schedule is over for good."""
        return self in (ScheduleStatus.ENDED, ScheduleStatus.CANCELLED)


class Overlap(CodedEnum):
    """What happens if a schedule's time comes before its last job has ended."""

    SKIP = "skip", 1
    QUEUE = "queue", 2
    ALLOW = "allow", 3
    CANCEL_RUNNING = "cancel_running", 4


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
IN_BUCKET = frozenset({JobStatus.ASSIGNED_TO_BUCKET, JobStatus.QUEUED, JobStatus.PROCESSING})

JOB_TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.SAVE_PENDING: IN_BUCKET | TERMINAL | {JobStatus.HELD_ON_MASTER},
    JobStatus.HELD_ON_MASTER: frozenset({JobStatus.ASSIGNED_TO_BUCKET, JobStatus.CANCELLED}),
    JobStatus.ASSIGNED_TO_BUCKET: TERMINAL
    | {JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.HELD_ON_MASTER, JobStatus.ASSIGNED_TO_BUCKET},
    JobStatus.QUEUED: TERMINAL
    | {JobStatus.PROCESSING, JobStatus.HELD_ON_MASTER, JobStatus.ASSIGNED_TO_BUCKET},
    JobStatus.PROCESSING: TERMINAL | {JobStatus.HELD_ON_MASTER, JobStatus.ASSIGNED_TO_BUCKET},
    JobStatus.SUCCEEDED: frozenset({JobStatus.HELD_ON_MASTER}),
    JobStatus.FAILED: frozenset({JobStatus.HELD_ON_MASTER}),
    JobStatus.CANCELLED: frozenset({JobStatus.HELD_ON_MASTER}),
}
"""Which status may follow which. A short job goes from `assigned_to_bucket` directly to its end, because `queued` and
`processing` are written only when they last. A terminal job leaves its state only by `retry`."""

BUCKET_TRANSITIONS: Mapping[BucketStatus, frozenset[BucketStatus]] = {
    BucketStatus.ACTIVE: frozenset({BucketStatus.COMPLETING, BucketStatus.LOST}),
    BucketStatus.COMPLETING: frozenset({BucketStatus.READY_TO_DELETE, BucketStatus.LOST}),
    BucketStatus.LOST: frozenset({BucketStatus.DRAINING}),
    BucketStatus.DRAINING: frozenset({BucketStatus.READY_TO_DELETE, BucketStatus.LOST}),
    BucketStatus.READY_TO_DELETE: frozenset(),
}

OUTCOME_STATUSES: Mapping[AttemptOutcome, frozenset[JobStatus]] = {
    AttemptOutcome.SUCCEEDED: frozenset({JobStatus.SUCCEEDED}),
    AttemptOutcome.FAILED: frozenset(
        {JobStatus.FAILED, JobStatus.HELD_ON_MASTER, JobStatus.ASSIGNED_TO_BUCKET}
    ),
    AttemptOutcome.TIMED_OUT: frozenset(
        {JobStatus.FAILED, JobStatus.HELD_ON_MASTER, JobStatus.ASSIGNED_TO_BUCKET}
    ),
    AttemptOutcome.CANCELLED: frozenset({JobStatus.CANCELLED}),
    AttemptOutcome.DISCARDED: frozenset({JobStatus.FAILED}),
    AttemptOutcome.SNOOZED: frozenset({JobStatus.HELD_ON_MASTER, JobStatus.ASSIGNED_TO_BUCKET}),
    AttemptOutcome.INTERRUPTED: frozenset({JobStatus.HELD_ON_MASTER, JobStatus.CANCELLED}),
    AttemptOutcome.LOST: frozenset({JobStatus.HELD_ON_MASTER, JobStatus.CANCELLED}),
    AttemptOutcome.POISONED: frozenset({JobStatus.FAILED}),
}
"""The statuses a job may have after an attempt with an outcome."""


def check_transition(job: object, before: JobStatus, after: JobStatus) -> None:
    """Raise `InvalidTransitionError` unless a job may go from `before` to `after`."""
    allowed = JOB_TRANSITIONS.get(before, frozenset())
    if after not in allowed:
        raise InvalidTransitionError(job, before, sorted(allowed), after)


def codes(states: Iterable[CodedEnum]) -> list[int]:
    """Return the storage codes of some states, in order."""
    return sorted(state.code for state in states)
