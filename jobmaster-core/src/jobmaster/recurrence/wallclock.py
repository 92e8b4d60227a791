"""What a zone's clock shows, and when. Instants are aware and in UTC, wall times are naive; both in whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


def wall_at(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the time that the clock shows; `fold` is 1 when it shows it for the second time."""
    return instant.astimezone(zone).replace(tzinfo=None)


def instant_of(wall: datetime, zone: ZoneInfo, fold: int = 0) -> datetime:
    """Return when the clock shows a time: for the first time, or with `fold` 1 for the second.

    A skipped time is read with the offset before the change, with `fold` 1 with the offset after it.
    """
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def is_skipped(wall: datetime, zone: ZoneInfo) -> bool:
    """Return whether the clock never shows a time, because it is put forward past it."""
    return wall_at(instant_of(wall, zone), zone).replace(fold=0) != wall.replace(fold=0)


def end_of_gap(skipped: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clock is put forward past a skipped time."""
    return _change(instant_of(skipped, zone, fold=1), instant_of(skipped, zone), zone)


def second_showing(instant: datetime, zone: ZoneInfo) -> datetime | None:
    """Return when the clock is put back, if the time that it shows at an instant comes a second time; else None."""
    wall = wall_at(instant, zone)
    again = instant_of(wall, zone, fold=1)
    return _change(instant, again, zone) if wall.fold == 0 and again > instant else None


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the first second of the later of two offsets; the clock changes once between the instants."""
    offset = _offset(before, zone)
    while after - before > _SECOND:
        middle = (before + (after - before) // 2).replace(microsecond=0)
        if _offset(middle, zone) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()
