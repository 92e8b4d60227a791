"""The agent of a standalone cluster: the master's own rows are the buckets, so nothing is copied."""
# ruff: noqa: ARG002 - it has no messages of its own, and does not need most of its arguments

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from attrs import define, evolve

from jobmaster.contracts import (
    AgentBucketStore,
    AgentRepository,
    AsideStore,
    Backlog,
    Capabilities,
    MasterRepository,
    Message,
    MessageStore,
    SavePending,
)
from jobmaster.models import STANDALONE, Bucket, JobReceipt, NewJob, Position


class InlineAgent(AgentRepository):
    """The agent contract over a master: a job costs one insert and one update."""

    def __init__(self, master: MasterRepository, cluster_id: str, name: str = STANDALONE) -> None:
        """Serve a cluster of this master."""
        self._master = master
        self.rows = InlineMessages(master, name)
        """Its messages; they can also insert jobs without making messages of them."""
        super().__init__(
            name=name,
            messages=self.rows,
            claims=master.claims,
            asides=InlineAsides(),
            buckets=InlineBuckets(master, cluster_id),
            notifications=master.notifications,
        )

    @property
    def capabilities(self) -> Capabilities:
        """The master's own, and that its rows are the buckets."""
        return evolve(self._master.capabilities, inline=True)

    # The store is the master's: its opener takes care of it

    async def open(self, *, create: bool = True) -> None:
        """Do nothing: the master is open."""

    async def close(self) -> None:
        """Do nothing: the opener of the master closes it."""

    async def now(self) -> datetime:
        """Return the master's clock."""
        return await self._master.now()

    async def fingerprint(self) -> str:
        """Return the name: the rows are in the master, whichever store that is."""
        return self.name


@define(eq=False, repr=False, slots=False)
class InlineMessages(MessageStore):
    """Messages of the agent `name` that are rows of a master."""

    master: MasterRepository
    name: str

    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Insert new jobs; jobs that a coordinator assigned are in their buckets by the assignment itself."""
        new = [message.new for message in messages if not message.saved]
        receipts = iter(await self.insert(new) if new else ())
        return [
            JobReceipt(job_id=message.new.job.id, accepted_by=self.name) if message.saved else next(receipts)
            for message in messages
        ]

    async def insert(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        """Insert new jobs; return their receipts in order."""
        receipts = await self.master.jobs.insert(jobs)
        return [
            receipt if new.bucket_id is None else self._named(receipt)
            for new, receipt in zip(jobs, receipts, strict=True)
        ]

    def _named(self, receipt: JobReceipt) -> JobReceipt:
        """Name the agent for a job in a bucket, not the master as for a held job."""
        return JobReceipt(job_id=receipt.job_id, accepted_by=self.name, created=receipt.created)

    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Do nothing: the report that the master committed has moved the rows."""

    async def find(self, job_ids: Sequence[UUID]) -> Sequence[Message]:
        """Find nothing that the master would not find."""
        return ()

    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        """Remove nothing: the master moves its own rows."""
        return frozenset()

    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        """Return nothing: `buckets.release` of the master holds the rows again."""
        return ()

    async def read_unsaved(
        self, bucket: Bucket, age: float, after: Position | None, limit: int
    ) -> SavePending:
        """Return nothing: the master knows every job."""
        return SavePending()

    async def note_saved(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Do nothing: the master knows every job."""


class InlineAsides(AsideStore):
    """Nothing is ever set aside: the master holds its own rows again."""

    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        """Move nothing: `buckets.hold_unread` of the master holds the rows again."""
        return 0

    async def put(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        """Do nothing: the report that the master committed has moved the rows."""

    async def remove(self, aside: UUID, messages: Sequence[Message]) -> None:
        """Do nothing: nothing is set aside."""


@define(eq=False, repr=False, slots=False)
class InlineBuckets(AgentBucketStore):
    """Buckets that exist once they are registered on the master."""

    master: MasterRepository
    cluster_id: str

    async def create(self, buckets: Sequence[Bucket]) -> None:
        """Do nothing: a bucket exists once it is registered on the master."""

    async def drop(self, bucket_id: UUID) -> bool:
        """Return whether the bucket is empty; the master deletes its registration."""
        return bucket_id not in await self.holdings()

    async def holdings(self) -> Mapping[UUID, int]:
        """Count the rows by bucket."""
        return await self.master.buckets.holdings(self.cluster_id)

    async def backlog(self, cluster_id: str) -> Mapping[UUID, Backlog]:
        """Count the rows by bucket; none of them are save pending."""
        holdings = await self.master.buckets.holdings(cluster_id)
        return {bucket_id: Backlog(messages=count) for bucket_id, count in holdings.items()}
