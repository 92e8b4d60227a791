"""The common base of the in-memory stores (a clock and notifications) and of the parts of the in-memory master."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
from attrs import evolve

from jobmaster.clock import Clock, SystemClock
from jobmaster.contracts import (
    Capabilities,
    SchemaStore,
)
from jobmaster.errors import JobNotFoundError, LeaseLostError
from jobmaster.memory.rows import (
    OWNED,
    RUNNING,
    Live,
    Store,
    never_started,
    stores,
)
from jobmaster.models import (
    STANDALONE,
    Bucket,
    Job,
    Load,
)
from jobmaster.notifications import NotificationHub
from jobmaster.states import BucketStatus, JobStatus


class InMemory(SchemaStore):
    """A store without a schema, with the process's own clock or one that a test moves."""

    def __init__(self, notifications: NotificationHub, clock: Clock | None) -> None:
        self._notifications = notifications
        self._clock = clock or SystemClock()

    @property
    def capabilities(self) -> Capabilities:
        """Notifies its own process at once, and keeps nothing."""
        return Capabilities(notifications=True, durable=False, shared=False)

    async def open(self, *, create: bool = True) -> None:  # noqa: ARG002 - it lives as long as the process
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

    def _later(self, delay: float) -> datetime:
        return self._clock.now() + timedelta(seconds=delay)

    def _before(self, age: float, before: datetime | None) -> datetime:
        """Return the moment before which things are `age` seconds old, and from before `before`."""
        latest = self._later(-age)
        return latest if before is None else min(latest, before)

    async def announce(self, topics: Sequence[str]) -> None:
        await anyio.lowlevel.checkpoint()
        self._notifications.tell(topics)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        with self._notifications.listener(topics, on_notification):
            on_ready()
            await anyio.sleep_forever()


class MemoryBase(InMemory):
    """Holds the master's rows. Every method of the parts does its work without yielding, under one lock."""

    def __init__(self, name: str = "", clock: Clock | None = None) -> None:
        self._store = stores.setdefault(name, Store()) if name else Store()
        super().__init__(self._store.notifications, clock)

    @contextmanager
    def _unit(self) -> Iterator[Store]:
        with self._store.lock:
            yield self._store

    def _leased(self, worker_id: UUID) -> bool:
        worker = self._store.workers.get(worker_id)
        if worker is None or worker.status not in RUNNING:
            return False
        if worker.lease_until is None or worker.heartbeat_at is None:
            return False
        # A heartbeat more than a lease ahead was noted before the clock went back.
        lease = worker.lease_until - worker.heartbeat_at
        return worker.heartbeat_at - lease <= self._clock.now() <= worker.lease_until

    def _is_rescue_needed(self, cluster_id: str) -> bool:
        """Return whether a lease has run out, a bucket was left behind, or jobs are in buckets without a reader."""
        store = self._store
        workers = [w for w in store.workers.values() if w.cluster_id == cluster_id and w.status in RUNNING]
        owned = [b for b in store.buckets.values() if b.cluster_id == cluster_id and b.status in OWNED]
        return (
            any(not self._leased(worker.id) for worker in workers)
            or any(self._left_behind(bucket) for bucket in owned)
            or any(row.job.cluster_id == cluster_id for row in self._orphans())
        )

    def _left_behind(self, bucket: Bucket) -> bool:
        worker = self._store.workers.get(bucket.worker_id)
        return bucket.status is BucketStatus.LOST or worker is None or worker.status not in RUNNING

    def _orphans(self) -> list[Live]:
        buckets = self._store.buckets.values()
        read = {bucket.id for bucket in buckets if bucket.status is not BucketStatus.READY_TO_DELETE}
        return [row for row in self._store.live.in_buckets() if row.bucket_id not in read]

    def _set_status(self, bucket: Bucket, status: BucketStatus, **changes: Any) -> Bucket:
        changed = evolve(bucket, status=status, status_changed_at=self._clock.now(), **changes)
        self._store.buckets[bucket.id] = changed
        return changed

    def _owned(self, bucket: Bucket) -> Bucket:
        """Return the stored bucket; raises `LeaseLostError` if another worker took it over."""
        stored = self._store.buckets.get(bucket.id)
        if stored is None or stored.epoch != bucket.epoch:
            msg = f"bucket {bucket.id} is no longer owned at epoch {bucket.epoch}"
            raise LeaseLostError(msg)
        return stored

    def _on_an_agent(self, bucket_id: UUID | None) -> bool:
        """Return whether the messages of a bucket are on an agent, out of this store's reach."""
        bucket = self._store.buckets.get(bucket_id) if bucket_id else None
        return bucket is not None and bucket.agent != STANDALONE

    def _known(self, cluster_id: str, job_id: UUID) -> Job:
        job = self._store.jobs.get(job_id)
        if job is None or job.cluster_id != cluster_id:
            raise JobNotFoundError(job_id, cluster_id)
        return job

    def _note_loads(self, loads: Mapping[UUID, Load], alive: Container[UUID]) -> None:
        for bucket_id, load in loads.items():
            bucket = self._store.buckets.get(bucket_id)
            if bucket and bucket.worker_id in alive:
                self._store.silent_at.pop(bucket_id, None)
                self._store.buckets[bucket_id] = evolve(
                    bucket, load=load.in_flight, running=load.running, free=load.free, offered=load.offered
                )

    def _let_go(self, rows: Iterable[Live]) -> int:
        """Hold rows that are not in flight, and end those that are to be cancelled; return how many are held.

        A held job goes to another bucket, whose owner may run it before it learns of the request.
        """
        let_go = list(rows)
        for row in let_go:
            if row.cancel_requested:
                self._end_unstarted(row)
            else:
                row.hold()
        return sum(not row.cancel_requested for row in let_go)

    def _end_unstarted(self, row: Live, worker: str = "") -> None:
        """End a job that is not in flight as cancelled."""
        now = self._clock.now()
        self._store.attempts.setdefault(row.job.id, []).append(never_started(row, worker, now))
        self._store.final[row.job.id] = JobStatus.CANCELLED, now
        del self._store.live[row.job.id]

    def _status(self, job_id: UUID) -> JobStatus:
        row = self._store.live.get(job_id)
        return row.status if row else self._store.final[job_id][0]
