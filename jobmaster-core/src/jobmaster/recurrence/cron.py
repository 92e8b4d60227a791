"""Cron lines: `*/5 * * * *`. croniter finds the times on a clock that never changes; this module adds clock changes.

The rule is that of Debian's cron. A line whose minute or hour begins with `*` follows the clock: it fires whenever the
clock shows a time that fits, twice if the clock shows it twice, not if it is skipped. Any other line names times of the
day, each of which occurs once a day: the first time the clock shows it, or at once when the clock has skipped it.
"""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from attrs import field, frozen
from croniter import CroniterBadDateError, croniter

from jobmaster.errors import InvalidExpressionError
from jobmaster.recurrence.cronfields import CronLine, read_line
from jobmaster.recurrence.kinds import CRON as KIND
from jobmaster.recurrence.wallclock import end_of_gap, instant_of, is_skipped, second_showing, wall_at
from naturalcron import ConversionError, describe, from_cron

_SECOND: Final = timedelta(seconds=1)
_SOME_DAY: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - a time on a clock without a zone
_KEPT: Final = 4096
_LONGEST_SKIPPED: Final = timedelta(days=50 * 365)
"""A line whose times the clock skips for this long, such as the hour skipped in spring, never fires."""


def checked(given: Any) -> str:
    """Return a cron line with single blanks; raises `InvalidExpressionError` if it is wrong or never fires."""
    if not isinstance(given, str):
        raise InvalidExpressionError(KIND, given, 'expected a cron line, such as "*/5 * * * *"')
    text = " ".join(given.split())
    if _next_wall(read_line(text), _SOME_DAY) is None:
        reason = "it never fires: no month has such a day"
        raise InvalidExpressionError(KIND, text, reason, code="never")
    return text


def _next_wall(line: CronLine, wall: datetime) -> datetime | None:
    """Return the first time after another that fits a line, both in whole seconds on a clock that never changes."""
    found = [_next_of(plain, wall.replace(fold=0)) for plain in line.plain]
    return min((time for time in found if time is not None), default=None)


def _next_of(plain: str, wall: datetime) -> datetime | None:
    try:
        found: datetime = copy(_reader(plain)).get_next(datetime, start_time=wall)
    except (CroniterBadDateError, OverflowError, ValueError):
        return None
    return found


@lru_cache(maxsize=_KEPT)
def _reader(plain: str) -> croniter:
    """Return the reader of a line. Creating it is slower than using it; callers copy it, as it has state."""
    return croniter(plain, _SOME_DAY)


@frozen
class CronRecurrence:
    """The times at which the clock of a zone shows a time of a cron line."""

    text: str
    zone: ZoneInfo
    _line: CronLine = field(eq=False, repr=False)

    kind = KIND

    def next_after(self, after: datetime, start: datetime) -> datetime | None:
        """Return the first time after a moment; see `Recurrence`."""
        try:
            just_before = start.astimezone(UTC) - timedelta(microseconds=1)
            since = max(after.astimezone(UTC), just_before).replace(microsecond=0)
            return self._on_clock(since) if self._line.follows_clock else self._once_a_day(since)
        except OverflowError:
            return None

    def _once_a_day(self, since: datetime) -> datetime | None:
        found = _next_wall(self._line, self._last_shown(since))
        if found is None:
            return None
        return end_of_gap(found, self.zone) if is_skipped(found, self.zone) else instant_of(found, self.zone)

    def _last_shown(self, since: datetime) -> datetime:
        """Return the latest time that the clock has shown: while times repeat, the one before it was put back."""
        wall = wall_at(since, self.zone)
        change = second_showing(instant_of(wall, self.zone), self.zone) if wall.fold else None
        return wall if change is None else wall_at(change - _SECOND, self.zone)

    def _on_clock(self, since: datetime) -> datetime | None:
        moment, wall = since, wall_at(since, self.zone)
        found = _next_wall(self._line, wall)
        while (
            moment - since < _LONGEST_SKIPPED and (change := self._change_before(found, moment)) is not None
        ):
            moment, wall = change, wall_at(change, self.zone) - _SECOND
            found = _next_wall(self._line, wall)
        if found is None or is_skipped(found, self.zone):
            return None
        first = instant_of(found, self.zone)
        return first if first >= moment else instant_of(found, self.zone, fold=1)

    def _change_before(self, found: datetime | None, moment: datetime) -> datetime | None:
        """Return when the clock changes, where the search starts again, if that is before a time is reached."""
        again = second_showing(moment, self.zone)
        if again is not None and (found is None or instant_of(found, self.zone) >= again):
            return again
        return end_of_gap(found, self.zone) if found is not None and is_skipped(found, self.zone) else None

    def describe(self) -> str:
        """Return its meaning in plain English, with the zone whose clock applies."""
        text = _in_words(self._line) or f"At the times of the cron line {self.text!r}"
        return f"{text}, {self.zone.key} time"


def _in_words(line: CronLine) -> str | None:
    """Return a line in words. A day of the month and a day of the week are alternatives, which takes two descriptions."""
    *times, day, month, weekday = line.written
    if line.days_are_alternatives:
        first, other = _described(*times, day, month, "*"), _described(*times, "*", month, weekday)
        return f"{first}, or {other[:1].lower()}{other[1:]}" if first and other else None
    return _described(*times, day, month, weekday)


def _described(*fields: str) -> str | None:
    """Return fields in words, or None if that is not possible: a weekend like `fri-sun`, or marks beside numbers."""
    try:
        return describe(from_cron(" ".join(fields)))
    except ConversionError:
        return None


def compiled(text: str, zone: ZoneInfo) -> CronRecurrence:
    """Return the recurrence of a line that was checked, on the clock of a zone."""
    return CronRecurrence(text, zone, _line_of(text))


@lru_cache(maxsize=_KEPT)
def _line_of(text: str) -> CronLine:
    return read_line(text)
