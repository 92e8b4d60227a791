"""Abandoned handovers: their jobs are pushed to their agents again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import define

if TYPE_CHECKING:
    from jobmaster._flow.handover import HandoverPusher
    from jobmaster.clock import Clock
    from jobmaster.contracts import BucketStore, Handover, HandoverStore

AT_ONCE = 20


@define(eq=False)
class Handovers:
    """Takes over handovers that their pushers left for `age` seconds: the pusher died, or the agent did not answer."""

    cluster_id: str
    handovers: HandoverStore
    buckets: BucketStore
    pusher: HandoverPusher
    age: float
    clock: Clock

    async def run_once(self, pusher_id: UUID) -> Mapping[UUID, str]:
        """Push the abandoned handovers, as this pusher; return the buckets that got jobs, each with its agent."""
        asked_at = self.clock.monotonic()
        taken = await self.handovers.take_over(self.cluster_id, self.age, pusher_id, AT_ONCE)
        if not taken:
            return {}
        agents = {bucket.id: bucket.agent for bucket in await self.buckets.list_all(self.cluster_id)}
        await self.handovers.close([one.id for one in taken if not self._matters(one, agents)])
        left = [(agents[one.bucket_id], one) for one in taken if self._matters(one, agents)]
        arrived = await self.pusher.push(left, asked_at, retaken=True)
        return {one.bucket_id: agents[one.bucket_id] for one in arrived}

    def _matters(self, handover: Handover, agents: Mapping[UUID, str]) -> bool:
        """Return whether any of its jobs still belongs in its bucket, and the bucket still exists.

        Jobs of a bucket that is gone are held again when orphans are swept up.
        """
        return bool(handover.messages) and handover.bucket_id in agents
