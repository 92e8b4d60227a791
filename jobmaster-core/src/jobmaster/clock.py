"""Two clocks that are never mixed: aware UTC for storing, monotonic seconds for measuring."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from jobmaster._text.showing import shown

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """The source of time of a process; tests pass one that they move themselves."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring intervals."""
        ...


class SystemClock:
    """The clocks of this host."""

    def now(self) -> datetime:
        """Return the host's wall-clock time, aware and in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the host's monotonic seconds. They keep counting while a signal has stopped the process."""
        return time.monotonic()


def to_micros(moment: datetime) -> int:
    """Return an aware datetime as whole microseconds since 1970 UTC, the stored form."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return stored microseconds as an aware UTC datetime."""
    return EPOCH + timedelta(microseconds=micros)


def require_aware(name: str, moment: datetime) -> datetime:
    """Return `moment` in UTC; raises `ValueError` for a naive one, which could mean any instant."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        msg = f"{name} must be an aware datetime, not {shown(moment)}; add tzinfo, e.g. datetime.now(timezone.utc)"
        raise ValueError(msg)
    return moment.astimezone(UTC)
