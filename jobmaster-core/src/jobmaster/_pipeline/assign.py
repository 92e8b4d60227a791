"""Step 3: held jobs go to buckets of live workers when they come due."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from attrs import define, field, frozen

from jobmaster._policy.placement import by_place
from jobmaster._policy.sharing import Silence, limits
from jobmaster.contracts import Assignment, AssignmentStore, BucketStore, HandoverStore, Room
from jobmaster.errors import StoreUnavailableError
from jobmaster.weighing import AT_ONCE, new_weight

if TYPE_CHECKING:
    from jobmaster._flow.handover import HandoverPusher
    from jobmaster._flow.reach import Reach
    from jobmaster._policy.refill import Refills
    from jobmaster.clock import Clock
    from jobmaster.models import Bucket

log = logging.getLogger("jobmaster.assign")

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
"""Seconds until the next look while due jobs wait for room: longer each time there is none."""
MOST_AT_ONCE = 4000
"""Most jobs of one lane and priority that are assigned in one round."""
UNSERVED_PAUSE = 10.0
"""Longest time in seconds until the next look when all due jobs have lanes and priorities without a bucket."""


@frozen
class AssignResult:
    """The buckets that got jobs, each with its agent, and in how many seconds to look again (None: on notifications).

    `starving` says that due jobs are left because there was no room for them.
    """

    assigned: Mapping[UUID, str]
    wait: float | None
    starving: bool = False


class PushingWorkers(Protocol):
    """The workers of this process, which push what is assigned to buckets on agents."""

    def pusher_id(self) -> UUID:
        """Return the id under which this process pushes handovers now."""
        ...


@define
class Assign:
    """Gives held jobs to buckets when they come due, and not before (`ahead` is only the time that this takes).

    Buckets get jobs by their `refills`, and no more than their owners offer to take: the rest is held until a slot is
    free somewhere. Silent owners get nothing. Jobs for a bucket on an agent are handed over: marked on the master, then
    pushed by the `pusher`, in the name of `workers`. Agents that are out of reach, or that do not answer now, get
    nothing and block nothing.
    """

    cluster_id: str
    assignments: AssignmentStore
    buckets: BucketStore
    handovers: HandoverStore
    agents: Reach
    pusher: HandoverPusher
    workers: PushingWorkers
    ahead: float
    refills: Refills
    silence: Silence
    clock: Clock
    _behind: bool = field(default=False, init=False)
    """Whether due jobs were left: then there is no need to query whether there are any."""
    _pause: float = field(default=FIRST_PAUSE, init=False)
    _weight: int = field(default=1, init=False)
    """Average bytes of a job at the last handover: handed-over jobs pass through this process's memory."""
    _limits: Mapping[UUID, int] = field(factory=dict, init=False)
    """How many jobs each bucket may hold at most, by its owner's last offer."""
    _unserved: bool = field(default=False, init=False)
    """Whether there was room in every place with buckets, and nothing due for it."""

    async def run_once(self) -> AssignResult:
        """Assign the jobs that are due within the look-ahead and find room."""
        if not self._behind:
            peek = await self.assignments.assign_due(self.cluster_id, self.ahead, ())
            if peek.next_in is None or peek.next_in > 0:
                self.refills.start_anew()
                return AssignResult({}, peek.next_in)
        buckets = await self._buckets()
        if not buckets:
            self._behind = False
            return AssignResult({}, None, starving=True)
        assignment = await self._fill(buckets)
        self.refills.given(assignment.assigned, self.clock.monotonic())
        return self._result(assignment, buckets)

    async def _buckets(self) -> Sequence[Bucket]:
        """Return the active buckets on agents that this process can reach, without those of silent owners."""
        active, reached = await self.buckets.list_active(self.cluster_id), set(self.agents.reachable())
        heard = self.silence.heard(active)
        # Unreachable buckets count too: the only bucket in reach may not be the only one of its place.
        self._limits = {
            id_: most for group in by_place(heard).values() for id_, most in limits(group).items()
        }
        return [bucket for bucket in heard if bucket.agent in reached]

    async def _fill(self, buckets: Sequence[Bucket]) -> Assignment:
        """Put due jobs into the buckets that have room."""
        holdings = await self._holdings(dict.fromkeys(bucket.agent for bucket in buckets))
        rooms = self._rooms([bucket for bucket in buckets if bucket.agent in holdings], holdings)
        self._unserved = {(room.lane, room.priority) for room in rooms} == by_place(buckets).keys()
        if not rooms:
            return Assignment(assigned={}, next_in=0)
        agents = {bucket.id: bucket.agent for bucket in buckets if bucket.is_on_agent}
        inline = [room for room in rooms if room.bucket_id not in agents]
        remote = [room for room in rooms if room.bucket_id in agents]
        done = await self._hand_over(remote, agents) if remote else Assignment(next_in=0)
        if not inline or (remote and done.next_in != 0):
            return done
        more = await self.assignments.assign_due(self.cluster_id, self.ahead, inline)
        return Assignment(
            assigned={**done.assigned, **more.assigned},
            next_in=more.next_in,
            next_for_rooms=_sooner(done.next_for_rooms, more.next_for_rooms),
        )

    async def _holdings(self, names: Iterable[str]) -> Mapping[str, Mapping[UUID, int]]:
        """Return how many jobs buckets hold, by agent; agents that do not answer are left out."""
        found: dict[str, Mapping[UUID, int]] = {}
        for name in names:
            agent = self.agents[name]
            try:
                found[name] = await agent.buckets.holdings()
            except StoreUnavailableError as error:
                if agent.capabilities.inline:
                    raise
                log.warning("agent %s is away and gets no jobs: %s", name, error)
                self.agents.leave_alone(name)
        return found

    async def _hand_over(self, rooms: Sequence[Room], agents: Mapping[UUID, str]) -> Assignment:
        """Mark jobs as handed over, and push them; return those that arrived."""
        asked_at = self.clock.monotonic()
        result = await self.handovers.hand_over(self.cluster_id, self.ahead, rooms, self.workers.pusher_id())
        self._unserved = self._unserved and not result.handovers
        weights = [new_weight(message.new) for one in result.handovers for message in one.messages]
        if weights:
            self._weight = max(1, sum(weights) // len(weights))
        given = [(agents[one.bucket_id], one) for one in result.handovers]
        arrived = await self.pusher.push(given, asked_at)
        counts = {one.bucket_id: len(one.messages) for one in arrived}
        return Assignment(assigned=counts, next_in=result.next_in, next_for_rooms=result.next_for_rooms)

    def _rooms(self, buckets: Sequence[Bucket], holdings: Mapping[str, Mapping[UUID, int]]) -> list[Room]:
        held = {bucket_id: count for counts in holdings.values() for bucket_id, count in counts.items()}
        return [room for group in by_place(buckets).values() for room in self._rooms_of(group, held)]

    def _rooms_of(self, group: Sequence[Bucket], holdings: Mapping[UUID, int]) -> list[Room]:
        ids, now = [bucket.id for bucket in group], self.clock.monotonic()
        free = self.refills.rooms(ids, holdings, now, self._limits)
        share = max(1, min(MOST_AT_ONCE, AT_ONCE // self._weight) // len(group))
        return [
            Room(bucket_id=b.id, lane=b.lane, priority=b.priority, free=min(share, free[b.id]))
            for b in sorted(group, key=lambda b: holdings.get(b.id, 0))
            if b.id in free
        ]

    def _result(self, assignment: Assignment, buckets: Sequence[Bucket]) -> AssignResult:
        self._behind = assignment.next_in == 0
        if assignment.assigned or not self._behind:
            self._pause = FIRST_PAUSE
            assigned = {b.id: b.agent for b in buckets if b.id in assignment.assigned}
            return AssignResult(assigned, assignment.next_in, starving=self._behind)
        wait = UNSERVED_PAUSE  # e.g. for a paused lane; notifications tell when a worker serves it
        if not self._unserved:
            wait, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        # Jobs that come due later and have room must not wait for jobs that find none elsewhere.
        return AssignResult({}, min(wait, assignment.next_for_rooms or wait), starving=True)


def _sooner(one: float | None, other: float | None) -> float | None:
    """Return the shorter of two waits; None means no wait, and so does 0, for what is due already."""
    return min((wait for wait in (one, other) if wait), default=None)
