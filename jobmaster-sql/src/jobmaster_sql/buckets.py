"""Buckets and their owners on any SQL database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from attrs import evolve

from jobmaster.contracts import BucketStore, Message
from jobmaster.models import STANDALONE, Bucket, BucketPage, Cursor, Load
from jobmaster.states import BucketStatus
from jobmaster_sql.driver import Dialect
from jobmaster_sql.ending import let_go
from jobmaster_sql.messages import by_placing
from jobmaster_sql.reading import BucketReader
from jobmaster_sql.rows import bucket_of, load_batch, micros
from jobmaster_sql.store import check_epoch
from jobmaster_sql.units import Answer, Query, Unit

_NEEDS_RESCUE: Final = """(EXISTS (
  SELECT 1 FROM {prefix}worker w
  WHERE w.cluster_id = :{{0}} AND w.status IN (1, 2)
    AND (w.lease_until < {now} OR w.heartbeat_at - (w.lease_until - w.heartbeat_at) > {now})
)
OR EXISTS (
  SELECT 1 FROM {prefix}bucket b
  WHERE b.cluster_id = :{{0}} AND b.status <> 5
    AND (b.status = 3 OR NOT EXISTS (SELECT 1 FROM {prefix}worker w WHERE w.id = b.worker_id AND w.status IN (1, 2)))
)
OR EXISTS (
  WITH RECURSIVE held(bucket_id) AS (
    SELECT (SELECT bucket_id FROM {prefix}live WHERE bucket_id IS NOT NULL ORDER BY bucket_id LIMIT 1)
    UNION ALL
    SELECT (SELECT l.bucket_id FROM {prefix}live l WHERE l.bucket_id > held.bucket_id ORDER BY l.bucket_id LIMIT 1)
    FROM held WHERE held.bucket_id IS NOT NULL
  )
  SELECT 1 FROM held
  WHERE bucket_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM {prefix}bucket b WHERE b.id = held.bucket_id AND b.status <> 5)
    AND EXISTS (SELECT 1 FROM {prefix}live l WHERE l.bucket_id = held.bucket_id AND l.cluster_id = :{{0}})
))"""
"""Whether there is anything to rescue, cheapest checks first; for the last one, see bucket_orphans."""

_IS_CANCELLING: Final = """EXISTS (
  SELECT 1 FROM {prefix}bucket b JOIN {prefix}live l ON l.bucket_id = b.id
  WHERE b.worker_id = {prefix}worker.id AND l.cancel_requested = 1
)"""


def bucket_macros(dialect: Dialect, prefix: str) -> Mapping[str, str]:
    """Return the macros about buckets.

    They state whether the message of a live row, by its alias, lies on an agent; whether a cluster, by the name of a
    parameter, needs a rescue; and whether the buckets of the `worker` row contain jobs to be cancelled.
    """
    bucket = f"SELECT 1 FROM {prefix}bucket b WHERE b.id = {{0}}.bucket_id"  # noqa: S608 - a checked prefix
    return {
        "on_an_agent": f"EXISTS ({bucket} AND b.agent <> '{STANDALONE}')",
        "needs_rescue": _NEEDS_RESCUE.format(prefix=prefix, now=dialect.now),
        "is_cancelling": _IS_CANCELLING.format(prefix=prefix),
    }


class SqlBucketStore(BucketReader, BucketStore):
    """Implements `BucketStore`; the contract's docstrings say what each method does."""

    async def list_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        """Return all buckets of the cluster."""
        return await self._driver.run(lambda: self._buckets("bucket_list", cluster_id), read_only=True)

    async def active_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        """Return the buckets that take new jobs."""
        return await self._driver.run(lambda: self._buckets("bucket_active", cluster_id), read_only=True)

    def _buckets(self, name: str, cluster_id: str) -> Unit[list[Bucket]]:
        answer: Answer = yield Query(name, {"cluster_id": cluster_id}, last=True)
        return [bucket_of(row, self._dialect) for row in answer.rows]

    async def set_bucket_status(self, bucket: Bucket, status: BucketStatus) -> bool:
        """Change the status of an owned bucket; return whether the caller still owned it."""
        return await self._driver.run(lambda: self._set_bucket_status(bucket, status))

    def _set_bucket_status(self, bucket: Bucket, status: BucketStatus) -> Unit[bool]:
        params = {"id": self._dialect.uuid(bucket.id), "epoch": bucket.epoch, "status": status.code}
        answer: Answer = yield Query("bucket_set_status", params, last=True)
        return answer.touched > 0

    async def needs_rescue(self, cluster_id: str) -> bool:
        """Return whether a lease has run out, a bucket was left behind, or jobs lie in a bucket that no worker reads."""
        return await self._driver.run(lambda: self._needs_rescue(cluster_id), read_only=True)

    def _needs_rescue(self, cluster_id: str) -> Unit[bool]:
        answer: Answer = yield Query("rescue_needed", {"cluster_id": cluster_id}, last=True)
        return bool(answer.rows)

    async def take_lost_buckets(
        self, cluster_id: str, rescuer: UUID, limit: int, agents: Sequence[str] | None = None
    ) -> Sequence[Bucket]:
        """Declare workers with an expired lease lost, and take over buckets that were left behind."""
        which = {
            "cluster_id": cluster_id,
            "everywhere": int(agents is None),
            "agents": self._dialect.array(agents or ()),
            "limit": limit,
        }
        return await self._driver.run(lambda: self._take_lost(cluster_id, rescuer, which))

    def _take_lost(self, cluster_id: str, rescuer: UUID, which: Mapping[str, Any]) -> Unit[list[Bucket]]:
        left_behind = Query("bucket_left_behind", which)
        answers: list[Answer] = yield Query("worker_expire", {"cluster_id": cluster_id}), left_behind
        if not answers[1].rows:
            return []
        found = {bucket_id: (owner, epoch) for bucket_id, owner, epoch in answers[1].rows}
        ids = self._dialect.array(list(found))
        take = Query("bucket_take", {"ids": ids, "rescuer": self._dialect.uuid(rescuer)})
        answers = yield take, Query("bucket_get", {"ids": ids}, last=True)
        taken = []
        for row in answers[1].rows:
            owner, epoch = found[row[0]]
            bucket = bucket_of(row, self._dialect)
            if bucket.epoch > epoch:
                taken.append(evolve(bucket, former_owner=self._dialect.to_uuid(owner)))
        return taken

    async def read_bucket(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        """Read due jobs beyond the cursor, and record what may be in flight."""
        return await self._read_bucket(bucket, cursor, limit, known)

    async def due_buckets(self, bucket_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Return the ids of the buckets that hold a job that is due."""
        return await self._driver.run(lambda: self._due_buckets(bucket_ids), read_only=True)

    async def unread_buckets(self, bucket_ids: Sequence[UUID], waited: float) -> frozenset[UUID]:
        """Return the ids of the buckets with due jobs that their owners have not read."""
        return await self._unread_buckets(bucket_ids, waited)

    async def hold_unread(self, bucket: Bucket, waited: float, keep: int, limit: int) -> int:
        """Hold due jobs that the owner of a bucket has not read on the master again; return their number."""
        which = Query("bucket_hold_unread", {"waited": micros(waited), "keep": keep, "limit": limit})
        return await self._driver.run(lambda: self._take_unread(bucket, which))

    async def hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> int:
        """Hold jobs whose messages were set aside on an agent again."""
        return await self._driver.run(lambda: self._hold_messages(bucket_id, messages)) if messages else 0

    def _hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> Unit[int]:
        answers: list[Answer] = yield by_placing("live_hold", bucket_id, messages, self._dialect)
        return sum(answer.touched for answer in answers)

    async def mark_silent(self, bucket_ids: Sequence[UUID]) -> None:
        """Record that the owners of buckets leave due jobs unread."""
        await self._driver.run(lambda: self._mark_silent(bucket_ids))

    def _mark_silent(self, bucket_ids: Sequence[UUID]) -> Unit[None]:
        yield Query("bucket_silent", {"ids": self._dialect.uuids(bucket_ids)}, last=True)

    async def tell_loads(self, loads: Mapping[UUID, Load]) -> None:
        """Record the loads of buckets."""
        if loads:
            await self._driver.run(lambda: self._tell_loads(loads))

    def _tell_loads(self, loads: Mapping[UUID, Load]) -> Unit[None]:
        yield load_batch(loads, self._dialect)

    async def read_exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Read the jobs that a former owner of this bucket may have had in flight."""
        return await self._driver.run(lambda: self._read_exposed(bucket, limit), read_only=True)

    def _read_exposed(self, bucket: Bucket, limit: int) -> Unit[BucketPage]:
        state: Answer = yield Query("bucket_lost_at", {"id": self._dialect.uuid(bucket.id)})
        check_epoch(bucket, state.rows)
        return (yield from self._exposed(bucket, limit, state.rows[0]))

    async def bucket_holdings(self, cluster_id: str) -> Mapping[UUID, int]:
        """Return the number of live jobs by bucket id, for every bucket that has any."""
        return await self._driver.run(lambda: self._holdings(cluster_id), read_only=True)

    def _holdings(self, cluster_id: str) -> Unit[dict[UUID, int]]:
        answer: Answer = yield Query("bucket_holdings", {"cluster_id": cluster_id}, last=True)
        return {self._dialect.to_uuid(bucket_id): count for bucket_id, count in answer.rows}

    async def release_bucket(self, bucket: Bucket) -> int:
        """Hold all jobs of an owned bucket on the master again; return their number."""
        return await self._driver.run(lambda: self._release(bucket))

    def _release(self, bucket: Bucket) -> Unit[int]:
        yield from self._lock_owned(bucket)
        hold = Query("bucket_release", {"bucket_id": self._dialect.uuid(bucket.id)})
        return (yield from let_go(hold, Query("live_marked", {"ids": self._dialect.uuids([bucket.id])})))

    async def sweep_orphans(self, cluster_id: str) -> int:
        """Hold jobs in buckets that no worker will ever read on the master again."""
        orphans = await self._driver.run(self._orphans, read_only=True)
        if not orphans:
            return 0
        return await self._driver.run(lambda: self._sweep(cluster_id, orphans))

    def _orphans(self) -> Unit[list[Any]]:
        answer: Answer = yield Query("bucket_orphans", last=True)
        return [row[0] for row in answer.rows]

    def _sweep(self, cluster_id: str, orphans: Sequence[Any]) -> Unit[int]:
        params = {"cluster_id": cluster_id, "ids": self._dialect.array(orphans)}
        return (yield from let_go(Query("bucket_sweep", params), Query("bucket_sweep_marked", params)))
