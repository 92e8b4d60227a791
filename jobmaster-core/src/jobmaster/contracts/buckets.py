"""The buckets of a cluster, and what is done to them as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from uuid import UUID

from jobmaster.contracts.messages import Message
from jobmaster.models import Bucket, Load
from jobmaster.states import BucketStatus


class BucketStore(ABC):
    """Buckets, their owners, and the jobs that leave them for the master again."""

    @abstractmethod
    async def list_all(self, cluster_id: str) -> Sequence[Bucket]:
        """Return all buckets of the cluster."""

    @abstractmethod
    async def list_active(self, cluster_id: str) -> Sequence[Bucket]:
        """Return the buckets that take new jobs: active, with a worker whose lease has not run out.

        Each has `unheard`, the seconds since its worker's last heartbeat by the store's clock, and `silent`: whether it
        was marked silent since that heartbeat and since its load was last reported.
        """

    @abstractmethod
    async def set_status(self, bucket: Bucket, status: BucketStatus) -> bool:
        """Change the status of a bucket the caller owns (same epoch); return whether it still owned it."""

    @abstractmethod
    async def mark_silent(self, bucket_ids: Sequence[UUID]) -> None:
        """Note that the owners of buckets leave due jobs unread: they are silent until they show a sign of life."""

    @abstractmethod
    async def note_loads(self, loads: Mapping[UUID, Load]) -> None:
        """Note the loads of buckets, as a heartbeat does, between two heartbeats. Buckets of lost workers are left alone."""

    @abstractmethod
    async def holdings(self, cluster_id: str) -> Mapping[UUID, int]:
        """Return the number of live jobs by bucket id, for every bucket that has any."""

    @abstractmethod
    async def hold_unread(self, bucket: Bucket, waited: float, keep: int, limit: int) -> int:
        """Hold due jobs on the master again that the owner of a bucket has not read; return their number.

        * Only jobs that have been due for `waited` seconds, and that the owner neither has in flight nor will receive:
          an owner that reads at the same time learns of it before it has any of them. Nothing is taken from an owner
          that cannot do this (one that runs older code, say).
        * The first `keep` of them stay, and at most `limit` are taken, in the order of due time and id. Jobs that are
          to be cancelled stay.
        * Any process may call this, no matter which worker owns the bucket or whether it is alive.
        """

    @abstractmethod
    async def hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> int:
        """Hold jobs on the master again that it has in a bucket on an agent; return how many.

        For a caller that found their messages aside there (`AsideStore.set_aside`). Jobs that are no longer in
        that bucket at that attempt and placing, or that are to be cancelled, are left alone. Idempotent, no matter how
        late the call comes.
        """

    @abstractmethod
    async def release(self, bucket: Bucket) -> int:
        """Hold all jobs of an owned bucket on the master again, as they are; return their number.

        For an owner that has none of them in flight any more. Jobs that are to be cancelled end instead: a held job
        goes to another bucket, whose owner may run it before it learns of the request. A concurrent request finds the
        job either in the bucket or held, and takes effect in both cases.

        Raises `LeaseLostError` if the epoch is no longer the caller's.
        """
