"""Renew leases, once per process: liveness means that the claim loops make progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from attrs import define, evolve, field

from jobmaster._policy.liveness import makes_progress
from jobmaster._text.logtext import counted

if TYPE_CHECKING:
    from jobmaster._flow.ownership import OwnedBucket, WorkerLease
    from jobmaster.clock import Clock
    from jobmaster.contracts import HeartbeatReply, WorkerStore
    from jobmaster.models import Load

log = logging.getLogger("jobmaster.heartbeat")


LOOK_SHARE = 0.1
"""Share of a lease that a heartbeat may take if it also looks for work that needs a rescue."""
APART_LEASES = 4
"""Leases for which heartbeats do not look for a rescue, after one that took longer or failed."""


class LeaseHolders(Protocol):
    """The workers of this process."""

    def leases(self) -> Sequence[WorkerLease]:
        """Return the leases that they may act under."""
        ...

    def owned(self, worker_id: UUID) -> Sequence[OwnedBucket]:
        """Return the buckets of one of them."""
        ...

    def rescuer(self) -> UUID | None:
        """Return one that may take over buckets, if there is one."""
        ...

    def fence(self, lease: WorkerLease) -> None:
        """Stop the holder of a lease at once: the master declared it lost."""
        ...

    def look_for_cancels(self, worker_id: UUID) -> None:
        """Make one look for jobs to cancel: its buckets contain some."""
        ...


@define(eq=False)
class Heartbeat:
    """Renews the leases of this process's workers in one write, whose answer says what else there is to do.

    A worker whose claim loops have stood still for a whole lease is not renewed: a process that merely exists does not
    count as a live worker.

    `on_rescue` is called when a worker here rescues and a rescue may be necessary. A long search must not cost a lease:
    after a slow answer `on_rescue` is called with each heartbeat, so that rescuers ask by themselves.
    """

    cluster_id: str
    workers: WorkerStore
    holders: LeaseHolders
    duration: float
    clock: Clock
    on_rescue: Callable[[], None]
    _told: dict[UUID, Load] = field(factory=dict, init=False)
    _apart_until: float = field(default=float("-inf"), init=False)

    async def run_once(self) -> int:
        """Renew all leases; return how many. Workers that the master has given up are fenced."""
        now = self.clock.monotonic()
        leases = [lease for lease in self.holders.leases() if self._moves(lease, now)]
        if not leases:
            return 0
        loads = {b.id: b.load_as_told(now) for lease in leases for b in self.holders.owned(lease.worker_id)}
        notifications = {
            bucket_id: load for bucket_id, load in loads.items() if self._told.get(bucket_id) != load
        }
        sent_at = self.clock.monotonic()
        reply = await self._beat([lease.worker_id for lease in leases], notifications, sent_at)
        self._told = loads
        self._renew(leases, reply, sent_at)
        self._spread(reply)
        return len(reply.alive)

    async def _beat(
        self, worker_ids: Sequence[UUID], loads: Mapping[UUID, Load], sent_at: float
    ) -> HeartbeatReply:
        if self.holders.rescuer() is None:
            return await self.workers.heartbeat(worker_ids, loads, self.duration)
        if sent_at < self._apart_until:
            reply = await self.workers.heartbeat(worker_ids, loads, self.duration)
            return evolve(reply, needs_rescue=True)
        self._apart_until = sent_at + APART_LEASES * self.duration
        reply = await self.workers.heartbeat(worker_ids, loads, self.duration, self.cluster_id)
        if self.clock.monotonic() - sent_at <= LOOK_SHARE * self.duration:
            self._apart_until = sent_at
        return reply

    def _renew(self, leases: Sequence[WorkerLease], reply: HeartbeatReply, sent_at: float) -> None:
        for lease in leases:
            if lease.worker_id in reply.alive:
                lease.renew(sent_at)
            elif not lease.retiring:
                log.warning("worker %s was declared lost; it starts again", lease.worker_id)
                self.holders.fence(lease)

    def _spread(self, reply: HeartbeatReply) -> None:
        if reply.needs_rescue:
            self.on_rescue()
        for worker_id in reply.cancelling:
            self.holders.look_for_cancels(worker_id)

    def _moves(self, lease: WorkerLease, now: float) -> bool:
        stuck = [
            b
            for b in self.holders.owned(lease.worker_id)
            if not b.closed and not makes_progress(b.last_progress, now, self.duration)
        ]
        if stuck:
            log.error(
                "worker %s: %s; not renewing its lease",
                lease.worker_id,
                counted(len(stuck), "claim loop is stuck", "claim loops are stuck"),
            )
        return not stuck
