"""Recurring schedules in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import OUT_OF_REACH, ScheduleStore
from jobmaster.errors import KeyTakenError
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import Live
from jobmaster.schedule_models import (
    DueSchedules,
    Firing,
    ScheduleQuery,
    ScheduleReceipt,
    ScheduleRecord,
    ScheduleWrite,
)
from jobmaster.states import JobStatus, ScheduleStatus


@define(eq=False, repr=False, slots=False)
class MemorySchedules(ScheduleStore):
    """Recurring schedules in memory."""

    rows: MasterRows

    async def add(
        self, schedules: Sequence[ScheduleRecord], lease: float | None = None
    ) -> Sequence[ScheduleReceipt]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            until = None if lease is None else self.rows.later(lease)
            self._check_keys(schedules)
            return [self._add(schedule, until) for schedule in schedules]

    def _check_keys(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Raise `KeyTakenError` if a key belongs to another definition's schedule, stored or of the same call."""
        given: dict[tuple[str, str], ScheduleRecord] = {}
        for schedule in schedules:
            if schedule.key is not None:
                holder = self.rows.schedule_with_key(schedule.job) or schedule
                holder = given.setdefault((schedule.cluster_id, schedule.key), holder)
                if holder.definition_id != schedule.definition_id:
                    asked = schedule.definition_id
                    raise KeyTakenError(schedule.key, asked, holder.id, holder.definition_id, "schedule")

    def _add(self, schedule: ScheduleRecord, until: datetime | None) -> ScheduleReceipt:
        holder = self.rows.schedule_with_key(schedule.job)
        if holder is not None and holder.id != schedule.id:
            return ScheduleReceipt(schedule_id=holder.id, created=False)
        now = self.rows.now()
        start = now if schedule.starts_now else schedule.starts_after
        planned_to = now if schedule.starts_now else max(schedule.planned_to, now)
        job = evolve(schedule.job, scheduled_at=start)
        stored = evolve(
            schedule, job=job, planned_to=planned_to, alive_until=until, changed_at=now, starts_now=False
        )
        self.rows.tables.schedules.setdefault(schedule.id, stored)
        return ScheduleReceipt(schedule_id=schedule.id)

    # Reading

    async def get(self, cluster_id: str, schedule_ids: Sequence[UUID]) -> Sequence[ScheduleRecord]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return [self._shown(s) for s in self.rows.schedules_of(cluster_id) if s.id in schedule_ids]

    async def query(self, cluster_id: str, query: ScheduleQuery) -> Sequence[ScheduleRecord]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            found = [s for s in self.rows.schedules_of(cluster_id) if _matches(s, query)]
            found.sort(key=lambda s: s.id, reverse=True)
            return [self._shown(s) for s in found[: query.limit]]

    def _shown(self, schedule: ScheduleRecord) -> ScheduleRecord:
        """Return a schedule with the fields that depend on its jobs."""
        now = self.rows.now()
        times = {nominal: job_id for nominal, job_id in self._nominal_times(schedule) if nominal}
        last = max((time for time in times if time <= now), default=None)
        following = min((time for time in times if time > now), default=schedule.next_at)
        return evolve(
            schedule,
            read_at=now,
            busy=schedule.newest_job_id in self.rows.tables.live,
            last_job_id=times[last] if last else None,
            next_at=following if schedule.status is ScheduleStatus.ACTIVE else None,
        )

    def _nominal_times(self, schedule: ScheduleRecord) -> Iterator[tuple[datetime | None, UUID]]:
        for job_id, (schedule_id, nominal) in self.rows.tables.firings.items():
            if schedule_id == schedule.id:
                yield nominal, job_id

    # Planning

    async def due(
        self, cluster_id: str, kinds: Sequence[str], limit: int, without: Collection[UUID] = ()
    ) -> DueSchedules:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            now = self.rows.now()
            active = [
                s
                for s in self.rows.schedules_of(cluster_id)
                if s.status is ScheduleStatus.ACTIVE and s.kind in kinds and s.look_at is not None
                if s.id not in without
            ]
            looks = sorted((s.look_at, s.id, s) for s in active if s.look_at is not None)
            due = [self._shown(s) for look_at, _, s in looks if look_at <= now][:limit]
            next_in = max(0.0, (looks[0][0] - now).total_seconds()) if looks else None
            return DueSchedules(now=now, due=due, next_in=next_in)

    async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return frozenset(write.record.id for write in writes if self._write(write))

    def _write(self, write: ScheduleWrite) -> bool:
        record = write.record
        stored = self.rows.tables.schedules.get(record.id)
        if stored is None or stored.version != record.version:
            return False
        now = self.rows.now()
        if write.lapsed and not _has_lapsed(stored, now):
            return False
        if write.restart:
            self._take_back(record.id, now)
        for firing in write.firings:
            self._fire(record.id, firing, now)
        asked = record if write.redefined else _asked_as(stored, record)
        self.rows.tables.schedules[record.id] = evolve(
            asked, version=stored.version + 1, alive_until=stored.alive_until, changed_at=now
        )
        return True

    def _fire(self, schedule_id: UUID, firing: Firing, now: datetime) -> None:
        job, tables = firing.job, self.rows.tables
        if job.id not in tables.jobs:
            tables.jobs[job.id] = job
            tables.firings[job.id] = schedule_id, firing.nominal_at
            ready_at = max(firing.nominal_at or now, now)
            tables.live[job.id] = Live(job, JobStatus.HELD_ON_MASTER, ready_at)

    def _take_back(self, schedule_id: UUID, now: datetime) -> None:
        tables = self.rows.tables
        future = [
            j for j, (owner, time) in tables.firings.items() if owner == schedule_id and time and time > now
        ]
        for job_id in future:
            row = tables.live.get(job_id)
            if row is not None and _is_untouched(row, now) and not self.rows.is_on_an_agent(row.bucket_id):
                del tables.live[job_id], tables.jobs[job_id], tables.firings[job_id]

    # Declarations

    async def renew(self, cluster_id: str, schedule_ids: Sequence[UUID], lease: float) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            until = self.rows.later(lease)
            standing = [
                s
                for s in self.rows.schedules_of(cluster_id)
                if s.id in schedule_ids and not s.status.is_terminal
            ]
            tables.schedules |= {s.id: evolve(s, alive_until=until) for s in standing}
            return frozenset(s.id for s in standing if s.status is not ScheduleStatus.INACTIVE)

    async def expired(self, cluster_id: str, limit: int) -> Sequence[ScheduleRecord]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            now = self.rows.now()
            return [
                self._shown(s)
                for s in self.rows.schedules_of(cluster_id)
                if s.status is ScheduleStatus.ACTIVE and _has_lapsed(s, now)
            ][:limit]

    async def prune(self, cluster_id: str, age: float, limit: int, before: datetime | None = None) -> int:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            latest = self.rows.before(age, before)
            old = [
                s.id
                for s in self.rows.schedules_of(cluster_id)
                if s.status.is_terminal and s.changed_at is not None and s.changed_at < latest
            ][:limit]
            for schedule_id in old:
                del tables.schedules[schedule_id]
            return len(old)


def _has_lapsed(schedule: ScheduleRecord, now: datetime) -> bool:
    return schedule.alive_until is not None and schedule.alive_until < now


def _matches(schedule: ScheduleRecord, query: ScheduleQuery) -> bool:
    return (
        (not query.statuses or schedule.status in query.statuses)
        and query.definition_id in (None, schedule.definition_id)
        and query.static in (None, schedule.is_static)
        and (query.after is None or schedule.id < query.after)
    )


def _asked_as(stored: ScheduleRecord, record: ScheduleRecord) -> ScheduleRecord:
    """Return a record with the stored definition: only how far it is planned is new."""
    return evolve(
        stored,
        status=record.status,
        planned_to=record.planned_to,
        look_at=record.look_at,
        next_at=record.next_at,
        waiting=record.waiting,
        newest_job_id=record.newest_job_id,
    )


def _is_untouched(row: Live, now: datetime) -> bool:
    """Whether a job was never in flight, and cannot be before its row is gone."""
    reach = now if row.bucket_id is None else now + timedelta(seconds=OUT_OF_REACH)
    waits = row.status in (JobStatus.HELD_ON_MASTER, JobStatus.ASSIGNED_TO_BUCKET)
    return waits and row.attempt == 1 and row.ready_at > reach
