"""Sets of the seconds of a day, as the bits of one integer.

Bit n stands for the second n after midnight, so that a set is 86,400 bits. Intersection is `&`, and the first
member from some moment on is one shift and one bit trick: a few microseconds, whatever the set looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from naturalcron.units import HIGHEST, Unit

TimeSet: TypeAlias = int

DAY_SECONDS: Final = 86_400
ALL: Final[TimeSet] = (1 << DAY_SECONDS) - 1
"""Every second of the day."""
NONE: Final[TimeSet] = 0

_LENGTH: Final = {Unit.SECOND: 1, Unit.MINUTE: 60, Unit.HOUR: 3600}
_MINUTES: Final = sum(1 << 60 * minute for minute in range(1440))
"""The first second of every minute."""
_HOURS: Final = sum(1 << 3600 * hour for hour in range(24))
"""The first second of every hour."""
_REPEATS: Final = {Unit.SECOND: _MINUTES, Unit.MINUTE: _HOURS, Unit.HOUR: 1}


def where(unit: Unit, values: Iterable[int]) -> TimeSet:
    """Return the seconds at which a time unit has one of these values."""
    length = _LENGTH[unit]
    block = (1 << length) - 1
    once = 0
    for value in values:
        once |= block << value * length
    return once * _REPEATS[unit]


def equal(values: Mapping[Unit, int]) -> TimeSet:
    """Return the seconds at which every unit given has its value."""
    found = ALL
    for unit, value in values.items():
        found &= where(unit, (value,))
    return found


def at_least(units: Sequence[Unit], values: Sequence[int]) -> TimeSet:
    """Return the seconds whose units, compared in order (largest first), are not below these values."""
    return _compared(units, values, lambda unit, value: range(value + 1, HIGHEST[unit] + 1))


def at_most(units: Sequence[Unit], values: Sequence[int]) -> TimeSet:
    """Return the seconds whose units, compared in order (largest first), are not above these values."""
    return _compared(units, values, lambda _, value: range(value))


def _compared(
    units: Sequence[Unit], values: Sequence[int], beyond: Callable[[Unit, int], Iterable[int]]
) -> TimeSet:
    found = ALL
    for unit, value in zip(reversed(units), reversed(values), strict=True):
        found = where(unit, beyond(unit, value)) | (where(unit, (value,)) & found)
    return found


def first_from(times: TimeSet, second: int) -> int | None:
    """Return the first member at or after a second of the day, or None."""
    rest = times >> second
    return second + (rest & -rest).bit_length() - 1 if rest else None
