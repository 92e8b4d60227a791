"""Take back jobs that owners leave unread while slots elsewhere are free, long before their leases expire."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from attrs import define

from jobmaster._flow.handover import hold_unread
from jobmaster._policy.sharing import UNREAD_FOR, Silence, hungry
from jobmaster.errors import StoreUnavailableError
from jobmaster.models import STANDALONE, Bucket

if TYPE_CHECKING:
    from jobmaster.contracts import AgentRepository, MasterRepository

TAKEN_AT_ONCE: Final = 1000
"""Most jobs taken out of one bucket at a time."""


@define
class Unread:
    """Looks for due jobs that have waited unread for most of a second while other workers have free slots.

    Their owners are dead, cut off, or busy with something else; which one does not matter. Jobs that may be in flight
    stay until the owners give them back or their leases expire. The owners are marked as silent; `on_silent` is called
    if some were not yet. Buckets that this process owns are left to their owners.
    """

    cluster_id: str
    master: MasterRepository
    agents: Mapping[str, AgentRepository]
    reachable: Callable[[], Sequence[str]]
    silence: Silence
    own: Callable[[], Container[UUID]]
    on_silent: Callable[[], None]
    on_away: Callable[[str], None]
    listed: int = 0
    """How many buckets there were at the last look."""

    async def run_once(self) -> int:
        """Hold again the jobs that lie unread elsewhere; return how many."""
        buckets = await self.master.buckets.list_active(self.cluster_id)
        self.listed = len(buckets)
        awake = self.silence.heard(buckets)
        places, own = hungry(awake), self.own()
        others = [b for b in buckets if (b.lane, b.priority) in places and b.id not in own]
        return sum([await self._try(name, others) for name in self.reachable()])

    async def _try(self, agent: str, others: Sequence[Bucket]) -> int:
        """Take back unread jobs from one agent; an agent that is away does not delay the others."""
        there = {bucket.id: bucket for bucket in others if bucket.agent == agent}
        if not there:
            return 0
        try:
            return await self._take(self.agents[agent], there)
        except StoreUnavailableError:
            if agent == STANDALONE:
                raise
            self.on_away(agent)
            return 0

    async def _take(self, agent: AgentRepository, buckets: Mapping[UUID, Bucket]) -> int:
        found = await self._found(
            agent, [bucket for bucket in buckets.values() if not bucket.silent], UNREAD_FOR
        )
        if found:
            await self.master.buckets.mark_silent([bucket.id for bucket in found])
            self.on_silent()
        found += await self._found(agent, [bucket for bucket in buckets.values() if bucket.silent], 0.0)
        return sum([await self._hold(agent, bucket) for bucket in found])

    async def _found(self, agent: AgentRepository, buckets: Sequence[Bucket], waited: float) -> list[Bucket]:
        """Return the buckets that hold due jobs which have waited unread for `waited` seconds."""
        unread = await agent.claims.unread(buckets, waited) if buckets else frozenset()
        return [bucket for bucket in buckets if bucket.id in unread]

    async def _hold(self, agent: AgentRepository, bucket: Bucket) -> int:
        """Hold again all unread jobs of a bucket, including those that came a moment ago: no worker reads them."""
        return await hold_unread(self.master, agent, bucket, 0.0, 0, TAKEN_AT_ONCE)
