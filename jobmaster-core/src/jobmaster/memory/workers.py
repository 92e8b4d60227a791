"""Workers in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import REQUESTS_KEPT, HeartbeatReply, WorkerStore
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import OWNED, RUNNING
from jobmaster.models import Bucket, Load, WorkerRecord
from jobmaster.states import BucketStatus, WorkerStatus


@define(eq=False, repr=False, slots=False)
class MemoryWorkers(WorkerStore):
    """Workers in memory."""

    rows: MasterRows

    async def register(self, worker: WorkerRecord, buckets: Sequence[Bucket], lease: float) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            now = self.rows.now()
            until = now + timedelta(seconds=lease)
            tables.workers.setdefault(
                worker.id, evolve(worker, started_at=now, heartbeat_at=now, lease_until=until)
            )
            for bucket in buckets:
                tables.buckets.setdefault(bucket.id, evolve(bucket, created_at=now, status_changed_at=now))

    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            now, until = self.rows.now(), self.rows.later(lease)
            alive = [w for w in worker_ids if w in tables.workers and tables.workers[w].status in RUNNING]
            for worker_id in alive:
                renewed = evolve(tables.workers[worker_id], heartbeat_at=now, lease_until=until)
                tables.workers[worker_id] = renewed
            self.rows.note_loads(loads, alive)
            return HeartbeatReply(
                alive=frozenset(alive),
                cancelling=frozenset(alive) & self._cancelling(),
                needs_rescue=bool(alive and rescuing is not None and self.rows.is_rescue_needed(rescuing)),
            )

    def _cancelling(self) -> set[UUID]:
        """Return the workers that have jobs to cancel in their buckets."""
        tables = self.rows.tables
        marked = {row.bucket_id for row in tables.live.in_buckets() if row.cancel_requested}
        return {tables.buckets[id_].worker_id for id_ in marked if id_ in tables.buckets}

    async def set_stopping(self, worker_id: UUID) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            worker = tables.workers.get(worker_id)
            if worker is None or worker.status is not WorkerStatus.ACTIVE:
                return
            tables.workers[worker_id] = evolve(worker, status=WorkerStatus.STOPPING)
            for bucket in list(tables.buckets.values()):
                if bucket.worker_id == worker_id and bucket.status is BucketStatus.ACTIVE:
                    self.rows.set_status(bucket, BucketStatus.COMPLETING)

    async def retire(self, worker_id: UUID) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            worker = tables.workers.get(worker_id)
            if worker and worker.status in RUNNING:
                tables.workers[worker_id] = evolve(worker, status=WorkerStatus.STOPPED)

    async def list_all(self, cluster_id: str) -> Sequence[WorkerRecord]:
        await anyio.lowlevel.checkpoint()
        return [w for w in reversed(self.rows.tables.workers.values()) if w.cluster_id == cluster_id]

    async def prune(self, cluster_id: str, age: float, before: datetime | None = None) -> int:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            limit = self.rows.before(age, before)
            asked_limit = self.rows.before(max(age, REQUESTS_KEPT), before)
            gone = [
                w.id
                for w in tables.workers.values()
                if w.cluster_id == cluster_id
                and w.status not in RUNNING
                and (w.heartbeat_at or limit) < (asked_limit if _is_missed(w) else limit)
                and not any(b.worker_id == w.id and b.status in OWNED for b in tables.buckets.values())
            ]
            for worker_id in gone:
                del tables.workers[worker_id]
            for bucket in list(tables.buckets.values()):
                ready = bucket.cluster_id == cluster_id and bucket.status is BucketStatus.READY_TO_DELETE
                if ready and (bucket.status_changed_at or limit) < limit:
                    del tables.buckets[bucket.id]
                    tables.lost_at.pop(bucket.id, None)
                    tables.handed_out.pop(bucket.id, None)
                    tables.silent_at.pop(bucket.id, None)
            return len(gone)


def _is_missed(worker: WorkerRecord) -> bool:
    """Whether a lost worker has a request, and may come back to follow it."""
    return worker.status is WorkerStatus.LOST and worker.request is not None
