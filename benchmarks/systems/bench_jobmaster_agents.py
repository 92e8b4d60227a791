"""JobMaster with an agent: beside the master's tables, or on its own server (`--agent URL`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import _protocol as protocol
from bench_jobmaster import JobMaster

from jobmaster import Cluster, Priority, WorkerMode
from jobmaster.config import Settings
from jobmaster.contracts import AgentRepository
from jobmaster.models import Bucket, WorkerRecord
from jobmaster.plugins import Plugins

AGENT = "Agent-1"
FOR_LONG = 86_400.0


class JobMasterWithAgent(JobMaster):
    """A distributed cluster with one agent, every setting at its default.

    Scheduling is measured with the buckets of a living worker that takes nothing (A, A100, B): jobs land on the agent, and
    stay. Drains begin with jobs that are held on the master, and go to the worker through the agent.
    """

    def _cluster(self) -> Cluster:
        return Cluster("Bench", self.url).add_agent(AGENT, self._agent_url)

    @property
    def _agent_url(self) -> str:
        return self.options.agent or self.url

    def _agent(self) -> AgentRepository:
        return Plugins().agent(AGENT, self._agent_url, Settings())

    @asynccontextmanager
    async def producing(self) -> AsyncIterator[None]:
        """Join the cluster without workers; unless jobs are to be held, register buckets for them."""
        async with super().producing():
            if self.options.command == "schedule" and not self.options.held:
                await self._own_buckets()
            yield

    async def _own_buckets(self) -> None:
        agent = self._agent()
        worker = WorkerRecord(
            id=uuid4(),
            cluster_id="Bench",
            name="absent",
            agent=AGENT,
            lane="default",
            mode=WorkerMode.EXECUTION,
            host="bench",
            process_id=uuid4(),
            pid=0,
        )
        bucket = Bucket(
            id=uuid4(),
            cluster_id="Bench",
            agent=AGENT,
            worker_id=worker.id,
            lane="default",
            priority=Priority.MEDIUM,
        )
        await agent.buckets.create([bucket])
        await self._running.master.workers.register(worker, [bucket], FOR_LONG)
        await agent.close()

    def _with_worker(self, **settings: Any) -> Cluster:
        return self._cluster().add_worker(agent=AGENT, **settings)

    async def count(self) -> tuple[int | None, int]:
        """Return how many jobs succeeded, and how many are unfinished, on the master or only on the agent."""
        finished, unfinished = await super().count()
        agent = self._agent()
        backlog = await agent.buckets.backlog("Bench")
        await agent.close()
        return finished, unfinished + sum(one.save_pending for one in backlog.values())


if __name__ == "__main__":
    JobMasterWithAgent(protocol.parse_options()).main()
