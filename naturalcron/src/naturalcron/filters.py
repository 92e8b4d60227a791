"""Filters: which seconds of which days a clause lets through.

A filter answers for a whole month at once: a list with one set of seconds for each day, index 0 unused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from naturalcron import timeset
from naturalcron.months import MonthView, month_view
from naturalcron.timeset import ALL, NONE, TimeSet, union
from naturalcron.units import TIME_UNITS, Unit
from naturalcron.values import Number, Value

Days: TypeAlias = list[TimeSet]
"""The seconds of each day of a month; index 0 is unused."""

ANY_MONTH: Final = month_view(1, 1)
"""A month for values that are the same in all of them."""
ALL_MONTHS: Final = frozenset(range(1, 13))
"""The numbers of the months."""
_RANKED: Final = (Unit.YEAR, Unit.MONTH, Unit.WEEK, Unit.DAY, Unit.HOUR, Unit.MINUTE, Unit.SECOND)
"""The order in which alternatives of a list follow one another."""


class Filter(Protocol):
    """What lets some moments through; `by_month` and `years` say which months make a difference."""

    @property
    def constant(self) -> TimeSet | None:
        """What is let through on every day alike, or None if it depends on the day."""
        ...

    @property
    def by_month(self) -> bool:
        """Whether the answer depends on the month's name."""
        ...

    @property
    def date_units(self) -> frozenset[Unit]:
        """The units, from days up, that the answer depends on."""
        ...

    @property
    def takes_whole_days(self) -> bool:
        """Whether each day is let through as a whole or not at all."""
        ...

    @property
    def months(self) -> frozenset[int]:
        """The months, 1 to 12, outside which nothing is let through."""
        ...

    @property
    def years(self) -> frozenset[int]:
        """The years around which the answer changes."""
        ...

    def days(self, month: MonthView) -> Days:
        """Return what is let through on each day of a month."""
        ...


@dataclass(frozen=True, slots=True)
class Spot:
    """One alternative of a list: values that all have to match."""

    values: dict[Unit, Value]
    times: TimeSet
    """The seconds of a day that match the time units among the values."""

    @property
    def has_date(self) -> bool:
        """Whether days differ."""
        return any(unit not in TIME_UNITS for unit in self.values)

    def days_of(self, month: MonthView) -> Sequence[int]:
        """Return the days of a month that match."""
        if not self._is_in(month):
            return ()
        weekday = self._number(Unit.WEEK, month)
        if Unit.DAY in self.values:
            day = self.values[Unit.DAY].resolve(month)
            fits = day is not None and day <= month.length and weekday in (None, month.weekday(day))
            return (day,) if fits and day is not None else ()
        if weekday is None:
            return range(1, month.length + 1)
        return range((weekday - month.first_weekday) % 7 + 1, month.length + 1, 7)

    def rank(self, month: MonthView) -> list[int]:
        """Return the place of this alternative among the others of its list, as they follow in a month."""
        return [self._number(unit, month) or 0 for unit in _RANKED]

    def exists_in(self, month: MonthView) -> bool:
        """Say whether a month has the day that is named."""
        if Unit.DAY not in self.values:
            return True
        day = self.values[Unit.DAY].resolve(month)
        return day is not None and (day <= month.length or not self._is_in(month))

    def _is_in(self, month: MonthView) -> bool:
        year, name = self._number(Unit.YEAR, month), self._number(Unit.MONTH, month)
        return year in (None, month.year) and name in (None, month.month)

    def _number(self, unit: Unit, month: MonthView) -> int | None:
        value = self.values.get(unit)
        return value.resolve(month) if value is not None else None


def spot(values: dict[Unit, Value]) -> Spot:
    """Return the alternative that sets these values."""
    times: dict[Unit, int] = {
        unit: values[unit].resolve(ANY_MONTH) or 0 for unit in TIME_UNITS if unit in values
    }
    return Spot(values, timeset.equal(times))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Lets through what one of the alternatives matches."""

    spots: tuple[Spot, ...]

    @property
    def constant(self) -> TimeSet | None:
        """What is let through on every day alike, or None if a date is named."""
        return None if any(one.has_date for one in self.spots) else union(one.times for one in self.spots)

    @property
    def by_month(self) -> bool:
        """Whether months are named."""
        return Unit.MONTH in self.spots[0].values

    @property
    def date_units(self) -> frozenset[Unit]:
        """The units, from days up, that are set."""
        return frozenset(self.spots[0].values).difference(TIME_UNITS)

    @property
    def takes_whole_days(self) -> bool:
        """Whether no time is set."""
        return all(one.times == ALL for one in self.spots)

    @property
    def months(self) -> frozenset[int]:
        """The months that are named, or all."""
        values = [one.values.get(Unit.MONTH) for one in self.spots]
        return frozenset(value.resolve(ANY_MONTH) or 0 for value in values if value) or ALL_MONTHS

    @property
    def years(self) -> frozenset[int]:
        """The years that are named."""
        values = (one.values.get(Unit.YEAR) for one in self.spots)
        return frozenset(value.resolve(ANY_MONTH) or 0 for value in values if value is not None)

    def days(self, month: MonthView) -> Days:
        """Return what is let through on each day of a month."""
        found = [NONE] * (month.length + 1)
        for one in self.spots:
            for day in one.days_of(month):
                found[day] |= one.times
        return found

    def last_in(self, month: MonthView) -> Spot:
        """Return the alternative that comes last in a month, among those that the month has."""
        there = [one for one in self.spots if one.exists_in(month)]
        return max(there or self.spots, key=lambda one: one.rank(month))


@dataclass(frozen=True, slots=True)
class YearGrid:
    """Lets through every nth year, counted from an anchor in both directions."""

    every: int
    anchor: int

    constant: TimeSet | None = None
    by_month = False
    date_units = frozenset({Unit.YEAR})
    takes_whole_days = True
    months: frozenset[int] = ALL_MONTHS
    years: frozenset[int] = frozenset()

    def aligned(self, year: int) -> bool:
        """Say whether a year is on the grid."""
        return (year - self.anchor) % self.every == 0

    def days(self, month: MonthView) -> Days:
        """Return all of the month, or nothing of it."""
        return [ALL if self.aligned(month.year) else NONE] * (month.length + 1)


def numbers(unit: Unit, values: Sequence[int]) -> AnyOf:
    """Return the filter for a unit that has one of these values."""
    if unit in TIME_UNITS:
        return AnyOf((Spot({}, timeset.where(unit, values)),))
    return AnyOf(tuple(spot({unit: Number(value)}) for value in values))
