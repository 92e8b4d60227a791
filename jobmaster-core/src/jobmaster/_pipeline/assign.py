"""Step 3: held jobs that come due go to buckets of live workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from attrs import define, frozen

from jobmaster._policy.placement import by_place, room_left
from jobmaster.contracts import AgentRepository, Assignment, MasterRepository, Room
from jobmaster.models import Bucket

BUSY_WAIT = 0.1
"""Seconds until the next look when due jobs wait for room."""


@frozen
class AssignResult:
    """Jobs assigned by bucket, and in how many seconds to look again (None: when there is news)."""

    assigned: Mapping[UUID, int]
    wait: float | None


@define
class Assign:
    """Looks ahead on the master by the transient threshold.

    A bucket is given at most `target` jobs at a time, so that workers that join find something to do.
    """

    cluster_id: str
    master: MasterRepository
    agent: AgentRepository
    ahead: float
    target: int = 2000

    async def run_once(self) -> AssignResult:
        """Assign what is due within the look-ahead and finds room."""
        peek = await self.master.assign_due(self.cluster_id, self.ahead, ())
        if peek.next_in is None or peek.next_in > 0:
            return AssignResult({}, peek.next_in)
        rooms = await self._rooms()
        if not rooms:
            return AssignResult({}, None)
        return _result(await self.master.assign_due(self.cluster_id, self.ahead, rooms))

    async def _rooms(self) -> Sequence[Room]:
        buckets = await self.master.active_buckets(self.cluster_id)
        holdings = await self.agent.holdings() if buckets else {}
        return [room for group in by_place(buckets).values() for room in self._rooms_of(group, holdings)]

    def _rooms_of(self, group: Sequence[Bucket], holdings: Mapping[UUID, int]) -> list[Room]:
        free = room_left(group, holdings, self.target)
        share = max(1, self.target // len(group))
        return [
            Room(bucket_id=b.id, lane=b.lane, priority=b.priority, free=min(share, free[b.id]))
            for b in sorted(group, key=lambda b: holdings.get(b.id, 0))
            if b.id in free
        ]


def _result(assignment: Assignment) -> AssignResult:
    if assignment.next_in == 0:
        return AssignResult(assignment.assigned, 0.0 if assignment.assigned else BUSY_WAIT)
    return AssignResult(assignment.assigned, assignment.next_in)
