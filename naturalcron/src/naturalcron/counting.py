"""From a start to a moment long after it, without every occurrence in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from naturalcron.plan import Plan
from naturalcron.search import length_of, second_of_day


def leap(plan: Plan, zone: tzinfo | None, found: datetime, limit: datetime) -> datetime | None:
    """Return an occurrence that follows another one, is not after `limit`, and saves the way there, or None.

    Only where an interval counts real time, and within one stretch of a day in which every second is let through
    and the clock does not change: there, occurrences are one interval apart. `zone` is None for naive moments.
    """
    if not plan.is_elastic or plan.unit is None or plan.anchor is not None:
        return None
    step = length_of(plan.unit) * plan.count
    steps = min(_stretch(plan, _wall(found, zone)) // step, (limit - found) // step)
    while steps > 1:
        target = found + steps * step
        if zone is None or _offset(target, zone) == _offset(found, zone):
            return target
        steps //= 2
    return None


def _stretch(plan: Plan, wall: datetime) -> timedelta:
    """Return how long every second from a moment on is let through, on its day."""
    clock = plan.agenda.clock(wall)
    second = second_of_day(wall)
    if clock is None or second not in clock:
        return timedelta(0)
    return timedelta(seconds=clock.first_missing_from(second) - 1 - second)


def _wall(moment: datetime, zone: tzinfo | None) -> datetime:
    return moment if zone is None else moment.astimezone(zone).replace(tzinfo=None)


def _offset(moment: datetime, zone: tzinfo) -> timedelta | None:
    return moment.astimezone(UTC).astimezone(zone).utcoffset()
