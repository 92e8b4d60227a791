"""Recurring schedules as they are stored, queried and changed. All immutable.

A schedule is one row: its definition (a template of its jobs, and when they are due), and how far it has been planned.
Each of its nominal times gives at most one job, whose id is derived from schedule and time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final
from uuid import UUID

from attrs import field, frozen

from jobmaster._text.showing import shown
from jobmaster.clock import EPOCH, to_micros
from jobmaster.data import MessageData, Metadata
from jobmaster.ids import derived_id
from jobmaster.models import Job, evolve
from jobmaster.recurrence.kinds import Kinds, Recurrence
from jobmaster.recurrence.zones import zone_of
from jobmaster.states import Overlap, Priority, ScheduleStatus

MOST_MISSED: Final = 1000
"""The highest limit of `Misfire.run_all`."""
AT_ONCE: Final = EPOCH
"""The `look_at` of a schedule that has to be planned now: before any now."""


class MisfireRule(StrEnum):
    """What happens to nominal times that passed while no planner was running."""

    RUN_ONCE = "run_once"
    SKIP = "skip"
    RUN_ALL = "run_all"


@frozen
class Misfire:
    """A rule for missed nominal times; `run_all` has a limit, the number of newest times that are run.

    Write `Misfire.run_all(5)`, or the texts `"run_once"`, `"skip"` and `"run_all(5)"` where one is expected.
    """

    rule: MisfireRule
    limit: int = 1

    @classmethod
    def run_once(cls) -> Misfire:
        """Run the newest missed time, and only that."""
        return cls(MisfireRule.RUN_ONCE)

    @classmethod
    def skip(cls) -> Misfire:
        """Run none of them."""
        return cls(MisfireRule.SKIP, 0)

    @classmethod
    def run_all(cls, limit: int = 100) -> Misfire:
        """Run them all, but at most the `limit` newest; raises `ValueError` unless it is from 1 to 1,000."""
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_MISSED:
            msg = f"run_all: {shown(limit)} is out of range; give a whole number from 1 to {MOST_MISSED}"
            raise ValueError(msg)
        return cls(MisfireRule.RUN_ALL, limit)

    @classmethod
    def parse(cls, text: str) -> Misfire:
        """Return the rule of a text; raises `ValueError` for an invalid one."""
        found = re.fullmatch(r"(run_once|skip|run_all)(?:\((\d{1,6})\))?", text)
        if found is None or (found[2] and found[1] != MisfireRule.RUN_ALL):
            msg = f"{shown(text)} is not a misfire policy; use 'run_once', 'skip' or 'run_all(5)'"
            raise ValueError(msg)
        if found[1] == MisfireRule.RUN_ALL:
            return cls.run_all(int(found[2])) if found[2] else cls.run_all()
        return cls.run_once() if found[1] == MisfireRule.RUN_ONCE else cls.skip()

    def __str__(self) -> str:
        return f"{self.rule}({self.limit})" if self.rule is MisfireRule.RUN_ALL else str(self.rule)


@frozen(kw_only=True)
class ScheduleReceipt:
    """The answer to `recurring`: the schedule is durable.

    `created` is False if the call's key belongs to an earlier schedule; `schedule_id` is then the id of that schedule.
    """

    schedule_id: UUID
    created: bool = True


@frozen(kw_only=True)
class ScheduleRecord:
    """A recurring schedule with everything that the master knows about it.

    `job` is the template of its jobs: its id, creation and key are the schedule's own, and its `scheduled_at` is the
    moment from which the schedule counts. `name` is the name of a static schedule, None for a dynamic one.

    How far it is planned: every nominal time up to `planned_to` is decided; `waiting` are those that were due and wait
    for their turn; the planner looks at it again at `look_at`; `newest_job_id` is the last job that was made for it,
    and `busy` whether that job has not ended yet. `version` grows with every change. `next_at` is the next nominal
    time, and `last_job_id` the job of the last nominal time that has come.

    `read_at` is the store's now at which the record was read. A new schedule that `starts_now` counts from the store's
    now at which it is stored, not from its `starts_after`, which is by the clock of the calling host. `damaged` says
    which part of its row cannot be read; such a schedule is not planned.
    """

    job: Job
    kind: str
    expression: str
    time_zone: str
    name: str | None = None
    ends_before: datetime | None = None
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = field(factory=Misfire.run_once)
    status: ScheduleStatus = ScheduleStatus.ACTIVE
    planned_to: datetime
    look_at: datetime | None = AT_ONCE
    next_at: datetime | None = None
    waiting: Sequence[datetime] = ()
    newest_job_id: UUID | None = None
    last_job_id: UUID | None = None
    busy: bool = False
    version: int = 1
    alive_until: datetime | None = None
    changed_at: datetime | None = None
    read_at: datetime | None = field(default=None, eq=False)
    starts_now: bool = False
    damaged: str | None = None

    @property
    def id(self) -> UUID:
        """The schedule's id."""
        return self.job.id

    @property
    def cluster_id(self) -> str:
        """The cluster that the schedule belongs to."""
        return self.job.cluster_id

    @property
    def is_static(self) -> bool:
        """Whether code declares the schedule."""
        return self.name is not None

    @property
    def definition_id(self) -> str:
        """The id of the definition that says which handler runs its jobs."""
        return self.job.definition_id

    @property
    def starts_after(self) -> datetime:
        """The moment after which it fires; intervals count from here."""
        return self.job.scheduled_at

    @property
    def created_at(self) -> datetime:
        """When the schedule was accepted."""
        return self.job.created_at

    @property
    def lane(self) -> str:
        """The lane of its jobs."""
        return self.job.lane

    @property
    def priority(self) -> Priority:
        """The priority of its jobs."""
        return self.job.priority

    @property
    def timeout(self) -> float | None:
        """Seconds an attempt of its jobs may take; None for no limit."""
        return self.job.timeout

    @property
    def max_retries(self) -> int:
        """How often its jobs may be tried again after a failure."""
        return self.job.max_retries

    @property
    def data(self) -> MessageData:
        """The message data of its jobs."""
        return self.job.data

    @property
    def metadata(self) -> Metadata:
        """The metadata of its jobs."""
        return self.job.metadata

    @property
    def key(self) -> str | None:
        """The schedule's idempotency key."""
        return self.job.key

    def job_at(self, nominal: datetime, now: datetime) -> Job:
        """Return the job of a nominal time."""
        id_ = derived_id(self.id, to_micros(nominal))
        return evolve(self.job, id=id_, scheduled_at=nominal, created_at=now, key=None)


