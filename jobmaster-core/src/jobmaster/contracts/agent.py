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

    `saved` tells the two channels apart: a new job that the master does not know yet (save pending), or a
    job that a coordinator assigned. `attempt` is the number of the run it is meant for; `retries`, `crashes`
    and `suspect` are what its claim will say. `new.delay` counts from the agent's now; of one that is due,
    `waited` says for how many seconds, where messages are read to be brought back. `placed` says how often its job had been
    handed over by then: so the master tells its present message from one of before.
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
    """Messages of jobs that the master does not know yet, in the order they were pushed, and where to go on."""

    messages: Sequence[Message] = ()
    after: Position | None = None


@frozen(kw_only=True)
class Backlog:
    """What lies in a bucket: messages, how many of them are save pending, and for how long the oldest, in seconds."""

    messages: int
    save_pending: int = 0
    oldest_save_pending: float | None = None


class AgentRepository(SchemaStore, NotificationListener, ABC):
    """Buckets of messages, each read by its owner alone."""

    name: str
    """The agent's name in its cluster, unique and never repointed."""

    @abstractmethod
    async def fingerprint(self) -> str:
        """Return what tells this agent's store from every other: made up once, with the schema, and kept there.

        The master keeps it by the agent's name, so that a name that is pointed at another store is noticed.
        """

    @abstractmethod
    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Store messages in the buckets they name; return a receipt for each, in order.

        * Returns only when every message is durable; raises `StoreUnavailableError` otherwise.
        * Idempotent by (bucket, job id, attempt): the same message pushed again changes nothing, so that a
          caller that does not know whether its push arrived may repeat it.
        * It may come to be after its caller was told that it failed, and after messages that others pushed later. So
          a message may come when its job is over, and more than once: once acknowledged or withdrawn it counts as new,
          and is handed out. Its owner knows what must not be run.
        * A message for a bucket that is gone or no longer active is not refused and never stranded: it is
          reported by `holdings` until somebody drains it.
        * Keys are the master's: a new job with one comes here only where its rows are the bucket, and gets the
          receipt of the job that has the key.
        """

    @abstractmethod
    async def create_buckets(self, buckets: Sequence[Bucket]) -> None:
        """Make room for buckets before they are announced as active. Idempotent."""

    @abstractmethod
    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        """Read up to `limit` messages that are due by the store's clock and lie beyond `cursor`.

        * Only the bucket's owner calls this; it deletes nothing and takes no lock.
        * Order is by due time, then job id, where the capability `ordered` is declared.
        * A message may be handed out again (the owner ignores what it holds), but none that is due may be
          skipped for good, however late its push became visible.
        * `known` holds the ids of jobs that the caller has in hand and that lie beyond `cursor`. A provider may leave
          them out, rather than read what is thrown away; they count towards `limit` all the same, which is greater.
        * A page ends with the message that brings it over `PAGE_BYTES` (jobmaster.weighing) of data: then there is more.
        * Before it returns, the store has on record that these messages may be in hand: `exposed` of a
          later owner includes each of them until it is acknowledged.
        * Raises `LeaseLostError` if the bucket's epoch is no longer `bucket.epoch`.
        """

    @abstractmethod
    async def due_buckets(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        """Return the ids of those of the caller's buckets that hold a message that is due.

        The safety net of owners with nothing in hand, which otherwise wait for notifications: one question for all
        buckets, asked every few seconds.
        """

    @abstractmethod
    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Remove messages, given as (job id, attempt), whose state the master holds. Idempotent.

        One that is not there yet is not kept out: nothing of it is remembered.

        The caller has committed to the master first: a message leaves an agent only after that. A stale report is
        no such commit, unless the caller knows that the bucket was still its own after it. Any epoch will do.
        """

    @abstractmethod
    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Read messages that a former owner of this bucket may have had in hand, for the new owner.

        * The bucket belongs to the caller's epoch from then on, whether it was made here or not; a call with an
          earlier one raises `LeaseLostError`, as `pull` does.
        * None that became due over a second after the last `pull` that found something is among them: a store that
          bounds what is in hand by a moment keeps that moment near.
        * The next call reads on, once these are acknowledged.
        """

    @abstractmethod
    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        """Return the ids of those buckets that hold messages which have been due for `waited` seconds, and are unread.

        Unread is what `set_aside` would take. An agent that cannot take anything returns none.
        """

    @abstractmethod
    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        """Move due messages that the owner of a bucket has not read into the bucket `aside`; return their number.

        * Only messages that have been due for `waited` seconds, and that the owner neither has in hand nor will be handed
          out: whoever pulls at the same time learns of it before it has any of them.
        * The first `keep` of them stay, and at most `limit` go, in the order of due time and id. Messages of the jobs
          `but` stay.
        * Anybody may ask for it, whoever owns the bucket, and whether the owner lives or not. `aside` is nobody's bucket:
          what lies there is brought back to the master, by the caller or by whoever finds it.
        * An agent that cannot do this exactly moves nothing.
        """

    @abstractmethod
    async def put_aside(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        """Move messages, given as (job id, attempt), that the caller owns and has in hand into the bucket `aside`.

        For an owner that gives them back unstarted. Idempotent; what is not in its bucket is left out. Afterwards the same
        ones may be pushed there again, to be handed out as new. An agent that cannot move a message copies it before it
        removes it. What lay aside of them before, and was not removed, is stale: it makes way.
        """

    @abstractmethod
    async def remove_aside(self, aside: UUID, messages: Sequence[Message]) -> None:
        """Remove messages that were set aside and are on the master now, as `drain` read them. Idempotent.

        What was put there since about the same jobs stays: its `placed` is another one.
        """

    @abstractmethod
    async def unsaved(self, bucket: Bucket, age: float, after: Position | None, limit: int) -> SavePending:
        """Read save-pending messages of an owned bucket that were pushed `age` seconds ago or earlier, due or not.

        In the order of their push, beyond `after` (what the last call returned; None for the first). Deletes
        nothing. The owner sees to it that the master learns of jobs that have to wait. `new.delay` is what is left.
        """

    @abstractmethod
    async def note_saved(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Note that the master knows the jobs of these messages by now, given as (job id, attempt). Idempotent.

        From then on they are `saved`, and not save pending any more. An agent that cannot change a message does
        nothing: its owner's reports bring the jobs once more, which changes nothing.
        """

    @abstractmethod
    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        """Read messages of a bucket, due or not, for who brings them back to the master.

        `new.delay` is what is left until they are due. Deletes nothing: they are acknowledged, with any epoch,
        once the master has them, and the next call reads on. Works for buckets that nobody has registered.
        """

    @abstractmethod
    async def find(self, job_ids: Sequence[UUID]) -> Sequence[Message]:
        """Return the messages of these jobs, wherever they lie (`new.bucket_id`), saved or not, due or not.

        An agent that is not `addressable` finds none.
        """

    @abstractmethod
    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:
        """Remove messages, given as (job id, attempt), that are not due yet; return the job ids of those removed.

        None that is returned was ever handed out, or will be; one that could have been, or is about to be due, is
        left where it is. If it raises, messages may be gone: the caller's handover stays open. The caller has
        seen to it that the master holds the jobs. An agent that is not `addressable` removes
        none.
        """

    @abstractmethod
    async def holdings(self) -> Mapping[UUID, int]:
        """Return the number of messages by bucket id for every bucket *that holds messages*.

        Known or not: this is how messages in a bucket that nobody has registered are found.
        """

    @abstractmethod
    async def backlog(self, cluster_id: str) -> Mapping[UUID, Backlog]:
        """Return what `holdings` counts of one cluster in more detail, for people to look at.

        Other clusters may have messages on the same store.
        """

    @abstractmethod
    async def drop_bucket(self, bucket_id: UUID) -> bool:
        """Delete a bucket if it is empty; return whether nothing of it is left. Never deletes a message."""
