"""The contract of the master: the source of truth and the audit trail.

Every hot method takes and returns sequences. Every call is one short unit of work: it commits before it
returns, carries a deadline of its own, and leaves nothing behind when it raises. `StoreUnavailableError`
means "not known to have happened": every method may be called again with the same arguments.

A job is in exactly one of two places: it has a *live row* (it waits or runs) or its last attempt record is
*final* (succeeded, failed, cancelled). Attempt records are only ever appended.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from attrs import field, frozen

from jobmaster.contracts.agent import Message
from jobmaster.contracts.agents import AgentStore
from jobmaster.contracts.control import ControlStore
from jobmaster.contracts.handovers import HandoverStore, Room
from jobmaster.contracts.schedules import ScheduleStore
from jobmaster.contracts.stores import NotificationListener, SchemaStore
from jobmaster.contracts.transfers import TransferStore
from jobmaster.models import (
    Bucket,
    BucketPage,
    CancelResult,
    ClusterRecord,
    Cursor,
    JobQuery,
    JobReceipt,
    JobRecord,
    Load,
    LogLine,
    NewJob,
    Report,
    WorkerRecord,
)
from jobmaster.states import BucketStatus, JobStatus, Priority

OUT_OF_REACH: Final = 0.1
"""Seconds by which a job in a bucket of the master's own rows has to be due later than now, for its owner surely not to
have it in hand before a unit that takes it away is committed: an owner reads what is due, and waits for nobody."""


REQUESTS_KEPT: Final = 7 * 86400.0
"""Seconds for which a request to a worker that was declared lost is kept: its host may only have been asleep."""


@frozen(kw_only=True)
class Assignment:
    """What an `assign_due` call did: jobs by bucket, and when the next held job comes into reach.

    `next_in` is the time in seconds until another held job is due within the look-ahead (0 if some already
    are, but found no room; None if nothing is held). `next_for_rooms` is the same of those for whose lane and priority
    there was a room.
    """

    assigned: Mapping[UUID, int] = field(factory=dict)
    next_in: float | None = None
    next_for_rooms: float | None = None


@frozen(kw_only=True)
class HeartbeatReply:
    """What a heartbeat is answered with: who of the workers is alive, and what there is to look after.

    `cancelling` are those of the living in whose buckets jobs are to be cancelled. `needs_rescue` is told to who
    asked, and only while any of the workers is alive.
    """

    alive: frozenset[UUID] = frozenset()
    cancelling: frozenset[UUID] = frozenset()
    needs_rescue: bool = False


@frozen(kw_only=True)
class Mark:
    """A job in hand whose state lasts: `queued` in memory, or `processing` since `started_at`."""

    job_id: UUID
    attempt: int
    status: JobStatus
    started_at: datetime | None = None


@frozen(kw_only=True)
class CancelAnswer:
    """What became of one cancel request; `bucket_id` is where to send the notifications of a `requested` one."""

    job_id: UUID
    result: CancelResult
    bucket_id: UUID | None = None


class ClusterStore(ABC):
    """Clusters and workers."""

    @abstractmethod
    async def register_cluster(self, cluster: ClusterRecord) -> ClusterRecord:
        """Store a cluster or update its settings (its mode only when it is new); return what is stored.

        What `change_cluster` keeps stays as it is.
        """

    @abstractmethod
    async def get_cluster(self, cluster_id: str) -> ClusterRecord | None:
        """Return a cluster, or None if this master has no such cluster."""

    @abstractmethod
    async def register_worker(self, worker: WorkerRecord, buckets: Sequence[Bucket], lease: float) -> None:
        """Store a worker with a lease of `lease` seconds from the store's now, and its buckets as active.

        One unit: nobody ever sees a bucket whose worker has no lease. Idempotent.
        """

    @abstractmethod
    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        """Renew the leases of workers and note the load of their buckets; return who lives, and what there is to do.

        * A worker that somebody declared lost is not renewed and not alive: it must fence itself.
        * Who names a cluster as `rescuing` is told whether it needs a rescue, as by `needs_rescue`.
        * Leases hang on the answer: looks that cost more than a few entries of an index have no place here.
        """

    @abstractmethod
    async def set_worker_stopping(self, worker_id: UUID) -> None:
        """Note that a worker stops: it is `stopping`, its active buckets are `completing`."""

    @abstractmethod
    async def retire_worker(self, worker_id: UUID) -> None:
        """Note that a worker has stopped by itself."""

    @abstractmethod
    async def list_workers(self, cluster_id: str) -> Sequence[WorkerRecord]:
        """Return the cluster's workers, the newest first."""

    @abstractmethod
    async def prune_workers(self, cluster_id: str, age: float, before: datetime | None = None) -> int:
        """Delete stopped and lost workers, and buckets that are ready to delete, older than `age` seconds.

        Only what is from before `before`, too, if that is given: the store's clock may have jumped since its caller looked.
        A lost worker that was asked for something is kept for `REQUESTS_KEPT` seconds at least: it may be back.
        """


