"""The filter for ranges: `between`, `from` and `upto`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from naturalcron import timeset
from naturalcron.filters import ALL_MONTHS, ANY_MONTH, Days
from naturalcron.months import MonthView
from naturalcron.timeset import ALL, NONE, TimeSet, union
from naturalcron.units import HIGHEST, LOWEST, TIME_UNITS, Unit
from naturalcron.values import Value

_WHOLE_WEEK: Final = (LOWEST[Unit.WEEK], HIGHEST[Unit.WEEK])


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

    def days(self, month: MonthView) -> Days:
        """Return what is let through on each day of a month."""
        first, last = self._date(self.first_date, month), self._date(self.last_date, month)
        if first is None or last is None:
            return [NONE] * (month.length + 1)
        begins, ends = self.since, self.until
        return [NONE] + [
            (begins if here == first else ALL) & (ends if here == last else ALL)
            if first <= here <= last and self._has_weekday(month, day)
            else NONE
            for day, here in enumerate(self._dates(month), 1)
        ]

    def _has_weekday(self, month: MonthView, day: int) -> bool:
        return self.weekdays == _WHOLE_WEEK or self.weekdays[0] <= month.weekday(day) <= self.weekdays[1]

    def _dates(self, month: MonthView) -> list[tuple[int, ...]]:
        """Return the units that are compared, for each day of a month."""
        fixed = tuple(
            {Unit.YEAR: month.year, Unit.MONTH: month.month}.get(unit, 0) for unit in self.date_units
        )
        if Unit.DAY not in self.date_units:
            return [fixed] * month.length
        return [(*fixed[:-1], day) for day in range(1, month.length + 1)]

    def _date(self, values: Sequence[Value], month: MonthView) -> tuple[int, ...] | None:
        found = []
        for unit, value in zip(self.date_units, values, strict=True):
            number = value.resolve(month)
            if number is None:
                return None
            # A day beyond the month's end means its last one: up to the 31st includes 28 February.
            found.append(month.clamp(number) if unit is Unit.DAY else number)
        return tuple(found)


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
    number = values[unit].resolve(ANY_MONTH) if unit in values else None
    return default[unit] if number is None else number


@dataclass(frozen=True, slots=True)
class AnyRange:
    """Lets through what one of the ranges contains."""

    spans: tuple[Span, ...]

    @property
    def constant(self) -> TimeSet | None:
        """What is let through on every day alike, or None if a date is compared."""
        if any(one.has_date for one in self.spans):
            return None
        return union(one.since & one.until for one in self.spans)

    @property
    def by_month(self) -> bool:
        """Whether months are compared."""
        return Unit.MONTH in self.spans[0].date_units

    @property
    def date_units(self) -> frozenset[Unit]:
        """The units, from days up, that are compared."""
        weekdays = {Unit.WEEK} if any(one.weekdays != _WHOLE_WEEK for one in self.spans) else set()
        return frozenset(self.spans[0].date_units) | weekdays

    @property
    def takes_whole_days(self) -> bool:
        """Whether no time is compared."""
        return all(one.since == one.until == ALL for one in self.spans)

    @property
    def months(self) -> frozenset[int]:
        """All months: a range may cross years."""
        return ALL_MONTHS

    @property
    def years(self) -> frozenset[int]:
        """The years in which ranges begin or end."""
        if Unit.YEAR not in self.spans[0].date_units:
            return frozenset()
        ends = [end for one in self.spans for end in (one.first_date[0], one.last_date[0])]
        return frozenset(end.resolve(ANY_MONTH) or 0 for end in ends)

    def days(self, month: MonthView) -> Days:
        """Return what is let through on each day of a month."""
        days = self.spans[0].days(month)
        for one in self.spans[1:]:
            days = [here | other for here, other in zip(days, one.days(month), strict=True)]
        return days
