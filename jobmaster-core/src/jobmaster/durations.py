"""Durations as callers give them: seconds as a number, or a `timedelta`."""

from __future__ import annotations

from datetime import timedelta
from math import inf, isnan
from typing import Any, Final

LONGEST: Final = 100 * 365.25 * 86400
"""The longest duration in seconds that settings and delays may have: a hundred years."""


def to_duration(value: Any) -> float:
    """Return a duration in seconds; raises `TypeError` for what is none, `ValueError` for one that is not a number."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{value!r} is no duration; give seconds as a number, or a timedelta"
        raise TypeError(msg)
    try:
        seconds = float(value)
    except OverflowError:  # of an int
        return inf if value > 0 else -inf
    if isnan(seconds):
        msg = f"{value!r} is no duration; give seconds as a number, or a timedelta"
        raise ValueError(msg)
    return seconds


def to_delay(value: Any) -> float:
    """Return the seconds to wait, at most `LONGEST`: beyond that, calendars end.

    Raises `TypeError` for what is no duration, and `ValueError` for one that is negative or not a number.
    """
    delay = to_duration(value)
    if delay < 0:
        msg = f"a delay cannot be negative: {value!r}"
        raise ValueError(msg)
    return min(delay, LONGEST)
