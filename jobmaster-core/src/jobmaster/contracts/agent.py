"""The contract of an agent: the fast, short-lived store of jobs in flight.

`docs/decisions/0004-agent-contract.md` maps every method to SQL tables and to NATS JetStream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from uuid import UUID

from attrs import frozen

from jobmaster.contracts.capabilities import Capabilities
from jobmaster.models import Bucket, BucketPage, Cursor, JobReceipt, NewJob


@frozen(kw_only=True)
class Message:
    """A job on its way to a bucket.

    `saved` tells the two channels apart: a new job that the master does not know yet (save pending), or a
    job that a coordinator assigned. `attempt` is the number of the run it is meant for.
    """

    new: NewJob
    attempt: int = 1
    saved: bool = False


class AgentRepository(ABC):
    """Buckets of messages, each read by its owner alone."""

    name: str
    """The agent's name in its cluster, unique and never repointed."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this agent can do beyond the minimum."""

    @abstractmethod
    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Store messages in the buckets they name; return a receipt for each, in order.

        * Returns only when every message is durable; raises `StoreUnavailableError` otherwise.
        * Idempotent by (job id, attempt): the same message pushed again changes nothing, so that a caller
          that does not know whether its push arrived may repeat it.
        * A message for a bucket that is gone or no longer active is not refused and never stranded: it is
          reported by `holdings` until somebody drains it.
        * A new job whose idempotency key is taken gets the receipt of the job that has it.
        """

    @abstractmethod
    async def create_buckets(self, buckets: Sequence[Bucket]) -> None:
        """Make room for buckets before they are announced as active. Idempotent."""

    @abstractmethod
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Container[UUID] = ()
    ) -> BucketPage:
        """Read up to `limit` messages that are due by the store's clock and lie beyond `cursor`.

        * Only the bucket's owner calls this; it deletes nothing and takes no lock.
        * Order is by due time, then job id, where the capability `ordered` is declared.
        * A message may be handed out again (the owner ignores what it holds), but none that is due may be
          skipped for good, however late its push became visible.
        * `known` holds the ids of jobs that the caller has in hand. A provider may leave them out of the page,
          rather than decode what is thrown away; they count towards `limit` and move the cursor all the same.
        * Before it returns, the store has on record that these messages may be in hand: `exposed` of a
          later owner includes each of them until it is acknowledged.
        * Raises `LeaseLostError` if the bucket's epoch is no longer `bucket.epoch`.
        """

    @abstractmethod
    async def due_buckets(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        """Return the ids of those of the caller's buckets that hold a message that is due.

        The safety net of owners with nothing in hand, which otherwise wait for news: one question for all
        buckets, asked every few seconds.
        """

    @abstractmethod
    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Remove messages, given as (job id, attempt), whose state the master holds. Idempotent.

        The caller has committed to the master first: a message leaves an agent only after that.
        """

    @abstractmethod
    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Read messages that a former owner of this bucket may have had in hand, for the new owner."""

    @abstractmethod
    async def holdings(self) -> Mapping[UUID, int]:
        """Return the number of messages by bucket id for every bucket *that holds messages*.

        Known or not: this is how messages in a bucket that nobody has registered are found.
        """

    @abstractmethod
    async def drop_bucket(self, bucket_id: UUID) -> bool:
        """Delete a bucket if it is empty; return whether it is gone. Never deletes a message."""
