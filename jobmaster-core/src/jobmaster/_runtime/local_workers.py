"""The workers of this process, taken together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from jobmaster._runtime.environment import Environment
from jobmaster._runtime.worker import RunningWorker
from jobmaster.contracts import Topics
from jobmaster.ownership import OwnedBucket, WorkerLease
from jobmaster.states import ClusterMode, WorkerMode

RETURN_SHARE: Final = 0.9
"""Share of a heartbeat that those who were cut off are given to return: their own look comes every heartbeat."""


class LocalWorkers:
    """What the upkeep of a process asks of all its workers at once. Workers may join and leave."""

    def __init__(self, env: Environment, workers: Iterable[RunningWorker]) -> None:
        self.env = env
        self.workers = list(workers)

    @property
    def modes(self) -> set[WorkerMode]:
        """The duties that there are among the workers."""
        return {worker.settings.mode for worker in self.workers}

    # Leases

    def leases(self) -> list[WorkerLease]:
        """Return the leases to act under."""
        return [lease for worker in self.workers if (lease := worker.lease) is not None]

    def owned(self, worker_id: UUID) -> Sequence[OwnedBucket]:
        """Return the buckets that are owned under a registration."""
        sessions = [worker.current for worker in self.workers]
        return next((session.owned for session in sessions if session and session.record.id == worker_id), ())

    def all_owned(self) -> Sequence[OwnedBucket]:
        """Return the buckets that are owned by this process now."""
        sessions = [worker.current for worker in self.workers]
        return [owned for session in sessions if session is not None for owned in session.owned]

    def has_free_slots(self) -> bool:
        """Return whether a slot here has nothing to do. Of workers that run nothing there is no saying."""
        owned = self.all_owned()
        return not owned or any(one.free for one in owned)

    def fence(self, lease: WorkerLease) -> None:
        """Stop the worker that holds a lease at once: the master declared it lost."""
        for worker in self.workers:
            if worker.current is not None and worker.current.lease is lease:
                worker.current.fence("the master declared it lost")

    def look_for_cancels(self, worker_id: UUID) -> None:
        """Have a worker look for jobs that are to be cancelled: there are some in its buckets."""
        for owned in self.owned(worker_id):
            self.env.notify.hear(Topics.control(owned.id))

    # Duties

    def rescuer(self) -> UUID | None:
        """Return a worker that is alive and may take over buckets, if there is one.

        Not before the master has answered for about a heartbeat: what took a lease most likely took those of others,
        who are back as well, and know what became of their jobs. A rescuer would have to guess.
        """
        if not self.env.watch.lasts(RETURN_SHARE * self.env.settings.heartbeat):
            return None
        now = self.env.monotonic()
        for worker in self.workers:
            lease = worker.lease
            if lease and worker.settings.mode.rescues and lease.is_safe(now):
                return lease.worker_id
        return None

    def pusher_id(self) -> UUID:
        """Return who carries handovers: a worker that is alive, or the process."""
        return self.rescuer() or self.env.process_id

    def coordinates(self) -> bool:
        """Return whether a worker that coordinates is still at it."""
        return any(
            worker.settings.mode.coordinates and not worker.stopped.is_set() for worker in self.workers
        )

    def stands_still(self) -> bool:
        """Return whether nothing is to be assigned or planned here now."""
        return self.env.mode is not ClusterMode.ACTIVE or not self.coordinates()
