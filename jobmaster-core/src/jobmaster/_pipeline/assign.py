"""Step 3: held jobs that come due go to buckets of live workers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from attrs import define, field, frozen

from jobmaster._policy.placement import by_place
from jobmaster._policy.refill import Refills
from jobmaster._policy.sharing import Silence, limits
from jobmaster.contracts import AgentRepository, Assignment, MasterRepository, Room
from jobmaster.errors import StoreUnavailableError
from jobmaster.handover import HandoverPusher
from jobmaster.models import STANDALONE, Bucket
from jobmaster.weighing import AT_ONCE, new_weight

log = logging.getLogger("jobmaster.assign")

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
"""Seconds until the next look when due jobs wait for room: longer each time that there is none."""
MOST_AT_ONCE = 4000
"""Jobs of one lane and priority that are assigned in one round at most."""
UNSERVED_PAUSE = 10.0
"""Longest time in seconds until the next look when all that is due is of lanes and priorities without a bucket."""


@frozen
class AssignResult:
    """The buckets that got jobs, each with its agent, and in how many seconds to look again (None: on notifications).

    `starving` says that due jobs are left for which there was no room.
    """

    assigned: Mapping[UUID, str]
    wait: float | None
    starving: bool = False


@define
class Assign:
    """Gives held jobs to buckets when they come due, and not before (`ahead` is only the time that this takes).

    Buckets are given jobs by their `refills`, and no more than their owners offer to take: what is beyond that is held
    until somebody has a free slot. Owners that are silent get nothing. What goes to a bucket
    on an agent is handed over: marked on the master, then pushed by the `pusher`. Agents that are not `reachable`, or
    that do not answer now, get nothing and hold up nothing.
    """

    cluster_id: str
    master: MasterRepository
    agents: Mapping[str, AgentRepository]
    reachable: Callable[[], Sequence[str]]
    pusher: HandoverPusher
    me: Callable[[], UUID]
    ahead: Callable[[], float]
    refills: Refills
    silence: Silence
    _behind: bool = field(default=False, init=False)
    """Whether due jobs were left: then there is no need to ask whether there are any."""
    _pause: float = field(default=FIRST_PAUSE, init=False)
    _weight: int = field(default=1, init=False)
    """Bytes that a job had on average when jobs were handed over last: these pass through memory here."""
    _limits: Mapping[UUID, int] = field(factory=dict, init=False)
    """How many jobs buckets are to hold at most, by what their owners offered last."""
    _unserved: bool = field(default=False, init=False)
    """Whether there was room wherever there are buckets, and nothing due for it."""

    async def run_once(self) -> AssignResult:
        """Assign what is due within the look-ahead and finds room."""
        if not self._behind:
            peek = await self.master.assign_due(self.cluster_id, self.ahead(), ())
            if peek.next_in is None or peek.next_in > 0:
                self.refills.start_anew()
                return AssignResult({}, peek.next_in)
        buckets = await self._buckets()
        if not buckets:
            self._behind = False
            return AssignResult({}, None, starving=True)
        assignment = await self._fill(buckets)
        self.refills.given(assignment.assigned, self.pusher.monotonic())
        return self._result(assignment, buckets)

    async def _buckets(self) -> Sequence[Bucket]:
        """Return the active buckets on agents that can be reached from here, whose owners are heard of."""
        active, reached = await self.master.active_buckets(self.cluster_id), set(self.reachable())
        heard = self.silence.heard(active)
        # Also of those that cannot be reached: who is alone in reach is not alone.
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
        agents = {bucket.id: bucket.agent for bucket in buckets}
        inline = [room for room in rooms if agents[room.bucket_id] == STANDALONE]
        remote = [room for room in rooms if agents[room.bucket_id] != STANDALONE]
        done = await self._hand_over(remote, agents) if remote else Assignment(next_in=0)
        if not inline or (remote and done.next_in != 0):
            return done
        more = await self.master.assign_due(self.cluster_id, self.ahead(), inline)
        return Assignment(
            assigned={**done.assigned, **more.assigned},
            next_in=more.next_in,
            next_for_rooms=_sooner(done.next_for_rooms, more.next_for_rooms),
        )

    async def _holdings(self, names: Iterable[str]) -> Mapping[str, Mapping[UUID, int]]:
        """Return what buckets hold, by agent; those that do not answer are left out."""
        found: dict[str, Mapping[UUID, int]] = {}
        for name in names:
            try:
                found[name] = await self.agents[name].holdings()
            except StoreUnavailableError as error:
                if name == STANDALONE:
                    raise
                log.warning("agent %s is away and gets no jobs: %s", name, error)
                self.pusher.on_away(name)
        return found

    async def _hand_over(self, rooms: Sequence[Room], agents: Mapping[UUID, str]) -> Assignment:
        """Mark jobs as handed over, and push them; return which arrived."""
        asked_at = self.pusher.monotonic()
        result = await self.master.hand_over(self.cluster_id, self.ahead(), rooms, self.me())
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
        ids, now = [bucket.id for bucket in group], self.pusher.monotonic()
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
        wait = UNSERVED_PAUSE  # for a paused lane, for one; notifications tell when somebody serves it
        if not self._unserved:
            wait, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        # Where there is room, what comes due later is not to wait for what finds none elsewhere.
        return AssignResult({}, min(wait, assignment.next_for_rooms or wait), starving=True)


def _sooner(one: float | None, other: float | None) -> float | None:
    """Return the sooner of two waits, None being none; what is due already has none either."""
    return min((wait for wait in (one, other) if wait), default=None)
