"""Reading buckets: on an agent, or on a master whose own rows are the buckets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from uuid import UUID

from jobmaster.models import Bucket, BucketPage, Cursor


class ClaimStore(ABC):
    """Claims jobs for the owners of buckets.

    Agents implement it for their messages, and masters for buckets of their own rows (standalone clusters). What is said
    of messages here holds for those rows: they count as acknowledged once they have left the bucket.
    """

    @abstractmethod
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        """Read up to `limit` messages that are due by the store's clock and come after `cursor`.

        * Only the bucket's owner calls this; it deletes nothing and takes no lock.
        * Order is by due time, then job id, where the capability `ordered` is declared.
        * A message may be handed out again (the owner ignores what it holds), but none that is due may be
          skipped for good, however late its push became visible.
        * `known` holds the ids of jobs that the caller has in flight and that come after `cursor`. A provider may leave
          them out, rather than read what is thrown away; they count towards `limit` all the same, which is greater.
        * A page ends with the message that brings it over `PAGE_BYTES` (jobmaster.weighing) of data; there are more
          messages then.
        * Before it returns, the store has recorded that these messages may be in flight: `exposed` of a later owner
          includes each of them until it is acknowledged.
        * Raises `LeaseLostError` if the bucket's epoch is no longer `bucket.epoch`.
        """

    @abstractmethod
    async def due(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        """Return the ids of the caller's buckets that hold a due message.

        The safety net of owners with nothing in flight, which otherwise wait for notifications: one query for all
        buckets, every few seconds.
        """

    @abstractmethod
    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Read messages that a former owner of this bucket may have had in flight, for the new owner.

        * The bucket belongs to the caller's epoch from then on, whether it was made here or not; a call with an
          earlier one raises `LeaseLostError`, as `pull` does.
        * Messages that became due over a second after the last `pull` that found something are not among them: a store
          that bounds what is in flight by a moment keeps that moment close.
        * Once these are acknowledged, the next call returns further ones.
        """

    @abstractmethod
    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        """Return the ids of the buckets that hold unread messages which have been due for `waited` seconds.

        Unread is what `asides.set_aside` would move. An agent that cannot move anything returns none.
        """
