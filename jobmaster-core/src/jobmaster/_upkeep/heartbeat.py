"""Renewing leases, once per process: liveness means that the claim loops make progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from uuid import UUID

from attrs import define, field

from jobmaster._policy.liveness import makes_progress
from jobmaster.contracts import MasterRepository
from jobmaster.ownership import OwnedBucket, WorkerLease

log = logging.getLogger("jobmaster.heartbeat")


@define(eq=False)
class Heartbeat:
    """Renews the leases of this process's workers in one write.

    `leases` and `buckets` return what is owned now. A worker whose claim loops have stood still for a
    whole lease is not renewed: a process that only exists is no live worker.
    """

    master: MasterRepository
    leases: Callable[[], Sequence[WorkerLease]]
    buckets: Callable[[UUID], Sequence[OwnedBucket]]
    duration: float
    monotonic: Callable[[], float]
    on_lost: Callable[[WorkerLease], None]
    _told: dict[UUID, int] = field(factory=dict, init=False)

    async def run_once(self) -> int:
        """Renew all leases; return how many. Workers the master has given up are handed to `on_lost`."""
        now = self.monotonic()
        leases = [lease for lease in self.leases() if self._moves(lease, now)]
        if not leases:
            return 0
        loads = {b.id: len(b.held) for lease in leases for b in self.buckets(lease.worker_id)}
        news = {bucket_id: load for bucket_id, load in loads.items() if self._told.get(bucket_id) != load}
        sent_at = self.monotonic()
        alive = await self.master.heartbeat([lease.worker_id for lease in leases], news, self.duration)
        self._told = loads
        for lease in leases:
            if lease.worker_id in alive:
                lease.renew(sent_at)
            else:
                log.warning("worker %s was declared lost; it starts anew", lease.worker_id)
                self.on_lost(lease)
        return len(alive)

    def _moves(self, lease: WorkerLease, now: float) -> bool:
        stuck = [
            b
            for b in self.buckets(lease.worker_id)
            if not b.closed and not makes_progress(b.last_progress, now, self.duration)
        ]
        if stuck:
            log.error(
                "worker %s: %d claim loops stand still; not renewing its lease", lease.worker_id, len(stuck)
            )
        return not stuck
