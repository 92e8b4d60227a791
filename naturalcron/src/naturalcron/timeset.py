"""Sets of the seconds of a day.

While sets are combined, they are the bits of one integer: bit n stands for the second n after midnight, and
intersection is `&`. To be searched, a set is cut into hours, since a shift of 86,400 bits copies ten kilobytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
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
_HOUR_BYTES: Final = 3600 // 8
_WHOLE_HOUR: Final = (1 << 3600) - 1
_WHOLE_MINUTE: Final = (1 << 60) - 1
_MINUTES_OF_HOUR: Final = sum(1 << 60 * minute for minute in range(60))
_REPEATS: Final = {Unit.SECOND: _MINUTES, Unit.MINUTE: _HOURS, Unit.HOUR: 1}


@lru_cache(maxsize=256)
def where_one(unit: Unit, value: int) -> TimeSet:
    """Return the seconds at which a time unit has a value."""
    return where(unit, (value,))


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
        found &= where_one(unit, value)
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
        found = where(unit, beyond(unit, value)) | (where_one(unit, value) & found)
    return found


def union(sets: Iterable[TimeSet]) -> TimeSet:
    """Return the seconds that are in any of the sets."""
    found = NONE
    for times in sets:
        found |= times
    return found


class Clock:
    """A set of seconds, ready to be searched."""

    __slots__ = ("_gaps", "_hours", "_period", "times")

    def __init__(self, times: TimeSet) -> None:
        self.times = times
        self._period = 0
        self._gaps = 0, NONE
        data = times.to_bytes(24 * _HOUR_BYTES, "little")
        cuts = range(0, len(data), _HOUR_BYTES)
        self._hours = tuple(int.from_bytes(data[cut : cut + _HOUR_BYTES], "little") for cut in cuts)

    def __contains__(self, second: int) -> bool:
        hour, rest = divmod(second, 3600)
        return bool(self._hours[hour] >> rest & 1)

    def first_from(self, second: int) -> int | None:
        """Return the first member at or after a second of the day, or None."""
        hour, passed = divmod(second, 3600)
        rest = self._hours[hour] >> passed
        if rest:
            return second + lowest(rest)
        later = (place for place in range(hour + 1, 24) if self._hours[place])
        found = next(later, None)
        return None if found is None else 3600 * found + lowest(self._hours[found])

    def first_missing_from(self, second: int) -> int:
        """Return the first second at or after one that is no member; the day's length if all are."""
        hour, passed = divmod(second, 3600)
        for place in range(hour, 24):
            rest = (~self._hours[place] & _WHOLE_HOUR) >> passed
            if rest:
                return 3600 * place + passed + lowest(rest)
            passed = 0
        return DAY_SECONDS

    def last_until(self, second: int) -> int | None:
        """Return the last member at or before a second of the day, or None."""
        passed = self.times & ((1 << second + 1) - 1)
        return passed.bit_length() - 1 if passed else None

    @property
    def period(self) -> int:
        """The seconds after which members repeat themselves: 1 if all are, 60, 3600, or those of a day."""
        self._period = self._period or self._found_period()
        return self._period

    def _found_period(self) -> int:
        return self.hours_period(0) if self.alike_until(0) == len(self._hours) else DAY_SECONDS

    def alike_until(self, hour: int) -> int:
        """Return the first hour after one that has other members, or 24."""
        later = range(hour + 1, len(self._hours))
        return next((place for place in later if self._hours[place] != self._hours[hour]), len(self._hours))

    def hours_period(self, hour: int) -> int:
        """Return the seconds after which members repeat themselves within an hour: 1, 60 or 3600."""
        bits = self._hours[hour]
        if bits == _WHOLE_HOUR:
            return 1
        return 60 if (bits & _WHOLE_MINUTE) * _MINUTES_OF_HOUR == bits else 3600

    def after_gaps(self, length: int) -> TimeSet:
        """Return the members before which there are none for some seconds, themselves counted."""
        if self._gaps[0] != length:
            covered, width = self.times << 1 if length > 1 else NONE, 1
            while width < length - 1:
                covered |= covered << min(width, length - 1 - width)
                width += min(width, length - 1 - width)
            self._gaps = length, self.times & ~covered
        return self._gaps[1]


def lowest(bits: int) -> int:
    """Return the place of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1


def highest(bits: int) -> int:
    """Return the place of the highest bit that is set."""
    return bits.bit_length() - 1
