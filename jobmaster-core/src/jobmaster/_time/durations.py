"""Durations as callers give them (seconds as a number, or a `timedelta`), and as people write them."""

from __future__ import annotations

from datetime import timedelta
from math import inf, isfinite, isnan
from typing import Any, Final

from jobmaster.urls import said

LONGEST: Final = 100 * 365.25 * 86400
"""The longest duration in seconds that settings and delays may have: a hundred years."""


def to_duration(value: Any) -> float:
    """Return a duration in seconds; raises `TypeError` for anything else, `ValueError` for nan."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{said(value)} is not a duration; give seconds as a number, or a timedelta"
        raise TypeError(msg)
    try:
        seconds = float(value)
    except OverflowError:  # of an int
        return inf if value > 0 else -inf
    if isnan(seconds):
        msg = f"{said(value)} is not a duration; give seconds as a number, or a timedelta"
        raise ValueError(msg)
    return seconds


def to_delay(value: Any) -> float:
    """Return the seconds to wait, at most `LONGEST`: beyond that, calendars end.

    Raises `TypeError` for anything but a duration, and `ValueError` for a negative one or nan.
    """
    delay = to_duration(value)
    if delay < 0:
        msg = f"a delay cannot be negative: {said(value)}"
        raise ValueError(msg)
    return min(delay, LONGEST)


_YEAR: Final = 365.25 * 86400
_UNITS: Final = ((86400, "day"), (3600, "h"), (60, "min"))
_PLURAL: Final = frozenset({"day", "year"})


def written(seconds: float) -> str:
    """Return a duration as people write it, to the microsecond: `30 days`, `1 h 30 min`, `0.5 s`, `100 years`."""
    if not isfinite(seconds):
        return f"{seconds:g} s"
    if seconds < 0:
        return f"-{written(-seconds)}"
    if seconds and seconds % _YEAR == 0:
        return _counted(int(seconds // _YEAR), "year")
    parts, rest = [], round(seconds * 1_000_000)
    for size, unit in _UNITS:
        count, rest = divmod(rest, size * 1_000_000)
        parts += [_counted(count, unit)] if count else []
    if rest or not parts:
        parts.append(f"{rest / 1_000_000:.6f}".rstrip("0").rstrip(".") + " s")
    return " ".join(parts)


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}s" if unit in _PLURAL and count != 1 else f"{count} {unit}"
