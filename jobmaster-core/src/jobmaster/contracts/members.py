"""The agents and hosts of a cluster, as its master knows them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jobmaster.models import AgentRecord, HostRecord


class MemberStore(ABC):
    """The agents and hosts that a cluster has besides its workers."""

    @abstractmethod
    async def register_agents(
        self, agents: Sequence[AgentRecord], *, repoint: Sequence[str] = ()
    ) -> Sequence[AgentRecord]:
        """Store agents that are new to their cluster; return what is stored for each, in order.

        A known agent keeps its fingerprint, so that the caller sees whether its name now points to another store. The
        fingerprint is replaced only for a name in `repoint`. The kind is updated. Idempotent.
        """

    @abstractmethod
    async def list_agents(self, cluster_id: str) -> Sequence[AgentRecord]:
        """Return the cluster's agents by name. `heartbeat_at` is the last heartbeat of a worker on it."""

    @abstractmethod
    async def register_host(self, host: HostRecord) -> None:
        """Store a host of the cluster, or update it."""

    @abstractmethod
    async def list_hosts(self, cluster_id: str) -> Sequence[HostRecord]:
        """Return the cluster's hosts by name. `heartbeat_at` is the last heartbeat of a worker on it.

        A host without any worker, alive or not yet pruned, is left out.
        """
