"""Keeping static schedules alive while some process declares them, and resting those that none does any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from attrs import define, evolve, field, frozen

from jobmaster.contracts import MasterRepository
from jobmaster.recurring import AT_ONCE, ScheduleRecord, ScheduleWrite
from jobmaster.states import ScheduleStatus

log = logging.getLogger("jobmaster.declare")

SCHEDULES_AT_ONCE: Final = 500


@frozen
class Declaration:
    """A static schedule as this process declares it; `anchored` if it says from when on it counts."""

    record: ScheduleRecord
    anchored: bool = False


@define(eq=False)
class Declare:
    """Stores what this process declares, renews that by `lease` seconds, and rests what has lapsed.

    `coordinates` tells whether this process looks after schedules that others declared.
    """

    cluster_id: str
    master: MasterRepository
    declarations: Sequence[Declaration]
    lease: float
    coordinates: Callable[[], bool]
    _declared: bool = field(default=False, init=False)

    async def run_once(self) -> int:
        """Declare or renew; return how many schedules were added, changed, woken or laid to rest."""
        changed = await self._keep() if self.declarations else 0
        return changed + (await self._rest() if self.coordinates() else 0)

    async def _keep(self) -> int:
        """Renew first, so that what is woken after that has a lease."""
        ids = [declaration.record.id for declaration in self.declarations]
        alive = await self.master.renew_schedules(self.cluster_id, ids, self.lease)
        if self._declared and alive.issuperset(ids):
            return 0
        changed = await self._declare()
        self._declared = True
        return changed

    async def _declare(self) -> int:
        """Add what is new and change what differs from what is stored."""
        records = [declaration.record for declaration in self.declarations]
        ids = [record.id for record in records]
        stored = {record.id: record for record in await self.master.get_schedules(self.cluster_id, ids)}
        new = [record for record in records if record.id not in stored]
        if new:
            await self.master.add_schedules(new, self.lease)
        known = [(one, stored[one.record.id]) for one in self.declarations if one.record.id in stored]
        writes = [write for one, record in known if (write := _brought_up_to_date(one, record)) is not None]
        return len(new) + len(await self.master.write_schedules(writes))

    async def _rest(self) -> int:
        """Make inactive what nobody has declared for a whole lease. Its future jobs go with it."""
        expired = await self.master.expired_schedules(self.cluster_id, SCHEDULES_AT_ONCE)
        if not expired:
            return 0
        writes = [_to_rest(record) for record in expired]
        rested: frozenset[UUID] = await self.master.write_schedules(writes)
        for record in expired:
            if record.id in rested:
                log.warning("schedule %r is inactive: no process declares it any more", record.name)
        return len(rested)


def _to_rest(record: ScheduleRecord) -> ScheduleWrite:
    resting = evolve(record, status=ScheduleStatus.INACTIVE, waiting=(), look_at=None)
    return ScheduleWrite(record=resting, restart=True)


def _brought_up_to_date(declaration: Declaration, stored: ScheduleRecord) -> ScheduleWrite | None:
    """Return the change that makes a stored schedule what is declared, or None if it is."""
    wanted = _as_declared(declaration, stored)
    if wanted == stored and stored.status is not ScheduleStatus.INACTIVE:
        return None
    paused = stored.status is ScheduleStatus.PAUSED
    status = ScheduleStatus.PAUSED if paused else ScheduleStatus.ACTIVE
    standing = evolve(wanted, status=status, look_at=AT_ONCE, next_at=declaration.record.next_at)
    return ScheduleWrite(record=standing, redefined=True, restart=True)


def _as_declared(declaration: Declaration, stored: ScheduleRecord) -> ScheduleRecord:
    """Return the stored schedule with all that is declared; how far it is planned stays."""
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
