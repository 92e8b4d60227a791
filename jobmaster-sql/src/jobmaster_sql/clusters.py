"""Clusters on any SQL database."""

from __future__ import annotations

import orjson

from jobmaster.contracts import ClusterStore
from jobmaster.models import ClusterRecord
from jobmaster_sql.rows import cluster_of
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Query, Unit


class SqlClusterStore(SqlStore, ClusterStore):
    """Implements `ClusterStore`; the contract's docstrings say what each method does."""

    async def register(self, cluster: ClusterRecord) -> ClusterRecord:
        """Store a cluster or update its settings; return what is stored."""
        return await self._driver.run(lambda: self._register(cluster))

    def _register(self, cluster: ClusterRecord) -> Unit[ClusterRecord]:
        settings = orjson.dumps(cluster.settings).decode()
        put = Query("cluster_put", {"id": cluster.id, "mode": cluster.mode.code, "settings": settings})
        answers: list[Answer] = yield put, Query("cluster_get", {"id": cluster.id}, last=True)
        return cluster_of(answers[1].rows[0])

    async def get(self, cluster_id: str) -> ClusterRecord | None:
        """Return a cluster, or None."""
        return await self._driver.run(lambda: self._get(cluster_id), read_only=True)

    def _get(self, cluster_id: str) -> Unit[ClusterRecord | None]:
        answer: Answer = yield Query("cluster_get", {"id": cluster_id}, last=True)
        return cluster_of(answer.rows[0]) if answer.rows else None
