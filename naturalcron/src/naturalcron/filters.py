"""Filters: which seconds of which days a clause lets through.

A filter answers for a whole month at once: a list with one set of seconds for each day, index 0 unused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from naturalcron import timeset
from naturalcron.months import MonthView, month_view
from naturalcron.timeset import ALL, NONE, TimeSet
from naturalcron.units import HIGHEST, LOWEST, TIME_UNITS, Unit
from naturalcron.values import Number, Value

Days: TypeAlias = list[TimeSet]
"""The seconds of each day of a month; index 0 is unused."""

_ANY_MONTH: Final = month_view(1, 1)
_ALL_MONTHS: Final = frozenset(range(1, 13))
_WHOLE_WEEK: Final = (LOWEST[Unit.WEEK], HIGHEST[Unit.WEEK])
_RANKED: Final = (Unit.YEAR, Unit.MONTH, Unit.WEEK, Unit.DAY, Unit.HOUR, Unit.MINUTE, Unit.SECOND)
"""The order in which alternatives of a list follow one another."""


class Filter(Protocol):
    """What lets some moments through; `by_month` and `years` say which months make a difference."""

    @property
    def by_month(self) -> bool:
        """Whether the answer depends on the month's name."""
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
        unit: values[unit].resolve(_ANY_MONTH) or 0 for unit in TIME_UNITS if unit in values
    }
    return Spot(values, timeset.equal(times))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Lets through what one of the alternatives matches."""

    spots: tuple[Spot, ...]

    @property
    def by_month(self) -> bool:
        """Whether months are named."""
        return Unit.MONTH in self.spots[0].values

    @property
    def months(self) -> frozenset[int]:
        """The months that are named, or all."""
        values = [one.values.get(Unit.MONTH) for one in self.spots]
        return frozenset(value.resolve(_ANY_MONTH) or 0 for value in values if value) or _ALL_MONTHS

    @property
    def years(self) -> frozenset[int]:
        """The years that are named."""
        values = (one.values.get(Unit.YEAR) for one in self.spots)
        return frozenset(value.resolve(_ANY_MONTH) or 0 for value in values if value is not None)

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
class Span:
    """One range. Dates are compared as wholes, then times; weekdays are a condition of their own."""

    date_units: tuple[Unit, ...]
    first_date: tuple[Value, ...]
    last_date: tuple[Value, ...]
    since: TimeSet
    """The seconds that the first date lets through."""
    until: TimeSet
    """The seconds that the last date lets through."""
    weekdays: tuple[int, int]

    @property
    def has_date(self) -> bool:
        """Whether days differ."""
        return bool(self.date_units) or self.weekdays != _WHOLE_WEEK

    def seconds(self, month: MonthView, day: int) -> TimeSet:
        """Return what is let through on a day."""
        first, last = self._date(self.first_date, month), self._date(self.last_date, month)
        here = tuple(_part(unit, month, day) for unit in self.date_units)
        if first is None or last is None or not first <= here <= last:
            return NONE
        if not self.weekdays[0] <= month.weekday(day) <= self.weekdays[1]:
            return NONE
        return (self.since if here == first else ALL) & (self.until if here == last else ALL)

    def _date(self, values: Sequence[Value], month: MonthView) -> tuple[int, ...] | None:
        found = []
        for unit, value in zip(self.date_units, values, strict=True):
            number = value.resolve(month)
            if number is None:
                return None
            # A day beyond the month's end means its last one: up to the 31st includes 28 February.
            found.append(month.clamp(number) if unit is Unit.DAY else number)
        return tuple(found)


def _part(unit: Unit, month: MonthView, day: int) -> int:
    return {Unit.YEAR: month.year, Unit.MONTH: month.month, Unit.DAY: day}[unit]


def span(first: dict[Unit, Value], last: dict[Unit, Value]) -> Span:
    """Return the range between values of the same units, both ends included."""
    units = sorted(first, reverse=True)
    dates = tuple(unit for unit in units if unit in (Unit.YEAR, Unit.MONTH, Unit.DAY))
    times = [unit for unit in units if unit in TIME_UNITS]
    return Span(
        dates,
        tuple(first[unit] for unit in dates),
        tuple(last[unit] for unit in dates),
        timeset.at_least(times, [_fixed(first, unit) for unit in times]),
        timeset.at_most(times, [_fixed(last, unit) for unit in times]),
        (_fixed(first, Unit.WEEK, LOWEST), _fixed(last, Unit.WEEK, HIGHEST)),
    )


def _fixed(values: dict[Unit, Value], unit: Unit, default: dict[Unit, int] = LOWEST) -> int:
    number = values[unit].resolve(_ANY_MONTH) if unit in values else None
    return default[unit] if number is None else number


@dataclass(frozen=True, slots=True)
class AnyRange:
    """Lets through what one of the ranges contains."""

    spans: tuple[Span, ...]

    @property
    def by_month(self) -> bool:
        """Whether months are compared."""
        return Unit.MONTH in self.spans[0].date_units

    @property
    def months(self) -> frozenset[int]:
        """All months: a range may cross years."""
        return _ALL_MONTHS

    @property
    def years(self) -> frozenset[int]:
        """The years in which ranges begin or end."""
        if Unit.YEAR not in self.spans[0].date_units:
            return frozenset()
        ends = [end for one in self.spans for end in (one.first_date[0], one.last_date[0])]
        return frozenset(end.resolve(_ANY_MONTH) or 0 for end in ends)

    def days(self, month: MonthView) -> Days:
        """Return what is let through on each day of a month."""
        found = [NONE] * (month.length + 1)
        for day in range(1, month.length + 1):
            for one in self.spans:
                found[day] |= one.seconds(month, day)
        return found


@dataclass(frozen=True, slots=True)
class YearGrid:
    """Lets through every nth year, counted from an anchor in both directions."""

    every: int
    anchor: int

    by_month = False
    months: frozenset[int] = _ALL_MONTHS
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


def constant(one: Filter) -> TimeSet | None:
    """Return what a filter lets through on every day alike, or None if it depends on the day."""
    if isinstance(one, AnyOf) and not any(spot.has_date for spot in one.spots):
        return _any_of(spot.times for spot in one.spots)
    if isinstance(one, AnyRange) and not any(span.has_date for span in one.spans):
        return _any_of(span.since & span.until for span in one.spans)
    return None


def _any_of(sets: Iterable[TimeSet]) -> TimeSet:
    found = NONE
    for times in sets:
        found |= times
    return found
