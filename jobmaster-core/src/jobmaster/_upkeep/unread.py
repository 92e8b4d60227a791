"""Take back jobs that owners leave unread while slots elsewhere are free, long before their leases expire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from attrs import define

from jobmaster._flow.handover import hold_unread
from jobmaster._policy.sharing import UNREAD_FOR, Silence, hungry
from jobmaster.errors import StoreUnavailableError

if TYPE_CHECKING:
    from jobmaster._flow.ownership import OwnedBucket
    from jobmaster._flow.reach import Reach
    from jobmaster.contracts import AgentRepository, MasterRepository
    from jobmaster.models import Bucket

TAKEN_AT_ONCE: Final = 1000
"""Most jobs taken out of one bucket at a time."""


class Owners(Protocol):
    """The workers of this process."""

    def all_owned(self) -> Sequence[OwnedBucket]:
        """Return the buckets that they own now."""
        ...


@define
class Unread:
    """Looks for due jobs that have waited unread for most of a second while other workers have free slots.

    Their owners are dead, cut off, or busy with something else; which one does not matter. Jobs that may be in flight
    stay until the owners give them back or their leases expire. The owners are marked as silent; `on_silent` is called
    if some were not yet. Buckets that this process owns are left to their `owners`.
    """

    cluster_id: str
    master: MasterRepository
    agents: Reach
    silence: Silence
    owners: Owners
    on_silent: Callable[[], None]
    listed: int = 0
    """How many buckets there were at the last look."""

    async def run_once(self) -> int:
        """Hold again the jobs that lie unread elsewhere; return how many."""
        buckets = await self.master.buckets.list_active(self.cluster_id)
        self.listed = len(buckets)
        awake = self.silence.heard(buckets)
        places, own = hungry(awake), {owned.id for owned in self.owners.all_owned()}
        others = [b for b in buckets if (b.lane, b.priority) in places and b.id not in own]
        return sum([await self._try(name, others) for name in self.agents.reachable()])

    async def _try(self, name: str, others: Sequence[Bucket]) -> int:
        """Take back unread jobs from one agent; an agent that is away does not delay the others."""
        there = {bucket.id: bucket for bucket in others if bucket.agent == name}
        if not there:
            return 0
        agent = self.agents[name]
        try:
            return await self._take(agent, there)
        except StoreUnavailableError:
            if agent.capabilities.inline:
                raise
            self.agents.leave_alone(name)
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
