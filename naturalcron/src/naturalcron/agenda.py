"""The agenda: which seconds of which days all clauses of an expression let through.

A month is worked out when it is first asked for. Months that cannot differ share one answer: without years and
month names there are only 28 kinds, by length and first weekday. That is what keeps an expression that never
matches cheap, although 400 years have to be looked at: after those the calendar repeats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from math import lcm
from typing import Final, NamedTuple

from naturalcron.filters import AnyOf, Filter, YearGrid
from naturalcron.months import MonthView, month_view, months_of
from naturalcron.timeset import ALL, Clock, TimeSet
from naturalcron.units import HIGHEST, Unit

_DAY: Final = timedelta(days=1)
CALENDAR_CYCLE: Final = 400
"""Years after which dates and weekdays repeat."""

_LAST_YEAR: Final = HIGHEST[Unit.YEAR]


class _Month(NamedTuple):
    bits: int
    """Bit n is set if something is let through on the nth day."""
    days: list[Clock | None]
    same: Clock | None
    """What is let through on each day, if that is the same."""


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

    @property
    def is_dated(self) -> bool:
        """Whether days differ."""
        return bool(self._filters)

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

    def last_day(self, day: date, since: date) -> date | None:
        """Return the last day until one on which something is let through, but none before `since`."""
        for view in _months_back(day, since):
            known = view.month in self._names and all(grid.aligned(view.year) for grid in self._grids)
            bits = self._month(view).bits if known else 0
            if view[:2] == (day.year, day.month):
                bits &= (1 << day.day + 1) - 1
            if view[:2] == (since.year, since.month):
                bits = bits >> since.day << since.day
            if bits:
                return date(view.year, view.month, bits.bit_length() - 1)
        return None

    def alike_until(self, day: date, last: date) -> date:
        """Return the last day, until `last`, of those in a row that let the same seconds through as a day."""
        if not self._filters:
            return last
        clock = self.clock(day)
        while day < last:
            view = month_view(day.year, day.month)
            if self._month(view).same is clock:
                day = day.replace(day=view.length)
            if day >= last or self.clock(day + _DAY) is not clock:
                break
            day += _DAY
        return min(day, last)

    def _months_from(self, day: date) -> Iterator[MonthView]:
        """Yield the months from a day's own on, without those that are known to have nothing."""
        first = max([day.year, *(min(one.years) for one in self._filters if one.years)])
        since = day.month if first == day.year else 1
        for year in range(first, self.horizon(day.year) + 1):
            if all(grid.aligned(year) for grid in self._grids):
                yield from (view for view in months_of(year, since) if view.month in self._names)
            since = 1

    def horizon(self, year: int) -> int:
        """Return the last year in which anything new can be found, from one on."""
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
            days = _all_both(days, one.days(view))
        bits = sum(1 << day for day in range(1, view.length + 1) if days[day])
        clocks = [self._clock_of(times) for times in days]
        same = clocks[1] if all(one is clocks[1] for one in clocks[2:]) else None
        return _Month(bits, clocks, same)

    def _clock_of(self, times: TimeSet) -> Clock | None:
        if not times:
            return None
        # Most days are alike, and so are most months: one clock serves them all.
        clock = self._clocks.get(times)
        return clock or self._clocks.setdefault(times, Clock(times))


def _months_back(day: date, since: date) -> Iterator[MonthView]:
    for number in range(12 * day.year + day.month - 1, 12 * since.year + since.month - 2, -1):
        yield month_view(number // 12, number % 12 + 1)


def _all_of(sets: Iterator[TimeSet]) -> TimeSet:
    found = ALL
    for times in sets:
        found = _both(found, times)
    return found


def _all_both(some: list[TimeSet], others: list[TimeSet]) -> list[TimeSet]:
    known: dict[tuple[int, int], TimeSet] = {}
    for pair in zip(some, others, strict=True):
        # Days share a few sets, and comparing or combining these costs more than knowing one again.
        key = id(pair[0]), id(pair[1])
        if key not in known:
            known[key] = _both(*pair)
    return [known[id(one), id(other)] for one, other in zip(some, others, strict=True)]


def _both(one: TimeSet, other: TimeSet) -> TimeSet:
    if one is ALL:
        return other
    return one if other is ALL else one & other
