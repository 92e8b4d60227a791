"""The in-memory provider, `memory://name`: the reference for what the contracts mean, and for tests.

Nothing outlives the process. Repositories of one process that name the same store share it; `memory://`
without a name is a store of its own. Every method does its work without yielding, under one lock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import RLock
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
from attrs import define, evolve, field

from jobmaster.clock import Clock, SystemClock
from jobmaster.contracts import Assignment, CancelAnswer, Capabilities, Mark, MasterRepository, Room
from jobmaster.errors import InvalidTransitionError, JobNotFoundError, LeaseLostError
from jobmaster.hookspecs import StoreOptions, hookimpl
from jobmaster.models import (
    Attempt,
    Bucket,
    BucketPage,
    CancelResult,
    Claim,
    ClusterRecord,
    Cursor,
    Job,
    JobQuery,
    JobReceipt,
    JobRecord,
    LogLine,
    MetadataFilter,
    NewJob,
    Operator,
    Position,
    Report,
    WorkerRecord,
)
from jobmaster.news import NewsHub
from jobmaster.states import AttemptOutcome, BucketStatus, JobStatus, WorkerStatus

_RUNNING = frozenset({WorkerStatus.ACTIVE, WorkerStatus.STOPPING})
_OWNED = frozenset({BucketStatus.ACTIVE, BucketStatus.COMPLETING, BucketStatus.DRAINING, BucketStatus.LOST})


@define
class _Live:
    """The live row of a job: where it waits or runs."""

    job: Job
    status: JobStatus
    ready_at: datetime
    bucket_id: UUID | None = None
    attempt: int = 1
    retries: int = 0
    crashes: int = 0
    suspect: bool = False
    started_at: datetime | None = None
    cancel_requested: bool = False
    parked: str | None = None

    @property
    def position(self) -> tuple[datetime, UUID]:
        return self.ready_at, self.job.id

    def hold(self) -> None:
        self.status, self.bucket_id, self.started_at = JobStatus.HELD_ON_MASTER, None, None


@define
class _Store:
    """All rows of one named store."""

    lock: RLock = field(factory=RLock)
    news: NewsHub = field(factory=NewsHub)
    clusters: dict[str, ClusterRecord] = field(factory=dict)
    workers: dict[UUID, WorkerRecord] = field(factory=dict)
    buckets: dict[UUID, Bucket] = field(factory=dict)
    lost_at: dict[UUID, datetime] = field(factory=dict)
    handed_out: dict[UUID, tuple[datetime, UUID]] = field(factory=dict)
    """The furthest place in each bucket that was ever handed out."""
    jobs: dict[UUID, Job] = field(factory=dict)
    keys: dict[tuple[str, str], UUID] = field(factory=dict)
    live: dict[UUID, _Live] = field(factory=dict)
    attempts: dict[UUID, list[Attempt]] = field(factory=dict)
    final: dict[UUID, tuple[JobStatus, datetime]] = field(factory=dict)
    logs: list[tuple[str, LogLine]] = field(factory=list)


_stores: dict[str, _Store] = {}


class MemoryMaster(MasterRepository):
    """A master whose rows are Python objects."""

    def __init__(self, name: str = "", clock: Clock | None = None) -> None:
        self._store = _stores.setdefault(name, _Store()) if name else _Store()
        self._clock = clock or SystemClock()

    # Schema

    @property
    def capabilities(self) -> Capabilities:
        """It tells its own process at once, and keeps nothing."""
        return Capabilities(notifications=True, durable=False, shared=False)

    async def open(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def migrate(self) -> Sequence[str]:
        return ()

    async def pending_migrations(self) -> Sequence[str]:
        return ()

    def migration_script(self) -> str:
        return ""

    async def now(self) -> datetime:
        return self._clock.now()

    @contextmanager
    def _unit(self) -> Iterator[_Store]:
        with self._store.lock:
            yield self._store

    def _later(self, delay: float) -> datetime:
        return self._clock.now() + timedelta(seconds=delay)

    # Clusters and workers

    async def register_cluster(self, cluster: ClusterRecord) -> ClusterRecord:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            known = store.clusters.get(cluster.id)
            mode, created = (known.mode, known.created_at) if known else (cluster.mode, self._clock.now())
            stored = evolve(cluster, mode=mode, created_at=created)
            store.clusters[cluster.id] = stored
            return stored

    async def get_cluster(self, cluster_id: str) -> ClusterRecord | None:
        await anyio.lowlevel.checkpoint()
        return self._store.clusters.get(cluster_id)

    async def set_cluster_mode(self, cluster: ClusterRecord) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            store.clusters[cluster.id] = evolve(store.clusters[cluster.id], mode=cluster.mode)

    async def register_worker(self, worker: WorkerRecord, buckets: Sequence[Bucket], lease: float) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            now = self._clock.now()
            until = now + timedelta(seconds=lease)
            store.workers.setdefault(
                worker.id, evolve(worker, started_at=now, heartbeat_at=now, lease_until=until)
            )
            for bucket in buckets:
                store.buckets.setdefault(bucket.id, evolve(bucket, created_at=now, status_changed_at=now))

    async def heartbeat(
        self, worker_ids: Sequence[UUID], loads: Mapping[UUID, int], lease: float
    ) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            now, until = self._clock.now(), self._later(lease)
            alive = [w for w in worker_ids if w in store.workers and store.workers[w].status in _RUNNING]
            for worker_id in alive:
                renewed = evolve(store.workers[worker_id], heartbeat_at=now, lease_until=until)
                store.workers[worker_id] = renewed
            for bucket_id, load in loads.items():
                bucket = store.buckets.get(bucket_id)
                if bucket and bucket.worker_id in alive:
                    store.buckets[bucket_id] = evolve(bucket, load=load)
            return frozenset(alive)

    async def set_worker_stopping(self, worker_id: UUID) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            worker = store.workers.get(worker_id)
            if worker is None or worker.status is not WorkerStatus.ACTIVE:
                return
            store.workers[worker_id] = evolve(worker, status=WorkerStatus.STOPPING)
            for bucket in list(store.buckets.values()):
                if bucket.worker_id == worker_id and bucket.status is BucketStatus.ACTIVE:
                    self._set_status(bucket, BucketStatus.COMPLETING)

    async def retire_worker(self, worker_id: UUID) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            worker = store.workers.get(worker_id)
            if worker and worker.status in _RUNNING:
                store.workers[worker_id] = evolve(worker, status=WorkerStatus.STOPPED)

    async def list_workers(self, cluster_id: str) -> Sequence[WorkerRecord]:
        await anyio.lowlevel.checkpoint()
        return [w for w in reversed(self._store.workers.values()) if w.cluster_id == cluster_id]

    async def prune_workers(self, cluster_id: str, age: float) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            limit = self._later(-age)
            gone = [
                w.id
                for w in store.workers.values()
                if w.cluster_id == cluster_id
                and w.status not in _RUNNING
                and (w.heartbeat_at or limit) < limit
                and not any(b.worker_id == w.id and b.status in _OWNED for b in store.buckets.values())
            ]
            for worker_id in gone:
                del store.workers[worker_id]
            for bucket in list(store.buckets.values()):
                ready = bucket.cluster_id == cluster_id and bucket.status is BucketStatus.READY_TO_DELETE
                if ready and (bucket.status_changed_at or limit) < limit:
                    del store.buckets[bucket.id]
                    store.lost_at.pop(bucket.id, None)
                    store.handed_out.pop(bucket.id, None)
            return len(gone)

    # Buckets

    async def list_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        await anyio.lowlevel.checkpoint()
        return [b for b in self._store.buckets.values() if b.cluster_id == cluster_id]

    async def active_buckets(self, cluster_id: str) -> Sequence[Bucket]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            return [
                b
                for b in store.buckets.values()
                if b.cluster_id == cluster_id
                and b.status is BucketStatus.ACTIVE
                and self._leased(b.worker_id)
            ]

    def _leased(self, worker_id: UUID) -> bool:
        worker = self._store.workers.get(worker_id)
        if worker is None or worker.status not in _RUNNING or worker.lease_until is None:
            return False
        return worker.lease_until >= self._clock.now()

    def _set_status(self, bucket: Bucket, status: BucketStatus, **changes: Any) -> Bucket:
        changed = evolve(bucket, status=status, status_changed_at=self._clock.now(), **changes)
        self._store.buckets[bucket.id] = changed
        return changed

    def _owned(self, bucket: Bucket) -> Bucket:
        """Return the stored bucket; raises `LeaseLostError` if somebody took it over."""
        stored = self._store.buckets.get(bucket.id)
        if stored is None or stored.epoch != bucket.epoch:
            msg = f"bucket {bucket.id} is no longer owned at epoch {bucket.epoch}"
            raise LeaseLostError(msg)
        return stored

    async def set_bucket_status(self, bucket: Bucket, status: BucketStatus) -> bool:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            stored = store.buckets.get(bucket.id)
            if stored is None or stored.epoch != bucket.epoch:
                return False
            self._set_status(stored, status)
            return True

    async def take_lost_buckets(self, cluster_id: str, rescuer: UUID, limit: int) -> Sequence[Bucket]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            self._declare_lost(cluster_id)
            left = [
                b
                for b in store.buckets.values()
                if b.cluster_id == cluster_id and b.status in _OWNED and self._left_behind(b)
            ]
            return [self._take(bucket, rescuer) for bucket in left[:limit]]

    def _declare_lost(self, cluster_id: str) -> None:
        for worker in list(self._store.workers.values()):
            expired = worker.status in _RUNNING and not self._leased(worker.id)
            if worker.cluster_id == cluster_id and expired:
                self._store.workers[worker.id] = evolve(worker, status=WorkerStatus.LOST)

    def _left_behind(self, bucket: Bucket) -> bool:
        worker = self._store.workers.get(bucket.worker_id)
        return worker is None or worker.status not in _RUNNING

    def _take(self, bucket: Bucket, rescuer: UUID) -> Bucket:
        self._store.lost_at.setdefault(bucket.id, self._clock.now())
        taken = self._set_status(bucket, BucketStatus.DRAINING, epoch=bucket.epoch + 1, worker_id=rescuer)
        return evolve(taken, former_owner=bucket.worker_id)

    def _in_bucket(self, bucket_id: UUID) -> list[_Live]:
        rows = [row for row in self._store.live.values() if row.bucket_id == bucket_id]
        return sorted(rows, key=lambda row: row.position)

    async def read_bucket(self, bucket: Bucket, cursor: Cursor, limit: int) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            self._owned(bucket)
            now = self._clock.now()
            rows = self._in_bucket(bucket.id)
            after = (cursor.after.ready_at, cursor.after.job_id) if cursor.after else None
            due = [r for r in rows if r.ready_at <= now and (after is None or r.position > after)]
            later = next((r.ready_at for r in rows if r.ready_at > now), None)
            page, more = due[:limit], len(due) > limit
            self._record_claimed(bucket, page, more=more)
            last = Position(*page[-1].position) if page else cursor.after
            return BucketPage(
                claims=[_claim(row, bucket) for row in page],
                cursor=Cursor(after=last if more else None, bounded=more),
                more=more,
                next_due_in=(later - now).total_seconds() if later else None,
            )

    def _record_claimed(self, bucket: Bucket, page: Sequence[_Live], *, more: bool) -> None:
        """Bound what the owner can have in hand; with a backlog, by the furthest job ever handed out."""
        store, handed_out = self._store, self._store.handed_out
        if page:
            handed_out[bucket.id] = max(page[-1].position, handed_out.get(bucket.id, page[-1].position))
        claimed = Position(*handed_out[bucket.id]) if more else None
        store.buckets[bucket.id] = evolve(store.buckets[bucket.id], claimed_to=claimed)

    async def read_exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            stored = self._owned(bucket)
            lost_at = store.lost_at.get(bucket.id, self._clock.now())
            to = stored.claimed_to
            rows = [
                row
                for row in self._in_bucket(bucket.id)
                if bucket.id in store.handed_out
                and row.ready_at <= lost_at
                and (to is None or row.position <= (to.ready_at, to.job_id))
            ]
            claims = [_claim(row, bucket) for row in rows[:limit]]
            return BucketPage(claims=claims, cursor=Cursor(), more=len(rows) > limit)

    async def bucket_holdings(self, cluster_id: str) -> Mapping[UUID, int]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            counts: dict[UUID, int] = {}
            for row in store.live.values():
                if row.bucket_id and row.job.cluster_id == cluster_id:
                    counts[row.bucket_id] = counts.get(row.bucket_id, 0) + 1
            return counts

    async def release_bucket(self, bucket: Bucket) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            self._owned(bucket)
            return _hold_all(self._in_bucket(bucket.id))

    async def sweep_orphans(self, cluster_id: str) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            read = {b.id for b in store.buckets.values() if b.status is not BucketStatus.READY_TO_DELETE}
            return _hold_all(
                row
                for row in store.live.values()
                if row.job.cluster_id == cluster_id and row.bucket_id and row.bucket_id not in read
            )

    # Jobs

    async def insert_jobs(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return [self._insert(new) for new in jobs]

    def _insert(self, new: NewJob) -> JobReceipt:
        store, job = self._store, new.job
        if job.id in store.jobs:
            return JobReceipt(job_id=job.id, accepted_by="master")
        if job.key is not None:
            holder = store.keys.setdefault((job.cluster_id, job.key), job.id)
            if holder != job.id:
                return JobReceipt(job_id=holder, accepted_by="master", created=False)
        store.jobs[job.id] = job
        status = JobStatus.ASSIGNED_TO_BUCKET if new.bucket_id else JobStatus.HELD_ON_MASTER
        store.live[job.id] = _Live(job, status, self._later(new.delay), new.bucket_id)
        return JobReceipt(job_id=job.id, accepted_by="master")

    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            now, horizon = self._clock.now(), self._later(ahead)
            assigned: dict[UUID, int] = {}
            for room in rooms:
                held = [
                    r
                    for r in self._held(cluster_id)
                    if (r.job.lane, r.job.priority) == (room.lane, room.priority)
                ]
                for row in [r for r in held if r.ready_at <= horizon][: room.free]:
                    self._place(row, room.bucket_id, now)
                    assigned[room.bucket_id] = assigned.get(room.bucket_id, 0) + 1
            first = next(iter(self._held(cluster_id)), None)
            next_in = max(0.0, (first.ready_at - horizon).total_seconds()) if first else None
            return Assignment(assigned=assigned, next_in=next_in)

    def _held(self, cluster_id: str) -> list[_Live]:
        rows = self._store.live.values()
        held = [r for r in rows if r.bucket_id is None and not r.parked and r.job.cluster_id == cluster_id]
        return sorted(held, key=lambda row: row.position)

    def _place(self, row: _Live, bucket_id: UUID, now: datetime) -> None:
        row.status, row.bucket_id, row.parked = JobStatus.ASSIGNED_TO_BUCKET, bucket_id, None
        row.ready_at = max(row.ready_at, now)

    async def mark(self, bucket: Bucket, marks: Sequence[Mark]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            self._owned(bucket)
            for mark in marks:
                row = store.live.get(mark.job_id)
                if row and row.bucket_id == bucket.id and row.attempt == mark.attempt:
                    row.status, row.started_at = mark.status, mark.started_at

    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return frozenset(report.job_id for report in reports if not self._report(report))

    def _report(self, report: Report) -> bool:
        store = self._store
        row, bucket = store.live.get(report.job_id), store.buckets.get(report.bucket_id)
        fresh = row and bucket and bucket.epoch == report.epoch
        if not row or not fresh or (row.bucket_id, row.attempt) != (report.bucket_id, report.attempt):
            return False
        status = report.status
        if row.cancel_requested and not status.is_terminal:
            status = JobStatus.CANCELLED
        if report.outcome is not None:
            self._append_attempt(report.job_id, _attempt_of(report, self._clock.now()))
            store.logs += [(row.job.cluster_id, line) for line in report.logs]
        if status.is_terminal:
            self._finish(row, status, report)
        else:
            self._requeue(row, report)
        return True

    def _append_attempt(self, job_id: UUID, attempt: Attempt) -> None:
        self._store.attempts.setdefault(job_id, []).append(attempt)

    def _finish(self, row: _Live, status: JobStatus, report: Report) -> None:
        now = self._clock.now()
        if report.outcome is None:
            self._append_attempt(row.job.id, _never_started(row, report.worker, now))
        self._store.final[row.job.id] = status, report.finished_at or now
        del self._store.live[row.job.id]

    def _requeue(self, row: _Live, report: Report) -> None:
        row.attempt, row.retries = report.next_attempt, report.retries
        row.crashes, row.suspect, row.parked = report.crashes, report.suspect, report.parked
        if report.status is JobStatus.HELD_ON_MASTER:
            row.hold()
        else:
            row.status, row.started_at = report.status, None
        row.ready_at = self._later(report.delay)

    async def cancel(
        self, cluster_id: str, job_ids: Sequence[UUID], worker: str = ""
    ) -> Sequence[CancelAnswer]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            for job_id in job_ids:
                self._known(cluster_id, job_id)
            return [self._cancel(job_id, worker) for job_id in job_ids]

    def _known(self, cluster_id: str, job_id: UUID) -> Job:
        job = self._store.jobs.get(job_id)
        if job is None or job.cluster_id != cluster_id:
            raise JobNotFoundError(job_id, cluster_id)
        return job

    def _cancel(self, job_id: UUID, worker: str) -> CancelAnswer:
        row, now = self._store.live.get(job_id), self._clock.now()
        if row is None:
            return CancelAnswer(job_id=job_id, result=CancelResult.TOO_LATE)
        if row.bucket_id and row.ready_at <= now:
            row.cancel_requested = True
            return CancelAnswer(job_id=job_id, result=CancelResult.REQUESTED, bucket_id=row.bucket_id)
        self._append_attempt(job_id, _never_started(row, worker, now))
        self._store.final[job_id] = JobStatus.CANCELLED, now
        del self._store.live[job_id]
        return CancelAnswer(job_id=job_id, result=CancelResult.CANCELLED)

    async def cancel_requests(self, bucket_ids: Sequence[UUID]) -> Sequence[tuple[UUID, UUID, int]]:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            return [
                (row.bucket_id, row.job.id, row.attempt)
                for row in store.live.values()
                if row.cancel_requested and row.bucket_id in bucket_ids and row.bucket_id
            ]

    async def reschedule(self, cluster_id: str, job_id: UUID, delay: float) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            self._known(cluster_id, job_id)
            row, now = store.live.get(job_id), self._clock.now()
            in_hand = row is not None and row.bucket_id is not None and row.ready_at <= now
            if row is None or in_hand:
                raise InvalidTransitionError(job_id, self._status(job_id), (), JobStatus.HELD_ON_MASTER)
            row.hold()
            row.ready_at = self._later(delay)
            store.jobs[job_id] = row.job = evolve(row.job, scheduled_at=row.ready_at)

    async def retry(self, cluster_id: str, job_id: UUID) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            job = self._known(cluster_id, job_id)
            if job_id not in store.final:
                raise InvalidTransitionError(job_id, self._status(job_id), (), JobStatus.HELD_ON_MASTER)
            del store.final[job_id]
            number = store.attempts[job_id][-1].number + 1
            store.live[job_id] = _Live(job, JobStatus.HELD_ON_MASTER, self._clock.now(), attempt=number)

    async def adopt_parked(self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            homes = {(b.cluster_id, b.lane, b.priority): b.id for b in buckets}
            parked = [
                (row, homes[place])
                for row in store.live.values()
                if row.parked
                and row.job.definition_id in definition_ids
                and (place := (row.job.cluster_id, row.job.lane, row.job.priority)) in homes
            ][:limit]
            for row, bucket_id in parked:
                self._place(row, bucket_id, self._clock.now())
            return len(parked)

    # Queries

    def _status(self, job_id: UUID) -> JobStatus:
        row = self._store.live.get(job_id)
        return row.status if row else self._store.final[job_id][0]

    def _record(self, job: Job) -> JobRecord:
        row = self._store.live.get(job.id)
        attempts = self._store.attempts.get(job.id, [])
        last = attempts[-1].number if attempts else 1
        return JobRecord(
            job=job,
            status=self._status(job.id),
            ready_at=row.ready_at if row else None,
            finished_at=None if row else self._store.final[job.id][1],
            attempt=row.attempt if row else last,
            retries=row.retries if row else 0,
            bucket_id=row.bucket_id if row else None,
            reason=row.parked if row else None,
            cancel_requested=row.cancel_requested if row else False,
        )

    async def get_job(self, cluster_id: str, job_id: UUID) -> JobRecord | None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            job = store.jobs.get(job_id)
            if job is None or job.cluster_id != cluster_id:
                return None
            runs = [a for a in store.attempts.get(job_id, []) if not _no_run(a)]
            lines = self._lines(cluster_id, "job", str(job_id))
            return evolve(self._record(job), attempts=runs, logs=lines)

    def _matching(self, cluster_id: str, query: JobQuery) -> list[Job]:
        jobs = [
            j for j in self._store.jobs.values() if j.cluster_id == cluster_id and self._matches(j, query)
        ]
        return sorted(jobs, key=lambda job: job.id, reverse=True)

    def _matches(self, job: Job, query: JobQuery) -> bool:
        row = self._store.live.get(job.id)
        return (
            (not query.statuses or self._status(job.id) in query.statuses)
            and query.definition_id in (None, job.definition_id)
            and query.lane in (None, job.lane)
            and query.priority in (None, job.priority)
            and (query.scheduled_from is None or job.scheduled_at >= query.scheduled_from)
            and (query.scheduled_to is None or job.scheduled_at < query.scheduled_to)
            and (query.parked is None or query.parked == bool(row and row.parked))
            and all(matches(wanted, job.metadata) for wanted in query.metadata)
        )

    async def query_jobs(self, cluster_id: str, query: JobQuery) -> Sequence[JobRecord]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            found = self._matching(cluster_id, query)
            page = [job for job in found if query.after is None or job.id < query.after]
            return [self._record(job) for job in page[: query.limit]]

    async def count_jobs(self, cluster_id: str, query: JobQuery) -> Mapping[JobStatus, int]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            counts: dict[JobStatus, int] = {}
            for job in self._matching(cluster_id, query):
                status = self._status(job.id)
                counts[status] = counts.get(status, 0) + 1
            return counts

    async def add_logs(self, cluster_id: str, lines: Sequence[LogLine]) -> None:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            store.logs += [(cluster_id, line) for line in lines]

    def _lines(self, cluster_id: str, subject: str, subject_id: str) -> list[LogLine]:
        return [
            line
            for owner, line in self._store.logs
            if (owner, line.subject, line.subject_id) == (cluster_id, subject, subject_id)
        ]

    async def list_logs(
        self, cluster_id: str, subject: str, subject_id: str, limit: int
    ) -> Sequence[LogLine]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return self._lines(cluster_id, subject, subject_id)[-limit:]

    async def prune_jobs(self, cluster_id: str, age: float, limit: int) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit() as store:
            before = self._later(-age)
            old = [
                job_id
                for job_id, (_, finished) in store.final.items()
                if finished < before and store.jobs[job_id].cluster_id == cluster_id
            ][:limit]
            for job_id in old:
                self._forget(job_id)
            return len(old)

    def _forget(self, job_id: UUID) -> None:
        store = self._store
        job = store.jobs.pop(job_id)
        del store.final[job_id]
        store.attempts.pop(job_id, None)
        store.logs = [e for e in store.logs if (e[1].subject, e[1].subject_id) != ("job", str(job_id))]
        if job.key is not None:
            del store.keys[job.cluster_id, job.key]

    # News

    async def announce(self, topics: Sequence[str]) -> None:
        await anyio.lowlevel.checkpoint()
        self._store.news.tell(topics)

    async def listen(
        self, topics: Sequence[str], on_news: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        with self._store.news.listener(topics, on_news):
            on_ready()
            await anyio.sleep_forever()


def _claim(row: _Live, bucket: Bucket) -> Claim:
    return Claim(
        job=row.job,
        bucket_id=bucket.id,
        epoch=bucket.epoch,
        attempt=row.attempt,
        ready_at=row.ready_at,
        retries=row.retries,
        crashes=row.crashes,
        suspect=row.suspect,
        cancel_requested=row.cancel_requested,
        started_at=row.started_at,
    )


def _hold_all(rows: Iterable[_Live]) -> int:
    held = list(rows)
    for row in held:
        row.hold()
    return len(held)


def _attempt_of(report: Report, now: datetime) -> Attempt:
    return Attempt(
        number=report.attempt,
        outcome=report.outcome or AttemptOutcome.CANCELLED,
        started_at=report.started_at,
        finished_at=report.finished_at or now,
        worker=report.worker,
        host=report.host,
        bucket_id=report.bucket_id,
        error=report.error,
    )


def _never_started(row: _Live, worker: str, now: datetime) -> Attempt:
    return Attempt(
        number=row.attempt,
        outcome=AttemptOutcome.CANCELLED,
        started_at=None,
        finished_at=now,
        worker=worker,
        host="",
        bucket_id=row.bucket_id,
    )


def _no_run(attempt: Attempt) -> bool:
    return attempt.outcome is AttemptOutcome.CANCELLED and attempt.started_at is None


_COMPARE: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: lambda value, wanted: value == wanted,
    Operator.NE: lambda value, wanted: value != wanted,
    Operator.GT: lambda value, wanted: value > wanted,
    Operator.GTE: lambda value, wanted: value >= wanted,
    Operator.LT: lambda value, wanted: value < wanted,
    Operator.LTE: lambda value, wanted: value <= wanted,
    Operator.CONTAINS: lambda value, wanted: wanted in value,
    Operator.STARTS_WITH: lambda value, wanted: value.startswith(wanted),
    Operator.ENDS_WITH: lambda value, wanted: value.endswith(wanted),
}


def matches(wanted: MetadataFilter, metadata: Mapping[str, Any]) -> bool:
    """Return whether metadata satisfies a filter: the meaning that every provider reproduces."""
    if wanted.name not in metadata:
        return False
    value = metadata[wanted.name]
    if wanted.operator is Operator.IN:
        return any(_same_kind(value, option) and value == option for option in wanted.value)
    return _same_kind(value, wanted.value) and _COMPARE[wanted.operator](value, wanted.value)


def _same_kind(value: Any, wanted: Any) -> bool:
    numbers = {int, float}
    if type(value) in numbers and type(wanted) in numbers:
        return not (isinstance(wanted, float) and math.isnan(wanted))
    return type(value) is type(wanted)


@hookimpl
def jobmaster_schemes() -> Mapping[str, str]:
    """Serve `memory://`."""
    return {"memory": "in this process only, for tests: memory://name"}


@hookimpl
def jobmaster_master(url: str, options: StoreOptions) -> MasterRepository | None:
    """Return a memory master; `store_options={"clock": …}` moves its time."""
    scheme, _, name = url.partition("://")
    return MemoryMaster(name.strip("/"), options.options.get("clock")) if scheme == "memory" else None
