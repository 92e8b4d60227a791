"""Agents and hosts of clusters in memory."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import MemberStore
from jobmaster.memory.master_rows import MasterRows
from jobmaster.models import AgentRecord, HostRecord, WorkerRecord


@define(eq=False, repr=False, slots=False)
class MemoryMembers(MemberStore):
    """Agents and hosts of clusters in memory."""

    rows: MasterRows

    async def register_agents(
        self, agents: Sequence[AgentRecord], *, repoint: Sequence[str] = ()
    ) -> Sequence[AgentRecord]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return [self._register(agent, repoint) for agent in agents]

    def _register(self, agent: AgentRecord, repoint: Container[str]) -> AgentRecord:
        key = agent.cluster_id, agent.name
        new = evolve(agent, registered_at=self.rows.now(), heartbeat_at=None)
        known = self.rows.tables.agents.setdefault(key, new)
        fingerprint = agent.fingerprint if agent.name in repoint else known.fingerprint
        self.rows.tables.agents[key] = evolve(known, kind=agent.kind, fingerprint=fingerprint)
        return self._with_heartbeat(self.rows.tables.agents[key])

    async def list_agents(self, cluster_id: str) -> Sequence[AgentRecord]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            found = [a for a in tables.agents.values() if a.cluster_id == cluster_id]
            return [self._with_heartbeat(a) for a in sorted(found, key=lambda a: a.name)]

    def _with_heartbeat(self, agent: AgentRecord) -> AgentRecord:
        return evolve(agent, heartbeat_at=_last_heartbeat(self._workers_on(agent)))

    def _workers_on(self, agent: AgentRecord) -> list[WorkerRecord]:
        place = agent.cluster_id, agent.name
        return [w for w in self.rows.tables.workers.values() if (w.cluster_id, w.agent) == place]

    async def register_host(self, host: HostRecord) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            key = host.cluster_id, host.name
            known = tables.hosts.setdefault(key, evolve(host, registered_at=self.rows.now()))
            tables.hosts[key] = evolve(known, info=host.info)

    async def list_hosts(self, cluster_id: str) -> Sequence[HostRecord]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            found = [h for h in tables.hosts.values() if h.cluster_id == cluster_id]
            workers = {h.name: self._workers_at(h) for h in found}
            return [
                evolve(host, heartbeat_at=_last_heartbeat(workers[host.name]))
                for host in sorted(found, key=lambda h: h.name)
                if workers[host.name]
            ]

    def _workers_at(self, host: HostRecord) -> list[WorkerRecord]:
        place = host.cluster_id, host.name
        return [w for w in self.rows.tables.workers.values() if (w.cluster_id, w.host) == place]


def _last_heartbeat(workers: Sequence[WorkerRecord]) -> datetime | None:
    return max((w.heartbeat_at for w in workers if w.heartbeat_at), default=None)
