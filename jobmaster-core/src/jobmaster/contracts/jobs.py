"""Jobs as users see them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from jobmaster.models import JobQuery, JobReceipt, JobRecord, NewJob
from jobmaster.states import JobStatus


class JobStore(ABC):
    """Jobs, from the first insert to the last query."""

    @abstractmethod
    async def insert(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        """Store jobs, each in its bucket or held; return their receipts in order.

        * Idempotent by job id: a job that is already stored, in whatever state, does not change.
        * A job whose idempotency key the cluster (or an earlier job of the same call) already has is not stored; its
          receipt names that job and says `created=False`. If that job is of another definition, the call raises
          `KeyTakenError` instead, and stores none of its jobs.
        * `accepted_by` is `master`.
        """

    @abstractmethod
    async def get(self, cluster_id: str, job_id: UUID) -> JobRecord | None:
        """Return a job with its attempts and logs, or None."""

    @abstractmethod
    async def query(self, cluster_id: str, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs (without attempts), the newest first."""

    @abstractmethod
    async def count(self, cluster_id: str, query: JobQuery) -> Mapping[JobStatus, int]:
        """Return how many jobs match (ignoring `after` and `limit`), by status; statuses without any are left out."""

    @abstractmethod
    async def waiting_by_lane(self, cluster_id: str) -> Mapping[str, int]:
        """Return how many jobs are due and do not run, by lane; lanes without any are left out.

        Held jobs and jobs in buckets, here or on an agent. Parked jobs do not count, nor do jobs recorded as
        processing. Reads neither the history nor jobs that are due later, and writes nothing.
        """

    @abstractmethod
    async def prune(self, cluster_id: str, age: float, limit: int, before: datetime | None = None) -> int:
        """Delete up to `limit` jobs that finished over `age` seconds ago, and before `before`, with attempts and logs."""
