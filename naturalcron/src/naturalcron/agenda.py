"""The agenda: which seconds of which days all clauses of an expression let through.

A month is worked out when it is first asked for. Months that cannot differ share one answer: without years and
month names there are only 28 kinds, by length and first weekday. That is what keeps an expression that never
matches cheap, although 400 years have to be looked at: after those the calendar repeats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date
from math import lcm
from typing import Final, NamedTuple

from naturalcron.filters import AnyOf, Filter, YearGrid
from naturalcron.months import MonthView, month_view, months_of
from naturalcron.timeset import ALL, Clock, TimeSet
from naturalcron.units import HIGHEST, Unit

CALENDAR_CYCLE: Final = 400
"""Years after which dates and weekdays repeat."""

_LAST_YEAR: Final = HIGHEST[Unit.YEAR]


class _Month(NamedTuple):
    bits: int
    """Bit n is set if something is let through on the nth day."""
    days: list[Clock | None]


class Agenda:
    """Answers for days and months. It never changes; what it keeps are answers already given."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        constants = [one.constant for one in filters]
        self._always = _all_of(times for times in constants if times is not None)
        self._filters = [one for one, times in zip(filters, constants, strict=True) if times is None]
        self._by_month = any(one.by_month for one in self._filters)
        self._years = sorted(set[int]().union(*(one.years for one in self._filters)))
        self._grids = [one for one in self._filters if isinstance(one, YearGrid)]
        self._names = frozenset(range(1, 13)).intersection(*(one.months for one in self._filters))
        self._clocks: dict[TimeSet, Clock] = {}
        self._every_day = self._clock_of(self._always)
        self._known: dict[tuple[object, ...], _Month] = {}

    def clock(self, day: date) -> Clock | None:
        """Return the seconds of a day that are let through, or None if none are."""
        if not self._filters:
            return self._every_day
        return self._month(month_view(day.year, day.month)).days[day.day]

    def next_day(self, day: date) -> tuple[date, Clock] | None:
        """Return the first day after one on which something is let through, with its seconds."""
        for view in self._months_from(day):
            month = self._month(view)
            passed = day.day if view[:2] == (day.year, day.month) else 0
            bits = month.bits >> passed + 1 << passed + 1
            number = (bits & -bits).bit_length() - 1
            clock = month.days[number] if bits else None
            if clock is not None:
                return date(view.year, view.month, number), clock
        return None

    def _months_from(self, day: date) -> Iterator[MonthView]:
        """Yield the months from a day's own on, without those that are known to have nothing."""
        since = day.month
        for year in range(day.year, self._horizon(day.year) + 1):
            if all(grid.aligned(year) for grid in self._grids):
                yield from (view for view in months_of(year, since) if view.month in self._names)
            since = 1

    def _horizon(self, year: int) -> int:
        """Return the last year in which anything new can be found."""
        ends = [max(one.years) for one in self._filters if isinstance(one, AnyOf) and one.years]
        # Together with a grid of years, the calendar repeats when both do.
        cycle = lcm(CALENDAR_CYCLE, *(grid.every for grid in self._grids))
        return min([max([year, *self._years]) + cycle, _LAST_YEAR, *ends])

    def _month(self, view: MonthView) -> _Month:
        key = (view.length, view.first_weekday, self._by_month and view.month, *self._year_key(view.year))
        known = self._known.get(key)
        if known is None:
            known = self._known.setdefault(key, self._worked_out(view))
        return known

    def _year_key(self, year: int) -> tuple[object, ...]:
        if not self._years and not self._grids:
            return ()
        place = bisect_left(self._years, year)
        is_named = place < len(self._years) and self._years[place] == year
        return (place, is_named, *(grid.aligned(year) for grid in self._grids))

    def _worked_out(self, view: MonthView) -> _Month:
        days = [self._always] * (view.length + 1)
        for one in self._filters:
            days = [_both(*pair) for pair in zip(days, one.days(view), strict=True)]
        bits = sum(1 << day for day in range(1, view.length + 1) if days[day])
        return _Month(bits, [self._clock_of(times) for times in days])

    def _clock_of(self, times: TimeSet) -> Clock | None:
        if not times:
            return None
        # Most days are alike, and so are most months: one clock serves them all.
        clock = self._clocks.get(times)
        return clock or self._clocks.setdefault(times, Clock(times))


def _all_of(sets: Iterator[TimeSet]) -> TimeSet:
    found = ALL
    for times in sets:
        found = _both(found, times)
    return found


def _both(one: TimeSet, other: TimeSet) -> TimeSet:
    if one is ALL:
        return other
    return one if other is ALL else one & other
