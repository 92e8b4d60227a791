"""Clusters in memory."""

from __future__ import annotations

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import ClusterStore
from jobmaster.memory.master_rows import MasterRows
from jobmaster.models import ClusterRecord


@define(eq=False, repr=False, slots=False)
class MemoryClusters(ClusterStore):
    """Clusters in memory."""

    rows: MasterRows

    async def register(self, cluster: ClusterRecord) -> ClusterRecord:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            known = tables.clusters.get(cluster.id)
            if known is None:
                stored = ClusterRecord(
                    id=cluster.id, mode=cluster.mode, settings=cluster.settings, created_at=self.rows.now()
                )
            else:
                stored = evolve(known, settings=cluster.settings)
            tables.clusters[cluster.id] = stored
            return stored

    async def get(self, cluster_id: str) -> ClusterRecord | None:
        await anyio.lowlevel.checkpoint()
        return self.rows.tables.clusters.get(cluster_id)
