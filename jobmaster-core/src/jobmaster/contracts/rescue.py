"""Buckets that were left behind, and the jobs in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from uuid import UUID

from jobmaster.models import Bucket


class RescueStore(ABC):
    """What the living do for the workers that were lost."""

    @abstractmethod
    async def is_needed(self, cluster_id: str) -> bool:
        """Return whether `take_lost_buckets` or `sweep_orphans` may find anything; never false if they would.

        For callers that are about to call the two, or have no lease to renew; others learn it with each heartbeat.
        Writes nothing.
        """

    @abstractmethod
    async def take_lost_buckets(
        self, cluster_id: str, rescuer: UUID, limit: int, agents: Sequence[str] | None = None
    ) -> Sequence[Bucket]:
        """Take over buckets that were left behind.

        * Their owner's lease ran out, it stopped without them, or it gave them away as `lost`, for a worker that can
          reach their agent.
        * Only buckets of these agents, which the rescuer can reach; of all agents with None.
        * Atomic: only one of several rescuers gets a bucket. Its epoch grows by one, its owner is `rescuer`, its status
          `draining`, its `former_owner` the previous owner; a worker whose lease ran out becomes `lost`.
        * The moment a bucket is first found lost is kept: `exposed` looks at jobs due before it.
        """

    @abstractmethod
    async def sweep_orphans(self, cluster_id: str) -> int:
        """Hold jobs on the master again that are in buckets no worker will ever read; return their number.

        Those are buckets that are ready to delete, or not registered (late pushes end up there). Jobs that are to be
        cancelled end instead, as with `buckets.release`.
        """
