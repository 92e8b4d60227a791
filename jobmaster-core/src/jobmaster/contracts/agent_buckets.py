"""The buckets of an agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from uuid import UUID

from attrs import frozen

from jobmaster.models import Bucket


@frozen(kw_only=True)
class Backlog:
    """The content of a bucket: messages, how many of them are save pending, and the age of the oldest in seconds."""

    messages: int
    save_pending: int = 0
    oldest_save_pending: float | None = None


class AgentBucketStore(ABC):
    """The buckets of an agent: rooms for messages, and how many each holds."""

    @abstractmethod
    async def create(self, buckets: Sequence[Bucket]) -> None:
        """Make room for buckets before they are announced as active. Idempotent."""

    @abstractmethod
    async def drop(self, bucket_id: UUID) -> bool:
        """Delete a bucket if it is empty; return whether it is gone. Never deletes a message."""

    @abstractmethod
    async def holdings(self) -> Mapping[UUID, int]:
        """Return the number of messages by bucket id for every bucket *that holds messages*.

        Known or not: this is how messages in an unregistered bucket are found.
        """

    @abstractmethod
    async def backlog(self, cluster_id: str) -> Mapping[UUID, Backlog]:
        """Return what `holdings` counts in more detail, of one cluster, for operators to look at.

        Other clusters may have messages on the same store.
        """
