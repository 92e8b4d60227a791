"""Make the jobs of recurring schedules: each nominal time once, however many processes plan and however often."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from attrs import define, evolve, field, frozen

from jobmaster._policy.schedule_plan import Plan, plan
from jobmaster._policy.steadiness import DOUBTFUL_GAP
from jobmaster._process.tasks import is_ctrl_c
from jobmaster._text.logtext import counted
from jobmaster.errors import JobNotFoundError, StoreError, StoreUnavailableError
from jobmaster.schedule_models import AT_ONCE, DueSchedules, Fires, Firing, ScheduleRecord, ScheduleWrite
from jobmaster.states import ScheduleStatus

if TYPE_CHECKING:
    from jobmaster._flow.storeclock import StoreClock
    from jobmaster.clock import Clock
    from jobmaster.contracts import RequestStore, ScheduleStore
    from jobmaster.models import Job
    from jobmaster.recurrence import Kinds

log = logging.getLogger("jobmaster.schedules")

SCHEDULES_AT_ONCE: Final = 500
JOBS_AT_ONCE: Final = 1000
"""Most jobs that one write makes, unless a single schedule has more: a unit of work should be short."""
PATIENCE: Final = 60.0
"""Seconds for which nothing is planned after the store's clock has jumped by as much, and for which a schedule that is
late by more than a day waits: a wrong clock would make all times up to then count as missed, for good."""
ASIDE_PAUSE: Final = 10.0
"""Seconds for which a schedule that this process cannot read or plan is left to other processes."""


@frozen
class PlanResult:
    """Jobs made, buckets that contain a job to cancel, and in how many seconds to look again."""

    made: Sequence[Job] = ()
    cancelling: frozenset[UUID] = frozenset()
    wait: float | None = None


@frozen
class _Move:
    """What to write about a schedule, and the plan behind it."""

    write: ScheduleWrite
    plan: Plan


@define(eq=False)
class PlanSchedules:
    """Plans the schedules of a cluster, `horizon` ahead; times more than `grace` late were missed.

    Any number of planners may do so concurrently: each plan is written together with its jobs, and only if no other
    planner has planned the schedule meanwhile. Schedules that this planner cannot read or plan stay as they are, for
    planners that can; no other planner and no other schedule has to wait for them.
    """

    cluster_id: str
    schedules: ScheduleStore
    requests: RequestStore
    kinds: Kinds
    horizon: timedelta
    grace: timedelta
    clock: Clock
    store_clock: StoreClock
    _late: dict[UUID, float] = field(factory=dict, init=False)
    """Schedules that are late beyond belief, each with the moment since when."""
    _aside: dict[UUID, float] = field(factory=dict, init=False)
    """Schedules that are left to other processes, each with the moment until when."""
    _told: dict[UUID, int] = field(factory=dict, init=False)
    """Those of them that were logged, each with its version."""
    _busy: _Busy = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin at rest."""
        self._busy = _Busy(self.grace)

    async def run_once(self) -> PlanResult:
        """Plan the schedules that are due for a look."""
        found = await self._due()
        if not found.due:
            return PlanResult(wait=self._next_look(found.next_in))
        noticed = self._busy.since(found.now)
        due = self._believed(found)
        if not due:
            return PlanResult(wait=ASIDE_PAUSE)
        moves = [move for record in due if (move := self._move(record, found.now, noticed)) is not None]
        cancelling = await self._cancel([move.write.record for move in moves if move.plan.cancel])
        made: list[Job] = []
        for chunk in _chunks([_with_jobs(move, found.now) for move in moves]):
            made += await self._store(chunk)
        return PlanResult(made, cancelling, 0.0)

    async def _due(self) -> DueSchedules:
        """Return the due schedules except those left to others. No times are noticed while the store fails."""
        now = asked_at = self.clock.monotonic()
        self._aside = {id_: until for id_, until in self._aside.items() if until > now}
        try:
            found = await self.schedules.due(
                self.cluster_id, self.kinds.names, SCHEDULES_AT_ONCE, list(self._aside)
            )
        except BaseException:
            self._busy.rest()
            raise
        if not found.due:
            self._busy.rest()
        self.store_clock.heard(found.now, asked_at)
        return found

    def _believed(self, found: DueSchedules) -> list[ScheduleRecord]:
        """Return the due schedules, except those that may seem due only because the store's clock is briefly wrong."""
        if not self.store_clock.is_calm(PATIENCE, PATIENCE):
            return []
        now, long_ago = self.clock.monotonic(), found.now - timedelta(seconds=DOUBTFUL_GAP)
        late = {record.id for record in found.due if AT_ONCE < (record.look_at or AT_ONCE) < long_ago}
        self._late = {id_: self._late.get(id_, now) for id_ in late}
        waiting = {id_ for id_, since in self._late.items() if now - since < PATIENCE}
        return [record for record in found.due if record.id not in waiting]

    def _next_look(self, next_in: float | None) -> float | None:
        """Return in how many seconds to look again: for the next schedule, or for those left to others."""
        again = [until - self.clock.monotonic() for until in self._aside.values()]
        return min([*again, *([] if next_in is None else [next_in])], default=None)

    async def _store(self, moves: Sequence[_Move]) -> list[Job]:
        """Write plans with their jobs; return the jobs of those that no other planner had planned meanwhile.

        If the store refuses them, each is written alone: a single plan may be what it refuses.
        """
        try:
            written = await self.schedules.write([move.write for move in moves])
        except StoreUnavailableError:
            raise
        except StoreError as error:
            if len(moves) > 1:
                return [job for move in moves for job in await self._store([move])]
            self._leave(moves[0].write.record, "its jobs cannot be stored", error)
            return []
        done = [move for move in moves if move.write.record.id in written]
        for move in done:
            _tell(move)
        return [firing.job for move in done for firing in move.write.firings]

    def _move(self, record: ScheduleRecord, now: datetime, noticed: datetime) -> _Move | None:
        """Return the next move of a schedule, or None if this process cannot tell."""
        if record.damaged:
            self._leave(record, f"its row cannot be read ({record.damaged})")
            return None
        try:
            planned = plan(record, Fires(self.kinds, record), now, self.horizon, self.grace, noticed)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            self._leave(record, "its next time cannot be determined", error)
            return None
        return _Move(ScheduleWrite(record=_planned(record, planned)), planned)

    def _leave(self, record: ScheduleRecord, why: str, error: BaseException | None = None) -> None:
        """Leave a schedule to processes that can plan it."""
        self._aside[record.id] = self.clock.monotonic() + ASIDE_PAUSE
        if self._told.get(record.id) != record.version:
            self._told[record.id] = record.version
            message = "schedule %s: %s; it is left to processes that can plan it"
            log.error(message, record.id, why, exc_info=error)

    async def _cancel(self, records: Sequence[ScheduleRecord]) -> frozenset[UUID]:
        """Cancel the jobs that must make way. This comes first: if the planner dies after it, another one goes on."""
        jobs = [record.newest_job_id for record in records if record.newest_job_id]
        if not jobs:
            return frozenset()
        try:
            answers = await self.requests.cancel(self.cluster_id, jobs)
        except JobNotFoundError as error:
            if len(jobs) == 1:
                log.info("a job that was to be cancelled no longer exists: %s", error)
                return frozenset()
            return frozenset().union(*[await self._cancel([record]) for record in records])
        return frozenset(answer.bucket_id for answer in answers if answer.bucket_id)


