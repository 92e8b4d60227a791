"""Which agent and which bucket a job goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heapreplace
from typing import TypeAlias
from uuid import UUID

from jobmaster.models import Bucket
from jobmaster.states import Priority

Place: TypeAlias = tuple[str, Priority]
"""A lane and a priority: buckets that share it do the same work."""


def agent_for(
    wanted: Iterable[Place], loads: Mapping[str, Mapping[Place, float]], weights: Mapping[str, float]
) -> str | None:
    """Return the agent for jobs that are to stay together; None if none has a bucket for each of their places.

    Args:
        wanted: the places of the jobs.
        loads: for each agent, how many jobs each bucket of a place holds on average.
        weights: the agents that may be chosen, each with the share that it is to get.

    The least loaded one by its weight is chosen, ties by name: an agent of weight 2 is as good with 20 jobs
    in hand as one of weight 1 with 10.

    """
    places = set(wanted)
    fit = [name for name in weights if places <= loads.get(name, {}).keys()]
    burden = {name: (1 + sum(loads[name][place] for place in places)) / weights[name] for name in fit}
    return min(fit, key=lambda name: (burden[name], name), default=None)


def by_place(buckets: Iterable[Bucket]) -> Mapping[Place, list[Bucket]]:
    """Group buckets by (lane, priority)."""
    places: dict[Place, list[Bucket]] = {}
    for bucket in buckets:
        places.setdefault((bucket.lane, bucket.priority), []).append(bucket)
    return places


def spread(count: int, loads: Mapping[UUID, int]) -> list[UUID]:
    """Return a bucket for each of `count` jobs, always the least loaded at that moment (ties by id).

    So loads even out: no bucket ends above another by more than one, unless it started there.
    """
    if not loads:
        return []
    heap = [(load, bucket_id) for bucket_id, load in loads.items()]
    heapify(heap)
    chosen = []
    for _ in range(count):
        load, bucket_id = heap[0]
        chosen.append(bucket_id)
        heapreplace(heap, (load + 1, bucket_id))
    return chosen


def room_left(buckets: Sequence[Bucket], holdings: Mapping[UUID, int], target: int) -> Mapping[UUID, int]:
    """Return how many more jobs each bucket may be given so that it holds at most `target`.

    A bucket that still holds more than half of that gets none: a few large refills cost the store less than
    many small ones, and half a target keeps its owner busy meanwhile.
    """
    free = {bucket.id: target - holdings.get(bucket.id, 0) for bucket in buckets}
    return {bucket_id: room for bucket_id, room in free.items() if 2 * room >= target}
