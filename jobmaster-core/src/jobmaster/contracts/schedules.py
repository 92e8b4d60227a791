"""The part of the master's contract that keeps recurring schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from jobmaster.schedule_models import (
    DueSchedules,
    ScheduleQuery,
    ScheduleReceipt,
    ScheduleRecord,
    ScheduleWrite,
)


class ScheduleStore(ABC):
    """Recurring schedules, and the jobs that were made for them."""

    @abstractmethod
    async def add(
        self, schedules: Sequence[ScheduleRecord], lease: float | None = None
    ) -> Sequence[ScheduleReceipt]:
        """Store schedules; return their receipts in order.

        * Idempotent by id. If another schedule of the cluster has its key, a schedule is not stored: its receipt names
          that schedule and says `created=False`. Schedules that have ended or were cancelled have given up their keys.
          If that schedule is of another definition, the call raises `KeyTakenError` instead, and stores nothing.
        * They are planned from the store's now on: `planned_to` is at least that. A schedule that `starts_now` counts
          from there as well: the store's now is its `starts_after` and its `planned_to`.
        * With a `lease`, their declaration lasts that many seconds from the store's now.
        """

    @abstractmethod
    async def get(self, cluster_id: str, schedule_ids: Sequence[UUID]) -> Sequence[ScheduleRecord]:
        """Return those of these schedules that exist, in any order; all were read at the store's `read_at`."""

    @abstractmethod
    async def query(self, cluster_id: str, query: ScheduleQuery) -> Sequence[ScheduleRecord]:
        """Return a page of schedules by descending id: dynamic ones come the newest first."""

    @abstractmethod
    async def due(
        self, cluster_id: str, kinds: Sequence[str], limit: int, without: Collection[UUID] = ()
    ) -> DueSchedules:
        """Return active schedules of these kinds whose `look_at` has come, the earliest first.

        * Those in `without` are left out, as if they did not exist: the caller cannot read them.
        * The store's clock decides, and is returned as `now`.
        * `busy` tells whether the job `newest_job_id` is unfinished at that moment.
        * Nothing is locked: several planners may get the same schedules, and `write` settles it.
        """

    @abstractmethod
    async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
        """Change schedules and make their jobs, all in one unit; return the ids of those that were changed.

        * A write holds only if the schedule's version is still `record.version`; it grows by one. One of several
          concurrent callers wins, and the others change nothing.
        * Each firing stores a job, held on the master and due at its nominal time by the store's clock, or now
          if that has passed. A job id that exists changes nothing: a nominal time only ever has one job.
        * `restart` removes the schedule's jobs that are not due yet and were never in flight, as if they had not been
          made.
        * A write with `lapsed` holds only if the schedule's declaration has run out by the store's now.
        * What was asked for (template, expression, zone, end, policies) changes only with `redefined`.
        """

    @abstractmethod
    async def renew(self, cluster_id: str, schedule_ids: Sequence[UUID], lease: float) -> frozenset[UUID]:
        """Renew declarations for `lease` seconds from the store's now.

        Also those of inactive schedules, so that they have a lease when they are woken. Returns the ids of the
        schedules that are active or paused: the others have to be declared anew.
        """

    @abstractmethod
    async def expired(self, cluster_id: str, limit: int) -> Sequence[ScheduleRecord]:
        """Return active schedules whose declaration has run out, for the caller to make inactive."""

    @abstractmethod
    async def prune(self, cluster_id: str, age: float, limit: int, before: datetime | None = None) -> int:
        """Delete up to `limit` schedules that were over `age` seconds ago, and before `before`; their jobs stay."""
