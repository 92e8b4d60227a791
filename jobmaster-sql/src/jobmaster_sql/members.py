"""Agents and hosts of clusters on any SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from jobmaster.contracts import MemberStore
from jobmaster.models import AgentRecord, HostRecord
from jobmaster_sql.rows import agent_of, host_of, micros
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Unit

_AGENT: Final = ("cluster_id", "name", "kind", "fingerprint", "repoint")


_FORGOTTEN_AFTER: Final = 3600.0
"""Seconds after which a host without workers is deleted: containers have a new name each time."""


class SqlMemberStore(SqlStore, MemberStore):
    """Implements `MemberStore`; the contract's docstrings say what each method does."""

    async def register_agents(
        self, agents: Sequence[AgentRecord], *, repoint: Sequence[str] = ()
    ) -> Sequence[AgentRecord]:
        """Store agents that are new to their cluster; return what is stored for each, in order."""
        if not agents:
            return []
        return await self._driver.run(lambda: self._register_agents(agents, frozenset(repoint)))

    def _register_agents(
        self, agents: Sequence[AgentRecord], repoint: frozenset[str]
    ) -> Unit[list[AgentRecord]]:
        # Sorted by key, so that two callers lock in the same order.
        rows = sorted((a.cluster_id, a.name, a.kind, a.fingerprint, int(a.name in repoint)) for a in agents)
        clusters = self._dialect.array(sorted({agent.cluster_id for agent in agents}))
        answers: list[Answer] = yield (
            Batch("agent_put", _AGENT, rows),
            Query("agent_list", {"clusters": clusters}, last=True),
        )
        stored = {(row[0], row[1]): agent_of(row) for row in answers[1].rows}
        return [stored[agent.cluster_id, agent.name] for agent in agents]

    async def list_agents(self, cluster_id: str) -> Sequence[AgentRecord]:
        """Return the cluster's agents by name."""
        return await self._driver.run(lambda: self._list_agents(cluster_id), read_only=True)

    def _list_agents(self, cluster_id: str) -> Unit[list[AgentRecord]]:
        clusters = self._dialect.array([cluster_id])
        answer: Answer = yield Query("agent_list", {"clusters": clusters}, last=True)
        return [agent_of(row) for row in answer.rows]

    async def register_host(self, host: HostRecord) -> None:
        """Store or update a host of the cluster; delete those that are long gone."""
        await self._driver.run(lambda: self._register_host(host))

    def _register_host(self, host: HostRecord) -> Unit[None]:
        cluster_id, info = host.cluster_id, orjson.dumps(host.info).decode()
        yield (
            Query("host_put", {"cluster_id": cluster_id, "name": host.name, "info": info}),
            Query("host_forget", {"cluster_id": cluster_id, "age": micros(_FORGOTTEN_AFTER)}, last=True),
        )

    async def list_hosts(self, cluster_id: str) -> Sequence[HostRecord]:
        """Return the cluster's hosts that have a worker, by name."""
        return await self._driver.run(lambda: self._list_hosts(cluster_id), read_only=True)

    def _list_hosts(self, cluster_id: str) -> Unit[list[HostRecord]]:
        answer: Answer = yield Query("host_list", {"cluster_id": cluster_id}, last=True)
        return [host_of(row) for row in answer.rows]
