"""Controlling clusters and workers on any SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import orjson

from jobmaster.contracts import ClusterChange, ControlStore, Orders
from jobmaster.errors import StoreError
from jobmaster.models import ClusterRecord
from jobmaster.states import WorkerRequest, WorkerStatus
from jobmaster_sql.rows import cluster_of
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Query, Unit

_LOST: Final = WorkerStatus.LOST.code


class SqlControlStore(SqlStore, ControlStore):
    """Implements `ControlStore`; the contract's docstrings say what each method does."""

    async def change_cluster(self, cluster_id: str, change: ClusterChange) -> ClusterRecord | None:
        """Apply a change; return the changed cluster, or None."""
        return await self._driver.run(lambda: self._change_cluster(cluster_id, change))

    def _change_cluster(self, cluster_id: str, change: ClusterChange) -> Unit[ClusterRecord | None]:
        found: Answer = yield Query("cluster_lock", {"id": cluster_id})
        if not found.rows:
            return None
        cluster = cluster_of(found.rows[0])
        if cluster.damaged:
            raise StoreError(
                f"cluster {cluster_id!r} cannot be changed, as its row cannot be read: {cluster.damaged}; correct it in the "
                "database (changes '{}' and paused_lanes '[]' stand for none)"
            )
        cluster = change.applied_to(cluster)
        params = {
            "id": cluster.id,
            "mode": cluster.mode.code,
            "changes": orjson.dumps(cluster.changes).decode(),
            "paused_lanes": orjson.dumps(sorted(cluster.paused_lanes)).decode(),
        }
        yield Query("cluster_change", params, last=True)
        return cluster

    async def request_worker(self, cluster_id: str, name: str, request: WorkerRequest) -> Sequence[UUID]:
        """Record a request for every worker of this name that runs, or that was lost and may be back; return ids."""
        return await self._driver.run(lambda: self._request_worker(cluster_id, name, request))

    def _request_worker(self, cluster_id: str, name: str, request: WorkerRequest) -> Unit[list[UUID]]:
        who = {"cluster_id": cluster_id, "name": name}
        ask = Query("worker_request", {**who, "request": request.code})
        answers: list[Answer] = yield ask, Query("worker_named", who, last=True)
        found = [(self._dialect.to_uuid(id_), status != _LOST) for id_, status in answers[1].rows]
        return [id_ for id_, runs in found if runs] or [id_ for id_, _ in found]

    async def read_orders(self, cluster_id: str, process_id: UUID) -> Orders | None:
        """Return the cluster and the requests to a process's workers, or None."""
        return await self._driver.run(lambda: self._read_orders(cluster_id, process_id), read_only=True)

    def _read_orders(self, cluster_id: str, process_id: UUID) -> Unit[Orders | None]:
        params = {"id": cluster_id, "process_id": self._dialect.uuid(process_id)}
        answer: Answer = yield Query("orders_read", params, last=True)
        if not answer.rows:
            return None
        asked = [(WorkerRequest.from_code(code), name) for *_, name, code in answer.rows if name is not None]
        by_weight = sorted(asked, key=lambda one: (one[0].is_known, one[0].code))
        requests = {name: request for request, name in by_weight}
        return Orders(cluster=cluster_of(answer.rows[0]), requests=requests)
