"""Inspecting recurring schedules, and the meaning of expressions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from difflib import get_close_matches
from typing import Final
from uuid import UUID

from jobmaster.cluster import Cluster
from jobmaster.contracts import MasterRepository, ScheduleStore
from jobmaster.errors import JobMasterError, ScheduleNotFoundError
from jobmaster.inspection.models import SchedulePage, Times
from jobmaster.inspection.opening import registered
from jobmaster.inspection.slips import notes_on
from jobmaster.recurrence import Kinds, zone_of
from jobmaster.schedule_models import Fires, ScheduleQuery, ScheduleRecord
from jobmaster.schedule_rules import as_schedule_id

MOST_DECLARED: Final = 1000
"""Static schedules that are searched for a name."""


def upcoming_of(record: ScheduleRecord, kinds: Kinds, now: datetime, count: int) -> Times:
    """Return the next nominal times of a schedule that has not ended."""
    zone = zone_of(record.time_zone)
    try:
        made = kinds.compile(record.expression, record.kind, zone)
        return Times(zone, list(_next_of(Fires(kinds, record), record, now, count)), made.describe())
    except JobMasterError as error:
        return Times(zone, problem=str(error))


def _next_of(fires: Fires, record: ScheduleRecord, now: datetime, count: int) -> Iterator[datetime]:
    time = None if record.status.is_terminal else fires(now)
    for _ in range(count):
        if time is None:
            return
        yield time
        time = fires(time)


async def find_schedules(cluster: Cluster, master: MasterRepository, query: ScheduleQuery) -> SchedulePage:
    """Return the recurring schedules that match a query, from an open master.

    Raises `ClusterNotFoundError`, `SchemaError` or `StoreUnavailableError`, as `take_snapshot` does.
    """
    record = await registered(cluster, master)
    if found := await master.schedules.query(cluster.id, query):
        return SchedulePage(found, found[-1].id if len(found) == query.limit else None)
    return SchedulePage([], notes=await notes_on(cluster, master, record, handler=query.definition_id))


async def get_schedule(
    cluster: Cluster, master: MasterRepository, schedule_id: UUID | str, count: int
) -> tuple[ScheduleRecord, Times]:
    """Return a schedule and when it fires next, up to `count` times; none if it has ended.

    Raises:
        ScheduleNotFoundError: there is no such schedule. It names the id of one that is declared under this name.
        ClusterNotFoundError: the master has no such cluster.
        SchemaError: the data to read does not exist until pending migrations are applied.
        StoreUnavailableError: the master cannot be reached.

    """
    wanted = as_schedule_id(schedule_id)
    await registered(cluster, master)
    found = [] if wanted is None else await master.schedules.get(cluster.id, [wanted])
    now = await master.now()
    if not found:
        raise await unknown_schedule(cluster, master.schedules, str(schedule_id))
    return found[0], upcoming_of(found[0], cluster.kinds(), now, count)


async def unknown_schedule(cluster: Cluster, schedules: ScheduleStore, text: str) -> ScheduleNotFoundError:
    """Return the error for an unknown schedule id; it may be the name of a static schedule."""
    if as_schedule_id(text) is not None:
        return ScheduleNotFoundError(text, cluster.id)
    declared = await schedules.query(cluster.id, ScheduleQuery(static=True, limit=MOST_DECLARED))
    ids = {record.name: record.id for record in declared if record.name}
    guess = get_close_matches(text, list(ids), n=1)
    remedy = (
        f"{guess[0]!r} has the id {ids[guess[0]]}" if guess else "`jobmaster schedules list` shows the ids"
    )
    return ScheduleNotFoundError(repr(text), cluster.id, remedy)
