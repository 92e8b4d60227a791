"""A month as the search sees it: how long it is, and on which weekday it begins."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Iterator
from datetime import date
from typing import Final, NamedTuple

_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FEBRUARY: Final = 2


class MonthView(NamedTuple):
    """One month of one year."""

    year: int
    month: int
    length: int
    first_weekday: int
    """Weekday of the 1st: 1 = Sunday … 7 = Saturday."""

    def weekday(self, day: int) -> int:
        """Return the weekday of a day of this month, 1 = Sunday … 7 = Saturday."""
        return (self.first_weekday + day - 2) % 7 + 1

    def clamp(self, day: int) -> int:
        """Return the nearest day that the month has."""
        return min(max(day, 1), self.length)


def month_view(year: int, month: int) -> MonthView:
    """Return the view of a month; `year` is 1 to 9999, `month` 1 to 12."""
    return MonthView(year, month, _length(year, month), date(year, month, 1).isoweekday() % 7 + 1)


def _length(year: int, month: int) -> int:
    return 29 if month == _FEBRUARY and isleap(year) else _LENGTHS[month - 1]


def months_of(year: int, since: int = 1) -> Iterator[MonthView]:
    """Yield the months of a year from number `since` on."""
    weekday = date(year, since, 1).isoweekday() % 7 + 1
    for month in range(since, 13):
        length = _length(year, month)
        yield MonthView(year, month, length, weekday)
        weekday = (weekday + length - 1) % 7 + 1
