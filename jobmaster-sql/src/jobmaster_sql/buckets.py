"""Buckets and their owners on any SQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from jobmaster.contracts import BucketStore, Message
from jobmaster.models import Bucket, Load
from jobmaster.states import BucketStatus
from jobmaster_sql.ending import let_go
from jobmaster_sql.message_rows import by_placing
from jobmaster_sql.rows import bucket_of, load_batch, micros
from jobmaster_sql.store import SqlStore, lock_owned
from jobmaster_sql.units import Answer, Query, Unit
from jobmaster_sql.unread import take_unread


class SqlBucketStore(SqlStore, BucketStore):
    """Implements `BucketStore`; the contract's docstrings say what each method does."""

    async def list_all(self, cluster_id: str) -> Sequence[Bucket]:
        """Return all buckets of the cluster."""
        return await self._driver.run(lambda: self._buckets("bucket_list", cluster_id), read_only=True)

    async def list_active(self, cluster_id: str) -> Sequence[Bucket]:
        """Return the buckets that take new jobs."""
        return await self._driver.run(lambda: self._buckets("bucket_active", cluster_id), read_only=True)

    def _buckets(self, name: str, cluster_id: str) -> Unit[list[Bucket]]:
        answer: Answer = yield Query(name, {"cluster_id": cluster_id}, last=True)
        return [bucket_of(row, self._dialect) for row in answer.rows]

    async def set_status(self, bucket: Bucket, status: BucketStatus) -> bool:
        """Change the status of an owned bucket; return whether the caller still owned it."""
        return await self._driver.run(lambda: self._set_status(bucket, status))

    def _set_status(self, bucket: Bucket, status: BucketStatus) -> Unit[bool]:
        params = {"id": self._dialect.uuid(bucket.id), "epoch": bucket.epoch, "status": status.code}
        answer: Answer = yield Query("bucket_set_status", params, last=True)
        return answer.touched > 0

    async def mark_silent(self, bucket_ids: Sequence[UUID]) -> None:
        """Record that the owners of buckets leave due jobs unread."""
        await self._driver.run(lambda: self._mark_silent(bucket_ids))

    def _mark_silent(self, bucket_ids: Sequence[UUID]) -> Unit[None]:
        yield Query("bucket_silent", {"ids": self._dialect.uuids(bucket_ids)}, last=True)

    async def note_loads(self, loads: Mapping[UUID, Load]) -> None:
        """Record the loads of buckets."""
        if loads:
            await self._driver.run(lambda: self._note_loads(loads))

    def _note_loads(self, loads: Mapping[UUID, Load]) -> Unit[None]:
        yield load_batch(loads, self._dialect)

    async def holdings(self, cluster_id: str) -> Mapping[UUID, int]:
        """Return the number of live jobs by bucket id, for every bucket that has any."""
        return await self._driver.run(lambda: self._holdings(cluster_id), read_only=True)

    def _holdings(self, cluster_id: str) -> Unit[dict[UUID, int]]:
        answer: Answer = yield Query("bucket_holdings", {"cluster_id": cluster_id}, last=True)
        return {self._dialect.to_uuid(bucket_id): count for bucket_id, count in answer.rows}

    async def hold_unread(self, bucket: Bucket, waited: float, keep: int, limit: int) -> int:
        """Hold due jobs that the owner of a bucket has not read on the master again; return their number."""
        which = Query("bucket_hold_unread", {"waited": micros(waited), "keep": keep, "limit": limit})
        return await self._driver.run(lambda: take_unread(bucket, which, self._dialect))

    async def hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> int:
        """Hold jobs whose messages were set aside on an agent again."""
        return await self._driver.run(lambda: self._hold_messages(bucket_id, messages)) if messages else 0

    def _hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> Unit[int]:
        answers: list[Answer] = yield by_placing("live_hold", bucket_id, messages, self._dialect)
        return sum(answer.touched for answer in answers)

    async def release(self, bucket: Bucket) -> int:
        """Hold all jobs of an owned bucket on the master again; return their number."""
        return await self._driver.run(lambda: self._release(bucket))

    def _release(self, bucket: Bucket) -> Unit[int]:
        yield from lock_owned(bucket, self._dialect)
        hold = Query("bucket_release", {"bucket_id": self._dialect.uuid(bucket.id)})
        return (yield from let_go(hold, Query("live_marked", {"ids": self._dialect.uuids([bucket.id])})))
