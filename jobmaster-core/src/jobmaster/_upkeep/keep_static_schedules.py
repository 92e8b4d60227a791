"""Keep static schedules alive while a process declares them, and make inactive those that none declares any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from attrs import define, evolve, field, frozen

from jobmaster._upkeep.change_schedules import at_rest, redefined
from jobmaster.schedule_models import ScheduleRecord, ScheduleWrite
from jobmaster.states import ScheduleStatus

if TYPE_CHECKING:
    from jobmaster.contracts import ScheduleStore
    from jobmaster.recurrence import Kinds

log = logging.getLogger("jobmaster.schedules")

SCHEDULES_AT_ONCE: Final = 500
TRIES: Final = 20
"""How many times in a row to declare schedules that a planner has moved meanwhile."""


@frozen
class Declaration:
    """A static schedule as this process declares it; `anchored` if it says when it starts."""

    record: ScheduleRecord
    anchored: bool = False


@define(eq=False)
class KeepStaticSchedules:
    """Stores what this process declares, renews it by `lease` seconds, and makes lapsed schedules inactive.

    `may_judge` tells whether this process looks after schedules that other processes declared, and has been able to
    see them renewed for a whole lease. `grace` decides which times count as missed when a schedule is changed.
    """

    cluster_id: str
    schedules: ScheduleStore
    kinds: Kinds
    declarations: Sequence[Declaration]
    lease: float
    grace: timedelta
    may_judge: Callable[[], bool]
    _declared: bool = field(default=False, init=False)

    async def run_once(self) -> int:
        """Declare or renew; return how many schedules were added, changed, activated or made inactive."""
        changed = await self._keep() if self.declarations else 0
        return changed + (await self._rest() if self.may_judge() else 0)

    async def _keep(self) -> int:
        """Renew first, so that schedules activated after that have a lease."""
        ids = [declaration.record.id for declaration in self.declarations]
        alive = await self.schedules.renew(self.cluster_id, ids, self.lease)
        if self._declared and alive.issuperset(ids):
            return 0
        return await self._declare()

    async def _declare(self) -> int:
        """Store the declarations; return how many schedules were added or changed.

        A planner may move a schedule between the read and the write; the write then changes nothing and is tried again.
        """
        changed, left = 0, list(self.declarations)
        for _ in range(TRIES):
            added, left = await self._try(left)
            changed += added
            if not left:
                break
        self._declared = not left
        if left:
            names = ", ".join(repr(one.record.name) for one in left)
            log.warning("schedules keep changing, and are declared again with the next renewal: %s", names)
        return changed

    async def _try(self, declarations: Sequence[Declaration]) -> tuple[int, list[Declaration]]:
        """Add new schedules and change those that differ; return how many, and which are not yet seen as declared."""
        ids = [one.record.id for one in declarations]
        stored = {record.id: record for record in await self.schedules.get(self.cluster_id, ids)}
        new = [one for one in declarations if one.record.id not in stored]
        if new:
            await self.schedules.add([one.record for one in new], self.lease)
        known = [(one, stored[one.record.id]) for one in declarations if one.record.id in stored]
        writes = {
            one.record.id: write for one, record in known if (write := self._brought_up_to_date(one, record))
        }
        written = await self.schedules.write(list(writes.values()))
        left = writes.keys() - written | {one.record.id for one in new}
        return len(new) + len(written), [one for one in declarations if one.record.id in left]

    def _brought_up_to_date(self, declaration: Declaration, stored: ScheduleRecord) -> ScheduleWrite | None:
        """Return the change that makes a stored schedule match its declaration, or None if it does."""
        wanted = _as_declared(declaration, stored)
        if wanted == stored and stored.status is not ScheduleStatus.INACTIVE:
            return None
        paused = stored.status is ScheduleStatus.PAUSED
        status = ScheduleStatus.PAUSED if paused else ScheduleStatus.ACTIVE
        standing = evolve(wanted, status=status, next_at=declaration.record.next_at)
        return redefined(stored, standing, self.kinds, self.grace)

    async def _rest(self) -> int:
        """Make inactive the schedules that no process has declared for a whole lease. Their future jobs go with them."""
        expired = await self.schedules.expired(self.cluster_id, SCHEDULES_AT_ONCE)
        if not expired:
            return 0
        writes = [_to_rest(record) for record in expired]  # unless one of them is renewed meanwhile
        rested: frozenset[UUID] = await self.schedules.write(writes)
        for record in expired:
            if record.id in rested:
                log.warning("schedule %r is inactive: no process declares it any more", record.name)
        return len(rested)


def _to_rest(record: ScheduleRecord) -> ScheduleWrite:
    resting = evolve(at_rest(record, ScheduleStatus.INACTIVE), waiting=())
    return ScheduleWrite(record=resting, restart=True, lapsed=True)


def _as_declared(declaration: Declaration, stored: ScheduleRecord) -> ScheduleRecord:
    """Return the stored schedule with everything that is declared; how far it is planned stays."""
    record = declaration.record
    start = record.starts_after if declaration.anchored else stored.starts_after
    return evolve(
        stored,
        job=evolve(record.job, created_at=stored.created_at, scheduled_at=start),
        kind=record.kind,
        expression=record.expression,
        time_zone=record.time_zone,
        ends_before=record.ends_before,
        overlap=record.overlap,
        misfire=record.misfire,
    )
