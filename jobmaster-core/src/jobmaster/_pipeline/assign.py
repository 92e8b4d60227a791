"""Step 3: held jobs that come due go to buckets of live workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from attrs import define, field, frozen

from jobmaster._policy.placement import by_place, room_left
from jobmaster.contracts import AgentRepository, Assignment, MasterRepository, Room
from jobmaster.models import Bucket

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
"""Seconds until the next look when due jobs wait for room: longer each time that there is none."""


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
    target: int = 4000
    _behind: bool = field(default=False, init=False)
    """Whether due jobs were left: then there is no need to ask whether there are any."""
    _pause: float = field(default=FIRST_PAUSE, init=False)

    async def run_once(self) -> AssignResult:
        """Assign what is due within the look-ahead and finds room."""
        if not self._behind:
            peek = await self.master.assign_due(self.cluster_id, self.ahead, ())
            if peek.next_in is None or peek.next_in > 0:
                return AssignResult({}, peek.next_in)
        buckets = await self.master.active_buckets(self.cluster_id)
        if not buckets:
            self._behind = False
            return AssignResult({}, None)
        return self._result(await self._fill(buckets))

    async def _fill(self, buckets: Sequence[Bucket]) -> Assignment:
        """Put due jobs into the buckets that have room."""
        rooms = self._rooms(buckets, await self.agent.holdings())
        if not rooms:
            return Assignment(assigned={}, next_in=0)
        return await self.master.assign_due(self.cluster_id, self.ahead, rooms)

    def _rooms(self, buckets: Sequence[Bucket], holdings: Mapping[UUID, int]) -> list[Room]:
        return [room for group in by_place(buckets).values() for room in self._rooms_of(group, holdings)]

    def _rooms_of(self, group: Sequence[Bucket], holdings: Mapping[UUID, int]) -> list[Room]:
        free = room_left(group, holdings, self.target)
        share = max(1, self.target // len(group))
        return [
            Room(bucket_id=b.id, lane=b.lane, priority=b.priority, free=min(share, free[b.id]))
            for b in sorted(group, key=lambda b: holdings.get(b.id, 0))
            if b.id in free
        ]

    def _result(self, assignment: Assignment) -> AssignResult:
        self._behind = assignment.next_in == 0
        if assignment.assigned or not self._behind:
            self._pause = FIRST_PAUSE
            return AssignResult(assignment.assigned, assignment.next_in)
        wait, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return AssignResult({}, wait)
