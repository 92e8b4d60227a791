"""What users ask for jobs that exist."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from attrs import frozen

from jobmaster.models import CancelResult

OUT_OF_REACH: Final = 0.1
"""How many seconds ahead a job in a bucket of the master's own rows has to be due, so that its owner cannot have it in
flight before a unit that takes it away is committed: an owner reads what is due without waiting."""


@frozen(kw_only=True)
class CancelAnswer:
    """The result of one cancel request; `bucket_id` is where to send the notifications of a `requested` one."""

    job_id: UUID
    result: CancelResult
    bucket_id: UUID | None = None


class RequestStore(ABC):
    """Cancelling, rescheduling and retrying jobs."""

    @abstractmethod
    async def cancel(
        self, cluster_id: str, job_ids: Sequence[UUID], worker: str = ""
    ) -> Sequence[CancelAnswer]:
        """Cancel jobs; return the result for each, in order. Raises `JobNotFoundError` for an unknown id.

        A job that no owner can have in flight (held, or in a bucket of the master's own rows but not due within
        `OUT_OF_REACH`) is cancelled at once. Any other job is marked, for its owner to see in `read_cancels`; this
        includes every job in a bucket on an agent, whether its message is there or on its way. A request is never
        withdrawn: the attempt that it finds waiting or running is the job's last, and no worker may start it any more.
        """

    @abstractmethod
    async def read_cancels(self, bucket_ids: Sequence[UUID]) -> Sequence[tuple[UUID, UUID, int]]:
        """Return (bucket id, job id, attempt) of the cancel requests in some buckets."""

    @abstractmethod
    async def reschedule(
        self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None = None
    ) -> None:
        """Give a waiting job a new due time, `delay` seconds from now, and hold it on the master.

        A job in a bucket on an agent can be rescheduled only by the caller that has withdrawn its message under the
        handover `withdrawn` of that bucket; this call closes the handover. Without it, or if it no longer exists
        (another process took it over, and the message is back), the job counts as in flight. So does a job in a bucket
        of the master's own rows that is due within `OUT_OF_REACH`.

        Raises `InvalidTransitionError` if it may be in flight, is to be cancelled or is finished, `JobNotFoundError` if
        unknown.
        """

    @abstractmethod
    async def retry(self, cluster_id: str, job_id: UUID) -> None:
        """Hold a finished job on the master, due now, with all its retries again. Its attempts are kept.

        Raises `InvalidTransitionError` if it is not finished, `JobNotFoundError` if unknown.
        """
