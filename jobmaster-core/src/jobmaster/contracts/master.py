"""The contract of the master: the source of truth and the audit trail.

Every hot method takes and returns sequences. Every call is one short unit of work: it commits before it returns, has
its own deadline, and leaves nothing behind when it raises. `StoreUnavailableError` means "not known to have happened":
every method may be called again with the same arguments.

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
"""How many seconds ahead a job in a bucket of the master's own rows has to be due, so that its owner cannot have it in
flight before a unit that takes it away is committed: an owner reads what is due without waiting."""


REQUESTS_KEPT: Final = 7 * 86400.0
"""Seconds for which a request to a lost worker is kept: its host may only have been asleep."""


@frozen(kw_only=True)
class Assignment:
    """The result of an `assign_due` call: jobs by bucket, and when the next held job comes within reach.

    `next_in` is the time in seconds until another held job is due within the look-ahead (0 if some already are, but
    found no room; None if nothing is held). `next_for_rooms` is the same for jobs whose lane and priority have a room.
    """

    assigned: Mapping[UUID, int] = field(factory=dict)
    next_in: float | None = None
    next_for_rooms: float | None = None


@frozen(kw_only=True)
class HeartbeatReply:
    """The answer to a heartbeat: which of the workers are alive, and what has to be looked after.

    `cancelling` are the living workers that have jobs to cancel in their buckets. `needs_rescue` is set only if the
    caller asked, and only while any of the workers is alive.
    """

    alive: frozenset[UUID] = frozenset()
    cancelling: frozenset[UUID] = frozenset()
    needs_rescue: bool = False


@frozen(kw_only=True)
class Mark:
    """A job in flight whose state lasts: `queued` in memory, or `processing` since `started_at`."""

    job_id: UUID
    attempt: int
    status: JobStatus
    started_at: datetime | None = None


@frozen(kw_only=True)
class CancelAnswer:
    """The result of one cancel request; `bucket_id` is where to send the notifications of a `requested` one."""

    job_id: UUID
    result: CancelResult
    bucket_id: UUID | None = None


class ClusterStore(ABC):
    """Clusters and workers."""

    @abstractmethod
    async def register_cluster(self, cluster: ClusterRecord) -> ClusterRecord:
        """Store a cluster or update its settings (its mode only when it is new); return what is stored.

        Changes made with `change_cluster` stay.
        """

    @abstractmethod
    async def get_cluster(self, cluster_id: str) -> ClusterRecord | None:
        """Return a cluster, or None if this master has no such cluster."""

    @abstractmethod
    async def register_worker(self, worker: WorkerRecord, buckets: Sequence[Bucket], lease: float) -> None:
        """Store a worker with a lease of `lease` seconds from the store's now, and its buckets as active.

        One unit: no process ever sees a bucket whose worker has no lease. Idempotent.
        """

    @abstractmethod
    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        """Renew the leases of workers and note the load of their buckets; return which live, and what there is to do.

        * A worker that was declared lost is not renewed and not alive: it must fence itself.
        * A caller that names a cluster as `rescuing` is told whether it needs a rescue, as by `needs_rescue`.
        * Leases depend on the answer: queries that read more than a few index entries do not belong here.
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

        If `before` is given, they have to be from before it too: the store's clock may have jumped since the caller
        looked. A lost worker with a request is kept for at least `REQUESTS_KEPT` seconds: it may come back.
        """


class BucketStore(ABC):
    """Buckets and their owners."""

    @abstractmethod
    async def list_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        """Return all buckets of the cluster."""

    @abstractmethod
    async def active_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        """Return the buckets that take new jobs: active, with a worker whose lease has not run out.

        Each has `unheard`, the seconds since its worker's last heartbeat by the store's clock, and `silent`: whether it
        was marked silent since that heartbeat and since its load was last reported.
        """

    @abstractmethod
    async def mark_silent(self, bucket_ids: Sequence[UUID]) -> None:
        """Note that the owners of buckets leave due jobs unread: they are silent until they show a sign of life."""

    @abstractmethod
    async def tell_loads(self, loads: Mapping[UUID, Load]) -> None:
        """Note the loads of buckets, as a heartbeat does, between two heartbeats. Buckets of lost workers are left alone."""

    @abstractmethod
    async def needs_rescue(self, cluster_id: str) -> bool:
        """Return whether `take_lost_buckets` or `sweep_orphans` may find anything; never false if they would.

        For callers that are about to call the two, or have no lease to renew; others learn it with each heartbeat.
        Writes nothing.
        """

    @abstractmethod
    async def set_bucket_status(self, bucket: Bucket, status: BucketStatus) -> bool:
        """Change the status of a bucket the caller owns (same epoch); return whether it still owned it."""

    @abstractmethod
    async def take_lost_buckets(
        self, cluster_id: str, rescuer: UUID, limit: int, agents: Sequence[str] | None = None
    ) -> Sequence[Bucket]:
        """Take over buckets that were left behind.

        * Their owner's lease ran out, it stopped without them, or it gave them away as `lost`, for a worker that can
          reach their agent.
        * Only buckets of these agents, which the rescuer can reach; of all agents with None.
        * Atomic: only one of several rescuers gets a bucket. Its epoch grows by one, its owner is `rescuer`, its status
          `draining`, its `former_owner` the previous owner; a worker whose lease ran out becomes `lost`.
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

        * Only jobs that have been due for `waited` seconds, and that the owner neither has in flight nor will receive:
          an owner that reads at the same time learns of it before it has any of them. Nothing is taken from an owner
          that cannot do this (one that runs older code, say).
        * The first `keep` of them stay, and at most `limit` are taken, in the order of due time and id. Jobs that are
          to be cancelled stay.
        * Any process may call this, no matter which worker owns the bucket or whether it is alive.
        """

    @abstractmethod
    async def hold_messages(self, bucket_id: UUID, messages: Sequence[Message]) -> int:
        """Hold jobs on the master again that it has in a bucket on an agent; return how many.

        For a caller that found their messages aside there (`AgentRepository.set_aside`). Jobs that are no longer in
        that bucket at that attempt and placing, or that are to be cancelled, are left alone. Idempotent, no matter how
        late the call comes.
        """

    @abstractmethod
    async def bucket_holdings(self, cluster_id: str) -> Mapping[UUID, int]:
        """Return the number of live jobs by bucket id, for every bucket that has any."""

    @abstractmethod
    async def release_bucket(self, bucket: Bucket) -> int:
        """Hold all jobs of an owned bucket on the master again, as they are; return their number.

        For an owner that has none of them in flight any more. Jobs that are to be cancelled end instead: a held job
        goes to another bucket, whose owner may run it before it learns of the request. A concurrent request finds the
        job either in the bucket or held, and takes effect in both cases.

        Raises `LeaseLostError` if the epoch is no longer the caller's.
        """

    @abstractmethod
    async def sweep_orphans(self, cluster_id: str) -> int:
        """Hold jobs on the master again that are in buckets no worker will ever read; return their number.

        Those are buckets that are ready to delete, or not registered (late pushes end up there). Jobs that are to be
        cancelled end instead, as with `release_bucket`.
        """


class JobStore(ABC):
    """Jobs, from the first insert to the last query."""

    @abstractmethod
    async def insert_jobs(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        """Store jobs, each in its bucket or held; return their receipts in order.

        * Idempotent by job id: a job that is already stored, in whatever state, does not change.
        * A job whose idempotency key the cluster (or an earlier job of the same call) already has is not stored; its
          receipt names that job and says `created=False`. If that job is of another definition, the call raises
          `KeyTakenError` instead, and stores none of its jobs.
        * `accepted_by` is `master`.
        """

    @abstractmethod
    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        """Put held jobs due within `ahead` seconds into buckets of their lane and priority, earliest first.

        * Parked jobs stay where they are. A bucket gets at most `free` jobs.
        * Concurrent callers never assign one job twice, and do not wait for each other.
        """

    @abstractmethod
    async def due_places(self, cluster_id: str, waited: float = 0.0) -> frozenset[tuple[str, Priority]]:
        """Return the lanes and priorities of held jobs that have been due for `waited` seconds.

        Parked ones do not count. Writes nothing.
        """

    @abstractmethod
    async def mark(self, bucket: Bucket, marks: Sequence[Mark]) -> None:
        """Record states that last. Jobs that are no longer in the bucket at this attempt are left alone.

        A mark never leads backwards: a job that is recorded as processing stays so, with its start, when a late mark
        says that it is queued.

        Raises `LeaseLostError` if the epoch is no longer the caller's.
        """

    @abstractmethod
    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        """Write the outcomes of claimed jobs, all in one unit; return the ids of the stale ones.

        * A report holds only if the job is still in that bucket, at that attempt, and the bucket at that
          epoch. Otherwise it changes nothing.
        * A report with an outcome appends an attempt record. A terminal report removes the live row in the same unit;
          any other moves it (`delay` counts from the store's now).
        * A report that brings its `job` stores it first, unless there is one with its id, in the same unit and under
          the same condition: the bucket still has that epoch. A job that is stored by its report and goes on has its
          live row from it. If the job was already stored, the report is treated like any other.
        * A job whose cancellation was requested does not go back to waiting: a non-terminal report ends it
          as cancelled.
        """

    @abstractmethod
    async def ended_attempts(self, attempts: Sequence[tuple[UUID, int]]) -> frozenset[tuple[UUID, int]]:
        """Return which of these attempts, given as (job id, number), have a recorded end. Writes nothing.

        For an owner whose report was stale: its own earlier, unanswered call may have recorded the end. An ended
        attempt is over for good; the job's next run has another number. A job that was released or parked continues
        with the same number, and its attempt has no end.
        """

    @abstractmethod
    async def cancel(
        self, cluster_id: str, job_ids: Sequence[UUID], worker: str = ""
    ) -> Sequence[CancelAnswer]:
        """Cancel jobs; return the result for each, in order. Raises `JobNotFoundError` for an unknown id.

        A job that no owner can have in flight (held, or in a bucket of the master's own rows but not due within
        `OUT_OF_REACH`) is cancelled at once. Any other job is marked, for its owner to see in `cancel_requests`; this
        includes every job in a bucket on an agent, whether its message is there or on its way. A request is never
        withdrawn: the attempt that it finds waiting or running is the job's last, and no worker may start it any more.
        """

    @abstractmethod
    async def cancel_requests(self, bucket_ids: Sequence[UUID]) -> Sequence[tuple[UUID, UUID, int]]:
        """Return (bucket id, job id, attempt) of the cancel requests in some buckets."""

    @abstractmethod
    async def reschedule(
        self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None = None
    ) -> None:
        """Give a waiting job a new due time, `delay` seconds from now, and hold it on the master.

        A job in a bucket on an agent can be rescheduled only by the caller that has withdrawn its message under the
        handover `withdrawn` of that bucket; this call closes the handover. Without it, or if it no longer exists
        (another process took it over, and the message is back), the job counts as in flight. So does a job in a bucket
        of the master's own rows that is due within `OUT_OF_REACH`.

        Raises `InvalidTransitionError` if it may be in flight, is to be cancelled or is finished, `JobNotFoundError` if
        unknown.
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
        """Return how many jobs match (ignoring `after` and `limit`), by status; statuses without any are left out."""

    @abstractmethod
    async def waiting_by_lane(self, cluster_id: str) -> Mapping[str, int]:
        """Return how many jobs are due and do not run, by lane; lanes without any are left out.

        Held jobs and jobs in buckets, here or on an agent. Parked jobs do not count, nor do jobs recorded as
        processing. Reads neither the history nor jobs that are due later, and writes nothing.
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
    """The complete interface of a master. One instance serves one URL and any number of clusters."""
