"""The values a unit can be set to: numbers, and days that move from month to month.

Every value resolves within a month. Only days need it; the others answer the same for each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

from naturalcron.months import MonthView
from naturalcron.units import HIGHEST, LOWEST, Unit, Weekday

SATURDAY, SUNDAY = int(Weekday.SAT), int(Weekday.SUN)


class Value(Protocol):
    """What a unit is set to."""

    def resolve(self, month: MonthView) -> int | None:
        """Return the number meant in a month, or None if the month has no such day."""
        ...


@runtime_checkable
class Movable(Value, Protocol):
    """A value that `+ n` or `- n` may follow; the result stays within the month."""

    @property
    def offset(self) -> int:
        """Days that are added."""
        ...

    def moved(self, by: int) -> Movable:
        """Return the same value moved by a number of units."""
        ...


class _Moving:
    """`moved` for the dataclasses below."""

    __slots__ = ()

    def moved(self, by: int) -> Movable:
        return replace(self, offset=by)  # type: ignore[type-var, return-value]  # subclasses are dataclasses


@dataclass(frozen=True, slots=True)
class Number:
    """A plain number. A day that a month does not have is skipped there, not moved."""

    number: int

    def resolve(self, month: MonthView) -> int | None:  # noqa: ARG002 - the protocol's signature
        """Return the number itself."""
        return self.number


@dataclass(frozen=True, slots=True)
class Edge(_Moving):
    """The smallest or largest value of a unit, moved by `offset` and kept within the unit's range."""

    unit: Unit
    last: bool
    offset: int = 0

    def resolve(self, month: MonthView) -> int:
        """Return the edge; for days that of the month."""
        lowest = LOWEST[self.unit]
        highest = month.length if self.unit is Unit.DAY else HIGHEST[self.unit]
        return min(max((highest if self.last else lowest) + self.offset, lowest), highest)


@dataclass(frozen=True, slots=True)
class NthWeekday(_Moving):
    """The nth such weekday of the month; a month may have no fifth."""

    nth: int
    weekday: int
    offset: int = 0

    def resolve(self, month: MonthView) -> int | None:
        """Return the day, or None in a month without it."""
        day = (self.weekday - month.first_weekday) % 7 + 1 + 7 * (self.nth - 1)
        return month.clamp(day + self.offset) if day <= month.length else None


@dataclass(frozen=True, slots=True)
class LastWeekday(_Moving):
    """The last such weekday of the month."""

    weekday: int
    offset: int = 0

    def resolve(self, month: MonthView) -> int:
        """Return the day."""
        back = (month.weekday(month.length) - self.weekday) % 7
        return month.clamp(month.length - back + self.offset)


@dataclass(frozen=True, slots=True)
class Workday(_Moving):
    """The first or last Monday to Friday of the month."""

    last: bool
    offset: int = 0

    def resolve(self, month: MonthView) -> int:
        """Return the day."""
        return month.clamp(closest_workday(month, month.length if self.last else 1) + self.offset)


@dataclass(frozen=True, slots=True)
class ClosestWorkday:
    """The Monday to Friday nearest to a day, within the month. Days beyond its end mean its last."""

    day: int

    def resolve(self, month: MonthView) -> int:
        """Return the day."""
        return closest_workday(month, month.clamp(self.day))


def closest_workday(month: MonthView, day: int) -> int:
    """Return the workday nearest to a day: from Saturday back, from Sunday on, but never into another month."""
    weekday = month.weekday(day)
    if weekday == SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == SUNDAY:
        return day + 1 if day < month.length else day - 2
    return day


FIRST_DAY: Final = Edge(Unit.DAY, last=False)
LAST_DAY: Final = Edge(Unit.DAY, last=True)
FIRST_WORKDAY: Final = Workday(last=False)
LAST_WORKDAY: Final = Workday(last=True)
