"""Many steps of an interval at once: as many as are let through one after the other."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple

from naturalcron.plan import Plan
from naturalcron.search import is_complete, length_of, second_of_day
from naturalcron.timeset import DAY_SECONDS, Clock, lowest
from naturalcron.units import Unit

_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


class Stretch(NamedTuple):
    """A time, to its last second, in which the same is let through again and again after some time."""

    end: datetime
    period: timedelta


def days_alike(plan: Plan, moment: datetime, limit: datetime) -> Stretch:
    """Return the days from that of a moment, on which something is let through, that are like it; until `limit`."""
    clock = _clock(plan, moment)
    last = plan.agenda.alike_until(moment.date(), max(limit, moment).date())
    return Stretch(moment_of(last, DAY_SECONDS - 1), clock.period * _SECOND)


def hours_alike(plan: Plan, moment: datetime) -> Stretch:
    """Return the hours from that of a moment that are like it, on its day."""
    clock = _clock(plan, moment)
    return Stretch(
        moment_of(moment.date(), 3600 * clock.alike_until(moment.hour) - 1),
        clock.hours_period(moment.hour) * _SECOND,
    )


def _clock(plan: Plan, moment: datetime) -> Clock:
    clock = plan.agenda.clock(moment)
    assert clock is not None  # noqa: S101 - the moment is an occurrence
    return clock


def along(plan: Plan, found: datetime, limit: datetime) -> datetime:
    """Return an occurrence that follows `found` by plain steps and is not after `limit`; `found` if there is none."""
    if plan.takes_every_day:
        return _last_day(plan, found, limit)
    if plan.unit is None or plan.unit > Unit.WEEK:
        return _through_list(plan, found, limit)
    if plan.is_on_grid:
        return _on_grid(plan, found, limit)
    if not is_complete(plan, found):
        return _through_list(plan, found, limit)
    return _by_steps(plan, found, limit) if plan.steps_evenly else found


def _last_day(plan: Plan, found: datetime, limit: datetime) -> datetime:
    """Return the last day until `limit`, at the same time of day."""
    latest = limit.date() if found.time() <= limit.time() else limit.date() - _DAY
    day = plan.agenda.last_day(latest, found)
    return max(found, datetime.combine(day, found.time())) if day else found


# Even steps


def _by_steps(plan: Plan, found: datetime, limit: datetime) -> datetime:
    assert plan.unit is not None  # noqa: S101 - there are steps
    step = length_of(plan.unit) * plan.count
    stretch, clock = days_alike(plan, found, limit), _clock(plan, found)
    limit = min(limit, stretch.end)
    if plan.unit >= Unit.DAY or stretch.period == _SECOND:
        return found + max((limit - found) // step, 0) * step
    most = (limit - moment_of(found.date(), 0)) // _SECOND
    return moment_of(found.date(), _last_step(clock, second_of_day(found), step // _SECOND, most))


def _last_step(clock: Clock, second: int, step: int, limit: int) -> int:
    """Return the last of equal steps until `limit` before one that is not let through. Days are alike."""
    place = None
    while second + step <= limit:
        day, passed = second - second % DAY_SECONDS, second % DAY_SECONDS
        end = min(day + clock.first_missing_from(passed) - 1, limit)
        second += (end - second) // step * step
        if second % clock.period == place:  # where it was before, and nothing was in the way since
            return second + (limit - second) // step * step
        place = second % clock.period if place is None else place
        if second + step > limit or (second + step) % DAY_SECONDS not in clock:
            return second
        second += step
    return second


# Grids


def _on_grid(plan: Plan, found: datetime, limit: datetime) -> datetime:
    """Return the last place on the grid up to which all of them are let through."""
    if plan.unit not in (Unit.MINUTE, Unit.HOUR) or plan.stepped_lists or plan.pins_time:
        return found
    begin, stretch, clock = moment_of(found.date(), 0), days_alike(plan, found, limit), _clock(plan, found)
    unit, most = length_of(plan.unit) // _SECOND, (min(limit, stretch.end) - begin) // _SECOND
    parent = 24 if plan.unit is Unit.HOUR else 60
    turn, since = max(unit * parent, clock.period), second_of_day(found)
    second = since
    for following in range(since + unit, min(most, since + turn) + 1, unit):
        if plan.is_aligned(following // unit % parent):
            if following % DAY_SECONDS not in clock:
                return begin + second * _SECOND
            second = following
    turns = (most - second) // turn if second == since + turn else 0
    return begin + (second + turns * turn) * _SECOND


# Lists


def _through_list(plan: Plan, found: datetime, limit: datetime) -> datetime:
    """Return the last alternative of the lists that an interval steps over, or the one before it at `limit`."""
    if not plan.visits_all or is_complete(plan, found):
        return found
    day, last, since = found.date(), limit.date(), second_of_day(found)
    if not plan.agenda.is_dated and not plan.ends(day):
        return _last_until(plan, limit)
    while day <= last:
        ends = plan.ends(day) >> since << since
        if ends:
            end = moment_of(day, lowest(ends))
            return end if end <= limit else _last_until(plan, limit)
        following = plan.agenda.next_day(day)
        day, since = (following[0], 0) if following else (last + _DAY, 0)
    return _last_until(plan, limit)


def _last_until(plan: Plan, limit: datetime) -> datetime:
    """Return the last moment until `limit` that is let through; there is one."""
    day, most = limit.date(), second_of_day(limit)
    while (clock := plan.agenda.clock(day)) is None or (second := clock.last_until(most)) is None:
        day, most = day - _DAY, DAY_SECONDS - 1
    return moment_of(day, second)


def moment_of(day: date, second: int) -> datetime:
    """Return a second of a day."""
    return datetime.combine(day, time()) + timedelta(seconds=second)
