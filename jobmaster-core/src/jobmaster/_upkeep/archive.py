"""Moving what is past its retention to an archive, instead of deleting it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from attrs import define, evolve, field, frozen

from jobmaster._upkeep.transfer import AT_ONCE, Left, Route, Shipment
from jobmaster.models import Position
from jobmaster.recurring import ScheduleQuery
from jobmaster.states import ScheduleStatus

OVER = frozenset({ScheduleStatus.ENDED, ScheduleStatus.CANCELLED})


@frozen(kw_only=True)
class ArchiveResult:
    """What one batch moved and left, and whether there may be more."""

    moved: int = 0
    left: Sequence[Left] = ()
    more: bool = False


@define(eq=False)
class Archive:
    """Moves jobs that finished, and schedules that were over, `retention` seconds ago.

    What cannot move stays where it is, and is passed over until all else has moved. The route ought not to
    insist on idempotency keys: a key is free again once its job is archived.
    """

    route: Route
    _after: Position | None = field(default=None, init=False)

    async def run_once(self, retention: float) -> ArchiveResult:
        """Move one batch of jobs, and after the last one the schedules."""
        settled, route = await self.route.settle(), self.route
        jobs = await route.source.read_finished(route.source_id, retention, self._after, AT_ONCE)
        sent = await route.send(jobs) if jobs else Shipment()
        more = len(jobs) == AT_ONCE
        self._after = jobs[-1].place if more else None
        over = Shipment() if more else await self._move_schedules(retention)
        return ArchiveResult(
            moved=len(settled.moved) + len(sent.moved) + len(over.moved),
            left=[*settled.left, *sent.left, *over.left],
            more=more,
        )

    async def _move_schedules(self, retention: float) -> Shipment:
        """Move the schedules that have been over for so long. They are few: one page after the other."""
        route, query = self.route, ScheduleQuery(statuses=OVER, limit=AT_ONCE)
        before = await route.source.now() - timedelta(seconds=retention)
        moved: frozenset[UUID] = frozenset()
        left: list[Left] = []
        while page := await route.source.query_schedules(route.source_id, query):
            old = [one for one in page if one.changed_at is not None and one.changed_at < before]
            sent = await route.send(old) if old else Shipment()
            moved, left = moved | sent.moved, [*left, *sent.left]
            query = evolve(query, after=page[-1].id)
        return Shipment(moved, left)
