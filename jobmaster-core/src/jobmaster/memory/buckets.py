"""Buckets and their owners in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import anyio
import anyio.lowlevel
from attrs import evolve

from jobmaster.contracts import (
    BucketStore,
    Message,
)
from jobmaster.memory.base import MemoryBase
from jobmaster.memory.paging import due_page
from jobmaster.memory.rows import (
    OWNED,
    RUNNING,
    Live,
    claim_of,
)
from jobmaster.models import (
    Bucket,
    BucketPage,
    Cursor,
    Load,
    Position,
)
from jobmaster.states import BucketStatus, WorkerStatus


class MemoryBuckets(MemoryBase, BucketStore):
    """Buckets and their owners in memory."""

    async def list_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        await anyio.lowlevel.checkpoint()
        return [b for b in self._store.buckets.values() if b.cluster_id == cluster_id]

    async def active_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            owned = [
                b
                for b in store.buckets.values()
                if b.cluster_id == cluster_id and b.status is BucketStatus.ACTIVE
            ]
            unheard = {id_: self._unheard(id_) for id_ in {b.worker_id for b in owned} if self._leased(id_)}
            return [
                evolve(b, unheard=unheard[b.worker_id], silent=self._is_silent(b))
                for b in owned
                if b.worker_id in unheard
            ]

    def _is_silent(self, bucket: Bucket) -> bool:
        heard_at = self._store.workers[bucket.worker_id].heartbeat_at
        silent_at = self._store.silent_at.get(bucket.id)
        return silent_at is not None and heard_at is not None and silent_at >= heard_at

    async def mark_silent(self, bucket_ids: Sequence[UUID]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            store.silent_at |= dict.fromkeys(bucket_ids, self._clock.now())

    def _unheard(self, worker_id: UUID) -> float:
        """Return the seconds since a worker's last heartbeat."""
        now = self._clock.now()
        return max(0.0, (now - (self._store.workers[worker_id].heartbeat_at or now)).total_seconds())

    async def tell_loads(self, loads: Mapping[UUID, Load]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            self._note_loads(loads, {w.id for w in store.workers.values() if w.status in RUNNING})

    async def set_bucket_status(self, bucket: Bucket, status: BucketStatus) -> bool:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            stored = store.buckets.get(bucket.id)
            if stored is None or stored.epoch != bucket.epoch:
                return False
            self._set_status(stored, status)
            return True

    async def needs_rescue(self, cluster_id: str) -> bool:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return self._is_rescue_needed(cluster_id)

    async def take_lost_buckets(
        self, cluster_id: str, rescuer: UUID, limit: int, agents: Sequence[str] | None = None
    ) -> Sequence[Bucket]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            self._declare_lost(cluster_id)
            left = [
                b
                for b in store.buckets.values()
                if b.cluster_id == cluster_id
                and b.status in OWNED
                and self._left_behind(b)
                and (agents is None or b.agent in agents)
            ]
            return [self._take(bucket, rescuer) for bucket in left[:limit]]

    def _declare_lost(self, cluster_id: str) -> None:
        for worker in list(self._store.workers.values()):
            expired = worker.status in RUNNING and not self._leased(worker.id)
            if worker.cluster_id == cluster_id and expired:
                self._store.workers[worker.id] = evolve(worker, status=WorkerStatus.LOST)

    def _take(self, bucket: Bucket, rescuer: UUID) -> Bucket:
        self._store.lost_at.setdefault(bucket.id, self._clock.now())
        taken = self._set_status(bucket, BucketStatus.DRAINING, epoch=bucket.epoch + 1, worker_id=rescuer)
        return evolve(taken, former_owner=bucket.worker_id)

    async def due_buckets(self, bucket_ids: Sequence[UUID]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            now = self._clock.now()
            return frozenset(
                id_ for id_ in bucket_ids if any(r.ready_at <= now for r in self._in_bucket(id_))
            )

    def _in_bucket(self, bucket_id: UUID) -> list[Live]:
        return sorted(self._store.live.among(bucket_id), key=lambda row: row.position)

    async def read_bucket(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            self._owned(bucket)
            page = due_page(self._in_bucket(bucket.id), cursor, limit, self._clock.now())
            self._record_claimed(bucket, page.rows)
            return BucketPage(
                claims=[claim_of(row, bucket) for row in page.rows if row.job.id not in known],
                cursor=page.cursor,
                more=page.more,
                next_due_in=page.next_due_in,
            )

    def _record_claimed(self, bucket: Bucket, page: Sequence[Live]) -> None:
        """Bound what the owner can have in flight by the furthest job that was ever handed out."""
        if not page:
            return
        store, last = self._store, page[-1].position
        furthest = store.handed_out[bucket.id] = max(last, store.handed_out.get(bucket.id, last))
        store.buckets[bucket.id] = evolve(store.buckets[bucket.id], claimed_to=Position(*furthest))

    async def read_exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            self._owned(bucket)
            lost_at, to = store.lost_at.get(bucket.id, self._clock.now()), store.handed_out.get(bucket.id)
            rows = [
                row
                for row in self._in_bucket(bucket.id)
                if to is not None and row.position <= to and row.ready_at <= lost_at
            ]
            claims = [claim_of(row, bucket) for row in rows[:limit]]
            return BucketPage(claims=claims, cursor=Cursor(), more=len(rows) > limit)

    async def unread_buckets(self, bucket_ids: Sequence[UUID], waited: float) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return frozenset(id_ for id_ in bucket_ids if self._unread(id_, waited))

    async def hold_unread(self, bucket: Bucket, waited: float, keep: int, limit: int) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return self._let_go(self._unread(bucket.id, waited)[keep : keep + limit])

    def _unread(self, bucket_id: UUID, waited: float) -> list[Live]:
        """Return due jobs of a bucket that were never handed out to its owner."""
        due, to = self._later(-waited), self._store.handed_out.get(bucket_id)
        return [
            row
            for row in self._in_bucket(bucket_id)
            if row.ready_at <= due and (to is None or row.position > to) and not row.cancel_requested
        ]

    async def hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            found = frozenset((one.new.job.id, one.attempt, one.placed) for one in messages)
            return self._let_go(
                row
                for row in self._in_bucket(bucket_id)
                if (row.job.id, row.attempt, row.placed) in found and not row.cancel_requested
            )

    async def bucket_holdings(self, cluster_id: str) -> Mapping[UUID, int]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            counts: dict[UUID, int] = {}
            for row in store.live.in_buckets():
                if row.bucket_id and row.job.cluster_id == cluster_id:
                    counts[row.bucket_id] = counts.get(row.bucket_id, 0) + 1
            return counts

    async def release_bucket(self, bucket: Bucket) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            self._owned(bucket)
            return self._let_go(self._in_bucket(bucket.id))

    async def sweep_orphans(self, cluster_id: str) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return self._let_go(row for row in self._orphans() if row.job.cluster_id == cluster_id)
