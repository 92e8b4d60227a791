"""Handing held jobs over to agents, so that a job is never marked as handed over and then forgotten."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from uuid import UUID

from attrs import frozen

from jobmaster.contracts.agent import Message
from jobmaster.models import Bucket
from jobmaster.states import Priority


@frozen(kw_only=True)
class Room:
    """A bucket that can take `free` more jobs of its lane and priority."""

    bucket_id: UUID
    lane: str
    priority: Priority
    free: int


@frozen(kw_only=True)
class Handover:
    """Jobs that the master has marked as in a bucket on an agent, and that are yet to be pushed there.

    The messages are `saved`, and in the state that the master has the jobs in; their delays count from now.
    """

    id: UUID
    bucket_id: UUID
    messages: Sequence[Message] = ()


@frozen(kw_only=True)
class HandoverResult:
    """What a `hand_over` call did; `next_in` and `next_for_rooms` are those of an `Assignment`."""

    handovers: Sequence[Handover] = ()
    next_in: float | None = None
    next_for_rooms: float | None = None


class HandoverStore(ABC):
    """The way of held jobs to buckets on agents: marked on the master, pushed to the agent, forgotten.

    A mark and a push cannot be one transaction. The handover, written with the mark and deleted after the push,
    says what may be missing on the agent: whoever finds one that nobody cares for any more pushes its jobs
    again, which changes nothing where they arrived.
    """

    @abstractmethod
    async def hand_over(
        self, cluster_id: str, ahead: float, rooms: Sequence[Room], pusher: UUID
    ) -> HandoverResult:
        """Do as `assign_due`, and return what it assigned as one handover for each bucket, in the same unit.

        `pusher` is the worker (or process) that will push; it has `take_over_handovers` worth of time for that.
        """

    @abstractmethod
    async def hand_over_parked(
        self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int, pusher: UUID
    ) -> Sequence[Handover]:
        """Do as `adopt_parked` for buckets on an agent, and return what it put there, one handover for each bucket."""

    @abstractmethod
    async def open_handover(
        self, cluster_id: str, bucket_id: UUID, job_ids: Sequence[UUID], pusher: UUID, *, alone: bool = False
    ) -> UUID:
        """Note that messages of these jobs may be missing in a bucket, before that comes to be; return its id.

        For who withdraws a message, or stores jobs in a bucket because a push was not answered. The jobs need
        not exist yet.

        With `alone`, raises `InvalidTransitionError` if another handover of the bucket has one of the jobs: whoever
        carries that one may be pushing its message again, and what is withdrawn would be back. Of several such
        callers at once one gets a handover.
        """

    @abstractmethod
    async def handed_over(self, bucket_id: UUID) -> frozenset[UUID]:
        """Return the jobs of the handovers of a bucket: whoever carries these may be about to push them (again)."""

    @abstractmethod
    async def close_handovers(self, handover_ids: Sequence[UUID], *, if_empty: bool = False) -> None:
        """Forget handovers: all that their jobs need is on the agent. Idempotent.

        With `if_empty`, only those of whose jobs none lies in the bucket now.
        """

    @abstractmethod
    async def return_handovers(self, handover_ids: Sequence[UUID]) -> int:
        """Hold the jobs of handovers on the master again, as they are, and forget these; return how many jobs.

        One unit. For a push that certainly did not happen, of a handover that nobody had before. A job that is no
        longer in the handover's bucket, or that a handover which is gone was about, is left alone. One that is to
        be cancelled ends.
        """

    @abstractmethod
    async def take_over_handovers(
        self, cluster_id: str, age: float, pusher: UUID, limit: int
    ) -> Sequence[Handover]:
        """Take over handovers that were written or last taken `age` seconds ago or earlier.

        Of several callers one gets each, the oldest first and under a new id: to who had it before it is gone, so
        that a take-back which comes too late changes nothing. Its messages are of those jobs that are still in
        its bucket; there may be none left, and then the caller closes it.
        """
