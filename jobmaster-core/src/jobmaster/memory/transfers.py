"""Moves between clusters in memory: both ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import Departure, Moving, Rejection, RejectReason, Standing, TransferStore, WholeJob
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import Live
from jobmaster.models import Job, Position
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.states import JobStatus

TIME_TO_DECLARE: Final = timedelta(hours=1)
"""How long a static schedule that arrives waits for a process that declares it."""

Consignment: TypeAlias = tuple[str, UUID]
"""A cluster, and the id of a consignment that goes there or comes from there."""


@define(eq=False, repr=False, slots=False)
class MemoryTransfers(TransferStore):
    """Moves between clusters in memory: both ends."""

    rows: MasterRows

    # The source

    async def read_held(self, cluster_id: str, after: UUID | None, limit: int) -> Sequence[WholeJob]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            held = [
                row.job
                for row in tables.live.among(None)
                if row.job.cluster_id == cluster_id and (after is None or row.job.id > after)
            ]
            return [self._whole(job) for job in sorted(held, key=lambda job: job.id)[:limit]]

    async def read_finished(
        self, cluster_id: str, age: float, after: Position | None, limit: int, before: datetime | None = None
    ) -> Sequence[WholeJob]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            latest = self.rows.before(age, before)
            finished = sorted(
                (finished_at, job_id)
                for job_id, (_, finished_at) in tables.final.items()
                if tables.jobs[job_id].cluster_id == cluster_id and finished_at < latest
            )
            beyond = [p for p in finished if after is None or p > (after.ready_at, after.job_id)]
            return [self._whole(tables.jobs[job_id]) for _, job_id in beyond[:limit]]

    def _whole(self, job: Job) -> WholeJob:
        """Return a held or finished job with everything that belongs to it."""
        schedule_id, nominal_at = self.rows.tables.firings.get(job.id, (None, None))
        row = self.rows.tables.live.get(job.id)
        return WholeJob(
            job=job,
            status=self.rows.status_of(job.id),
            standing=_standing(row) if row else None,
            attempts=tuple(self.rows.tables.attempts.get(job.id, ())),
            logs=tuple(self.rows.lines_of(job.cluster_id, "job", str(job.id))),
            schedule_id=schedule_id,
            nominal_at=nominal_at,
        )

    async def release(
        self, cluster_id: str, target: str, consignment: UUID, things: Sequence[Moving]
    ) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            leaving = [thing.id for thing in things if self._is_unchanged(cluster_id, thing)]
            for thing_id in leaving:
                self._remove(thing_id)
            key = cluster_id, consignment
            _, departed = tables.departures.get(key, (target, frozenset()))
            departed = departed.union(leaving)
            if departed:
                tables.departures[key] = target, departed
            return departed

    def _is_unchanged(self, cluster_id: str, thing: Moving) -> bool:
        if isinstance(thing, ScheduleRecord):
            schedule = self.rows.tables.schedules.get(thing.id)
            return schedule is not None and (schedule.cluster_id, schedule.version) == (
                cluster_id,
                thing.version,
            )
        job, row = self.rows.tables.jobs.get(thing.id), self.rows.tables.live.get(thing.id)
        if job is None or job.cluster_id != cluster_id:
            return False
        if row is None or thing.standing is None:
            last = self.rows.tables.attempts.get(thing.id, [])[-1:]
            return row is None and thing.standing is None and last == [*thing.attempts[-1:]]
        return row.bucket_id is None and _standing(row) == thing.standing

    def _remove(self, thing_id: UUID) -> None:
        if self.rows.tables.schedules.pop(thing_id, None) is None:
            self.rows.tables.live.pop(thing_id, None)
            self.rows.forget_job(thing_id)

    async def departures(self, cluster_id: str, limit: int) -> Sequence[Departure]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            found = [
                Departure(consignment=consignment, target=target, ids=ids)
                for (source, consignment), (target, ids) in tables.departures.items()
                if source == cluster_id
            ]
            return sorted(found, key=lambda departure: departure.consignment)[:limit]

    async def forget_departures(self, cluster_id: str, consignment: UUID, ids: Sequence[UUID]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            self._forget_departures((cluster_id, consignment), ids)

    def _forget_departures(self, key: Consignment, ids: Sequence[UUID]) -> None:
        target, departed = self.rows.tables.departures.pop(key, ("", frozenset()))
        if left := departed.difference(ids):
            self.rows.tables.departures[key] = target, left

    # The target

    async def stage(
        self, cluster_id: str, consignment: UUID, things: Sequence[Moving], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            here = [thing for thing in things if self._is_in(cluster_id, thing.id)]
            rejections = {thing.id: Rejection(id=thing.id, reason=RejectReason.KNOWN) for thing in here}
            if keep_keys:
                rejections = self._taken_keys(cluster_id, things) | rejections
            new = {thing.id: thing for thing in things if thing.id not in rejections}
            if new:
                staged = tables.arrivals.setdefault((cluster_id, consignment), {})
                staged |= new | staged
            return list(rejections.values())

    def _is_in(self, cluster_id: str, thing_id: UUID) -> bool:
        job, schedule = self.rows.tables.jobs.get(thing_id), self.rows.tables.schedules.get(thing_id)
        found = job or schedule
        return found is not None and found.cluster_id == cluster_id

    def _taken_keys(self, cluster_id: str, things: Sequence[Moving]) -> dict[UUID, Rejection]:
        holders = {thing.id: self._holder(cluster_id, thing) for thing in things}
        return {
            thing.id: Rejection(id=thing.id, reason=RejectReason.KEY_TAKEN, holder=holder, key=thing.job.key)
            for thing in things
            if (holder := holders[thing.id]) not in (None, thing.id)
        }

    def _holder(self, cluster_id: str, thing: Moving) -> UUID | None:
        """Return the id of the holder of a thing's idempotency key in its new cluster."""
        if thing.job.key is None:
            return None
        if isinstance(thing, WholeJob):
            return self.rows.tables.keys.get((cluster_id, thing.job.key))
        if thing.status.is_terminal:
            return None
        holder = self.rows.schedule_with_key(evolve(thing.job, cluster_id=cluster_id))
        return None if holder is None else holder.id

    async def admit(
        self, cluster_id: str, consignment: UUID, ids: Sequence[UUID], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            key = cluster_id, consignment
            staged = tables.arrivals.pop(key, {})
            departed = [staged[thing_id] for thing_id in ids if thing_id in staged]
            rejections = {o.id: o for o in self._rejections(cluster_id, departed, keep_keys=keep_keys)}
            if stuck := {thing.id: thing for thing in departed if thing.id in rejections}:
                tables.arrivals[key] = stuck
            for thing in departed:
                if thing.id not in rejections:
                    self._let_in(cluster_id, thing)
            return list(rejections.values())

    def _rejections(
        self, cluster_id: str, things: Sequence[Moving], *, keep_keys: bool
    ) -> Sequence[Rejection]:
        tables = self.rows.tables
        here = [thing.id for thing in things if thing.id in tables.jobs or thing.id in tables.schedules]
        taken = self._taken_keys(cluster_id, things) if keep_keys else {}
        known = {thing_id: Rejection(id=thing_id, reason=RejectReason.KNOWN) for thing_id in here}
        return list((taken | known).values())

    def _let_in(self, cluster_id: str, thing: Moving) -> None:
        """Make a thing part of the cluster. An earlier departure of it from here no longer matters."""
        for source, consignment in list(self.rows.tables.departures):
            if source == cluster_id:
                self._forget_departures((source, consignment), [thing.id])
        free = self._holder(cluster_id, thing) is None
        job = evolve(thing.job, cluster_id=cluster_id, key=thing.job.key if free else None)
        if isinstance(thing, ScheduleRecord):
            self._let_schedule_in(evolve(thing, job=job))
        else:
            self._let_job_in(evolve(thing, job=job))

    def _let_schedule_in(self, schedule: ScheduleRecord) -> None:
        now = self.rows.now()
        until = None if schedule.alive_until is None else now + TIME_TO_DECLARE
        self.rows.tables.schedules[schedule.id] = evolve(
            schedule, alive_until=until, version=schedule.version + 1, changed_at=now
        )

    def _let_job_in(self, whole: WholeJob) -> None:
        tables, job = self.rows.tables, whole.job
        tables.jobs[job.id] = job
        if job.key is not None:
            tables.keys[job.cluster_id, job.key] = job.id
        if whole.attempts:
            tables.attempts[job.id] = list(whole.attempts)
        if whole.schedule_id is not None:
            tables.firings[job.id] = whole.schedule_id, whole.nominal_at
        tables.logs += [(job.cluster_id, line) for line in whole.logs]
        if whole.standing is None:
            tables.final[job.id] = whole.status, whole.attempts[-1].finished_at
        else:
            tables.live[job.id] = _live(job, whole.standing)


def _standing(row: Live) -> Standing:
    return Standing(
        ready_at=row.ready_at,
        attempt=row.attempt,
        retries=row.retries,
        crashes=row.crashes,
        suspect=row.suspect,
        parked=row.parked,
        cancel_requested=row.cancel_requested,
    )


def _live(job: Job, standing: Standing) -> Live:
    return Live(
        job,
        JobStatus.HELD_ON_MASTER,
        standing.ready_at,
        attempt=standing.attempt,
        retries=standing.retries,
        crashes=standing.crashes,
        suspect=standing.suspect,
        parked=standing.parked,
        cancel_requested=standing.cancel_requested,
    )
