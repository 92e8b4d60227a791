"""The agent of a standalone cluster: the master's own rows are the buckets, so nothing is copied."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from uuid import UUID

from jobmaster.contracts import AgentRepository, Capabilities, MasterRepository, Message
from jobmaster.models import Bucket, BucketPage, Cursor, JobReceipt


class InlineAgent(AgentRepository):
    """The agent contract over a master: a job costs one insert and one update."""

    def __init__(self, master: MasterRepository, cluster_id: str, name: str = "standalone") -> None:
        self.name = name
        self._master = master
        self._cluster_id = cluster_id

    @property
    def capabilities(self) -> Capabilities:
        """The master's own."""
        return self._master.capabilities

    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Insert what is new; what a coordinator assigned is in its bucket by that very assignment."""
        new = [message.new for message in messages if not message.saved]
        receipts = iter(await self._master.insert_jobs(new) if new else ())
        return [
            JobReceipt(job_id=message.new.job.id, accepted_by=self.name)
            if message.saved
            else self._receipt(message, next(receipts))
            for message in messages
        ]

    def _receipt(self, message: Message, receipt: JobReceipt) -> JobReceipt:
        """Name the agent for a job in a bucket, the master for one that is held."""
        if message.new.bucket_id is None:
            return receipt
        return JobReceipt(job_id=receipt.job_id, accepted_by=self.name, created=receipt.created)

    async def create_buckets(self, buckets: Sequence[Bucket]) -> None:
        """Do nothing: a bucket exists once it is registered on the master."""

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Container[UUID] = ()
    ) -> BucketPage:
        """Read the rows of the bucket."""
        return await self._master.read_bucket(bucket, cursor, limit, known)

    async def due_buckets(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        """Ask for the rows of all buckets at once."""
        return await self._master.due_buckets([bucket.id for bucket in buckets])

    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Do nothing: the report that the master committed has moved the rows."""

    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Read the rows that a former owner may have had in hand."""
        return await self._master.read_exposed(bucket, limit)

    async def holdings(self) -> Mapping[UUID, int]:
        """Count the rows by bucket."""
        return await self._master.bucket_holdings(self._cluster_id)

    async def drop_bucket(self, bucket_id: UUID) -> bool:
        """Say whether the bucket is empty; its registration is the master's to delete."""
        return bucket_id not in await self.holdings()
