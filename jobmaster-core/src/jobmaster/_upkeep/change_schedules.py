"""Change what a recurring schedule asks for, without losing the times that have come."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from jobmaster._policy.schedule_plan import decided
from jobmaster.schedule_models import AT_ONCE, Fires, ScheduleRecord, ScheduleWrite
from jobmaster.states import ScheduleStatus

if TYPE_CHECKING:
    from jobmaster.recurrence import Kinds

log = logging.getLogger("jobmaster.schedules")


def redefined(
    stored: ScheduleRecord, wanted: ScheduleRecord, kinds: Kinds, grace: timedelta
) -> ScheduleWrite:
    """Return the write that turns a stored schedule into the wanted one, as of the moment when it was read.

    Unplanned times that had come by then follow the old expression; the new policies decide what becomes of them. They
    wait in line until the planner makes their jobs by the new definition. A schedule that was not active had no times.
    """
    now = stored.read_at or stored.planned_to
    active = stored.status is ScheduleStatus.ACTIVE
    waiting = _came(stored, wanted, kinds, now, grace) if active else stored.waiting
    look_at = AT_ONCE if wanted.status is ScheduleStatus.ACTIVE else None
    standing = evolve(
        wanted,
        version=stored.version,
        newest_job_id=stored.newest_job_id,
        planned_to=now,
        waiting=waiting,
        look_at=look_at,
        starts_now=False,
    )
    return ScheduleWrite(record=standing, redefined=True, restart=True)


def _came(
    stored: ScheduleRecord, wanted: ScheduleRecord, kinds: Kinds, now: datetime, grace: timedelta
) -> tuple[datetime, ...]:
    policies = evolve(stored, overlap=wanted.overlap, misfire=wanted.misfire)
    try:
        return decided(policies, Fires(kinds, stored), now, grace)
    except Exception:
        log.exception(
            "schedule %s: its times before the change cannot be determined; it continues from now",
            stored.id,
        )
        return tuple(stored.waiting)


def at_rest(stored: ScheduleRecord, status: ScheduleStatus) -> ScheduleRecord:
    """Return a schedule that makes no more jobs: times that are not planned by now do not run."""
    return evolve(stored, status=status, look_at=None, planned_to=stored.read_at or stored.planned_to)
