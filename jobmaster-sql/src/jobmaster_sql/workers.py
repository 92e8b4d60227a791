"""Workers and their leases on any SQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from attrs import evolve

from jobmaster.contracts import REQUESTS_KEPT, HeartbeatReply, WorkerStore
from jobmaster.models import Bucket, Load, WorkerRecord
from jobmaster_sql.rows import load_batch, micros, old_params, worker_of
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Unit

_BUCKET_COLUMNS: Final = (
    "id",
    "cluster_id",
    "agent",
    "worker_id",
    "lane",
    "priority",
    "epoch",
    "status",
    "load",
    "free",
)


class SqlWorkerStore(SqlStore, WorkerStore):
    """Implements `WorkerStore`; the contract's docstrings say what each method does.

    Override point: `renew`.
    """

    async def register(self, worker: WorkerRecord, buckets: Sequence[Bucket], lease: float) -> None:
        """Store a worker with a lease, and its buckets as active, in one unit."""
        await self._driver.run(lambda: self._register(worker, buckets, lease))

    def _register(self, worker: WorkerRecord, buckets: Sequence[Bucket], lease: float) -> Unit[None]:
        add = Query("worker_add", self._worker_params(worker) | {"lease": micros(lease)})
        if not buckets:
            yield add
            return
        rows = [self._bucket_values(bucket) for bucket in buckets]
        yield add, Batch("bucket_add", _BUCKET_COLUMNS, rows, last=True)

    def _worker_params(self, worker: WorkerRecord) -> dict[str, Any]:
        return {
            "id": self._dialect.uuid(worker.id),
            "cluster_id": worker.cluster_id,
            "name": worker.name,
            "agent": worker.agent,
            "lane": worker.lane,
            "mode": worker.mode.code,
            "host": worker.host,
            "process_id": self._dialect.uuid(worker.process_id),
            "pid": worker.pid,
            "status": worker.status.code,
            "version": worker.version,
        }

    def _bucket_values(self, bucket: Bucket) -> tuple[Any, ...]:
        return (
            self._dialect.uuid(bucket.id),
            bucket.cluster_id,
            bucket.agent,
            self._dialect.uuid(bucket.worker_id),
            bucket.lane,
            int(bucket.priority),
            bucket.epoch,
            bucket.status.code,
            bucket.load,
            bucket.free,
        )

    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        """Renew leases and record loads; return which workers are alive, and what there is to do."""
        params = {"ids": self._dialect.uuids(worker_ids), "lease": micros(lease), "rescuing": rescuing}
        return await self._driver.run(lambda: self._heartbeat(params, loads))

    def _heartbeat(self, params: Mapping[str, Any], loads: Mapping[UUID, Load]) -> Unit[HeartbeatReply]:
        found: Answer = yield from self.renew(Query("worker_renew", params, last=not loads))
        if found.rows and loads:
            yield load_batch(loads, self._dialect)
        to_uuid = self._dialect.to_uuid
        return HeartbeatReply(
            alive=frozenset(to_uuid(id_) for id_, _, _ in found.rows),
            cancelling=frozenset(to_uuid(id_) for id_, cancelling, _ in found.rows if cancelling),
            needs_rescue=any(needs_rescue for _, _, needs_rescue in found.rows),
        )

    def renew(self, renewal: Query) -> Unit[Answer]:
        """Renew leases; return the ids of the workers whose lease was renewed, each with what there is to do."""
        answers: list[Answer] = yield evolve(renewal, last=False), evolve(renewal, name="worker_pulse")
        return answers[1]

    async def set_stopping(self, worker_id: UUID) -> None:
        """Record that a worker is stopping and that its active buckets take no new jobs."""
        await self._driver.run(lambda: self._set_stopping(worker_id))

    def _set_stopping(self, worker_id: UUID) -> Unit[None]:
        stored = self._dialect.uuid(worker_id)
        stopping: Answer = yield Query("worker_stopping", {"id": stored})
        if stopping.touched:
            yield Query("bucket_complete", {"worker_id": stored}, last=True)

    async def retire(self, worker_id: UUID) -> None:
        """Record that a worker has stopped by itself."""
        await self._driver.run(lambda: self._retire(worker_id))

    def _retire(self, worker_id: UUID) -> Unit[None]:
        yield Query("worker_retire", {"id": self._dialect.uuid(worker_id)}, last=True)

    async def list_all(self, cluster_id: str) -> Sequence[WorkerRecord]:
        """Return the cluster's workers, newest first."""
        return await self._driver.run(lambda: self._list(cluster_id), read_only=True)

    def _list(self, cluster_id: str) -> Unit[list[WorkerRecord]]:
        answer: Answer = yield Query("worker_list", {"cluster_id": cluster_id}, last=True)
        return [worker_of(row, self._dialect) for row in answer.rows]

    async def prune(self, cluster_id: str, age: float, before: datetime | None = None) -> int:
        """Delete old workers that stopped or were lost, and old buckets that are ready to delete."""
        params = {"cluster_id": cluster_id, **old_params(age, before)}
        return await self._driver.run(lambda: self._prune(params))

    def _prune(self, params: Mapping[str, Any]) -> Unit[int]:
        workers = Query("worker_prune", {**params, "requests_kept": micros(REQUESTS_KEPT)})
        answers: list[Answer] = yield workers, Query("bucket_prune", params, last=True)
        return answers[0].touched