@frozen(kw_only=True)
class Firing:
    """A job to be made for a schedule: due at its nominal time, or now if that has passed.

    `nominal_at` is None for a job that was requested out of turn.
    """

    job: Job
    nominal_at: datetime | None = None


@frozen(kw_only=True)
class ScheduleWrite:
    """A change of one schedule, which holds only if its version is still `record.version`.

    `record` is its new state; `redefined` says that its definition changes too, not just how far it is planned.
    `restart` removes its future jobs, to be planned anew from `record.planned_to` on. `lapsed` is a condition: its
    declaration was not renewed meanwhile.
    """

    record: ScheduleRecord
    firings: Sequence[Firing] = ()
    redefined: bool = False
    restart: bool = False
    lapsed: bool = False


@frozen(kw_only=True)
class DueSchedules:
    """Schedules that have to be planned, and the store's now.

    If there are none, `next_in` is the time in seconds until the next one (None: no schedule is active).
    """

    now: datetime
    due: Sequence[ScheduleRecord] = ()
    next_in: float | None = None


@frozen(kw_only=True)
class ScheduleQuery:
    """Which schedules to find. Every given condition must hold; they are ordered by descending id.

    `after` is the id of the last schedule of the previous page, to continue after it; `limit` is at most 1,000.
    """

    statuses: frozenset[ScheduleStatus] = frozenset()
    definition_id: str | None = None
    static: bool | None = None
    after: UUID | None = None
    limit: int = 100


class Fires:
    """The nominal times of one schedule, up to its end: called with a moment, it returns the first one after it."""

    def __init__(self, kinds: Kinds, record: ScheduleRecord) -> None:
        """Compile the schedule's expression; raises any error of its kind."""
        self._recurrence = _compiled(kinds, record.kind, record.expression, record.time_zone)
        self._start, self._end = record.starts_after, record.ends_before

    def __call__(self, after: datetime) -> datetime | None:
        """Return the first nominal time strictly after a moment, or None when the schedule is over.

        Raises `ValueError` if the kind returns a time that is not later: a caller that iterates would never end.
        """
        found = self._recurrence.next_after(after, self._start)
        if found is None or (self._end is not None and found >= self._end):
            return None
        if found <= after:
            msg = f"the kind of this recurrence returned {found} as a time after {after}"
            raise ValueError(msg)
        return found


@lru_cache(maxsize=4096)
def _compiled(kinds: Kinds, kind: str, expression: str, time_zone: str) -> Recurrence:
    """Compile an expression once for all the times that its schedules are planned."""
    return kinds.compile(expression, kind, zone_of(time_zone))
