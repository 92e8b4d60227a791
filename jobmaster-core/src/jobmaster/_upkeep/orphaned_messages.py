"""Leftovers on agents in buckets that no worker reads: late pushes are brought back, and empty buckets are dropped."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import define, field

from jobmaster._flow.handover import return_set_aside
from jobmaster.errors import StoreUnavailableError
from jobmaster.models import Bucket
from jobmaster.states import BucketStatus, Priority

if TYPE_CHECKING:
    from jobmaster.contracts import AgentRepository, MasterRepository

log = logging.getLogger("jobmaster.orphaned_messages")


@define(eq=False)
class OrphanedMessages:
    """Looks on each agent for buckets without an owner on the master, and brings back the messages of all of them.

    Empty ones are dropped if the master lists them as ready to delete, because such a bucket never gets an owner again:
    a late message, or the death of the process that brought it back, may have kept them. The owner of any other bucket
    is unknown.
    """

    cluster_id: str
    master: MasterRepository
    agents: Mapping[str, AgentRepository]
    _dropped: dict[str, frozenset[UUID]] = field(factory=dict, init=False)

    async def run_once(self) -> int:
        """Bring back stray messages from the agents that can be reached; return how many jobs."""
        agents = [agent for agent in self.agents.values() if not agent.capabilities.inline]
        return sum([await self._try(agent) for agent in agents])

    async def _try(self, agent: AgentRepository) -> int:
        """Bring back stray messages from one agent, whatever the state of the others."""
        try:
            return await self._bring_back(agent)
        except StoreUnavailableError as error:
            log.info("agent %s could not be searched for orphaned messages: %s", agent.name, error)
            return 0

    async def _bring_back(self, agent: AgentRepository) -> int:
        # The agent first: a bucket is registered before any process may push to it.
        holding = await agent.buckets.holdings()
        buckets = await self.master.buckets.list_all(self.cluster_id)
        read = read_by_somebody(buckets)
        count = sum([await self._drain(agent, bucket_id) for bucket_id in holding if bucket_id not in read])
        await self._drop(agent, [b.id for b in buckets if b.agent == agent.name and b.id not in read])
        return count

    async def _drop(self, agent: AgentRepository, bucket_ids: Sequence[UUID]) -> None:
        """Drop buckets that are over, once each."""
        before = self._dropped.get(agent.name, frozenset())
        gone = [id_ for id_ in bucket_ids if id_ in before or await agent.buckets.drop(id_)]
        self._dropped[agent.name] = frozenset(gone)

    async def _drain(self, agent: AgentRepository, bucket_id: UUID) -> int:
        """Bring back the messages of a bucket, unless it belongs to another cluster that shares the agent's store."""
        first = await agent.messages.read_all(bucket_id, 1)
        if not first or first[0].new.job.cluster_id != self.cluster_id:
            return 0
        # Any bucket is treated like a set-aside one: for an ordinary one the master has no jobs under the origin's id.
        aside = _nobodys(self.cluster_id, agent.name, bucket_id)
        count = await return_set_aside(self.master, agent, aside)
        await agent.buckets.drop(bucket_id)
        return count


def read_by_somebody(buckets: Sequence[Bucket]) -> frozenset[UUID]:
    """Return the ids of buckets that have an owner, or will get one by rescue."""
    return frozenset(bucket.id for bucket in buckets if bucket.status is not BucketStatus.READY_TO_DELETE)


def _nobodys(cluster_id: str, agent: str, bucket_id: UUID) -> Bucket:
    """Return an unregistered bucket, for callers that need only its id."""
    return Bucket(
        id=bucket_id,
        cluster_id=cluster_id,
        agent=agent,
        worker_id=UUID(int=0),
        lane="",
        priority=Priority.MEDIUM,
        status=BucketStatus.READY_TO_DELETE,
    )
