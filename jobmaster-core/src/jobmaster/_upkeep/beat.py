"""Show long-lasting states on the master: jobs queued in memory or processing for over a beat."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define

from jobmaster.contracts import JobStore, Mark, MessageStore, OutcomeStore
from jobmaster.errors import LeaseLostError, StoreUnavailableError
from jobmaster.models import NewJob, evolve
from jobmaster.states import JobStatus

if TYPE_CHECKING:
    from jobmaster._flow.ownership import InFlight, OwnedBucket
    from jobmaster.clock import Clock


@define(eq=False)
class Beat:
    """Writes `queued` and `processing`, once each, for jobs that stay in that state for `after` seconds.

    A job that came straight to the agent is stored on the master before its first mark.
    """

    outcomes: OutcomeStore
    jobs: JobStore
    messages: MessageStore
    owned: Sequence[OwnedBucket]
    after: float
    clock: Clock

    async def run_once(self) -> int:
        """Mark the jobs whose state has lasted; return how many."""
        return sum([await self._mark(owned) for owned in self.owned])

    async def _mark(self, owned: OwnedBucket) -> int:
        before = self.clock.monotonic() - self.after
        due = [(entry, status) for entry in owned.in_flight.values() if (status := _lasting(entry, before))]
        if not due:
            return 0
        try:
            await self._save(owned, [entry for entry, _ in due if not entry.claim.saved])
            await self.outcomes.mark(owned.bucket, [_mark(entry, status) for entry, status in due])
        except LeaseLostError:
            return 0
        for entry, status in due:
            entry.marked = status
        return len(due)

    async def _save(self, owned: OwnedBucket, unsaved: Sequence[InFlight]) -> None:
        """Store jobs on the master that it does not know yet; the agent, if it answers, notes that they are saved."""
        if not unsaved:
            return
        await self.jobs.insert([NewJob(job=entry.claim.job, bucket_id=owned.id) for entry in unsaved])
        for entry in unsaved:
            entry.claim = evolve(entry.claim, saved=True)
        with suppress(StoreUnavailableError):
            await self.messages.note_saved(owned.bucket, [(h.claim.job.id, h.claim.attempt) for h in unsaved])


def _lasting(entry: InFlight, before: float) -> JobStatus | None:
    """Return the state of a job in flight that has lasted since `before` and is not yet recorded."""
    status, since = JobStatus.QUEUED, entry.since
    if entry.slot is not None:
        status, since = JobStatus.PROCESSING, entry.slot.started
    fresh = entry.ended or since > before or entry.marked in (status, JobStatus.PROCESSING)
    return None if fresh else status


def _mark(entry: InFlight, status: JobStatus) -> Mark:
    job = entry.slot.job if entry.slot else None
    return Mark(
        job_id=entry.claim.job.id,
        attempt=entry.claim.attempt,
        status=status,
        started_at=job.started_at if job else None,
    )
