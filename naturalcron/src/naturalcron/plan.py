"""Clauses made ready for the search: filters, and what the interval needs to know about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Final, TypeAlias

from naturalcron.agenda import Agenda
from naturalcron.filters import AnyOf, Filter, Spot, YearGrid, numbers, spot
from naturalcron.model import At, Between, Clause, Every, Point, Range
from naturalcron.months import MonthView, month_view
from naturalcron.ranges import AnyRange, span
from naturalcron.timeset import NONE, TimeSet
from naturalcron.units import HIGHEST, LOWEST, PERIOD, TIME_UNITS, Unit
from naturalcron.values import Edge, NthWeekday, Value

Values: TypeAlias = dict[Unit, Value]
"""Units and what they are set to."""

_NO_ZEROS: Final[frozenset[Unit]] = frozenset()
_WEEK: Final = timedelta(weeks=1)
_LENGTHS: Final = {
    Unit.SECOND: timedelta(seconds=1),
    Unit.MINUTE: timedelta(minutes=1),
    Unit.HOUR: timedelta(hours=1),
    Unit.DAY: timedelta(days=1),
    Unit.WEEK: _WEEK,
}
_LONGER: Final = {
    Unit.SECOND: timedelta(minutes=1),
    Unit.MINUTE: timedelta(hours=1),
    Unit.HOUR: timedelta(days=1),
    Unit.WEEK: _WEEK,
}
"""The time in which all values of a unit come once."""
_FIELDS: Final = {Unit.SECOND: "second", Unit.MINUTE: "minute", Unit.HOUR: "hour"}


@dataclass(frozen=True)
class Plan:
    """All that the search needs. `unit` is None without an interval."""

    count: int
    unit: Unit | None
    anchor: int | None
    agenda: Agenda
    filters: tuple[Filter, ...]
    pinned: frozenset[Unit]
    """Units that some `at` sets."""
    zeros: frozenset[Unit]
    """Smaller units that therefore have to be zero."""
    stepped_lists: tuple[AnyOf, ...]
    """Lists whose last alternative has to be reached before the interval is stepped over."""
    starts_week: bool
    """Whether a step of weeks goes back to the Sunday, as a list of weekdays needs it."""

    @cached_property
    def pins_time(self) -> bool:
        """Whether some `at` sets a time unit."""
        return not self.pinned.isdisjoint(TIME_UNITS)

    @cached_property
    def lists_times(self) -> bool:
        """Whether every accepted moment of a day is an occurrence once one of them is."""
        return self.pins_time and (self.unit is None or self.unit >= Unit.DAY)

    @cached_property
    def keeps_time(self) -> bool:
        """Whether occurrences on other days keep the time of day of the start."""
        return not self.pins_time and (self.unit is None or self.unit >= Unit.DAY)

    @cached_property
    def is_elastic(self) -> bool:
        """Whether the interval counts real time, so that it goes on through changes of the clock."""
        return not self.pins_time and self.unit is not None and self.unit < Unit.DAY

    @cached_property
    def smallest_pinned(self) -> Unit:
        """The smallest unit that is set, weekdays counting as days."""
        smallest = min(self.pinned)
        return Unit.DAY if smallest is Unit.WEEK else smallest

    @cached_property
    def is_gridded(self) -> bool:
        """Whether the anchor marks a grid that starts again in each parent unit."""
        return self.anchor is not None and self.unit in PERIOD and self.count < PERIOD[self.unit]

    # What a long count can be shortened by

    @property
    def is_on_grid(self) -> bool:
        """Whether steps differ, as the grid starts again in each parent unit; those of one unit do not."""
        return self.is_gridded and self.count > 1

    @cached_property
    def takes_every_day(self) -> bool:
        """Whether each day that is let through has an occurrence, at the time of the one before."""
        stepped = self.smallest_pinned if self.unit is None else self.unit
        return (
            stepped is Unit.DAY
            and self.keeps_time
            and (self.count == 1 or self.is_gridded)
            and all(one.takes_whole_days for one in self.filters if one.constant is None)
        )

    @cached_property
    def steps_evenly(self) -> bool:
        """Whether a moment that is one step on is the next occurrence if it is let through, and so are days between.

        What a step begins anew has only one value in each unit, so that there is nothing to be found before it.
        """
        if self.unit is None or self.unit > Unit.WEEK or self.is_on_grid or self.starts_week:
            return False
        begun_anew = sorted(unit for unit, name in _FIELDS.items() if name in self.resets(self.unit))
        if begun_anew != list(TIME_UNITS[: len(begun_anew)]):
            return False
        in_a_day = len(begun_anew) == len(TIME_UNITS)
        return in_a_day and not _dated(self.stepped_lists) if self.stepped_lists else True

    @cached_property
    def visits_all(self) -> bool:
        """Whether all that is let through is an occurrence until the lists have come to their last alternative."""
        if not self.pinned or self.smallest_pinned > Unit.HOUR:
            return False
        return all(unit in self.zeros for unit in TIME_UNITS if unit < self.smallest_pinned)

    @cached_property
    def period(self) -> timedelta | None:
        """The time after which everything is the same again, or None if days of months and years differ."""
        units = frozenset[Unit]().union(*(one.date_units for one in self.filters))
        if self.step_period is None or units - {Unit.WEEK}:
            return None
        if units:
            return max(self.step_period, _WEEK)
        clock = self.agenda.clock(date.min)
        return max(self.step_period, timedelta(seconds=clock.period if clock else 1))

    @cached_property
    def step_period(self) -> timedelta | None:
        """The time after which steps are the same again, as long as the same seconds are let through; or None."""
        if self.unit is None or self.unit > (Unit.HOUR if self.is_on_grid else Unit.WEEK):
            return None
        units = {unit for one in self.stepped_lists for unit in one.spots[0].values}
        if not units <= _LONGER.keys():
            return None
        own = _LONGER[self.unit] if self.is_on_grid else _LENGTHS[self.unit]
        return max([own, *(_LONGER[unit] for unit in units)])

    def last_ones(self, month: MonthView) -> list[Spot]:
        """Return the last alternative that each stepped list has in a month."""
        if month not in self._last_ones:
            self._last_ones[month] = [one.last_in(month) for one in self.stepped_lists]
        return self._last_ones[month]

    @cached_property
    def _last_ones(self) -> dict[MonthView, list[Spot]]:
        return {}

    def ends(self, day: date) -> TimeSet:
        """Return the seconds of a day at which all stepped lists are at their last alternative."""
        month, clock = month_view(day.year, day.month), self.agenda.clock(day)
        times = clock.times if clock else NONE
        for one in self.last_ones(month):
            times &= one.times if day.day in one.days_of(month) else NONE
        return times

    def is_aligned(self, part: int) -> bool:
        """Say whether a value of the interval's unit agrees with the anchor."""
        if self.anchor is None:
            return True
        return (part - self.anchor) % self.count == 0 if self.is_gridded else part == self.anchor

    def resets(self, below: Unit) -> dict[str, int]:
        """Return the fields, as `datetime.replace` takes them, that start anew when `below` is stepped."""
        fields = {
            _FIELDS[unit]: 0 for unit in self.pinned | self.zeros if unit in TIME_UNITS and unit < below
        }
        if below in (Unit.MONTH, Unit.YEAR) and not self.pinned.isdisjoint({Unit.DAY, Unit.WEEK}):
            fields["day"] = 1
        if below is Unit.YEAR and Unit.MONTH in self.pinned:
            fields["month"] = 1
        return fields


