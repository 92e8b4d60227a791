"""What was left behind by lost workers, on any SQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from attrs import evolve

from jobmaster.contracts import RescueStore
from jobmaster.models import Bucket
from jobmaster_sql.ending import let_go
from jobmaster_sql.rows import bucket_of
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Query, Unit


class SqlRescueStore(SqlStore, RescueStore):
    """Implements `RescueStore`; the contract's docstrings say what each method does."""

    async def is_needed(self, cluster_id: str) -> bool:
        """Return whether a lease has run out, a bucket was left behind, or jobs lie in a bucket that no worker reads."""
        return await self._driver.run(lambda: self._is_needed(cluster_id), read_only=True)

    def _is_needed(self, cluster_id: str) -> Unit[bool]:
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
