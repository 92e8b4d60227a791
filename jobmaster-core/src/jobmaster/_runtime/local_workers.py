"""The workers of this process as a group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from jobmaster.contracts import Topics
from jobmaster.states import ClusterMode, WorkerMode

if TYPE_CHECKING:
    from jobmaster._flow.ownership import OwnedBucket, WorkerLease
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.worker import RunningWorker

RETURN_SHARE: Final = 0.9
"""Share of a heartbeat that workers which were cut off get to return: they check every heartbeat."""


class LocalWorkers:
    """Answers the questions that a process's upkeep asks about all its workers. Workers may join and leave."""

    def __init__(self, env: Environment, workers: Iterable[RunningWorker]) -> None:
        self.env = env
        self.workers = list(workers)

    @property
    def modes(self) -> set[WorkerMode]:
        """The modes of the workers."""
        return {worker.settings.mode for worker in self.workers}

    # Leases

    def leases(self) -> list[WorkerLease]:
        """Return the leases that the workers may act under."""
        return [lease for worker in self.workers if (lease := worker.lease) is not None]

    def owned(self, worker_id: UUID) -> Sequence[OwnedBucket]:
        """Return the buckets owned under a registration."""
        sessions = [worker.current for worker in self.workers]
        return next((session.owned for session in sessions if session and session.record.id == worker_id), ())

    def all_owned(self) -> Sequence[OwnedBucket]:
        """Return the buckets that this process owns now."""
        sessions = [worker.current for worker in self.workers]
        return [owned for session in sessions if session is not None for owned in session.owned]

    def has_free_slots(self) -> bool:
        """Return whether a slot here is idle; True if no worker here owns a bucket, as it is unknown then."""
        owned = self.all_owned()
        return not owned or any(one.free for one in owned)

    def fence(self, lease: WorkerLease) -> None:
        """Stop at once the worker that holds a lease: the master declared it lost."""
        for worker in self.workers:
            if worker.current is not None and worker.current.lease is lease:
                worker.current.fence("the master declared it lost")

    def look_for_cancels(self, worker_id: UUID) -> None:
        """Make a worker look for jobs to cancel: its buckets contain some."""
        for owned in self.owned(worker_id):
            self.env.notify.hear(Topics.control(owned.id))

    # Duties

    def rescuer(self) -> UUID | None:
        """Return a live worker that may take over buckets, if there is one.

        Returns None until the master has answered for about a heartbeat: an outage that cost one worker its lease most
        likely cost others theirs. They are back as well and know what became of their jobs; a rescuer would have to guess.
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
        """Return the id under which handovers are pushed: that of a live worker, or of the process."""
        return self.rescuer() or self.env.process_id

    def coordinates(self) -> bool:
        """Return whether a coordinating worker is still running."""
        return any(
            worker.settings.mode.coordinates and not worker.stopped.is_set() for worker in self.workers
        )

    def stands_still(self) -> bool:
        """Return whether this process must not assign or plan anything now."""
        return self.env.mode is not ClusterMode.ACTIVE or not self.coordinates()
