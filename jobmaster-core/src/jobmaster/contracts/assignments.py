"""Held jobs on their way into buckets of the master's own rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from uuid import UUID

from attrs import field, frozen

from jobmaster.models import Bucket
from jobmaster.states import Priority


@frozen(kw_only=True)
class Room:
    """A bucket that can take `free` more jobs of its lane and priority."""

    bucket_id: UUID
    lane: str
    priority: Priority
    free: int


@frozen(kw_only=True)
class Assignment:
    """The result of an `assignments.assign_due` call: jobs by bucket, and when the next held job comes within reach.

    `next_in` is the time in seconds until another held job is due within the look-ahead (0 if some already are, but
    found no room; None if nothing is held). `next_for_rooms` is the same for jobs whose lane and priority have a room.
    """

    assigned: Mapping[UUID, int] = field(factory=dict)
    next_in: float | None = None
    next_for_rooms: float | None = None


class AssignmentStore(ABC):
    """Puts held jobs into buckets when they come due. Buckets on agents get them by handovers."""

    @abstractmethod
    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        """Put held jobs due within `ahead` seconds into buckets of their lane and priority, earliest first.

        * Parked jobs stay where they are. A bucket gets at most `free` jobs.
        * Concurrent callers never assign one job twice, and do not wait for each other.
        """

    @abstractmethod
    async def due_places(self, cluster_id: str, waited: float = 0.0) -> frozenset[tuple[str, Priority]]:
        """Return the lanes and priorities of held jobs that have been due for `waited` seconds.

        Parked ones do not count. Writes nothing.
        """

    @abstractmethod
    async def adopt_parked(self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int) -> int:
        """Put parked jobs of these definitions into the bucket of their lane and priority; return how many."""