class BucketStore(ABC):
    """Buckets and who owns them."""

    @abstractmethod
    async def list_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        """Return all buckets of the cluster."""

    @abstractmethod
    async def active_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        """Return the buckets that take new jobs: active, and their worker's lease has not run out.

        Each with `unheard`, the seconds since its worker's last heartbeat, by the store's clock, and whether it is `silent`:
        marked so since that heartbeat, and since its last load was told.
        """

    @abstractmethod
    async def mark_silent(self, bucket_ids: Sequence[UUID]) -> None:
        """Note that the owners of buckets leave due jobs unread: they are silent until there is some sign of life."""

    @abstractmethod
    async def tell_loads(self, loads: Mapping[UUID, Load]) -> None:
        """Note the loads of buckets, as a heartbeat does, between two of these. Buckets of lost workers are left alone."""

    @abstractmethod
    async def needs_rescue(self, cluster_id: str) -> bool:
        """Return whether `take_lost_buckets` or `sweep_orphans` may find anything: never no when they would.

        For who is about to call the two, or has no lease to renew; others hear of it with each heartbeat. Writes nothing.
        """

    @abstractmethod
    async def set_bucket_status(self, bucket: Bucket, status: BucketStatus) -> bool:
        """Change the status of a bucket the caller owns (same epoch); return whether it was still its own."""

    @abstractmethod
    async def take_lost_buckets(
        self, cluster_id: str, rescuer: UUID, limit: int, agents: Sequence[str] | None = None
    ) -> Sequence[Bucket]:
        """Take over buckets that were left behind.

        * Their owner's lease ran out, it stopped without them, or it gave them away as `lost`, for whoever can
          reach their agent.
        * Only buckets of these agents, which the rescuer can reach; of all with None.
        * Atomic: of several rescuers one gets a bucket. Its epoch grows by one, its owner is `rescuer`, its
          status `draining`, its `former_owner` who had it; a worker whose lease ran out becomes `lost`.
        * The moment a bucket is first found lost is kept: `exposed` looks at jobs due before it.
        """

    @abstractmethod
    async def read_bucket(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        """Serve `AgentRepository.pull` for jobs whose rows are the bucket (a standalone cluster)."""

    @abstractmethod
    async def due_buckets(self, bucket_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Serve `AgentRepository.due_buckets` for jobs whose rows are the buckets."""

    @abstractmethod
    async def read_exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        """Serve `AgentRepository.exposed` for jobs whose rows are the bucket."""

    @abstractmethod
    async def unread_buckets(self, bucket_ids: Sequence[UUID], waited: float) -> frozenset[UUID]:
        """Serve `AgentRepository.unread` for jobs whose rows are the buckets."""

    @abstractmethod
    async def hold_unread(self, bucket: Bucket, waited: float, keep: int, limit: int) -> int:
        """Hold due jobs on the master again that the owner of a bucket has not read; return their number.

        * Only jobs that have been due for `waited` seconds, and that its owner neither has in hand nor will be handed
          out: whoever reads at the same time learns of it before it has any of them. Of an owner that cannot (code of
          before, say), nothing is taken.
        * The first `keep` of them stay, and at most `limit` go, in the order of due time and id. What is to be cancelled
          stays.
        * Anybody may ask for it, whoever owns the bucket, and whether the owner lives or not.
        """

    @abstractmethod
    async def hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> int:
        """Hold jobs on the master again that it has in a bucket on an agent; return how many.

        For who has found their messages aside there (`AgentRepository.set_aside`). Jobs that are no longer in that bucket
        at that attempt and placing, or that are to be cancelled, are left alone. Idempotent, however late it comes.
        """

    @abstractmethod
    async def bucket_holdings(self, cluster_id: str) -> Mapping[UUID, int]:
        """Return the number of live jobs by bucket id, for every bucket that has any."""

    @abstractmethod
    async def release_bucket(self, bucket: Bucket) -> int:
        """Hold all jobs of an owned bucket on the master again, as they are; return their number.

        For an owner that has none of them in hand any more. Those that are to be cancelled end instead: once it is
        held, a job goes to another bucket, whose owner may run it before it hears of the request. A request that
        comes at the same time finds the job either in the bucket or held, and takes effect both ways.

        Raises `LeaseLostError` if the epoch is no longer the caller's.
        """

    @abstractmethod
    async def sweep_orphans(self, cluster_id: str) -> int:
        """Hold jobs on the master again that lie in buckets nobody will ever read; return their number.

        Those are buckets that are ready to delete, or not registered (late pushes end up there). Jobs that are to be
        cancelled end instead, as with `release_bucket`.
        """


class JobStore(ABC):
    """Jobs, from the first insert to the last query."""

    @abstractmethod
    async def insert_jobs(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        """Store jobs, each in its bucket or held; return their receipts in order.

        * Idempotent by job id: one that is stored already, whatever became of it, changes nothing.
        * A job whose idempotency key the cluster already has (or an earlier job of the same call) is not stored;
          its receipt names that job and says `created=False`. If that job is of another definition, the call raises
          `KeyTakenError` instead, and stores none of its jobs.
        * `accepted_by` is `master`.
        """

    @abstractmethod
    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        """Put held jobs due within `ahead` seconds into buckets of their lane and priority, earliest first.

        * Parked jobs stay where they are. A bucket gets at most `free` jobs.
        * Several callers at once never assign one job twice, and none waits for another.
        """

    @abstractmethod
    async def due_places(self, cluster_id: str, waited: float = 0.0) -> frozenset[tuple[str, Priority]]:
        """Return the lanes and priorities of held jobs that have been due for `waited` seconds.

        Parked ones do not count. Writes nothing.
        """

    @abstractmethod
    async def mark(self, bucket: Bucket, marks: Sequence[Mark]) -> None:
        """Write down states that last. Jobs that are no longer in the bucket at this attempt are left alone.

        A mark never leads back: a job on record as processing stays so, with its start, when a late mark
        says that it is queued.

        Raises `LeaseLostError` if the epoch is no longer the caller's.
        """

    @abstractmethod
    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        """Write the outcomes of claimed jobs, all in one unit; return the ids of the stale ones.

        * A report holds only if the job is still in that bucket, at that attempt, and the bucket at that
          epoch. Otherwise it changes nothing.
        * A report with an outcome appends an attempt record. A terminal one removes the live row in the same
          unit; another one moves it (`delay` counts from the store's now).
        * A report that brings its `job` stores it first, unless there is one with its id, in the same unit and
          under the same condition: the bucket still has that epoch. A job that is stored by its report and
          goes on has its live row from it. If the job was stored already, the report is one like any other.
        * A job whose cancellation was requested does not go back to waiting: a non-terminal report ends it
          as cancelled.
        """

    @abstractmethod
    async def ended_attempts(self, attempts: Sequence[tuple[UUID, int]]) -> frozenset[tuple[UUID, int]]:
        """Return which of these attempts, given as (job id, number), have their end on record. Writes nothing.

        For an owner whose report was stale: the end may be on record by a call of its own that was not answered. What
        has ended is over for good; the job's next run has another number. A job that was released or parked goes on
        with the same one, and has no end.
        """

    @abstractmethod
    async def cancel(
        self, cluster_id: str, job_ids: Sequence[UUID], worker: str = ""
    ) -> Sequence[CancelAnswer]:
        """Cancel jobs; return what became of each, in order. Raises `JobNotFoundError` for an unknown id.

        A job that no owner can have in hand (held, or in a bucket of the master's own rows but not due within
        `OUT_OF_REACH`) is cancelled at once. Another one is marked, for its owner to see in `cancel_requests`: also
        every job in a bucket on an agent, where its message lies or is on its way to. A request is never taken back:
        the attempt that it finds waiting or running is the job's last, and nobody may start it any more.
        """

    @abstractmethod
    async def cancel_requests(self, bucket_ids: Sequence[UUID]) -> Sequence[tuple[UUID, UUID, int]]:
        """Return (bucket id, job id, attempt) of the cancel requests in some buckets."""

    @abstractmethod
    async def reschedule(
        self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None = None
    ) -> None:
        """Give a waiting job a new due time, `delay` seconds from now, and hold it on the master.

        A job in a bucket on an agent can be rescheduled only by who has withdrawn its message under the
        handover `withdrawn` of that bucket, which is over with this. Without it, or if it is not there any more
        (somebody retook it, and the message is back), the job counts as in hand. So does one in a bucket of the master's
        own rows that is due within `OUT_OF_REACH`.

        Raises `InvalidTransitionError` if it may be in hand, is to be cancelled or is finished, `JobNotFoundError`
        if unknown.
        """

    @abstractmethod
    async def retry(self, cluster_id: str, job_id: UUID) -> None:
        """Hold a finished job on the master, due now, with all its retries again. Its attempts are kept.

        Raises `InvalidTransitionError` if it is not finished, `JobNotFoundError` if unknown.
        """

    @abstractmethod
    async def adopt_parked(self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int) -> int:
        """Put parked jobs of these definitions into the bucket of their lane and priority; return how many."""

    @abstractmethod
    async def get_job(self, cluster_id: str, job_id: UUID) -> JobRecord | None:
        """Return a job with its attempts and logs, or None."""

    @abstractmethod
    async def query_jobs(self, cluster_id: str, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs (without attempts), the newest first."""

    @abstractmethod
    async def count_jobs(self, cluster_id: str, query: JobQuery) -> Mapping[JobStatus, int]:
        """Return how many jobs match (whatever `after` and `limit`), by status; statuses without any are left out."""

    @abstractmethod
    async def waiting_by_lane(self, cluster_id: str) -> Mapping[str, int]:
        """Return how many jobs are due and do not run, by lane; lanes without any are left out.

        Held ones and those in buckets, here or on an agent. Parked ones do not count, nor do those on record as processing.
        Reads neither the history nor jobs that are due later, and writes nothing.
        """

    @abstractmethod
    async def add_logs(self, cluster_id: str, lines: Sequence[LogLine]) -> None:
        """Append log lines about workers, buckets or the cluster."""

    @abstractmethod
    async def list_logs(
        self, cluster_id: str, subject: str, subject_id: str, limit: int
    ) -> Sequence[LogLine]:
        """Return the newest log lines of a subject, oldest first."""

    @abstractmethod
    async def prune_jobs(
        self, cluster_id: str, age: float, limit: int, before: datetime | None = None
    ) -> int:
        """Delete up to `limit` jobs that finished over `age` seconds ago, and before `before`, with attempts and logs."""


class MasterRepository(
    SchemaStore,
    ClusterStore,
    ControlStore,
    AgentStore,
    BucketStore,
    JobStore,
    HandoverStore,
    ScheduleStore,
    TransferStore,
    NotificationListener,
):
    """All that a master does. One instance serves one URL and any number of clusters."""
