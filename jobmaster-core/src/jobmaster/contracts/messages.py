"""The messages of an agent, from the push to the acknowledgement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from uuid import UUID

from attrs import field, frozen

from jobmaster.models import Bucket, JobReceipt, NewJob, Position, record


@record(kw_only=True)
class Message:
    """A job on its way to a bucket.

    `saved` tells the two channels apart: a new job that the master does not know yet (save pending), or a job that a
    coordinator assigned. `attempt` is the number of the run it is meant for; its claim will have these `retries`,
    `crashes` and `suspect`. `new.delay` counts from the agent's now. `waited` is for how many seconds a due message has
    been due, set where messages are read to be brought back. `placed` is how often the job had been handed over by
    then, so that the master can tell the current message from earlier ones.
    """

    new: NewJob
    attempt: int = 1
    saved: bool = False
    retries: int = 0
    crashes: int = 0
    suspect: bool = False
    placed: int = 0
    waited: float = field(default=0.0, eq=False)


@frozen(kw_only=True)
class SavePending:
    """Messages of jobs that the master does not know yet, in push order, and where to continue."""

    messages: Sequence[Message] = ()
    after: Position | None = None


class MessageStore(ABC):
    """The messages of an agent: jobs on their way to buckets. Only its owner reads a bucket."""

    @abstractmethod
    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Store messages in the buckets they name; return a receipt for each, in order.

        * Returns only when every message is durable; raises `StoreUnavailableError` otherwise.
        * Idempotent by (bucket, job id, attempt): the same message pushed again changes nothing, so that a
          caller that does not know whether its push arrived may repeat it.
        * A push may take effect after its caller was told that it failed, and after messages that others pushed later.
          So a message may arrive when its job is over, and more than once: after it was acknowledged or withdrawn it
          counts as new, and is handed out. The owner knows what must not be run.
        * A message for a bucket that is gone or no longer active is not refused and never stranded: `buckets.holdings`
          reports it until a worker drains it.
        * The master owns the keys: a new job with a key comes here only where the master's rows are the bucket, and
          gets the receipt of the job that has the key.
        """

    @abstractmethod
    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Remove messages, given as (job id, attempt), whose state the master holds. Idempotent.

        A message that arrives later is not kept out: the agent does not remember the acknowledgement.

        The caller has committed to the master first: a message leaves an agent only after that. A stale report is not
        such a commit, unless the caller knows that it still owned the bucket after it. Any epoch will do.
        """

    @abstractmethod
    async def find(self, job_ids: Sequence[UUID]) -> Sequence[Message]:
        """Return the messages of these jobs from all buckets (`new.bucket_id`), saved or not, due or not.

        An agent that is not `addressable` may find none.
        """

    @abstractmethod
    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        """Remove messages, given as (job id, attempt), that are not due yet; return the job ids of those removed.

        A returned job's message was never handed out and never will be; a message that could have been handed out, or
        is about to be due, stays where it is. If the call raises, messages may be gone: the caller's handover stays
        open. The caller has made sure that the master holds the jobs. An agent that is not `addressable` removes none.
        """

    @abstractmethod
    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        """Read messages of a bucket, due or not, for a caller that brings them back to the master.

        `new.delay` is the time left until they are due. Deletes nothing: the caller acknowledges them, with any epoch,
        once the master has them, and the next call returns further ones. Works for unregistered buckets too.
        """

    @abstractmethod
    async def read_unsaved(
        self, bucket: Bucket, age: float, after: Position | None, limit: int
    ) -> SavePending:
        """Read save-pending messages of an owned bucket that were pushed `age` seconds ago or earlier, due or not.

        In push order, beyond `after` (what the last call returned; None for the first). Deletes nothing. The owner
        makes sure that the master learns of jobs that have to wait. `new.delay` is the remaining delay.
        """

    @abstractmethod
    async def note_saved(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Note that the master now knows the jobs of these messages, given as (job id, attempt). Idempotent.

        From then on they are `saved`, and no longer save pending. An agent that cannot change a message does nothing:
        the owner's reports bring the jobs once more, which changes nothing.
        """
