"""The agents and hosts of a cluster, as its master knows them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jobmaster.models import AgentRecord, HostRecord


class AgentStore(ABC):
    """Who takes part in a cluster besides its workers."""

    @abstractmethod
    async def register_agents(
        self, agents: Sequence[AgentRecord], *, repoint: Sequence[str] = ()
    ) -> Sequence[AgentRecord]:
        """Store agents that are new to their cluster; return what is stored for each, in order.

        One that is known keeps its fingerprint, so that the caller sees whether its name was pointed at another
        store. Only for a name in `repoint` is it replaced. The kind is brought up to date. Idempotent.
        """

    @abstractmethod
    async def list_agents(self, cluster_id: str) -> Sequence[AgentRecord]:
        """Return the cluster's agents by name. `heartbeat_at` is the last one of a worker on it."""

    @abstractmethod
    async def register_host(self, host: HostRecord) -> None:
        """Store a host of the cluster, or what is new about it."""

    @abstractmethod
    async def list_hosts(self, cluster_id: str) -> Sequence[HostRecord]:
        """Return the cluster's hosts by name. `heartbeat_at` is the last one of a worker on it.

        A host of which no worker is left, alive or not yet pruned, is left out.
        """