@define(eq=False)
class _Busy:
    """Since when a planner has had something to plan, by the store's clock.

    A time that was in time then stays in time, however long the planner takes to reach it. That does not hold for times
    that came while no look happened for longer than `grace`.
    """

    grace: timedelta
    _began: datetime | None = field(default=None, init=False)
    _looked: datetime | None = field(default=None, init=False)

    def since(self, now: datetime) -> datetime:
        """Note a look that found something; return the moment of the first one in a row."""
        if self._began is None or self._looked is None or abs(now - self._looked) > self.grace:
            self._began = now
        self._looked = now
        return self._began

    def rest(self) -> None:
        """Note that there is nothing left to plan, or that it is unknown."""
        self._began = None


def _planned(record: ScheduleRecord, planned: Plan) -> ScheduleRecord:
    return evolve(
        record,
        status=ScheduleStatus.ENDED if planned.ended else record.status,
        planned_to=planned.planned_to,
        look_at=planned.look_at,
        next_at=planned.next_at,
        waiting=planned.waiting,
    )


def _with_jobs(move: _Move, now: datetime) -> _Move:
    """Return a move that writes the jobs of its plan."""
    record = move.write.record
    firings = [Firing(job=record.job_at(time, now), nominal_at=time) for time in move.plan.fire]
    newest = firings[-1].job.id if firings else record.newest_job_id
    write = evolve(move.write, record=evolve(record, newest_job_id=newest), firings=firings)
    return evolve(move, write=write)


def _chunks(moves: Sequence[_Move]) -> Iterator[list[_Move]]:
    """Split moves so that no write makes too many jobs."""
    chunk: list[_Move] = []
    count = 0
    for move in moves:
        size = len(move.write.firings)
        if chunk and count + size > JOBS_AT_ONCE:
            yield chunk
            chunk, count = [], 0
        chunk.append(move)
        count += size
    yield chunk


def _tell(move: _Move) -> None:
    """Log the times that did not run because of overlap or misfires."""
    if move.plan.skipped:
        log.info(
            "schedule %s: skipped %s, as a job is unfinished",
            move.write.record.id,
            counted(move.plan.skipped, "time"),
        )
    if move.plan.misfired:
        log.warning(
            "schedule %s: times were missed; %d of them run now", move.write.record.id, len(move.plan.fire)
        )