def _dated(lists: Sequence[AnyOf]) -> bool:
    return any(one.constant is None for one in lists)


def make_plan(clauses: Sequence[Clause]) -> Plan:
    """Return the plan of clauses that belong together and are valid."""
    every = next((clause for clause in clauses if isinstance(clause, Every)), None)
    unit = every.unit if every else None
    at = [clause for clause in clauses if isinstance(clause, At)]
    between = [clause for clause in clauses if isinstance(clause, Between)]
    points = dated_points(at, unit)
    pinned = frozenset[Unit]().union(*(values[0] for values in points))
    lists = [AnyOf(tuple(map(spot, values))) for values in points]
    zeros = implied_zeros(pinned, unit, frozenset[Unit]().union(*(clause.units for clause in between)))
    filters: list[Filter] = [*lists, *map(_ranges, between)]
    filters += [numbers(zero, (0,)) for zero in sorted(zeros)] + _anchored(every)
    stepped = [
        one
        for one, clause in zip(lists, at, strict=True)
        if clause.in_list and unit is not None and min(one.spots[0].values) <= unit
    ]
    return Plan(
        count=every.count if every else 1,
        unit=unit,
        anchor=every.anchor.value if every and every.anchor else None,
        agenda=Agenda(filters),
        filters=tuple(filters),
        pinned=pinned,
        zeros=zeros,
        stepped_lists=tuple(stepped),
        starts_week=unit is Unit.WEEK and any(clause.in_list and Unit.WEEK in clause.units for clause in at),
    )


