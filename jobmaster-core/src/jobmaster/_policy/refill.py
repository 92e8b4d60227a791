"""How many held jobs a bucket gets at a time: enough to keep its owner busy for some seconds, not for an hour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final
from uuid import UUID

from attrs import define

SHORT: Final = 0.25
LONG: Final = 2.0
"""Seconds. If a quarter of a target is used up sooner than `SHORT`, the target is too small; later than `LONG`, too big.

So buckets hold what their owners do in 1 to 8 seconds. A refill takes the store some ten milliseconds, and jobs in a
bucket count until they are reported: an owner that is refilled later runs dry. On the other hand, jobs in a bucket are
out of reach for workers that join meanwhile.
"""


@define
class _Level:
    """What is known about one bucket."""

    target: int
    asked: int = 0
    full_at: float | None = None
    """Since when it has been nearly full, as far as is known; None while it is not."""


class Refills:
    """The targets of buckets; they follow the pace of the owners."""

    def __init__(self, first: int, least: int, most: int) -> None:
        """A bucket's target is `first` until more is known about its owner's pace, and then `least` to `most`."""
        self.first, self.least, self.most = first, least, most
        self._levels: dict[UUID, _Level] = {}

    @classmethod
    def for_pages(cls, page: int) -> Refills:
        """Return targets for owners that read up to `page` jobs at a time."""
        return cls(2 * page, max(1, page // 5), 16 * page)

    def rooms(
        self,
        buckets: Iterable[UUID],
        holdings: Mapping[UUID, int],
        now: float,
        limits: Mapping[UUID, int] = MappingProxyType({}),
    ) -> Mapping[UUID, int]:
        """Return how many more jobs each bucket may get, without those that have enough.

        A bucket that holds more than three quarters of its target has enough: a few large refills cost the store less
        than many small ones. `now` is monotonic. A bucket whose limit is below its target, and below the first target,
        gets as many jobs as the limit leaves room for, however few: its slots may be free. An owner that starts thousands
        of jobs per second is better served by large refills, and gives back what others could start.
        """
        rooms = {}
        for bucket_id in buckets:
            holds, limit = holdings.get(bucket_id, 0), limits.get(bucket_id)
            room = self._room(bucket_id, holds, now)
            bound = limit is not None and limit < min(self._levels[bucket_id].target, self.first)
            rooms[bucket_id] = max(0, (limit or 0) - holds) if bound else room
        return {bucket_id: room for bucket_id, room in rooms.items() if room}

    def _room(self, bucket_id: UUID, holds: int, now: float) -> int:
        level = self._levels.get(bucket_id)
        if level is None:
            level = self._levels[bucket_id] = _Level(self.first)
        if not _is_low(holds, level.target):
            level.full_at = now if level.full_at is None else level.full_at
            return 0
        self._adapt(level, now)
        level.asked = level.target - holds if _is_low(holds, level.target) else 0
        return level.asked

    def _adapt(self, level: _Level, now: float) -> None:
        if level.full_at is None:
            return
        lasted, level.full_at = now - level.full_at, None
        if lasted < SHORT:
            level.target = min(self.most, 2 * level.target)
        elif lasted > LONG:
            level.target = max(self.least, level.target // 2)

    def given(self, counts: Mapping[UUID, int], now: float) -> None:
        """Note how many jobs buckets got: those that got all they had room for are full."""
        for bucket_id, count in counts.items():
            level = self._levels.get(bucket_id)
            if level is not None and count >= level.asked:
                level.full_at = now

    def start_anew(self) -> None:
        """Forget everything: the backlog is done, and the pace of what comes next is unknown."""
        self._levels.clear()


def _is_low(holds: int, target: int) -> bool:
    return 4 * (target - holds) >= target
