"""Deleting what is past its retention, a little at a time."""

from __future__ import annotations

from attrs import define

from jobmaster.contracts import MasterRepository

JOBS_AT_ONCE = 1000
SCHEDULES_AT_ONCE = 1000
WORKERS_KEPT = 3600.0
"""Seconds for which stopped workers and empty buckets stay visible."""


@define(eq=False)
class Prune:
    """Deletes finished jobs and schedules after `retention` seconds (None: never), and workers that are long gone.

    With `archived`, somebody else moves jobs and schedules away instead, and what is still there stays.
    """

    cluster_id: str
    master: MasterRepository
    retention: float | None
    workers_kept: float = WORKERS_KEPT
    archived: bool = False

    async def run_once(self) -> int:
        """Delete one batch; return the number of jobs deleted."""
        await self.master.prune_workers(self.cluster_id, self.workers_kept)
        if self.retention is None or self.archived:
            return 0
        await self.master.prune_schedules(self.cluster_id, self.retention, SCHEDULES_AT_ONCE)
        return await self.master.prune_jobs(self.cluster_id, self.retention, JOBS_AT_ONCE)

    def is_full(self, deleted: int) -> bool:
        """Return whether the last batch was full, so that there may be more."""
        return deleted >= JOBS_AT_ONCE