def _values(point: Point) -> Values:
    return {setting.unit: setting.value for setting in point.settings}


def dated_points(at: Sequence[At], every: Unit | None) -> list[list[Values]]:
    """Return the values of each clause's points, with weekdays as days where the first of the month is meant.

    That is so under months and years, unless a day is given beside it.
    """
    points = [[_values(point) for point in clause.points] for clause in at]
    has_day = any(Unit.DAY in values[0] for values in points)
    if every not in (Unit.MONTH, Unit.YEAR) or has_day:
        return points
    return [[_first_of_month(values) for values in one] for one in points]


def _first_of_month(values: Values) -> Values:
    if Unit.WEEK not in values:
        return values
    others: Values = {unit: value for unit, value in values.items() if unit is not Unit.WEEK}
    weekday = values[Unit.WEEK].resolve(month_view(1, 1)) or 0
    return others | {Unit.DAY: NthWeekday(1, weekday)}


def implied_zeros(pinned: frozenset[Unit], every: Unit | None, in_ranges: frozenset[Unit]) -> frozenset[Unit]:
    """Return the time units that have to be zero although no clause says so: `at 9pm` means 21:00:00."""
    times = pinned.intersection(TIME_UNITS)
    if not times:
        return _NO_ZEROS
    smallest = min(times) if every is None else min(*times, every)
    return frozenset(unit for unit in TIME_UNITS if unit < smallest and unit not in in_ranges)


def _ranges(clause: Between) -> AnyRange:
    return AnyRange(tuple(span(*range_ends(one)) for one in clause.ranges))


def range_ends(one: Range) -> tuple[Values, Values]:
    """Return both ends of a range; an open one becomes the lowest or highest value of each unit."""
    return _range_end(one, one.first, last=False), _range_end(one, one.last, last=True)


def _range_end(one: Range, point: Point | None, *, last: bool) -> Values:
    return _values(point) if point else {unit: Edge(unit, last=last) for unit in one.units}


def _anchored(every: Every | None) -> list[Filter]:
    if every is None or every.anchor is None or every.anchor.value is None:
        return []
    unit, anchor = every.unit, every.anchor.value
    if unit is Unit.YEAR:
        return [YearGrid(every.count, anchor)]
    if unit is Unit.WEEK or every.count >= PERIOD[unit]:
        return [numbers(unit, [anchor])]
    return [numbers(unit, grid(unit, every.count, anchor))]


def grid(unit: Unit, count: int, anchor: int) -> list[int]:
    """Return the values of a unit that agree with an anchor, every `count` of them."""
    return [part for part in range(LOWEST[unit], HIGHEST[unit] + 1) if (part - anchor) % count == 0]
