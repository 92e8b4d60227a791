"""The contract of an agent: the fast, short-lived store of jobs in flight.

`docs/decisions/0004-agent-contract.md` maps it to SQL tables and to NATS JetStream.
"""

from __future__ import annotations

from abc import abstractmethod

from attrs import define, field

from jobmaster.contracts.agent_buckets import AgentBucketStore
from jobmaster.contracts.asides import AsideStore
from jobmaster.contracts.claims import ClaimStore
from jobmaster.contracts.messages import MessageStore
from jobmaster.contracts.notifications import NotificationChannel
from jobmaster.contracts.repository import Repository
from jobmaster.contracts.schema import NoSchema, SchemaStore


@define(kw_only=True, eq=False, repr=False, slots=False)
class AgentRepository(Repository):
    """An agent: buckets of messages, with a store for each part of the contract.

    A provider subclasses it, passes its stores to `super().__init__`, and implements `Repository` and `fingerprint`.

    Attributes:
        name: the agent's name in its cluster, unique and never repointed.
        messages: messages, from the push to the acknowledgement.
        claims: reading buckets. Only its owner reads a bucket.
        asides: messages that leave their bucket for the master again.
        buckets: making, counting and dropping buckets.
        notifications: the channel to other processes.
        schema: what has to be provisioned: tables, streams or nothing.

    """

    name: str
    messages: MessageStore
    claims: ClaimStore
    asides: AsideStore
    buckets: AgentBucketStore
    notifications: NotificationChannel
    schema: SchemaStore = field(factory=NoSchema)

    @abstractmethod
    async def fingerprint(self) -> str:
        """Return the unique identity of this agent's store: generated once, with the schema, and kept there.

        The master keeps it by the agent's name, so that it notices a name that points to another store.
        """
