"""Which bucket a job goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heapreplace
from uuid import UUID

from jobmaster.models import Bucket
from jobmaster.states import Priority


def by_place(buckets: Iterable[Bucket]) -> Mapping[tuple[str, Priority], list[Bucket]]:
    """Group buckets by (lane, priority)."""
    places: dict[tuple[str, Priority], list[Bucket]] = {}
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
