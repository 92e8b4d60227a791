"""The contract of an agent: the fast, short-lived store of jobs in flight.

`docs/decisions/0004-agent-contract.md` maps every method to SQL tables and to NATS JetStream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from attrs import field, frozen

from jobmaster.contracts.stores import NotificationListener, SchemaStore
from jobmaster.models import Bucket, BucketPage, Cursor, JobReceipt, NewJob, Position, record


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


@frozen(kw_only=True)
class Backlog:
    """The content of a bucket: messages, how many of them are save pending, and the age of the oldest in seconds."""

    messages: int
    save_pending: int = 0
    oldest_save_pending: float | None = None


class AgentRepository(SchemaStore, NotificationListener, ABC):
    """Buckets of messages. Only its owner reads a bucket."""

    name: str
    """The agent's name in its cluster, unique and never repointed."""

    @abstractmethod
    async def fingerprint(self) -> str:
        """Return the unique identity of this agent's store: generated once, with the schema, and kept there.

        The master keeps it by the agent's name, so that it notices a name that points to another store.
        """

    @abstractmethod
    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Store messages in the buckets they name; return a receipt for each, in order.

        * Returns only when every message is durable; raises `StoreUnavailableError` otherwise.
        * Idempotent by (bucket, job id, attempt): the same message pushed again changes nothing, so that a
          caller that does not know whether its push arrived may repeat it.
        * A push may take effect after its caller was told that it failed, and after messages that others pushed later.
          So a message may arrive when its job is over, and more than once: after it was acknowledged or withdrawn it
          counts as new, and is handed out. The owner knows what must not be run.
        * A message for a bucket that is gone or no longer active is not refused and never stranded: `holdings` reports
          it until a worker drains it.
        * The master owns the keys: a new job with a key comes here only where the master's rows are the bucket, and
          gets the receipt of the job that has the key.
        """

    @abstractmethod
    async def create_buckets(self, buckets: Sequence[Bucket]) -> None:
        """Make room for buckets before they are announced as active. Idempotent."""

    @abstractmethod
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        """Read up to `limit` messages that are due by the store's clock and come after `cursor`.

        * Only the bucket's owner calls this; it deletes nothing and takes no lock.
        * Order is by due time, then job id, where the capability `ordered` is declared.
        * A message may be handed out again (the owner ignores what it holds), but none that is due may be
          skipped for good, however late its push became visible.
        * `known` holds the ids of jobs that the caller has in flight and that come after `cursor`. A provider may leave
          them out, rather than read what is thrown away; they count towards `limit` all the same, which is greater.
        * A page ends with the message that brings it over `PAGE_BYTES` (jobmaster.weighing) of data; there are more
          messages then.
        * Before it returns, the store has recorded that these messages may be in flight: `exposed` of a later owner
          includes each of them until it is acknowledged.
        * Raises `LeaseLostError` if the bucket's epoch is no longer `bucket.epoch`.
        """

    @abstractmethod
    async def due_buckets(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        """Return the ids of the caller's buckets that hold a due message.

        The safety net of owners with nothing in flight, which otherwise wait for notifications: one query for all
        buckets, every few seconds.
        """

    @abstractmethod
    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Remove messages, given as (job id, attempt), whose state the master holds. Idempotent.

        A message that arrives later is not kept out: the agent does not remember the acknowledgement.

        The caller has committed to the master first: a message leaves an agent only after that. A stale report is not
        such a commit, unless the caller knows that it still owned the bucket after it. Any epoch will do.
        """

    @abstractmethod
    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Read messages that a former owner of this bucket may have had in flight, for the new owner.

        * The bucket belongs to the caller's epoch from then on, whether it was made here or not; a call with an
          earlier one raises `LeaseLostError`, as `pull` does.
        * Messages that became due over a second after the last `pull` that found something are not among them: a store
          that bounds what is in flight by a moment keeps that moment close.
        * Once these are acknowledged, the next call returns further ones.
        """

    @abstractmethod
    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        """Return the ids of the buckets that hold unread messages which have been due for `waited` seconds.

        Unread is what `set_aside` would move. An agent that cannot move anything returns none.
        """

    @abstractmethod
    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        """Move due messages that the owner of a bucket has not read into the bucket `aside`; return their number.

        * Only messages that have been due for `waited` seconds, and that the owner neither has in flight nor will
          receive: an owner that pulls at the same time learns of the move before it has any of them.
        * The first `keep` of them stay, and at most `limit` are moved, in the order of due time and id. Messages of the
          jobs `but` stay.
        * Any process may call this, no matter which worker owns the bucket or whether it is alive. The bucket `aside`
          has no owner: the caller, or any process that finds its messages, brings them back to the master.
        * An agent that cannot do this exactly moves nothing.
        """

    @abstractmethod
    async def put_aside(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        """Move messages, given as (job id, attempt), that the caller owns and has in flight into the bucket `aside`.

        For an owner that gives them back unstarted. Idempotent; messages that are not in its bucket are left out.
        Afterwards the same messages may be pushed there again, and count as new. An agent that cannot move a message
        copies it before it removes it. Copies of them that were in `aside` before, and were not removed, are stale:
        they are replaced.
        """

    @abstractmethod
    async def remove_aside(self, aside: UUID, messages: Sequence[Message]) -> None:
        """Remove messages that were set aside and are on the master now, as `read_all` returned them. Idempotent.

        Messages of the same jobs that were put there since then stay: their `placed` differs.
        """

    @abstractmethod
    async def unsaved(self, bucket: Bucket, age: float, after: Position | None, limit: int) -> SavePending:
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

    @abstractmethod
    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        """Read messages of a bucket, due or not, for a caller that brings them back to the master.

        `new.delay` is the time left until they are due. Deletes nothing: the caller acknowledges them, with any epoch,
        once the master has them, and the next call returns further ones. Works for unregistered buckets too.
        """

    @abstractmethod
    async def find(self, job_ids: Sequence[UUID]) -> Sequence[Message]:
        """Return the messages of these jobs from all buckets (`new.bucket_id`), saved or not, due or not.

        An agent that is not `addressable` finds none.
        """

    @abstractmethod
    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        """Remove messages, given as (job id, attempt), that are not due yet; return the job ids of those removed.

        A returned job's message was never handed out and never will be; a message that could have been handed out, or
        is about to be due, stays where it is. If the call raises, messages may be gone: the caller's handover stays
        open. The caller has made sure that the master holds the jobs. An agent that is not `addressable` removes none.
        """

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

    @abstractmethod
    async def drop_bucket(self, bucket_id: UUID) -> bool:
        """Delete a bucket if it is empty; return whether it is gone. Never deletes a message."""
