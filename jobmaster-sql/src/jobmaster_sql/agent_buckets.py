"""The buckets of an agent on any SQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from jobmaster.contracts import AgentBucketStore, Backlog
from jobmaster.models import Bucket
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Unit


class SqlAgentBucketStore(SqlStore, AgentBucketStore):
    """Implements `AgentBucketStore`; the contract's docstrings say what each method does."""

    async def create(self, buckets: Sequence[Bucket]) -> None:
        """Record the buckets and the epochs of their owners."""
        if buckets:
            await self._driver.run(lambda: self._create(buckets))

    def _create(self, buckets: Sequence[Bucket]) -> Unit[None]:
        rows = [(self._dialect.uuid(bucket.id), bucket.epoch) for bucket in buckets]
        yield Batch("bucket_add", ("id", "epoch"), rows, last=True)

    async def drop(self, bucket_id: UUID) -> bool:
        """Delete a bucket if it is empty; return whether it is gone."""
        return await self._driver.run(lambda: self._drop(bucket_id))

    def _drop(self, bucket_id: UUID) -> Unit[bool]:
        params = {"id": self._dialect.uuid(bucket_id)}
        answers: list[Answer] = yield Query("bucket_drop", params), Query("bucket_left", params, last=True)
        return not answers[1].rows

    async def holdings(self) -> Mapping[UUID, int]:
        """Return the number of messages by bucket id."""
        return await self._driver.run(self._holdings, read_only=True)

    def _holdings(self) -> Unit[dict[UUID, int]]:
        answer: Answer = yield Query("bucket_holdings", last=True)
        return {self._dialect.to_uuid(bucket_id): count for bucket_id, count in answer.rows}

    async def backlog(self, cluster_id: str) -> Mapping[UUID, Backlog]:
        """Return the backlog of each bucket of a cluster that holds messages."""
        return await self._driver.run(lambda: self._backlog(cluster_id), read_only=True)

    def _backlog(self, cluster_id: str) -> Unit[dict[UUID, Backlog]]:
        answer: Answer = yield Query("bucket_backlog", {"cluster_id": cluster_id}, last=True)
        return {
            self._dialect.to_uuid(bucket_id): Backlog(
                messages=count,
                save_pending=pending,
                oldest_save_pending=None if oldest is None else max(0, oldest) / 1_000_000,
            )
            for bucket_id, count, pending, oldest in answer.rows
        }
