"""Move a cluster: its held jobs, its schedules, and its history if that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, evolve, field, frozen

from jobmaster._upkeep.transfer import AT_ONCE, Route, Shipment
from jobmaster.moves import Left
from jobmaster.schedule_models import ScheduleQuery, ScheduleRecord
from jobmaster.states import ScheduleStatus

STANDING = frozenset({ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED, ScheduleStatus.INACTIVE})
OVER = frozenset({ScheduleStatus.ENDED, ScheduleStatus.CANCELLED})


@frozen(kw_only=True)
class MoveResult:
    """What one round moved and what it left. `waiting` schedules have a job that has not ended yet."""

    jobs: int = 0
    schedules: int = 0
    waiting: int = 0
    left: Sequence[Left] = ()

    @property
    def moved(self) -> int:
        """How many jobs and schedules arrived."""
        return self.jobs + self.schedules


@define(eq=False)
class MoveCluster:
    """Moves what a cluster holds along a route. It is safe while other processes keep working.

    Jobs go first, then the schedules whose newest job is not left behind unfinished: at the target as at the
    source, a schedule knows whether its last job has ended. With `history`, finished jobs and schedules that are
    over move too. `on_moved` is called for each consignment.
    """

    route: Route
    history: bool = False
    on_moved: Callable[[MoveResult], None] = field(default=lambda _: None)
    _result: MoveResult = field(factory=MoveResult, init=False)

    async def run_once(self) -> MoveResult:
        """Go through everything once; return what moved."""
        self._result = MoveResult()
        settled = await self.route.settle()
        self._note(MoveResult(jobs=len(settled.moved), left=settled.left))
        await self._move_held()
        await self._move_schedules(STANDING)
        if self.history:
            await self._move_finished()
            await self._move_schedules(OVER)
        return self._result

    def _note(self, more: MoveResult) -> None:
        so_far = self._result
        self._result = MoveResult(
            jobs=so_far.jobs + more.jobs,
            schedules=so_far.schedules + more.schedules,
            waiting=so_far.waiting + more.waiting,
            left=[*so_far.left, *more.left],
        )
        if more.moved:
            self.on_moved(more)

    async def _move_held(self) -> None:
        route, after = self.route, None
        while page := await route.source.transfers.read_held(route.source_id, after, AT_ONCE):
            self._note(_of_jobs(await route.send(page)))
            after = page[-1].id

    async def _move_finished(self) -> None:
        route, after = self.route, None
        while page := await route.source.transfers.read_finished(route.source_id, 0.0, after, AT_ONCE):
            self._note(_of_jobs(await route.send(page)))
            after = page[-1].place

    async def _move_schedules(self, statuses: frozenset[ScheduleStatus]) -> None:
        route, query = self.route, ScheduleQuery(statuses=statuses, limit=AT_ONCE)
        while page := await route.source.schedules.query(route.source_id, query):
            await self._send_schedules(page)
            query = evolve(query, after=page[-1].id)

    async def _send_schedules(self, page: Sequence[ScheduleRecord]) -> None:
        bound = [_stays(one) for one in page if one.is_static and not self._is_same_cluster()]
        free = [one for one in page if not one.is_static or self._is_same_cluster()]
        ready = [one for one in free if not await self._waits(one)]
        sent = await self.route.send(ready) if ready else Shipment()
        waiting = len(free) - len(ready)
        self._note(MoveResult(schedules=len(sent.moved), waiting=waiting, left=[*bound, *sent.left]))

    async def _waits(self, record: ScheduleRecord) -> bool:
        """Whether the newest job of a schedule is here and has not ended: not moved, and not left behind for good."""
        if not record.busy or record.newest_job_id is None:
            return False
        if record.newest_job_id in {left.id for left in self._result.left}:
            return False
        return await self.route.source.jobs.get(self.route.source_id, record.newest_job_id) is not None

    def _is_same_cluster(self) -> bool:
        return self.route.source_id == self.route.target_id


def _of_jobs(shipment: Shipment) -> MoveResult:
    return MoveResult(jobs=len(shipment.moved), left=shipment.left)


def _stays(record: ScheduleRecord) -> Left:
    """Return why a static schedule does not move: its id is derived from the cluster's."""
    why = (
        f"static schedule {record.name!r} belongs to the code that declares it; that code creates it on the target "
        "when it runs there"
    )
    return Left("schedule", record.id, why)
