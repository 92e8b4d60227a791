"""Buckets that were left behind, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import RescueStore
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import OWNED, RUNNING
from jobmaster.models import Bucket
from jobmaster.states import BucketStatus, WorkerStatus


@define(eq=False, repr=False, slots=False)
class MemoryRescue(RescueStore):
    """Buckets that were left behind, in memory."""

    rows: MasterRows

    async def is_needed(self, cluster_id: str) -> bool:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return self.rows.is_rescue_needed(cluster_id)

    async def take_lost_buckets(
        self, cluster_id: str, rescuer: UUID, limit: int, agents: Sequence[str] | None = None
    ) -> Sequence[Bucket]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            self._declare_lost(cluster_id)
            left = [
                b
                for b in tables.buckets.values()
                if b.cluster_id == cluster_id
                and b.status in OWNED
                and self.rows.is_left_behind(b)
                and (agents is None or b.agent in agents)
            ]
            return [self._take(bucket, rescuer) for bucket in left[:limit]]

    def _declare_lost(self, cluster_id: str) -> None:
        for worker in list(self.rows.tables.workers.values()):
            expired = worker.status in RUNNING and not self.rows.is_leased(worker.id)
            if worker.cluster_id == cluster_id and expired:
                self.rows.tables.workers[worker.id] = evolve(worker, status=WorkerStatus.LOST)

    def _take(self, bucket: Bucket, rescuer: UUID) -> Bucket:
        self.rows.tables.lost_at.setdefault(bucket.id, self.rows.now())
        taken = self.rows.set_status(bucket, BucketStatus.DRAINING, epoch=bucket.epoch + 1, worker_id=rescuer)
        return evolve(taken, former_owner=bucket.worker_id)

    async def sweep_orphans(self, cluster_id: str) -> int:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return self.rows.hold_or_end(
                row for row in self.rows.orphans() if row.job.cluster_id == cluster_id
            )
