"""The clusters of a master."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jobmaster.models import ClusterRecord


class ClusterStore(ABC):
    """Clusters and their settings."""

    @abstractmethod
    async def register(self, cluster: ClusterRecord) -> ClusterRecord:
        """Store a cluster or update its settings (its mode only when it is new); return what is stored.

        Changes made with `control.change_cluster` stay.
        """

    @abstractmethod
    async def get(self, cluster_id: str) -> ClusterRecord | None:
        """Return a cluster, or None if this master has no such cluster."""
