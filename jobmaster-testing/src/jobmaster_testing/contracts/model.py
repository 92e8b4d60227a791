"""The required behaviour of a job store, in its simplest form: one row a job, no time, no concurrency."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from attrs import define, field

from jobmaster.models import CancelResult, Claim, Job, JobRecord, Report
from jobmaster.states import AttemptOutcome, JobStatus, check_transition


@define
class Expected:
    """A job as the store should have it. `due` jobs are due now; the others are not due for a long time."""

    job: Job
    status: JobStatus
    bucket_id: UUID | None
    due: bool
    attempt: int = 1
    retries: int = 0
    cancel_requested: bool = False
    parked: str | None = None
    outcomes: list[AttemptOutcome] = field(factory=list)

    @property
    def may_be_in_hand(self) -> bool:
        """Whether an owner may have it in flight."""
        return self.bucket_id is not None and self.due

    def move(self, status: JobStatus, bucket_id: UUID | None = None) -> None:
        """Change to another status; fails the test if the transition table does not allow it."""
        if status is not self.status:
            check_transition(self.job.id, self.status, status)
        self.status, self.bucket_id = status, bucket_id

    def agrees_with(self, record: JobRecord) -> bool:
        """Compare with the store's record. The numbers of a finished job are history."""
        if self.status.is_terminal:
            return record.status is self.status and record.bucket_id is None
        return (record.status, record.bucket_id, record.attempt, record.retries) == (
            self.status,
            self.bucket_id,
            self.attempt,
            self.retries,
        ) and (record.cancel_requested, record.reason) == (self.cancel_requested, self.parked)


class Model:
    """All jobs, and the epoch of each bucket."""

    def __init__(self, bucket_ids: Iterable[UUID]) -> None:
        self.jobs: dict[UUID, Expected] = {}
        self.keys: dict[str, UUID] = {}
        self.epochs = dict.fromkeys(bucket_ids, 1)

    def insert(self, job: Job, bucket_id: UUID | None, *, due: bool) -> UUID:
        """Store a job unless its key is taken; return the id of the job that has it."""
        if job.key is not None and self.keys.setdefault(job.key, job.id) != job.id:
            return self.keys[job.key]
        status = JobStatus.ASSIGNED_TO_BUCKET if bucket_id else JobStatus.HELD_ON_MASTER
        self.jobs[job.id] = Expected(job, status, bucket_id, due)
        return job.id

    def held(self) -> list[UUID]:
        """Return the jobs that can be assigned now."""
        wanted = JobStatus.HELD_ON_MASTER
        return [i for i, e in self.jobs.items() if e.status is wanted and e.due and not e.parked]

    def parked(self) -> list[UUID]:
        """Return the jobs that wait for a worker that knows them."""
        return [job_id for job_id, expected in self.jobs.items() if expected.parked]

    def readable(self, bucket_id: UUID) -> list[UUID]:
        """Return the jobs that the bucket's owner can read."""
        return [i for i, e in self.jobs.items() if e.bucket_id == bucket_id and e.due]

    def place(self, job_ids: Iterable[UUID], bucket_id: UUID) -> None:
        """Put held jobs into a bucket."""
        for job_id in job_ids:
            self.jobs[job_id].parked = None
            self.jobs[job_id].move(JobStatus.ASSIGNED_TO_BUCKET, bucket_id)

    def is_stale(self, claim: Claim) -> bool:
        """Return whether a report about this claim comes too late."""
        expected = self.jobs[claim.job.id]
        present = (expected.bucket_id, expected.attempt, self.epochs[claim.bucket_id])
        return present != (claim.bucket_id, claim.attempt, claim.epoch)

    def mark(self, claim: Claim, status: JobStatus) -> None:
        """Record a lasting state."""
        if not self.is_stale(claim):
            self.jobs[claim.job.id].status = status

    def report(self, claim: Claim, report: Report) -> None:
        """Apply a report, unless it is stale."""
        if self.is_stale(claim):
            return
        expected = self.jobs[claim.job.id]
        if report.outcome is not None:
            expected.outcomes.append(report.outcome)
        if report.status.is_terminal:
            self._end(expected, report.status)
        elif expected.cancel_requested:
            self._end(expected, JobStatus.CANCELLED)
        else:
            self._wait(expected, report)

    def _wait(self, expected: Expected, report: Report) -> None:
        stays = report.status is JobStatus.ASSIGNED_TO_BUCKET
        expected.move(report.status, expected.bucket_id if stays else None)
        expected.attempt, expected.retries = report.next_attempt, report.retries
        expected.parked, expected.due = report.parked, report.delay == 0

    def _end(self, expected: Expected, status: JobStatus) -> None:
        expected.move(status)
        expected.parked, expected.cancel_requested = None, False

    def cancel(self, job_id: UUID) -> CancelResult:
        """Cancel a job and return the result."""
        expected = self.jobs[job_id]
        if expected.status.is_terminal:
            return CancelResult.TOO_LATE
        if expected.may_be_in_hand:
            expected.cancel_requested = True
            return CancelResult.REQUESTED
        self._end(expected, JobStatus.CANCELLED)
        return CancelResult.CANCELLED

    def can_move(self, job_id: UUID) -> bool:
        """Return whether a job can be rescheduled."""
        expected = self.jobs[job_id]
        asked = expected.cancel_requested
        return not expected.status.is_terminal and not expected.may_be_in_hand and not asked

    def reschedule(self, job_id: UUID, *, due: bool) -> None:
        """Give a waiting job another due time."""
        expected = self.jobs[job_id]
        expected.move(JobStatus.HELD_ON_MASTER)
        expected.due = due

    def retry(self, job_id: UUID, attempt: int) -> None:
        """Let a finished job run again, with this attempt number."""
        expected = self.jobs[job_id]
        expected.move(JobStatus.HELD_ON_MASTER)
        expected.attempt, expected.retries, expected.due = attempt, 0, True

    def release(self, bucket_id: UUID) -> int:
        """Hold the jobs of a bucket again, except those that are to be cancelled; return how many are held."""
        found = [expected for expected in self.jobs.values() if expected.bucket_id == bucket_id]
        held = [expected for expected in found if not expected.cancel_requested]
        for expected in found:
            if expected.cancel_requested:
                self._end(expected, JobStatus.CANCELLED)
            else:
                expected.move(JobStatus.HELD_ON_MASTER)
        return len(held)
