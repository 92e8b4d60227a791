"""Which buckets take new jobs: a short-lived picture of the cluster for those who schedule."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any
from uuid import UUID

from jobmaster._policy.placement import by_place, spread
from jobmaster.errors import StoreError
from jobmaster.models import Bucket, NewJob
from jobmaster.states import Priority

log = logging.getLogger("jobmaster.directory")

STALE = 2.0
"""Seconds after which the picture is renewed in the background, while it is still used."""
USELESS = 10.0
"""Seconds after which a caller waits for a new picture."""


class Directory:
    """The active buckets by lane and priority, with an estimate of their load."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Sequence[Bucket]]],
        monotonic: Callable[[], float],
        in_background: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._in_background = in_background
        self._places: Mapping[tuple[str, Priority], list[Bucket]] = {}
        self._loads: Counter[UUID] = Counter()
        self._fetched_at = -USELESS
        self._fetching = False

    def invalidate(self, _topic: str = "") -> None:
        """Buckets came or went: the next caller waits for a new picture."""
        self._fetched_at = -float("inf")

    async def ready(self) -> None:
        """See that the picture is young enough to be used; raises `StoreError` if none can be had."""
        age = self._monotonic() - self._fetched_at
        if age >= USELESS:
            await self.refresh()
        elif age >= STALE and not self._fetching:
            self._fetching = True
            self._in_background(self._refresh_quietly)

    async def refresh(self) -> None:
        """Get a new picture."""
        asked_at = self._monotonic()
        buckets = await self._fetch()
        self._places = by_place(buckets)
        self._loads = Counter({bucket.id: bucket.load for bucket in buckets})
        self._fetched_at = asked_at

    async def _refresh_quietly(self) -> None:
        try:
            await self.refresh()
        except StoreError as error:
            log.debug("the list of buckets could not be renewed: %s", error)
        finally:
            self._fetching = False

    def place(self, jobs: Sequence[NewJob], threshold: float) -> list[NewJob]:
        """Give each job due within `threshold` seconds a bucket of its lane and priority, if there is one."""
        if len(jobs) == 1:
            return [self._place_one(jobs[0], threshold)]
        wanted = Counter((n.job.lane, n.job.priority) for n in jobs if n.delay <= threshold)
        chosen = {place: iter(self._choose(place, count)) for place, count in wanted.items()}
        return [
            _placed(n, next(chosen[n.job.lane, n.job.priority], None)) if n.delay <= threshold else n
            for n in jobs
        ]

    def _place_one(self, new: NewJob, threshold: float) -> NewJob:
        if new.delay > threshold:
            return new
        chosen = self._choose((new.job.lane, new.job.priority), 1)
        return _placed(new, chosen[0]) if chosen else new

    def _choose(self, place: tuple[str, Priority], count: int) -> list[UUID]:
        loads = {bucket.id: self._loads[bucket.id] for bucket in self._places.get(place, ())}
        chosen = [next(iter(loads))] * count if len(loads) == 1 else spread(count, loads)
        self._loads.update(chosen)
        return chosen


def _placed(new: NewJob, bucket_id: UUID | None) -> NewJob:
    return new if bucket_id is None else NewJob(job=new.job, delay=new.delay, bucket_id=bucket_id)
