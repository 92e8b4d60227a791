"""Reading the buckets of an agent in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

import anyio.lowlevel
from attrs import define

from jobmaster.contracts import ClaimStore
from jobmaster.errors import LeaseLostError
from jobmaster.memory.agent_mail import AgentMail
from jobmaster.memory.paging import due_page
from jobmaster.models import Bucket, BucketPage, Cursor


@define(eq=False, repr=False, slots=False)
class MemoryMessageClaims(ClaimStore):
    """Reading the buckets of an agent in memory."""

    mail: AgentMail

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            if box.epochs.get(bucket.id) != bucket.epoch:
                raise _lost(bucket)
            page = due_page(box.in_bucket(bucket.id), cursor, limit, self.mail.now())
            for letter in page.rows:
                letter.handed_out = True
            return BucketPage(
                claims=[
                    letter.claim(bucket) for letter in page.rows if letter.message.new.job.id not in known
                ],
                cursor=page.cursor,
                more=page.more,
                next_due_in=page.next_due_in,
            )

    async def due(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            now = self.mail.now()
            return frozenset(
                bucket.id
                for bucket in buckets
                if any(x.ready_at <= now for x in box.letters.among(bucket.id))
            )

    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit() as box:
            if box.epochs.get(bucket.id, bucket.epoch) > bucket.epoch:
                raise _lost(bucket)
            box.epochs[bucket.id] = bucket.epoch
            found = [letter for letter in box.in_bucket(bucket.id) if letter.handed_out]
            claims = [letter.claim(bucket) for letter in found[:limit]]
            return BucketPage(claims=claims, cursor=Cursor(), more=len(found) > limit)

    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.mail.unit():
            return frozenset(bucket.id for bucket in buckets if self.mail.unread(bucket.id, waited))


def _lost(bucket: Bucket) -> LeaseLostError:
    return LeaseLostError(f"bucket {bucket.id} is no longer owned at epoch {bucket.epoch}")
