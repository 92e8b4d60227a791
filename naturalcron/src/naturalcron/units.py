"""Units of time and the small vocabularies that go with them."""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from typing import Final


class Unit(IntEnum):
    """A unit of time, smallest first, so that units compare by size.

    `WEEK` is the day of the week where a value is meant (1 = Sunday … 7 = Saturday), and seven days where an
    interval is meant.
    """

    SECOND = 0
    MINUTE = 1
    HOUR = 2
    DAY = 3
    WEEK = 4
    MONTH = 5
    YEAR = 6

    @property
    def word(self) -> str:
        """The unit's name in lower case: `"second"` … `"year"`."""
        return self.name.lower()


TIME_UNITS: Final = (Unit.SECOND, Unit.MINUTE, Unit.HOUR)
"""The units within a day."""

LOWEST: Final = {unit: 0 if unit in TIME_UNITS else 1 for unit in Unit}
"""The smallest value of each unit."""

HIGHEST: Final = {
    Unit.SECOND: 59,
    Unit.MINUTE: 59,
    Unit.HOUR: 23,
    Unit.DAY: 31,
    Unit.WEEK: 7,
    Unit.MONTH: 12,
    Unit.YEAR: 9999,
}
"""The largest value of each unit; for days that of the longest month."""

PERIOD: Final = {Unit.SECOND: 60, Unit.MINUTE: 60, Unit.HOUR: 24, Unit.DAY: 31, Unit.MONTH: 12}
"""How many values a unit has before it starts again within its parent; weeks and years have no parent."""


class Weekday(IntEnum):
    """A day of the week, numbered as the language does: Sunday is 1, Saturday is 7."""

    SUN = 1
    MON = 2
    TUE = 3
    WED = 4
    THU = 5
    FRI = 6
    SAT = 7

    @property
    def full_name(self) -> str:
        """The English name, e.g. `"Monday"`."""
        return _WEEKDAY_NAMES[self - 1]

    @property
    def short_name(self) -> str:
        """The first three letters of the name, e.g. `"Mon"`."""
        return self.full_name[:3]


class Month(IntEnum):
    """A month, 1 to 12."""

    JAN = 1
    FEB = 2
    MAR = 3
    APR = 4
    MAY = 5
    JUN = 6
    JUL = 7
    AUG = 8
    SEP = 9
    OCT = 10
    NOV = 11
    DEC = 12

    @property
    def full_name(self) -> str:
        """The English name, e.g. `"January"`."""
        return _MONTH_NAMES[self - 1]

    @property
    def short_name(self) -> str:
        """The first three letters of the name, e.g. `"Jan"`."""
        return self.full_name[:3]


class Nth(Enum):
    """Which weekday of its month: the first to the fifth, or the last."""

    FIRST = "1st"
    SECOND = "2nd"
    THIRD = "3rd"
    FOURTH = "4th"
    FIFTH = "5th"
    LAST = "Last"


class DayPosition(StrEnum):
    """A day that is known by its place in the month; a weekday here is Monday to Friday."""

    FIRST_DAY = "FirstDay"
    LAST_DAY = "LastDay"
    FIRST_WEEKDAY = "FirstWeekday"
    LAST_WEEKDAY = "LastWeekday"


class AmPm(StrEnum):
    """Before or after noon, for the twelve-hour clock."""

    AM = "am"
    PM = "pm"


_WEEKDAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def ordinal(number: int) -> str:
    """Return a number with its English suffix: 1st, 2nd, 3rd, 4th, 11th, 21st."""
    tens = 10 <= number % 100 <= 20  # noqa: PLR2004 - eleventh to twentieth, and zeroth of them
    suffix = "th" if tens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
