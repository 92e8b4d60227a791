"""What owners record about the jobs they have in flight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from attrs import frozen

from jobmaster.models import Bucket, Report
from jobmaster.states import JobStatus


@frozen(kw_only=True)
class Mark:
    """A job in flight whose state lasts: `queued` in memory, or `processing` since `started_at`."""

    job_id: UUID
    attempt: int
    status: JobStatus
    started_at: datetime | None = None


class OutcomeStore(ABC):
    """How the attempts of jobs go and how they end."""

    @abstractmethod
    async def mark(self, bucket: Bucket, marks: Sequence[Mark]) -> None:
        """Record states that last. Jobs that are no longer in the bucket at this attempt are left alone.

        A mark never leads backwards: a job that is recorded as processing stays so, with its start, when a late mark
        says that it is queued.

        Raises `LeaseLostError` if the epoch is no longer the caller's.
        """

    @abstractmethod
    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        """Write the outcomes of claimed jobs, all in one unit; return the ids of the stale ones.

        * A report holds only if the job is still in that bucket, at that attempt, and the bucket at that
          epoch. Otherwise it changes nothing.
        * A report with an outcome appends an attempt record. A terminal report removes the live row in the same unit;
          any other moves it (`delay` counts from the store's now).
        * A report that brings its `job` stores it first, unless there is one with its id, in the same unit and under
          the same condition: the bucket still has that epoch. A job that is stored by its report and goes on has its
          live row from it. If the job was already stored, the report is treated like any other.
        * A job whose cancellation was requested does not go back to waiting: a non-terminal report ends it
          as cancelled.
        """

    @abstractmethod
    async def ended_attempts(self, attempts: Sequence[tuple[UUID, int]]) -> frozenset[tuple[UUID, int]]:
        """Return which of these attempts, given as (job id, number), have a recorded end. Writes nothing.

        For an owner whose report was stale: its own earlier, unanswered call may have recorded the end. An ended
        attempt is over for good; the job's next run has another number. A job that was released or parked continues
        with the same number, and its attempt has no end.
        """
