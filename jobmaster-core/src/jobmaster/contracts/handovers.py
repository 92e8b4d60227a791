"""Handing held jobs over to agents, so that a job is never marked as handed over and then forgotten."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from uuid import UUID

from attrs import frozen

from jobmaster.contracts.assignments import Room
from jobmaster.contracts.messages import Message
from jobmaster.models import Bucket


@frozen(kw_only=True)
class Handover:
    """Jobs that the master has marked as in a bucket on an agent, and that still have to be pushed there.

    The messages are `saved`, and in the state in which the master has the jobs; their delays count from now.
    """

    id: UUID
    bucket_id: UUID
    messages: Sequence[Message] = ()


@frozen(kw_only=True)
class HandoverResult:
    """The result of a `hand_over` call; `next_in` and `next_for_rooms` are as in an `Assignment`."""

    handovers: Sequence[Handover] = ()
    next_in: float | None = None
    next_for_rooms: float | None = None


class HandoverStore(ABC):
    """Handovers of held jobs to buckets on agents: marked on the master, pushed to the agent, forgotten.

    A mark and a push cannot be one transaction. The handover, written with the mark and deleted after the push, says
    which jobs may be missing on the agent. A process that finds an abandoned handover pushes its jobs again; jobs that
    have already arrived do not change.
    """

    @abstractmethod
    async def hand_over(
        self, cluster_id: str, ahead: float, rooms: Sequence[Room], pusher: UUID
    ) -> HandoverResult:
        """Do as `assignments.assign_due`, and return what it assigned as one handover for each bucket, in the same unit.

        `pusher` is the worker (or process) that will push; it has until `take_over` for that.
        """

    @abstractmethod
    async def hand_over_parked(
        self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int, pusher: UUID
    ) -> Sequence[Handover]:
        """Do as `assignments.adopt_parked` for buckets on an agent; return one handover for each bucket that got jobs."""

    @abstractmethod
    async def open(
        self, cluster_id: str, bucket_id: UUID, job_ids: Sequence[UUID], pusher: UUID, *, alone: bool = False
    ) -> UUID:
        """Note in advance that messages of these jobs may be missing in a bucket; return the handover's id.

        For a caller that is about to withdraw a message, or stores jobs in a bucket because a push was not answered.
        The jobs need not exist yet.

        With `alone`, raises `InvalidTransitionError` if another handover of the bucket has one of the jobs: its pusher
        may be pushing the message again, and the withdrawn message would be back. Only one of several such concurrent
        callers gets a handover.
        """

    @abstractmethod
    async def jobs_of(self, bucket_id: UUID) -> frozenset[UUID]:
        """Return the jobs of the handovers of a bucket: their pushers may be about to push them (again)."""

    @abstractmethod
    async def close(self, handover_ids: Sequence[UUID], *, if_empty: bool = False) -> None:
        """Forget handovers: everything that their jobs need is on the agent. Idempotent.

        With `if_empty`, only handovers that have no job left in the bucket.
        """

    @abstractmethod
    async def undo(self, handover_ids: Sequence[UUID]) -> int:
        """Hold the jobs of handovers on the master again, unchanged, and forget the handovers; return how many jobs.

        One unit. For a push that certainly did not happen, of a handover that no other process had before. A job that
        is no longer in the handover's bucket, or whose handover is gone, is left alone. A job that is to be cancelled
        ends.
        """

    @abstractmethod
    async def take_over(self, cluster_id: str, age: float, pusher: UUID, limit: int) -> Sequence[Handover]:
        """Take over handovers that were written or last taken `age` seconds ago or earlier.

        Only one of several callers gets each handover, the oldest first and under a new id: for its former pusher it is
        gone, so that a late take-back changes nothing. Its messages are those of the jobs that are still in its bucket;
        if none are left, the caller closes it.
        """
