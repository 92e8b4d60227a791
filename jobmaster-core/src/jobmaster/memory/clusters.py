"""Clusters and workers in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import anyio
import anyio.lowlevel
from attrs import evolve

from jobmaster.contracts import REQUESTS_KEPT, ClusterStore, HeartbeatReply
from jobmaster.memory.base import MemoryBase
from jobmaster.memory.rows import (
    OWNED,
    RUNNING,
)
from jobmaster.models import (
    Bucket,
    ClusterRecord,
    Load,
    WorkerRecord,
)
from jobmaster.states import BucketStatus, WorkerStatus


class MemoryClusters(MemoryBase, ClusterStore):
    """Clusters and workers in memory."""

    async def register_cluster(self, cluster: ClusterRecord) -> ClusterRecord:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            known = store.clusters.get(cluster.id)
            if known is None:
                stored = ClusterRecord(
                    id=cluster.id,
                    mode=cluster.mode,
                    settings=cluster.settings,
                    created_at=self._clock.now(),
                )
            else:
                stored = evolve(known, settings=cluster.settings)
            store.clusters[cluster.id] = stored
            return stored

    async def get_cluster(self, cluster_id: str) -> ClusterRecord | None:
        await anyio.lowlevel.checkpoint()
        return self._store.clusters.get(cluster_id)

    async def register_worker(self, worker: WorkerRecord, buckets: Sequence[Bucket], lease: float) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            now = self._clock.now()
            until = now + timedelta(seconds=lease)
            store.workers.setdefault(
                worker.id, evolve(worker, started_at=now, heartbeat_at=now, lease_until=until)
            )
            for bucket in buckets:
                store.buckets.setdefault(bucket.id, evolve(bucket, created_at=now, status_changed_at=now))

    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            now, until = self._clock.now(), self._later(lease)
            alive = [w for w in worker_ids if w in store.workers and store.workers[w].status in RUNNING]
            for worker_id in alive:
                renewed = evolve(store.workers[worker_id], heartbeat_at=now, lease_until=until)
                store.workers[worker_id] = renewed
            self._note_loads(loads, alive)
            return HeartbeatReply(
                alive=frozenset(alive),
                cancelling=frozenset(alive) & self._cancelling(),
                needs_rescue=bool(alive and rescuing is not None and self._is_rescue_needed(rescuing)),
            )

    def _cancelling(self) -> set[UUID]:
        """Return the workers that have jobs to cancel in their buckets."""
        store = self._store
        marked = {row.bucket_id for row in store.live.in_buckets() if row.cancel_requested}
        return {store.buckets[id_].worker_id for id_ in marked if id_ in store.buckets}

    async def set_worker_stopping(self, worker_id: UUID) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            worker = store.workers.get(worker_id)
            if worker is None or worker.status is not WorkerStatus.ACTIVE:
                return
            store.workers[worker_id] = evolve(worker, status=WorkerStatus.STOPPING)
            for bucket in list(store.buckets.values()):
                if bucket.worker_id == worker_id and bucket.status is BucketStatus.ACTIVE:
                    self._set_status(bucket, BucketStatus.COMPLETING)

    async def retire_worker(self, worker_id: UUID) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            worker = store.workers.get(worker_id)
            if worker and worker.status in RUNNING:
                store.workers[worker_id] = evolve(worker, status=WorkerStatus.STOPPED)

    async def list_workers(self, cluster_id: str) -> Sequence[WorkerRecord]:
        await anyio.lowlevel.checkpoint()
        return [w for w in reversed(self._store.workers.values()) if w.cluster_id == cluster_id]

    async def prune_workers(self, cluster_id: str, age: float, before: datetime | None = None) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            limit, asked_limit = self._before(age, before), self._before(max(age, REQUESTS_KEPT), before)
            gone = [
                w.id
                for w in store.workers.values()
                if w.cluster_id == cluster_id
                and w.status not in RUNNING
                and (w.heartbeat_at or limit) < (asked_limit if _is_missed(w) else limit)
                and not any(b.worker_id == w.id and b.status in OWNED for b in store.buckets.values())
            ]
            for worker_id in gone:
                del store.workers[worker_id]
            for bucket in list(store.buckets.values()):
                ready = bucket.cluster_id == cluster_id and bucket.status is BucketStatus.READY_TO_DELETE
                if ready and (bucket.status_changed_at or limit) < limit:
                    del store.buckets[bucket.id]
                    store.lost_at.pop(bucket.id, None)
                    store.handed_out.pop(bucket.id, None)
                    store.silent_at.pop(bucket.id, None)
            return len(gone)


def _is_missed(worker: WorkerRecord) -> bool:
    """Whether a lost worker has a request, and may come back to follow it."""
    return worker.status is WorkerStatus.LOST and worker.request is not None
