"""Which buckets get the waiting jobs of one lane and priority."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from attrs import frozen

from jobmaster.contracts import Room
from jobmaster.models import Bucket
from jobmaster.states import Priority
from jobmaster_sql.units import Answer


@frozen
class Group:
    """The buckets of one lane and priority, with how many more jobs each can take."""

    lane: str
    priority: Priority
    rooms: Mapping[UUID, int]

    @property
    def free(self) -> int:
        """How many jobs the buckets can take together."""
        return sum(self.rooms.values())

    @property
    def turns(self) -> list[UUID]:
        """The buckets in turn, to be iterated repeatedly as long as there is room."""
        even = len(set(self.rooms.values())) == 1
        return list(self.rooms) if even else list(share_out(self))

    @property
    def only(self) -> UUID:
        """The first bucket."""
        return next(iter(self.rooms))

    def with_room(self, free: int) -> Group:
        """Return the first bucket as a group with this much room."""
        return Group(self.lane, self.priority, {self.only: free})


def groups_of(rooms: Sequence[Room]) -> list[Group]:
    """Return the rooms that are not full, grouped by lane and priority."""
    groups: dict[tuple[str, Priority], dict[UUID, int]] = {}
    for room in rooms:
        if room.free > 0:
            buckets = groups.setdefault((room.lane, room.priority), {})
            buckets[room.bucket_id] = buckets.get(room.bucket_id, 0) + room.free
    return [Group(lane, priority, buckets) for (lane, priority), buckets in groups.items()]


def homes_of(buckets: Sequence[Bucket]) -> list[tuple[str, Group]]:
    """Return one bucket for each cluster, lane and priority, as (cluster id, group of one)."""
    homes = {(bucket.cluster_id, bucket.lane, bucket.priority): bucket.id for bucket in buckets}
    return [
        (cluster_id, Group(lane, priority, {bucket_id: 0}))
        for (cluster_id, lane, priority), bucket_id in homes.items()
    ]


def share_out(group: Group) -> Iterator[UUID]:
    """Yield a bucket for each job, in turn, until no bucket has room."""
    left = dict(group.rooms)
    while left:
        for bucket_id in list(left):
            yield bucket_id
            left[bucket_id] -= 1
            if not left[bucket_id]:
                del left[bucket_id]


def next_in(next_due: Answer, ahead: int, groups: Sequence[Group] | None = None) -> float | None:
    """Return the seconds until the next held job is at most `ahead` microseconds from due: any job, or one for `groups`."""
    places = None if groups is None else {(group.lane, int(group.priority)) for group in groups}
    due_in = [due for lane, priority, due in next_due.rows if places is None or (lane, priority) in places]
    return max(0, min(due_in) - ahead) / 1_000_000 if due_in else None


def place_params(group: Group) -> dict[str, Any]:
    """Return the parameters that select which and how many jobs a group takes."""
    return {"lane": group.lane, "priority": int(group.priority), "limit": group.free}
