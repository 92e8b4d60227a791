"""Delete jobs and schedules past their retention, a little at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from jobmaster._flow.storeclock import StoreClock
    from jobmaster.contracts import JobStore, ScheduleStore, WorkerStore

JOBS_AT_ONCE = 1000
SCHEDULES_AT_ONCE = 1000
WORKERS_KEPT = 3600.0
"""Seconds for which stopped workers and empty buckets stay visible."""


@define(eq=False)
class Prune:
    """Deletes finished jobs and schedules after `retention` seconds (None: never), and workers that are long gone.

    With `archived`, jobs and schedules are moved to an archive instead, and those still here stay. Before each batch
    the store's clock is compared with the monotonic one: nothing is deleted until the two have agreed for a while, and
    nothing that was not old enough by then.
    """

    cluster_id: str
    jobs: JobStore
    schedules: ScheduleStore
    workers: WorkerStore
    store_clock: StoreClock
    retention: float | None
    workers_kept: float = WORKERS_KEPT
    archived: bool = False

    async def run_once(self) -> int:
        """Delete one batch; return the number of jobs deleted."""
        await self.store_clock.look()
        if (before := self.store_clock.cutoff(self.workers_kept)) is not None:
            await self.workers.prune(self.cluster_id, self.workers_kept, before)
        return await self._prune_history()

    async def _prune_history(self) -> int:
        retention = None if self.archived else self.retention
        if retention is None or (before := self.store_clock.cutoff(retention)) is None:
            return 0
        await self.schedules.prune(self.cluster_id, retention, SCHEDULES_AT_ONCE, before)
        return await self.jobs.prune(self.cluster_id, retention, JOBS_AT_ONCE, before)

    def wait(self, deleted: int) -> float | None:
        """Return when to continue after a batch: at once if it was full, or in some seconds if the clock must settle."""
        if deleted >= JOBS_AT_ONCE:
            return 0.0
        ages = [self.workers_kept] if self.retention is None else [self.workers_kept, self.retention]
        return min(filter(None, map(self.store_clock.wait, ages)), default=None)
