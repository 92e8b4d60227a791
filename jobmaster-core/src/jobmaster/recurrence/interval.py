"""Intervals: `90s`, `1h30m`, `PT5M`, `timedelta(minutes=5)`.

They count elapsed time from the schedule's start, so that clock changes do not matter, and never drift.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from attrs import frozen

from jobmaster.errors import InvalidExpressionError
from jobmaster.recurrence.mistaken import remedy_for

KIND: Final = "interval"
SHORTEST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(days=36525)

_UNITS: Final[Mapping[str, timedelta]] = {
    "week": timedelta(weeks=1),
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
    "second": timedelta(seconds=1),
}
"""The units from the largest to the smallest, their order in a text."""
_SHORT: Final = {"hr": "hour", "min": "minute", "sec": "second"} | {unit[0]: unit for unit in _UNITS}
_PART: Final = re.compile(r"\s*(?P<count>\d{1,15}(?:\.\d{1,6})?)\s*(?P<unit>[A-Za-z]+)\s*", re.ASCII)
_ISO_PART: Final = re.compile(r"(?P<count>\d{1,15}(?:\.\d{1,6})?)(?P<unit>[A-Za-z])", re.ASCII)
_EXAMPLES: Final = 'such as "90s", "1h30m", "PT5M" or timedelta(minutes=5)'


@frozen(init=False)
class Interval:
    """A fixed stretch of elapsed time between two runs: `Interval(minutes=5)`, `Interval("1h30m")`."""

    every: timedelta
    """The time from one run to the next."""

    def __init__(
        self,
        every: timedelta | str | float = 0,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Make an interval of the sum of all arguments; `every` is a `timedelta`, a text, or seconds.

        Raises:
            InvalidExpressionError: the text is wrong, or the interval is below a second or above 100 years.

        """
        units = {"weeks": weeks, "days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
        self.__attrs_init__(_checked(every, units))

    @property
    def text(self) -> str:
        """The canonical text, such as `1h30m`."""
        return _written(self.every)

    def __str__(self) -> str:
        return self.text


def _checked(given: Any, units: Mapping[str, float]) -> timedelta:
    try:
        every = _length(given) + timedelta(**units)
    except (OverflowError, ValueError, TypeError) as error:
        raise InvalidExpressionError(KIND, given, f"{error}; expected a duration, {_EXAMPLES}") from None
    if not SHORTEST <= every <= LONGEST:
        shown = given or str(every)
        raise InvalidExpressionError(KIND, shown, _BOUNDS, code="out_of_range")
    return every


_BOUNDS: Final = "an interval lasts from a second to 100 years"


def _length(given: Any) -> timedelta:
    if isinstance(given, timedelta):
        return given
    if isinstance(given, str):
        return _parsed(" ".join(given.split()))
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidExpressionError(KIND, given, f"expected a duration, {_EXAMPLES}")
    return timedelta(seconds=given)


# Texts


def in_one_unit(every: timedelta) -> tuple[str, str]:
    """Return a length of time as a number of the largest unit that has no fraction: `90` and `minutes`."""
    for unit, length in _UNITS.items():
        count, rest = divmod(every, length)
        if not rest:
            return str(count), f"{unit}s"
    return f"{every.total_seconds():.6f}".rstrip("0"), "seconds"


class _Part(NamedTuple):
    """A number and its unit, and their place in the text (from 0)."""

    start: int
    end: int
    number: float
    unit: str


def _parsed(text: str) -> timedelta:
    remedy = remedy_for(text, KIND)
    if remedy:
        raise InvalidExpressionError(KIND, text, remedy, code="other_kind")
    parts = list(_iso_parts(text) if text[:1] in ("P", "p") else _parts(text))
    if not parts:
        raise _fault(text, 0, len(text), "missing", f"expected a duration, {_EXAMPLES}")
    order = list(_UNITS)
    for former, part in pairwise(parts):
        if order.index(former.unit) >= order.index(part.unit):
            reason = f"{part.unit}s cannot follow {former.unit}s; write each unit once, the largest first"
            raise _fault(text, part.start, part.end, "unexpected", reason)
    try:
        return sum((part.number * _UNITS[part.unit] for part in parts), timedelta(0))
    except OverflowError:
        raise _fault(text, 0, len(text), "out_of_range", _BOUNDS) from None


def _parts(text: str) -> Iterator[_Part]:
    """Yield the parts of a text like `1h30m` or `1 hour 30 minutes`."""
    place = 0
    while place < len(text):
        match = _PART.match(text, place)
        unit = _unit(match["unit"].lower()) if match else None
        if match is None or unit is None:
            start, end = match.span("unit") if match else (place, len(text))
            reason = "expected a number with its unit (w, d, h, m, s)"
            raise _fault(text, start, end, "unknown_token", reason)
        yield _Part(place, match.end(), float(match["count"]), unit)
        place = match.end()


def _unit(word: str) -> str | None:
    """Return the unit of a word, in the singular or the plural, or of its abbreviation."""
    singular = word.removesuffix("s") or word
    unit = _SHORT.get(singular, singular)
    return unit if unit in _UNITS else None


def _iso_parts(text: str) -> Iterator[_Part]:
    """Yield the parts of an ISO 8601 duration like `P1DT12H`, without months and years."""
    head, _, tail = text.upper().partition("T")
    yield from _iso_half(text, head, 1, "WD")
    yield from _iso_half(text, f"{head}T{tail}", len(head) + 1, "HMS")


def _iso_half(text: str, half: str, place: int, units: str) -> Iterator[_Part]:
    while place < len(half):
        match = _ISO_PART.match(half, place)
        if match is None or match["unit"] not in units:
            reason = f"expected a number with one of {', '.join(units)}, as in P1DT12H30M; "
            reason += "months and years have no fixed length"
            raise _fault(text, place, match.end() if match else len(half), "unknown_token", reason)
        yield _Part(place, match.end(), float(match["count"]), _SHORT[match["unit"].lower()])
        place = match.end()


def _fault(text: str, start: int, end: int, code: str, reason: str) -> InvalidExpressionError:
    return InvalidExpressionError(KIND, text, reason, code=code, column=start + 1, end_column=end + 1)


def _written(every: timedelta) -> str:
    """Return the canonical text: days, hours, minutes and seconds without those that are zero."""
    return "".join(f"{count}{unit[0]}" for count, unit in _split(every))


def _in_words(every: timedelta) -> str:
    parts = [f"{count} {unit}{'' if count == '1' else 's'}" for count, unit in _split(every)]
    return parts[0].removeprefix("1 ") if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _split(every: timedelta) -> Iterator[tuple[str, str]]:
    """Yield numbers and units from days down, without those that are zero."""
    rest = every
    for unit in ("day", "hour", "minute"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            yield str(count), unit
    if rest:
        yield f"{rest.seconds}.{rest.microseconds:06}".rstrip("0").rstrip("."), "second"


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
        passed = (after.astimezone(UTC) - start) // self.every
        try:
            return start + max(passed + 1, 0) * self.every
        except OverflowError:
            return None

    def describe(self) -> str:
        """Return its meaning in plain English."""
        return f"Every {_in_words(self.every)}"


class IntervalKind:
    """The kind `interval`."""

    name = KIND

    def accepts(self, expression: Any) -> bool:
        """Return whether an expression is an interval: a `timedelta` or an `Interval`."""
        return isinstance(expression, timedelta | Interval)

    def compile(self, expression: Any, zone: ZoneInfo) -> IntervalRecurrence:
        """Return the recurrence of an interval, its text, or a number of seconds."""
        _ = zone
        made = expression if isinstance(expression, Interval) else Interval(expression)
        return IntervalRecurrence(made.every)
