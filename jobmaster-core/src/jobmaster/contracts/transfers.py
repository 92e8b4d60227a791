"""The part of the master's contract that moves jobs and schedules from one cluster to another, with their ids.

Two clusters may be in two stores, so that no transaction covers both. Jobs and schedules move in a *consignment*, in
four steps, each one unit of work and each harmless to repeat:

1. The target *stages* it: complete, on disk, and not yet part of the cluster. Nothing sees it or runs it.
2. The source *gives up* what it still has unchanged, and notes its *departure* in the same unit.
3. The target *admits* what departed: from now on it is part of the cluster.
4. The source *forgets* the departure.

The source alone decides, in step 2. Before that a job can run in the source only, and after it in the target only; at
every moment it is on disk in at least one of them. A process that finds a departure continues with step 3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from attrs import frozen

from jobmaster.models import Attempt, Job, LogLine, Position
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.states import JobStatus


@frozen(kw_only=True)
class Standing:
    """The state of a job that is held on the master, as in its live row."""

    ready_at: datetime
    attempt: int = 1
    retries: int = 0
    crashes: int = 0
    suspect: bool = False
    parked: str | None = None
    cancel_requested: bool = False


@frozen(kw_only=True)
class WholeJob:
    """A job with everything that belongs to it.

    Without a `standing` it has finished as `status`, by its last attempt. `attempts` are all stored attempts, including
    those that stand for a cancellation before a run. A job of a recurring schedule has its `schedule_id` and the
    nominal time that it was made for, if it was made for one. A `damaged` job does not move: stand-ins would replace
    what is stored.
    """

    job: Job
    status: JobStatus
    standing: Standing | None = None
    attempts: Sequence[Attempt] = ()
    logs: Sequence[LogLine] = ()
    schedule_id: UUID | None = None
    nominal_at: datetime | None = None
    damaged: str | None = None

    @property
    def id(self) -> UUID:
        """The job's id."""
        return self.job.id

    @property
    def place(self) -> Position:
        """The position of a finished job among the others: when it finished, then its id."""
        return Position(self.attempts[-1].finished_at, self.job.id)


Moving: TypeAlias = WholeJob | ScheduleRecord
"""What can move."""


class RejectReason(StrEnum):
    """Why something cannot move into a cluster."""

    KNOWN = "known"
    """The store has a job or schedule with its id."""
    KEY_TAKEN = "key_taken"
    """Another job, or another schedule that has not ended, has its idempotency key."""


@frozen(kw_only=True)
class Rejection:
    """A job or schedule that did not move, and why; `holder` is what has its idempotency key."""

    id: UUID
    reason: RejectReason
    holder: UUID | None = None
    key: str | None = None


@frozen(kw_only=True)
class Departure:
    """What a cluster gave up in one consignment; its `target` may not have admitted it yet."""

    consignment: UUID
    target: str
    ids: frozenset[UUID]


class TransferStore(ABC):
    """Both ends of a move. A cluster may be the source of one move and the target of another."""

    # The source

    @abstractmethod
    async def read_held(self, cluster_id: str, after: UUID | None, limit: int) -> Sequence[WholeJob]:
        """Return held jobs, parked ones included, in the order of their ids, beyond `after`. Locks nothing."""

    @abstractmethod
    async def read_finished(
        self, cluster_id: str, age: float, after: Position | None, limit: int, before: datetime | None = None
    ) -> Sequence[WholeJob]:
        """Return jobs that finished over `age` seconds ago, and before `before`, the earliest first, beyond `after`.

        Locks nothing.
        """

    @abstractmethod
    async def release(
        self, cluster_id: str, target: str, consignment: UUID, things: Sequence[Moving]
    ) -> frozenset[UUID]:
        """Delete what has not changed since it was read, and note its departure to `target`, in one unit.

        * `target` says which cluster of which store it goes to, in the caller's words.
        * A held job has to be held still, with the same attempt, due time, parking and cancel request. A finished job
          has to be finished by the same attempt. A schedule has to have the same version. Anything else is left alone.
        * Attempts, log lines and the nominal time of a job go with it.
        * Returns the ids of everything that departed in this consignment, by this call or an earlier one.
        """

    @abstractmethod
    async def departures(self, cluster_id: str, limit: int) -> Sequence[Departure]:
        """Return up to `limit` departures, each of them whole, in the order of their consignments."""

    @abstractmethod
    async def forget_departures(self, cluster_id: str, consignment: UUID, ids: Sequence[UUID]) -> None:
        """Forget departures: the target has admitted these. Idempotent."""

    # The target

    @abstractmethod
    async def stage(
        self, cluster_id: str, consignment: UUID, things: Sequence[Moving], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        """Store things on disk beside the cluster; return those that were rejected, and why.

        * Nothing of them is part of the cluster yet: no query, planner or coordinator sees them.
        * Things whose id the cluster has are not staged, nor things whose idempotency key another has, unless keys need
          not be kept.
        * Things that are already staged in this consignment do not change.
        """

    @abstractmethod
    async def admit(
        self, cluster_id: str, consignment: UUID, ids: Sequence[UUID], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        """Make staged things part of the cluster; return those that could not be, and why. One unit.

        * They get the cluster's id, and keep everything else: jobs stay held, due at the same time, or finished;
          schedules stay planned as far as they were, get the next version, and if they are declared in code, time for
          that code to renew them.
        * Things that could not be admitted stay staged. Everything else of the consignment is removed.
        * Things that are no longer staged were admitted before, and do not change.
        * A thing whose key was taken since it was staged stays staged, or loses its key if keys need not be kept.
        """
