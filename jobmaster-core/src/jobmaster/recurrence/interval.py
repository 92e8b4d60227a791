"""Intervals: `90s`, `1h30m`, `PT5M`, `timedelta(minutes=5)`.

They count elapsed time from the schedule's start, so that the clock's changes do not matter, and never drift.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final
from zoneinfo import ZoneInfo

from attrs import frozen

from jobmaster.errors import InvalidExpressionError

KIND: Final = "interval"
SHORTEST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(days=36525)

_UNITS: Final[Mapping[str, timedelta]] = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_PART: Final = re.compile(r"\s*(?P<count>\d{1,15}(?:\.\d{1,6})?)\s*(?P<unit>[A-Za-z]+)", re.ASCII)
_ISO: Final = re.compile(r"P(?P<date>[^T]*)(?:T(?P<time>.+))?", re.IGNORECASE | re.ASCII)


@frozen(init=False)
class Interval:
    """A fixed stretch of elapsed time between two runs: `Interval(minutes=5)`, `Interval("1h30m")`."""

    every: timedelta
    """The time from one run to the next."""

    def __init__(
        self,
        every: timedelta | str | float | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Make an interval from a `timedelta`, a text or seconds, or from the sum of the keywords.

        Raises:
            InvalidExpressionError: the text is wrong, or the interval is below a second or above 100 years.

        """
        if every is None:
            every = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        self.__attrs_init__(_checked(every, _length(every)))  # type: ignore[attr-defined]

    @property
    def text(self) -> str:
        """The canonical text, such as `1h30m`."""
        return _written(self.every)

    def __str__(self) -> str:
        return self.text


def _length(every: Any) -> timedelta:
    if isinstance(every, timedelta):
        return every
    if isinstance(every, str):
        return _parsed(every)
    if isinstance(every, bool) or not isinstance(every, int | float) or not isfinite(every):
        raise InvalidExpressionError(KIND, every, f"a duration expected, {_EXAMPLES}")
    return timedelta(seconds=every)


def _parsed(text: str) -> timedelta:
    total = timedelta(0)
    for match in _PART.finditer(text):
        total += float(match["count"]) * _UNITS[match["unit"]]
    return total


def _checked(given: Any, every: timedelta) -> timedelta:
    if not SHORTEST <= every <= LONGEST:
        raise InvalidExpressionError(KIND, given, "an interval lasts from a second to 100 years")
    return every


def _written(every: timedelta) -> str:
    """Return the canonical text: days, hours, minutes and seconds without those that are zero."""
    rest, parts = every, []
    for unit in "dhm":
        count, rest = divmod(rest, _UNITS[unit])
        parts += [f"{count}{unit}"] if count else []
    seconds = f"{rest.seconds}.{rest.microseconds:06}".rstrip("0").rstrip(".")
    return "".join([*parts, f"{seconds}s"] if rest else parts)


_EXAMPLES = 'such as "90s", "1h30m", "PT5M" or timedelta(minutes=5)'


@frozen
class IntervalRecurrence:
    """The times `start`, `start + every`, `start + 2 * every`, and so on."""

    every: timedelta

    kind = KIND

    @property
    def text(self) -> str:
        """The canonical text, such as `1h30m`."""
        return _written(self.every)

    def next_after(self, after: datetime, start: datetime) -> datetime | None:
        """Return the first time after a moment; see `Recurrence`."""
        start = start.astimezone(UTC)
        passed = (after - start) // self.every
        try:
            return start + max(passed + 1, 0) * self.every
        except OverflowError:
            return None

    def describe(self) -> str:
        """Return what it means in plain English."""
        return f"Every {self.text}"


class IntervalKind:
    """The kind `interval`."""

    name = KIND

    def accepts(self, expression: Any) -> bool:
        """Say whether an expression is an interval: a `timedelta` or an `Interval`."""
        return isinstance(expression, timedelta | Interval)

    def compile(self, expression: Any, zone: ZoneInfo) -> IntervalRecurrence:
        """Return the recurrence of an interval, its text, or a number of seconds."""
        _ = zone
        made = expression if isinstance(expression, Interval) else Interval(expression)
        return IntervalRecurrence(made.every)
