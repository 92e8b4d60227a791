"""Making the jobs of recurring schedules: each nominal time once, whoever plans and however often."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from attrs import define, evolve, frozen

from jobmaster._policy.recur import Plan, plan
from jobmaster.contracts import MasterRepository
from jobmaster.errors import JobNotFoundError
from jobmaster.models import Job
from jobmaster.recurrence import Kinds
from jobmaster.recurring import Fires, Firing, ScheduleRecord, ScheduleWrite
from jobmaster.states import ScheduleStatus
from jobmaster.tasks import is_ctrl_c

log = logging.getLogger("jobmaster.recur")

SCHEDULES_AT_ONCE: Final = 500
JOBS_AT_ONCE: Final = 1000
"""Jobs that one write makes, unless a single schedule has more: a unit of work is to be short."""
UNREADABLE_PAUSE: Final = timedelta(minutes=1)
"""How long a schedule is left alone whose next time this process cannot tell."""


@frozen
class RecurResult:
    """Jobs made, buckets that hold a job to be cancelled, and in how many seconds to look again."""

    made: Sequence[Job] = ()
    cancelling: frozenset[UUID] = frozenset()
    wait: float | None = None


@frozen
class _Move:
    """What to write about a schedule, and the plan behind it (None: it could not be planned)."""

    write: ScheduleWrite
    plan: Plan | None = None


@define(eq=False)
class Recur:
    """Plans the schedules of a cluster, `horizon` ahead; times more than `grace` late were missed.

    Any number of planners may do so at once: each plan is written together with its jobs, and only if nobody
    else has planned the schedule meanwhile.
    """

    cluster_id: str
    master: MasterRepository
    kinds: Kinds
    horizon: timedelta
    grace: timedelta

    async def run_once(self) -> RecurResult:
        """Plan the schedules that are to be looked at."""
        found = await self.master.due_schedules(self.cluster_id, self.kinds.names, SCHEDULES_AT_ONCE)
        if not found.due:
            return RecurResult(wait=found.next_in)
        moves = [self._move(record, found.now) for record in found.due]
        cancelling = await self._cancel(
            [move.write.record for move in moves if move.plan and move.plan.cancel]
        )
        made: list[Job] = []
        for chunk in _chunks([_with_jobs(move, found.now) for move in moves]):
            made += await self._store(chunk)
        return RecurResult(made, cancelling, 0.0)

    async def _store(self, moves: Sequence[_Move]) -> list[Job]:
        """Write plans with their jobs; return the jobs of those that nobody else had planned meanwhile."""
        written = await self.master.write_schedules([move.write for move in moves])
        done = [move for move in moves if move.write.record.id in written]
        for move in done:
            _tell(move)
        return [firing.job for move in done for firing in move.write.firings]

    def _move(self, record: ScheduleRecord, now: datetime) -> _Move:
        try:
            planned = plan(record, Fires(self.kinds, record), now, self.horizon, self.grace)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            log.exception("schedule %s: cannot tell when it fires next; trying again in a minute", record.id)
            return _Move(ScheduleWrite(record=evolve(record, look_at=now + UNREADABLE_PAUSE)))
        return _Move(ScheduleWrite(record=_planned(record, planned)), planned)

    async def _cancel(self, records: Sequence[ScheduleRecord]) -> frozenset[UUID]:
        """Cancel what is to make way. First of all: a planner that dies after that is followed by another one."""
        jobs = [record.newest_job_id for record in records if record.newest_job_id]
        if not jobs:
            return frozenset()
        try:
            answers = await self.master.cancel(self.cluster_id, jobs)
        except JobNotFoundError as error:
            log.info("a job that was to make way is gone: %s", error)
            return frozenset()
        return frozenset(answer.bucket_id for answer in answers if answer.bucket_id)


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
    times = move.plan.fire if move.plan else ()
    firings = [Firing(job=record.job_at(time, now), nominal_at=time) for time in times]
    newest = firings[-1].job.id if firings else record.newest_job_id
    write = evolve(move.write, record=evolve(record, newest_job_id=newest), firings=firings)
    return evolve(move, write=write)


def _chunks(moves: Sequence[_Move]) -> Iterator[list[_Move]]:
    """Part moves so that no write makes too many jobs."""
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
    """Log what did not happen because of overlap or misfires."""
    if move.plan is None:
        return
    if move.plan.skipped:
        log.info(
            "schedule %s: skipped %d times, as a job is unfinished", move.write.record.id, move.plan.skipped
        )
    if move.plan.misfired:
        log.warning(
            "schedule %s: times were missed; %d of them run now", move.write.record.id, len(move.plan.fire)
        )
