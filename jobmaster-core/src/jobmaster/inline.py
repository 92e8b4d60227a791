"""The agent of a standalone cluster: the master's own rows are the buckets, so nothing is copied."""
# ruff: noqa: ARG002 - it has no messages of its own, and does not need most of its arguments

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from jobmaster.contracts import (
    AgentRepository,
    Backlog,
    Capabilities,
    MasterRepository,
    Message,
    SavePending,
)
from jobmaster.models import STANDALONE, Bucket, BucketPage, Cursor, JobReceipt, NewJob, Position


class InlineAgent(AgentRepository):
    """The agent contract over a master: a job costs one insert and one update."""

    def __init__(self, master: MasterRepository, cluster_id: str, name: str = STANDALONE) -> None:
        self.name = name
        self._master = master
        self._cluster_id = cluster_id

    @property
    def capabilities(self) -> Capabilities:
        """The master's own."""
        return self._master.capabilities

    # The store is the master's: its opener takes care of it

    async def open(self, *, create: bool = True) -> None:
        """Do nothing: the master is open."""

    async def close(self) -> None:
        """Do nothing: the opener of the master closes it."""

    async def migrate(self) -> Sequence[str]:
        """Do nothing: the only tables are the master's."""
        return ()

    async def pending_migrations(self) -> Sequence[str]:
        """Return none."""
        return ()

    def migration_script(self) -> str:
        """Return no statements."""
        return ""

    async def now(self) -> datetime:
        """Return the master's clock."""
        return await self._master.now()

    async def announce(self, topics: Sequence[str]) -> None:
        """Announce on the master."""
        await self._master.announce(topics)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Listen to the master."""
        await self._master.listen(topics, on_notification, on_ready)

    async def fingerprint(self) -> str:
        """Return the name: the rows are in the master, whichever store that is."""
        return self.name

    # Buckets

    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Insert new jobs; jobs that a coordinator assigned are in their buckets by the assignment itself."""
        new = [message.new for message in messages if not message.saved]
        receipts = iter(await self.insert(new) if new else ())
        return [
            JobReceipt(job_id=message.new.job.id, accepted_by=self.name) if message.saved else next(receipts)
            for message in messages
        ]

    async def insert(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        """Insert new jobs, without making messages of them; return their receipts in order."""
        receipts = await self._master.insert_jobs(jobs)
        return [
            receipt if new.bucket_id is None else self._named(receipt)
            for new, receipt in zip(jobs, receipts, strict=True)
        ]

    def _named(self, receipt: JobReceipt) -> JobReceipt:
        """Name the agent for a job in a bucket, not the master as for a held job."""
        return JobReceipt(job_id=receipt.job_id, accepted_by=self.name, created=receipt.created)

    async def create_buckets(self, buckets: Sequence[Bucket]) -> None:
        """Do nothing: a bucket exists once it is registered on the master."""

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        """Read the rows of the bucket."""
        return await self._master.read_bucket(bucket, cursor, limit, known)

    async def due_buckets(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        """Query the rows of all buckets at once."""
        return await self._master.due_buckets([bucket.id for bucket in buckets])

    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Do nothing: the report that the master committed has moved the rows."""

    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Read the rows that a former owner may have had in flight."""
        return await self._master.read_exposed(bucket, limit)

    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        """Query the rows of all buckets at once."""
        return await self._master.unread_buckets([bucket.id for bucket in buckets], waited)

    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        """Move nothing: `hold_unread` holds the rows again."""
        return 0

    async def put_aside(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        """Do nothing: the report that the master committed has moved the rows."""

    async def remove_aside(self, aside: UUID, messages: Sequence[Message]) -> None:
        """Do nothing: nothing is set aside."""

    async def unsaved(self, bucket: Bucket, age: float, after: Position | None, limit: int) -> SavePending:
        """Return nothing: the master knows every job."""
        return SavePending()

    async def note_saved(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Do nothing: the master knows every job."""

    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        """Return nothing: `release_bucket` holds the rows again."""
        return ()

    async def find(self, job_ids: Sequence[UUID]) -> Sequence[Message]:
        """Find nothing that the master would not find."""
        return ()

    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        """Remove nothing: the master moves its own rows."""
        return frozenset()

    async def holdings(self) -> Mapping[UUID, int]:
        """Count the rows by bucket."""
        return await self._master.bucket_holdings(self._cluster_id)

    async def backlog(self, cluster_id: str) -> Mapping[UUID, Backlog]:
        """Count the rows by bucket; none of them are save pending."""
        holdings = await self._master.bucket_holdings(cluster_id)
        return {bucket_id: Backlog(messages=count) for bucket_id, count in holdings.items()}

    async def drop_bucket(self, bucket_id: UUID) -> bool:
        """Return whether the bucket is empty; the master deletes its registration."""
        return bucket_id not in await self.holdings()
