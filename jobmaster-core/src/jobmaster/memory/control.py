"""Control of a running cluster, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import ClusterChange, ControlStore, Orders
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import RUNNING
from jobmaster.models import ClusterRecord
from jobmaster.states import WorkerRequest, WorkerStatus


@define(eq=False, repr=False, slots=False)
class MemoryControl(ControlStore):
    """Control of a running cluster, in memory."""

    rows: MasterRows

    async def change_cluster(self, cluster_id: str, change: ClusterChange) -> ClusterRecord | None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            known = tables.clusters.get(cluster_id)
            if known is None:
                return None
            tables.clusters[cluster_id] = change.applied_to(known)
            return tables.clusters[cluster_id]

    async def request_worker(self, cluster_id: str, name: str, request: WorkerRequest) -> Sequence[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            asked = [
                w
                for w in tables.workers.values()
                if (w.cluster_id, w.name) == (cluster_id, name) and w.status is not WorkerStatus.STOPPED
            ]
            for worker in asked:
                if worker.request is not WorkerRequest.STOP:
                    tables.workers[worker.id] = evolve(worker, request=request)
            running = [worker.id for worker in asked if worker.status in RUNNING]
            return running or [worker.id for worker in asked]

    async def read_orders(self, cluster_id: str, process_id: UUID) -> Orders | None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            cluster = tables.clusters.get(cluster_id)
            if cluster is None:
                return None
            asked = [
                (w.request, w.name)
                for w in tables.workers.values()
                if (w.cluster_id, w.process_id) == (cluster_id, process_id) and w.request is not None
            ]
            by_weight = sorted(asked, key=lambda one: (one[0].is_known, one[0].code))
            return Orders(cluster=cluster, requests={name: request for request, name in by_weight})
