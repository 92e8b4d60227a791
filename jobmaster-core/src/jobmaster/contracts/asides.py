"""Messages that leave their bucket for the master again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from uuid import UUID

from jobmaster.contracts.messages import Message
from jobmaster.models import Bucket


class AsideStore(ABC):
    """Moves messages out of a bucket, for callers that bring them back to the master."""

    @abstractmethod
    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        """Move due messages that the owner of a bucket has not read into the bucket `aside`; return their number.

        * Only messages that have been due for `waited` seconds, and that the owner neither has in flight nor will
          receive: an owner that pulls at the same time learns of the move before it has any of them.
        * The first `keep` of them stay, and at most `limit` are moved, in the order of due time and id. Messages of the
          jobs `but` stay.
        * Any process may call this, no matter which worker owns the bucket or whether it is alive. The bucket `aside`
          has no owner: the caller, or any process that finds its messages, brings them back to the master.
        * An agent that cannot do this exactly moves nothing.
        """

    @abstractmethod
    async def put(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        """Move messages, given as (job id, attempt), that the caller owns and has in flight into the bucket `aside`.

        For an owner that gives them back unstarted. Idempotent; messages that are not in its bucket are left out.
        Afterwards the same messages may be pushed there again, and count as new. An agent that cannot move a message
        copies it before it removes it. Copies of them that were in `aside` before, and were not removed, are stale:
        they are replaced.
        """

    @abstractmethod
    async def remove(self, aside: UUID, messages: Sequence[Message]) -> None:
        """Remove messages that were set aside and are on the master now, as `messages.read_all` returned them. Idempotent.

        Messages of the same jobs that were put there since then stay: their `placed` differs.
        """
