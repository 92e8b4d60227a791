"""From a start to a moment long after it, without every occurrence in between.

What counts, counts from its start, so that years of occurrences may lie before the one that is asked for. Three
things keep the way short, whatever the clauses, and lead where going through all would lead:

* **Nothing for as long as a step.** After that, the first moment let through is an occurrence, wherever the count
  came from (`restarts`).
* **Steps of one length.** As long as they are let through, a division takes all of them (`strides`).
* **The same again.** Minutes, hours, days or weeks are alike. Once the count comes to a place at which it was some of
  them before, what lies between repeats itself (`Trail`).

Everything here is on a clock that never changes, with naive moments; `Timeline` cuts real time into such pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final

from naturalcron.plan import Plan
from naturalcron.search import length_of, next_wall
from naturalcron.strides import Stretch, along, days_alike, hours_alike, moment_of
from naturalcron.timeset import TimeSet, highest, lowest
from naturalcron.units import Unit

_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_EARLIEST: Final = datetime(1, 1, 1)  # noqa: DTZ001 - on a clock without a zone
_MOST_DAYS: Final = 400
"""Days with occurrences that are looked at for a gap before one of them: more than a year has."""
_LONGEST_GRID: Final = {Unit.SECOND: _DAY, Unit.MINUTE: _DAY, Unit.HOUR: _DAY, Unit.DAY: timedelta(days=62)}
"""More than the longest way from one place on a grid to the next."""
_LONGEST: Final = {Unit.MONTH: timedelta(days=31), Unit.YEAR: timedelta(days=366)}


def last_until(plan: Plan, found: datetime, limit: datetime) -> datetime:
    """Return the last occurrence until `limit`, itself included, of those that follow the occurrence `found`."""
    trail = Trail(plan)
    while True:
        found = along(plan, found, limit)
        following = next_wall(plan, found)
        if following is None or following > limit:
            return found
        found = trail.again(following, limit)


# Nothing for as long as a step


def restarts(plan: Plan, since: datetime, limit: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """Yield occurrences until `limit` that do not depend on those before them, the latest first, one of a day.

    With each goes the time before it in which nothing is let through, at least.
    """
    step = None if plan.keeps_time else _longest_step(plan)
    day = plan.agenda.last_day(limit.date(), since.date()) if step else None
    for _ in range(_MOST_DAYS if plan.period is None else 2 * (plan.period // _DAY) + 2):
        if step is None or day is None:
            return
        times = _fresh(plan, day, step)
        if day == limit.date():
            times &= (1 << (limit - moment_of(day, 0)) // _SECOND + 1) - 1
        if times and moment_of(day, highest(times)) > since:
            yield moment_of(day, highest(times)), step
        day = plan.agenda.last_day(day - _DAY, since.date())


def _fresh(plan: Plan, day: date, step: timedelta) -> TimeSet:
    """Return the seconds of a day at which something is let through after a time of nothing, a step long."""
    clock = plan.agenda.clock(day)
    if clock is None:
        return 0
    first = lowest(clock.times)
    former = plan.agenda.last_day(day - _DAY, day - step - _DAY) if day.toordinal() > step.days + 1 else None
    other = plan.agenda.clock(former) if former else None
    is_fresh = (
        former is None
        or other is None
        or (moment_of(day, first) - moment_of(former, highest(other.times)) >= step)
    )
    found = clock.after_gaps(step // _SECOND) if step < _DAY else 0
    return found | 1 << first if is_fresh else found & ~(1 << first)


def _longest_step(plan: Plan) -> timedelta | None:
    """Return how far an interval leads at most, or None if that is farther than anybody wants to look."""
    unit = plan.unit
    if unit is None:
        return None
    if plan.is_gridded:
        return _LONGEST_GRID.get(unit)
    step = length_of(unit) if unit <= Unit.WEEK else _LONGEST[unit]
    return plan.count * step if plan.count <= _MOST_DAYS * _DAY // step else None


# The same again


class Trail:
    """The places at which a count was."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._seen: dict[tuple[object, timedelta], datetime] = {}
        self._days: Stretch | None = None
        self._hours: Stretch | None = None

    def again(self, found: datetime, limit: datetime) -> datetime:
        """Return an occurrence, or one after it to which the same steps lead as often as they fit until `limit`."""
        plan = self._plan
        if plan.period:
            found = self._repeated(found, limit, plan.period, None)
        if plan.step_period is None or plan.step_period > _DAY:
            return found
        if plan.agenda.is_dated:
            if self._days is None or found > self._days.end:
                self._days = days_alike(plan, found, limit)
            found = self._within(self._days, found, limit)
        if plan.step_period < _DAY:
            if self._hours is None or found > self._hours.end:
                self._hours = hours_alike(plan, found)
            found = self._within(self._hours, found, limit)
        return found

    def _within(self, stretch: Stretch, found: datetime, limit: datetime) -> datetime:
        period = max(self._plan.step_period or _DAY, stretch.period)
        return self._repeated(found, min(limit, stretch.end), period, stretch.end)

    def _repeated(self, found: datetime, limit: datetime, period: timedelta, where: object) -> datetime:
        key = where, (found - _EARLIEST) % period
        before = self._seen.setdefault(key, found)
        if before == found:
            return found
        self._seen.clear()
        turn = found - before
        return found + (limit - found) // turn * turn if limit > found else found
