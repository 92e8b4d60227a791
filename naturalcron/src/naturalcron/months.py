"""A month as the search sees it: how long it is, and on which weekday it begins."""

from __future__ import annotations

from calendar import monthrange
from typing import NamedTuple


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
    monday_is_0, length = monthrange(year, month)
    return MonthView(year, month, length, (monday_is_0 + 1) % 7 + 1)
