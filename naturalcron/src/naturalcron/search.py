"""The next occurrence on the wall clock, without any time zone.

An occurrence is found in two steps: a leap from the start by the interval, or by one unit of what is set, and from
there a search for the first moment that all clauses let through.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Final

from naturalcron.filters import Spot
from naturalcron.months import MonthView, month_view
from naturalcron.plan import Plan
from naturalcron.units import HIGHEST, PERIOD, Unit

_MOST_STEPS: Final = 200
"""More than any anchor needs: the longest way is to the next 31st, 62 days."""

_SECOND: Final = timedelta(seconds=1)
_LENGTHS: Final = {
    Unit.SECOND: _SECOND,
    Unit.MINUTE: timedelta(minutes=1),
    Unit.HOUR: timedelta(hours=1),
    Unit.DAY: timedelta(days=1),
    Unit.WEEK: timedelta(weeks=1),
}
_PARTS: Final[dict[Unit, Callable[[datetime], int]]] = {
    Unit.SECOND: lambda moment: moment.second,
    Unit.MINUTE: lambda moment: moment.minute,
    Unit.HOUR: lambda moment: moment.hour,
    Unit.DAY: lambda moment: moment.day,
    Unit.WEEK: lambda moment: moment.isoweekday() % 7 + 1,
    Unit.MONTH: lambda moment: moment.month,
    Unit.YEAR: lambda moment: moment.year,
}


def length_of(unit: Unit) -> timedelta:
    """Return how long a unit up to a week is."""
    return _LENGTHS[unit]


def second_of_day(moment: datetime) -> int:
    """Return the seconds since midnight on the clock."""
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def accepts(plan: Plan, moment: datetime) -> bool:
    """Say whether all clauses let a moment through."""
    clock = plan.agenda.clock(moment)
    return clock is not None and second_of_day(moment) in clock


def next_wall(plan: Plan, start: datetime) -> datetime | None:
    """Return the first occurrence after `start`; both are naive and without fractions of a second."""
    leap = _leap(plan, start)
    if leap is None:
        return None
    moment, remembered = leap
    return first_on_or_after(plan, moment, remembered)


def first_on_or_after(plan: Plan, moment: datetime, remembered: int | None = None) -> datetime | None:
    """Return the first accepted moment from one on.

    On later days than its own, `remembered` is the preferred second of the day where the plan keeps the time.
    """
    clock = plan.agenda.clock(moment)
    today = clock.first_from(second_of_day(moment)) if clock else None
    if today is not None:
        return _on(moment, today)
    later = plan.agenda.next_day(moment)
    if later is None:
        return None
    day, clock = later
    keeps = plan.keeps_time and remembered is not None and remembered in clock
    return _on(
        datetime.combine(day, time()), remembered if keeps and remembered else clock.first_from(0) or 0
    )


def _on(day: datetime, second: int) -> datetime:
    minutes, seconds = divmod(second, 60)
    return day.replace(hour=minutes // 60, minute=minutes % 60, second=seconds)


def _leap(plan: Plan, start: datetime) -> tuple[datetime, int] | None:
    """Return where to search from, and the second of the day to keep; None beyond year 9999."""
    step = step_from(plan, start, lambda steps: part_after(plan, start, steps))
    unit, count = step or (Unit.SECOND, 1)
    moment = add(start, unit, count)
    if moment is None:
        return None
    if step is None:
        return moment, second_of_day(start)
    moment = _started(plan, moment, unit)
    return moment, second_of_day(moment)


def step_from(plan: Plan, start: datetime, part: Callable[[int], int | None]) -> tuple[Unit, int] | None:
    """Return the units to leap from a start, or None if the search begins at the very next second.

    `part` gives the value of the interval's unit some steps later, or None where time ends.
    """
    if accepts(plan, start):
        if plan.unit is None or not is_complete(plan, start):
            return plan.smallest_pinned, 1
        return plan.unit, _steps_to_grid(plan, part) if plan.is_gridded else plan.count
    if plan.unit in PERIOD and not plan.is_aligned(part(0) or 0):
        return plan.unit, _steps_to_grid(plan, part)
    return None


def part_after(plan: Plan, start: datetime, steps: int) -> int | None:
    """Return the value of the interval's unit some steps after a start."""
    assert plan.unit is not None  # noqa: S101 - only intervals have anchors
    moment = add(start, plan.unit, steps)
    return part_of(moment, plan.unit) if moment else None


def part_of(moment: datetime, unit: Unit) -> int:
    """Return the value of one unit of a moment; of a week, the weekday."""
    return _PARTS[unit](moment)


def _steps_to_grid(plan: Plan, part: Callable[[int], int | None]) -> int:
    """Return how many steps lead to the next moment that agrees with the anchor."""
    for steps in range(1, _MOST_STEPS):
        value = part(steps)
        if value is None or plan.is_aligned(value):
            return steps
    return _MOST_STEPS


def is_complete(plan: Plan, moment: datetime) -> bool:
    """Say whether every list that the interval steps over has come to its last alternative."""
    if not plan.stepped_lists:
        return True
    month = month_view(moment.year, moment.month)
    return all(_matches(one, month, moment) for one in plan.last_ones(month))


def _matches(spot: Spot, month: MonthView, moment: datetime) -> bool:
    return moment.day in spot.days_of(month) and bool(spot.times >> second_of_day(moment) & 1)


def _started(plan: Plan, moment: datetime, unit: Unit) -> datetime:
    """Return the beginning of what a leap led into, as far as clauses set it."""
    begun = moment.replace(**plan.resets(unit))  # type: ignore[arg-type]  # names of integer fields only
    if plan.starts_week and unit is Unit.WEEK:
        begun -= timedelta(days=begun.isoweekday() % 7)
    return begun


def add(moment: datetime, unit: Unit, count: int) -> datetime | None:
    """Return a moment some units later, or None beyond year 9999. Months and years keep the day if it exists."""
    try:
        if unit in _LENGTHS:
            return moment + _LENGTHS[unit] * count
        return _add_months(moment, count * 12 if unit is Unit.YEAR else count)
    except OverflowError:
        return None


def _add_months(moment: datetime, count: int) -> datetime | None:
    years, month = divmod(moment.month - 1 + count, 12)
    year = moment.year + years
    if year > HIGHEST[Unit.YEAR]:
        return None
    view = month_view(year, month + 1)
    return moment.replace(year=year, month=month + 1, day=view.clamp(moment.day))
