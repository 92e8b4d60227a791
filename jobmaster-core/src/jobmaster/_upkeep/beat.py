"""Showing on the master what lasts: jobs that are queued in memory or processing for over a beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from attrs import define

from jobmaster.contracts import AgentRepository, Mark, MasterRepository
from jobmaster.errors import LeaseLostError, StoreUnavailableError
from jobmaster.models import NewJob, evolve
from jobmaster.ownership import Held, OwnedBucket
from jobmaster.states import JobStatus


@define(eq=False)
class Beat:
    """Writes `queued` and `processing`, once each, for jobs that stay so for `after` seconds.

    A job that came straight to the agent is stored on the master before its first mark.
    """

    master: MasterRepository
    agent: AgentRepository
    buckets: Callable[[], Sequence[OwnedBucket]]
    after: float
    monotonic: Callable[[], float]

    async def run_once(self) -> int:
        """Mark what has lasted; return how many jobs."""
        return sum([await self._mark(owned) for owned in self.buckets()])

    async def _mark(self, owned: OwnedBucket) -> int:
        before = self.monotonic() - self.after
        due = [(held, status) for held in owned.held.values() if (status := _lasting(held, before))]
        if not due:
            return 0
        try:
            await self._save(owned, [held for held, _ in due if not held.claim.saved])
            await self.master.mark(owned.bucket, [_mark(held, status) for held, status in due])
        except LeaseLostError:
            return 0
        for held, status in due:
            held.marked = status
        return len(due)

    async def _save(self, owned: OwnedBucket, unsaved: Sequence[Held]) -> None:
        """Let the master know of jobs that it does not know yet; the agent, if it answers, notes that it does."""
        if not unsaved:
            return
        await self.master.insert_jobs([NewJob(job=held.claim.job, bucket_id=owned.id) for held in unsaved])
        for held in unsaved:
            held.claim = evolve(held.claim, saved=True)
        with suppress(StoreUnavailableError):
            await self.agent.note_saved(owned.bucket, [(h.claim.job.id, h.claim.attempt) for h in unsaved])


def _lasting(held: Held, before: float) -> JobStatus | None:
    """Return the state of a job in hand that has lasted since `before` and is not yet on record."""
    status, since = JobStatus.QUEUED, held.since
    if held.slot is not None:
        status, since = JobStatus.PROCESSING, held.slot.started
    fresh = held.ended or since > before or held.marked in (status, JobStatus.PROCESSING)
    return None if fresh else status


def _mark(held: Held, status: JobStatus) -> Mark:
    job = held.slot.job if held.slot else None
    return Mark(
        job_id=held.claim.job.id,
        attempt=held.claim.attempt,
        status=status,
        started_at=job.started_at if job else None,
    )
