"""Buckets in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import BucketStore, Message
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import RUNNING
from jobmaster.models import Bucket, Load
from jobmaster.states import BucketStatus


@define(eq=False, repr=False, slots=False)
class MemoryBuckets(BucketStore):
    """Buckets in memory."""

    rows: MasterRows

    async def list_all(self, cluster_id: str) -> Sequence[Bucket]:
        await anyio.lowlevel.checkpoint()
        return [b for b in self.rows.tables.buckets.values() if b.cluster_id == cluster_id]

    async def list_active(self, cluster_id: str) -> Sequence[Bucket]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            owned = [
                b
                for b in tables.buckets.values()
                if b.cluster_id == cluster_id and b.status is BucketStatus.ACTIVE
            ]
            unheard = {
                id_: self._unheard(id_) for id_ in {b.worker_id for b in owned} if self.rows.is_leased(id_)
            }
            return [
                evolve(b, unheard=unheard[b.worker_id], silent=self._is_silent(b))
                for b in owned
                if b.worker_id in unheard
            ]

    def _is_silent(self, bucket: Bucket) -> bool:
        heard_at = self.rows.tables.workers[bucket.worker_id].heartbeat_at
        silent_at = self.rows.tables.silent_at.get(bucket.id)
        return silent_at is not None and heard_at is not None and silent_at >= heard_at

    def _unheard(self, worker_id: UUID) -> float:
        """Return the seconds since a worker's last heartbeat."""
        now = self.rows.now()
        return max(0.0, (now - (self.rows.tables.workers[worker_id].heartbeat_at or now)).total_seconds())

    async def set_status(self, bucket: Bucket, status: BucketStatus) -> bool:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            stored = tables.buckets.get(bucket.id)
            if stored is None or stored.epoch != bucket.epoch:
                return False
            self.rows.set_status(stored, status)
            return True

    async def mark_silent(self, bucket_ids: Sequence[UUID]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            tables.silent_at |= dict.fromkeys(bucket_ids, self.rows.now())

    async def note_loads(self, loads: Mapping[UUID, Load]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            self.rows.note_loads(loads, {w.id for w in tables.workers.values() if w.status in RUNNING})

    async def holdings(self, cluster_id: str) -> Mapping[UUID, int]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            counts: dict[UUID, int] = {}
            for row in tables.live.in_buckets():
                if row.bucket_id and row.job.cluster_id == cluster_id:
                    counts[row.bucket_id] = counts.get(row.bucket_id, 0) + 1
            return counts

    async def hold_unread(self, bucket: Bucket, waited: float, keep: int, limit: int) -> int:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return self.rows.hold_or_end(self.rows.unread(bucket.id, waited)[keep : keep + limit])

    async def hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> int:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            found = frozenset((one.new.job.id, one.attempt, one.placed) for one in messages)
            return self.rows.hold_or_end(
                row
                for row in self.rows.in_bucket(bucket_id)
                if (row.job.id, row.attempt, row.placed) in found and not row.cancel_requested
            )

    async def release(self, bucket: Bucket) -> int:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            self.rows.owned(bucket)
            return self.rows.hold_or_end(self.rows.in_bucket(bucket.id))
