"""The choice of the agent and the bucket for a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from heapq import heapify, heapreplace
from typing import Final, TypeAlias
from uuid import UUID

from jobmaster.models import Bucket
from jobmaster.states import BucketStatus, Priority

Place: TypeAlias = tuple[str, Priority]
"""A lane and a priority: buckets that share it do the same work."""

BINDS_AHEAD: Final = 0.1
"""Seconds before their due time at which jobs go to buckets: the time that takes, and no more. A job that is bound to an
owner long before a slot is free there has to wait for that owner."""


def agent_for(
    wanted: Iterable[Place], loads: Mapping[str, Mapping[Place, float]], weights: Mapping[str, float]
) -> str | None:
    """Return the agent for jobs that must stay together; None if no agent has a bucket for each of their places.

    Args:
        wanted: the places of the jobs.
        loads: for each agent, how many jobs each bucket of a place holds on average.
        weights: the agents that may be chosen, each with its intended share.

    The agent with the least load for its weight is chosen, ties by name: an agent of weight 2 that holds 20 jobs
    ranks like one of weight 1 that holds 10.

    """
    places = set(wanted)
    fit = [name for name in weights if places <= loads.get(name, {}).keys()]
    burden = {name: (1 + sum(loads[name][place] for place in places)) / weights[name] for name in fit}
    return min(fit, key=lambda name: (burden[name], name), default=None)


def agents_in_use(buckets: Iterable[Bucket]) -> frozenset[str]:
    """Return the agents with buckets that may hold jobs."""
    return frozenset(bucket.agent for bucket in buckets if bucket.status is not BucketStatus.READY_TO_DELETE)


def by_place(buckets: Iterable[Bucket]) -> Mapping[Place, list[Bucket]]:
    """Group buckets by (lane, priority)."""
    places: dict[Place, list[Bucket]] = {}
    for bucket in buckets:
        places.setdefault((bucket.lane, bucket.priority), []).append(bucket)
    return places


class Ranking:
    """Buckets that do the same work, by their load: a job goes to the least loaded one at that moment.

    So loads even out: no bucket ends above another by more than one, unless it started there. Among equals the
    `start`-th takes its turn first and the others follow in order: processes that start at different positions
    do not all send their first job to the same bucket. A choice costs about the same for few buckets and for thousands;
    the first one also does the preparation.
    """

    def __init__(self, loads: Sequence[tuple[int, UUID]], start: int = 0) -> None:
        """`loads` says how many jobs each bucket holds; there must be at least one bucket."""
        self._loads, self._start = loads, start
        self._added = 0

    @cached_property
    def _heap(self) -> list[tuple[int, int, UUID]]:
        size, start = len(self._loads), self._start
        heap = [
            (load, (number - start) % size, bucket_id) for number, (load, bucket_id) in enumerate(self._loads)
        ]
        heapify(heap)
        return heap

    @cached_property
    def _total(self) -> int:
        return sum(load for load, _ in self._loads)

    def average_with(self, more: int) -> float:
        """Return how many jobs a bucket would hold on average with `more` additional jobs."""
        return (self._total + self._added + more) / len(self._loads)

    def choose(self, count: int) -> list[UUID]:
        """Return a bucket for each of `count` jobs, and count them as its load."""
        heap = self._heap
        self._added += count
        if len(heap) == 1:
            return [heap[0][2]] * count
        return [self._next() for _ in range(count)]

    def _next(self) -> UUID:
        load, turn, bucket_id = self._heap[0]
        heapreplace(self._heap, (load + 1, turn, bucket_id))
        return bucket_id
