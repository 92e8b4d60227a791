"""The rows of an in-memory master, and the steps that its stores share."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from attrs import define, evolve

from jobmaster.clock import Clock
from jobmaster.errors import JobNotFoundError, LeaseLostError
from jobmaster.memory.rows import OWNED, RUNNING, Live, Tables, never_started
from jobmaster.models import Bucket, Job, Load, LogLine
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.states import BucketStatus, JobStatus


@define(eq=False, repr=False, slots=False)
class MasterRows:
    """The rows of a master, by the clock of one process. Callers of its methods are within a `unit`."""

    tables: Tables
    clock: Clock

    @contextmanager
    def unit(self) -> Iterator[Tables]:
        """Within the block, no other thread reads or changes the rows."""
        with self.tables.lock:
            yield self.tables

    # Time

    def now(self) -> datetime:
        """Return the time of the clock."""
        return self.clock.now()

    def later(self, delay: float) -> datetime:
        """Return the moment in `delay` seconds."""
        return self.now() + timedelta(seconds=delay)

    def before(self, age: float, before: datetime | None) -> datetime:
        """Return the moment before which things are `age` seconds old, and from before `before`."""
        latest = self.later(-age)
        return latest if before is None else min(latest, before)

    # Workers and buckets

    def is_leased(self, worker_id: UUID) -> bool:
        """Return whether a worker is running and its lease has not run out."""
        worker = self.tables.workers.get(worker_id)
        if worker is None or worker.status not in RUNNING:
            return False
        if worker.lease_until is None or worker.heartbeat_at is None:
            return False
        # A heartbeat more than a lease ahead was noted before the clock went back.
        lease = worker.lease_until - worker.heartbeat_at
        return worker.heartbeat_at - lease <= self.now() <= worker.lease_until

    def is_rescue_needed(self, cluster_id: str) -> bool:
        """Return whether a lease has run out, a bucket was left behind, or jobs are in buckets without a reader."""
        tables = self.tables
        workers = [w for w in tables.workers.values() if w.cluster_id == cluster_id and w.status in RUNNING]
        owned = [b for b in tables.buckets.values() if b.cluster_id == cluster_id and b.status in OWNED]
        return (
            any(not self.is_leased(worker.id) for worker in workers)
            or any(self.is_left_behind(bucket) for bucket in owned)
            or any(row.job.cluster_id == cluster_id for row in self.orphans())
        )

    def is_left_behind(self, bucket: Bucket) -> bool:
        """Return whether a bucket was given away, or its worker runs no more."""
        worker = self.tables.workers.get(bucket.worker_id)
        return bucket.status is BucketStatus.LOST or worker is None or worker.status not in RUNNING

    def orphans(self) -> list[Live]:
        """Return the rows in buckets that no worker will ever read."""
        buckets = self.tables.buckets.values()
        read = {bucket.id for bucket in buckets if bucket.status is not BucketStatus.READY_TO_DELETE}
        return [row for row in self.tables.live.in_buckets() if row.bucket_id not in read]

    def set_status(self, bucket: Bucket, status: BucketStatus, **changes: Any) -> Bucket:
        """Change a stored bucket's status, and other fields; return what is stored."""
        changed = evolve(bucket, status=status, status_changed_at=self.now(), **changes)
        self.tables.buckets[bucket.id] = changed
        return changed

    def owned(self, bucket: Bucket) -> Bucket:
        """Return the stored bucket; raises `LeaseLostError` if another worker took it over."""
        stored = self.tables.buckets.get(bucket.id)
        if stored is None or stored.epoch != bucket.epoch:
            msg = f"bucket {bucket.id} is no longer owned at epoch {bucket.epoch}"
            raise LeaseLostError(msg)
        return stored

    def is_on_an_agent(self, bucket_id: UUID | None) -> bool:
        """Return whether the messages of a bucket are on an agent, out of this store's reach."""
        bucket = self.tables.buckets.get(bucket_id) if bucket_id else None
        return bucket is not None and bucket.is_on_agent

    def note_loads(self, loads: Mapping[UUID, Load], alive: Container[UUID]) -> None:
        """Note the loads of the buckets whose workers are alive: these are no longer silent."""
        for bucket_id, load in loads.items():
            bucket = self.tables.buckets.get(bucket_id)
            if bucket and bucket.worker_id in alive:
                self.tables.silent_at.pop(bucket_id, None)
                self.tables.buckets[bucket_id] = evolve(
                    bucket, load=load.in_flight, running=load.running, free=load.free, offered=load.offered
                )

    def in_bucket(self, bucket_id: UUID) -> list[Live]:
        """Return the rows in a bucket, in order."""
        return sorted(self.tables.live.among(bucket_id), key=lambda row: row.position)

    def unread(self, bucket_id: UUID, waited: float) -> list[Live]:
        """Return due jobs of a bucket that were never handed out to its owner."""
        due, to = self.later(-waited), self.tables.handed_out.get(bucket_id)
        return [
            row
            for row in self.in_bucket(bucket_id)
            if row.ready_at <= due and (to is None or row.position > to) and not row.cancel_requested
        ]

    # Jobs

    def known_job(self, cluster_id: str, job_id: UUID) -> Job:
        """Return a job of the cluster; raises `JobNotFoundError` if there is none."""
        job = self.tables.jobs.get(job_id)
        if job is None or job.cluster_id != cluster_id:
            raise JobNotFoundError(job_id, cluster_id)
        return job

    def status_of(self, job_id: UUID) -> JobStatus:
        """Return the status of a stored job."""
        row = self.tables.live.get(job_id)
        return row.status if row else self.tables.final[job_id][0]

    def hold_or_end(self, rows: Iterable[Live]) -> int:
        """Hold rows that are not in flight, and end those that are to be cancelled; return how many are held.

        A held job goes to another bucket, whose owner may run it before it learns of the request.
        """
        let_go = list(rows)
        for row in let_go:
            if row.cancel_requested:
                self.end_unstarted(row)
            else:
                row.hold()
        return sum(not row.cancel_requested for row in let_go)

    def end_unstarted(self, row: Live, worker: str = "") -> None:
        """End a job that is not in flight as cancelled."""
        now = self.now()
        self.tables.attempts.setdefault(row.job.id, []).append(never_started(row, worker, now))
        self.tables.final[row.job.id] = JobStatus.CANCELLED, now
        del self.tables.live[row.job.id]

    def lines_of(self, cluster_id: str, subject: str, subject_id: str) -> list[LogLine]:
        """Return the log lines of a subject, oldest first."""
        return [
            line
            for owner, line in self.tables.logs
            if (owner, line.subject, line.subject_id) == (cluster_id, subject, subject_id)
        ]

    def forget_job(self, job_id: UUID) -> None:
        """Delete a job that has no live row, with everything that belongs to it."""
        tables = self.tables
        job = tables.jobs.pop(job_id)
        tables.final.pop(job_id, None)
        tables.firings.pop(job_id, None)
        tables.attempts.pop(job_id, None)
        tables.logs = [e for e in tables.logs if (e[1].subject, e[1].subject_id) != ("job", str(job_id))]
        if job.key is not None:
            del tables.keys[job.cluster_id, job.key]

    # Schedules

    def schedules_of(self, cluster_id: str) -> list[ScheduleRecord]:
        """Return the schedules of a cluster."""
        return [s for s in self.tables.schedules.values() if s.cluster_id == cluster_id]

    def schedule_with_key(self, job: Job) -> ScheduleRecord | None:
        """Return the schedule that has the key of a template."""
        return next((s for s in self.schedules_of(job.cluster_id) if _has_key(s, job)), None)


def _has_key(schedule: ScheduleRecord, job: Job) -> bool:
    return job.key is not None and job.key == schedule.key and not schedule.status.is_terminal
