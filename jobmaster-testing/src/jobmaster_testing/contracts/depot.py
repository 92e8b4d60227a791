"""The stage for tests of an agent: the agent, and a cluster that it serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack
from uuid import UUID

from attrs import field, frozen

from jobmaster.contracts import AgentRepository, Backlog, Message
from jobmaster.models import Bucket, Claim, Cursor, Job
from jobmaster_testing.contracts.world import LONG, World, clock_moved
from jobmaster_testing.factories import JobFields, make_job, make_new_job, make_report

PLENTY = 1000
"""A limit that no test reaches."""


@frozen
class Depot:
    """An agent next to a master, with the calls that tests make repeatedly."""

    world: World
    agent: AgentRepository
    _used: set[UUID] = field(factory=set, kw_only=True)
    """The buckets of this test: other tests may use the same agent."""

    # Buckets

    async def bucket(self, *, lease: float = LONG) -> Bucket:
        """Register a worker with one bucket on the agent and return the bucket."""
        return (await self.buckets(1, lease=lease))[0]

    async def buckets(self, count: int, *, lease: float = LONG) -> list[Bucket]:
        """Create buckets on the agent, and register a worker with them."""
        buckets = await self.world.buckets(count, lease=lease, agent=self.agent.name)
        await self.agent.buckets.create(buckets)
        self._used.update(bucket.id for bucket in buckets)
        return buckets

    async def take_over(self, bucket: Bucket) -> Bucket:
        """Let a bucket's owner vanish; return the bucket as its next owner has it."""
        await self.world.master.workers.retire(bucket.worker_id)
        return next(taken for taken in await self.world.rescue() if taken.id == bucket.id)

    # Messages

    def job(self, **fields: Unpack[JobFields]) -> Job:
        """Return a job of the cluster."""
        given: JobFields = {"cluster_id": self.world.cluster_id, **fields}
        return make_job(**given)

    async def push(
        self, bucket: Bucket | UUID, count: int = 1, *, delay: float = 0.0, **fields: Unpack[JobFields]
    ) -> list[Message]:
        """Push new jobs to a bucket in one call; return their messages."""
        given: JobFields = {"cluster_id": self.world.cluster_id, **fields}
        messages = [Message(new=make_new_job(bucket, delay=delay, **given)) for _ in range(count)]
        self._used.add(bucket if isinstance(bucket, UUID) else bucket.id)
        await self.agent.messages.push(messages)
        return messages

    async def push_one(
        self, bucket: Bucket | UUID, *, delay: float = 0.0, **fields: Unpack[JobFields]
    ) -> Message:
        """Push one new job; return its message."""
        return (await self.push(bucket, delay=delay, **fields))[0]

    async def pull(self, bucket: Bucket) -> list[Claim]:
        """Return the jobs that the owner of a bucket can run now."""
        return list((await self.agent.claims.pull(bucket, Cursor(), PLENTY)).claims)

    async def claim(self, bucket: Bucket) -> Claim:
        """Push a new job and pull it."""
        message = await self.push_one(bucket)
        return next(c for c in await self.pull(bucket) if c.job.id == message.new.job.id)

    async def finish(self, bucket: Bucket, *claims: Claim) -> None:
        """Act as an owner does: report to the master first, then acknowledge to the agent."""
        assert await self.world.master.outcomes.report([make_report(c) for c in claims]) == frozenset()  # noqa: S101
        await self.agent.messages.acknowledge(bucket, [(c.job.id, c.attempt) for c in claims])

    async def drain(self, bucket: Bucket, *, page: int = PLENTY) -> list[Message]:
        """Take all messages from a bucket, a page at a time, and return them."""
        seen: list[Message] = []
        while found := await self.agent.messages.read_all(bucket.id, page):
            await self.agent.messages.acknowledge(bucket, keys(found))
            seen += found
        return seen

    async def exposed(self, bucket: Bucket) -> list[Claim]:
        """Return what a former owner may have had in flight."""
        return list((await self.agent.claims.exposed(bucket, PLENTY)).claims)

    async def unsaved(self, bucket: Bucket, age: float = 0.0) -> list[UUID]:
        """Return the ids of save-pending jobs in push order."""
        return job_ids((await self.agent.messages.read_unsaved(bucket, age, None, PLENTY)).messages)

    async def holdings(self) -> dict[UUID, int]:
        """Return the number of messages by bucket, for the buckets of this test."""
        found = await self.agent.buckets.holdings()
        return {bucket_id: count for bucket_id, count in found.items() if bucket_id in self._used}

    async def backlog(self) -> dict[UUID, Backlog]:
        """Return the backlogs of the buckets of this test."""
        found = await self.agent.buckets.backlog(self.world.cluster_id)
        return {bucket_id: backlog for bucket_id, backlog in found.items() if bucket_id in self._used}

    async def tick(self) -> None:
        """Wait until the agent's clock has moved on."""
        await clock_moved(self.agent)


def keys(messages: Sequence[Message]) -> list[tuple[UUID, int]]:
    """Return messages in the form that `messages.acknowledge` takes: (job id, attempt)."""
    return [(message.new.job.id, message.attempt) for message in messages]


def job_ids(messages: Sequence[Message]) -> list[UUID]:
    """Return the job ids of messages, in order."""
    return [message.new.job.id for message in messages]
