"""Reading buckets of a master's own rows, in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import ClaimStore
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.paging import due_page
from jobmaster.memory.rows import Live, claim_of
from jobmaster.models import Bucket, BucketPage, Cursor, Position


@define(eq=False, repr=False, slots=False)
class MemoryClaims(ClaimStore):
    """Reading buckets of a master's own rows, in memory."""

    rows: MasterRows

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            self.rows.owned(bucket)
            page = due_page(self.rows.in_bucket(bucket.id), cursor, limit, self.rows.now())
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
        tables, last = self.rows.tables, page[-1].position
        furthest = tables.handed_out[bucket.id] = max(last, tables.handed_out.get(bucket.id, last))
        tables.buckets[bucket.id] = evolve(tables.buckets[bucket.id], claimed_to=Position(*furthest))

    async def due(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            now = self.rows.now()
            return frozenset(
                bucket.id
                for bucket in buckets
                if any(r.ready_at <= now for r in self.rows.in_bucket(bucket.id))
            )

    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            self.rows.owned(bucket)
            lost_at, to = tables.lost_at.get(bucket.id, self.rows.now()), tables.handed_out.get(bucket.id)
            rows = [
                row
                for row in self.rows.in_bucket(bucket.id)
                if to is not None and row.position <= to and row.ready_at <= lost_at
            ]
            claims = [claim_of(row, bucket) for row in rows[:limit]]
            return BucketPage(claims=claims, cursor=Cursor(), more=len(rows) > limit)

    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return frozenset(bucket.id for bucket in buckets if self.rows.unread(bucket.id, waited))
