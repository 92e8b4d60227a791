"""Whether the occurrences of an expression depend on the start, which those of a cron line never do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from naturalcron.agenda import Agenda
from naturalcron.counting import last_until
from naturalcron.plan import Plan
from naturalcron.search import first_on_or_after, length_of, next_wall, part_of
from naturalcron.strides import along
from naturalcron.timeset import ALL, DAY_SECONDS, TimeSet
from naturalcron.units import PERIOD, TIME_UNITS, Unit

_BELOW: Final = {
    Unit.SECOND: frozenset[Unit](),
    Unit.MINUTE: frozenset({Unit.SECOND}),
    Unit.HOUR: frozenset({Unit.SECOND, Unit.MINUTE}),
    Unit.DAY: frozenset(TIME_UNITS),
    Unit.WEEK: frozenset({*TIME_UNITS, Unit.WEEK}),
    Unit.MONTH: frozenset({*TIME_UNITS, Unit.DAY}),
    Unit.YEAR: frozenset({*TIME_UNITS, Unit.DAY, Unit.MONTH}),
}
"""What has to be set below the unit of an interval, lest it is kept from the start."""
_SECOND: Final = timedelta(seconds=1)
_DAYS: Final = tuple(datetime(2001, 1, day) for day in (1, 2))  # noqa: DTZ001 - on a clock without a zone
_SOME_YEARS_LATER: Final = datetime(2005, 1, 1)  # noqa: DTZ001


@dataclass
class Phase:
    """Why occurrences depend on the start, or else what a round start makes of units that are not set."""

    reasons: list[str] = field(default_factory=list)
    times: TimeSet = ALL
    dates: Mapping[Unit, list[int]] = field(default_factory=dict)


def phase_of(plan: Plan, *, aligned: bool) -> Phase:
    """Return the phase of a plan; `aligned` promises a start at a round moment."""
    reasons = [*_interval_reasons(plan, aligned=aligned)]
    open_units = _open_units(plan)
    counts = plan.unit is not None and plan.count > 1 and not plan.is_gridded
    if not aligned or Unit.WEEK in open_units:
        names = ", ".join("weekday" if unit is Unit.WEEK else unit.word for unit in sorted(open_units))
        reasons += [f"not set, and therefore kept from the start: {names}"] if names else []
        return Phase(reasons)
    if reasons or not (open_units or counts):
        return Phase(reasons)
    times = _times_from_midnight(plan)
    if times is None:
        return Phase([f"{_every(plan)} is not the same on each day"])
    return Phase(reasons, times, _dates_from_new_year(plan, open_units))


def _interval_reasons(plan: Plan, *, aligned: bool) -> Iterator[str]:
    unit, count = plan.unit, plan.count
    if unit is None:
        return
    if unit is Unit.WEEK and Unit.DAY in plan.pinned:
        yield "a step of a week may pass over days of the month"
    if count == 1 or plan.is_gridded:
        return
    if unit not in PERIOD:
        yield f"cron cannot count {unit.word}s"
    elif plan.anchor is not None:
        yield f"cron cannot count {count} {unit.word}s, which are more than it starts again after"
    elif not aligned:
        yield f"every {count} {unit.word}s counts from the start; an anchor would fix it"
    elif unit is Unit.DAY:
        yield f"every {count} days is not the same in each month"
    elif unit is Unit.MONTH and PERIOD[unit] % count:
        yield f"every {count} months is not the same in each year"


def _every(plan: Plan) -> str:
    unit = (Unit.DAY if plan.unit is None else plan.unit).word
    return f"every {unit}" if plan.count == 1 else f"every {plan.count} {unit}s"


def _open_units(plan: Plan) -> frozenset[Unit]:
    """Return the units whose value occurrences take over from the start."""
    anchored = {Unit.WEEK} if plan.unit is Unit.WEEK and plan.anchor is not None else set()
    stepped = plan.smallest_pinned if plan.unit is None else plan.unit
    return _BELOW[stepped] - plan.pinned - plan.zeros - anchored


def _dates_from_new_year(plan: Plan, open_units: frozenset[Unit]) -> dict[Unit, list[int]]:
    """Return the days and months that a start on 1 January leaves of those that are not set."""
    found = list(_of_some_years(plan)) if plan.unit in (Unit.MONTH, Unit.YEAR) else []
    dates = {
        unit: sorted({part_of(one, unit) for one in found}) for unit in open_units.difference(TIME_UNITS)
    }
    if plan.unit is Unit.MONTH and plan.count > 1 and plan.anchor is None:
        dates[Unit.MONTH] = sorted({one.month for one in found})
    return dates


def _of_some_years(plan: Plan) -> Iterator[datetime]:
    found = next_wall(plan, _DAYS[0])
    while found is not None and found < _SOME_YEARS_LATER:
        yield found
        found = next_wall(plan, found)


# The times of a day, when the count begins at midnight


def _times_from_midnight(plan: Plan) -> TimeSet | None:
    """Return the seconds of each day on which something happens, or None if days differ.

    All days are alike if the second one and the third are, and if a day does not depend on the one before it. The
    first has what the others have, after the start.
    """
    times_only = _without_dates(plan)
    first, second, third = (_day_after(times_only, _DAYS[0], days) for days in range(3))
    fresh = _day_from(times_only, first_on_or_after(times_only, _DAYS[1]), _DAYS[1])
    is_same = second == third and first == second & ~1
    depends = fresh != second and (plan.agenda.is_dated or plan.unit is None)
    return None if not is_same or depends else second


def _without_dates(plan: Plan) -> Plan:
    """Return the same count with all days let through."""
    filters = tuple(one for one in plan.filters if one.constant is not None)
    lists = tuple(one for one in plan.stepped_lists if one.constant is not None)
    unit = plan.unit if plan.unit is not None and plan.unit < Unit.DAY else Unit.DAY
    count, anchor = (plan.count, plan.anchor) if unit < Unit.DAY else (1, None)
    return replace(
        plan,
        count=count,
        unit=unit,
        anchor=anchor,
        filters=filters,
        agenda=Agenda(filters),
        stepped_lists=lists,
        starts_week=False,
    )


def _day_after(plan: Plan, start: datetime, days: int) -> TimeSet:
    """Return the seconds at which something happens on the day that is some days after a start at midnight."""
    begin = start + timedelta(days=days)
    found = next_wall(plan, start)
    while found is not None and found < begin:
        found = next_wall(plan, last_until(plan, found, begin - _SECOND))
    return _day_from(plan, found, begin)


def _day_from(plan: Plan, found: datetime | None, begin: datetime) -> TimeSet:
    """Return the seconds of a day on which something happens, from its first occurrence on."""
    marks, end = bytearray(b"0" * DAY_SECONDS), begin + timedelta(days=1, seconds=-1)
    step = length_of(plan.unit) * plan.count // _SECOND if plan.steps_evenly and plan.unit is not None else 1
    while found is not None and found <= end:
        ahead = along(plan, found, end) if plan.steps_evenly else found
        seconds = range((found - begin) // _SECOND, (ahead - begin) // _SECOND + 1, step)
        for second in seconds:
            marks[~second] = ord("1")
        found = next_wall(plan, ahead)
    return int(marks, 2)
