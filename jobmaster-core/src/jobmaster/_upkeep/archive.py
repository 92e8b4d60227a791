"""Move jobs and schedules past their retention to an archive, instead of deleting them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import define, evolve, field, frozen

from jobmaster._upkeep.transfer import AT_ONCE, Route, Shipment
from jobmaster.schedule_models import ScheduleQuery
from jobmaster.states import ScheduleStatus

if TYPE_CHECKING:
    from jobmaster.models import Position
    from jobmaster.moves import Left

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

    Items that cannot move stay where they are, and are skipped until all others have moved. The route should not
    insist on idempotency keys: a key is free again once its job is archived.
    """

    route: Route
    _after: Position | None = field(default=None, init=False)

    async def run_once(self, retention: float, before: datetime | None = None) -> ArchiveResult:
        """Move one batch of jobs, and after the last batch the schedules; only those over before `before`, if given."""
        settled, route = await self.route.settle(), self.route
        jobs = await route.source.transfers.read_finished(
            route.source_id, retention, self._after, AT_ONCE, before
        )
        sent = await route.send(jobs) if jobs else Shipment()
        more = len(jobs) == AT_ONCE
        self._after = jobs[-1].place if more else None
        over = Shipment() if more else await self._move_schedules(retention, before)
        return ArchiveResult(
            moved=len(settled.moved) + len(sent.moved) + len(over.moved),
            left=[*settled.left, *sent.left, *over.left],
            more=more,
        )

    async def _move_schedules(self, retention: float, before: datetime | None) -> Shipment:
        """Move the schedules that have been over for that long. They are few: one page after the other."""
        route, query = self.route, ScheduleQuery(statuses=OVER, limit=AT_ONCE)
        latest = await route.source.now() - timedelta(seconds=retention)
        latest = latest if before is None else min(latest, before)
        moved: frozenset[UUID] = frozenset()
        left: list[Left] = []
        while page := await route.source.schedules.query(route.source_id, query):
            old = [one for one in page if one.changed_at is not None and one.changed_at < latest]
            sent = await route.send(old) if old else Shipment()
            moved, left = moved | sent.moved, [*left, *sent.left]
            query = evolve(query, after=page[-1].id)
        return Shipment(moved, left)
