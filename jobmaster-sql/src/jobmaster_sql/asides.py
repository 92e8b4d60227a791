"""Messages that leave their bucket for the master again, on any SQL database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from attrs import evolve

from jobmaster.contracts import AsideStore, Message
from jobmaster.models import Bucket
from jobmaster_sql.message_rows import by_attempt, by_placing
from jobmaster_sql.rows import micros
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Query, Unit
from jobmaster_sql.unread import take_unread


class SqlAsideStore(SqlStore, AsideStore):
    """Implements `AsideStore`; the contract's docstrings say what each method does."""

    async def set_aside(
        self, bucket: Bucket, aside: UUID, waited: float, keep: int, limit: int, but: Collection[UUID] = ()
    ) -> int:
        """Move due messages that the owner of a bucket has not read into another bucket; return their number."""
        which = {"waited": micros(waited), "keep": keep, "limit": limit}
        where = {"aside": self._dialect.uuid(aside), "but": self._dialect.uuids(list(but))}
        taking = Query("bucket_set_aside", which | where)
        return await self._driver.run(lambda: self._set_aside(bucket, taking))

    def _set_aside(self, bucket: Bucket, taking: Query) -> Unit[int]:
        stale = {"aside": taking.params["aside"], "bucket_id": self._dialect.uuid(bucket.id)}
        yield Query("message_stale_aside", stale)
        return (yield from take_unread(bucket, taking, self._dialect))

    async def put(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        """Move messages that the caller has in flight into another bucket."""
        if messages:
            await self._driver.run(lambda: self._put(bucket, aside, messages))

    def _put(self, bucket: Bucket, aside: UUID, messages: Sequence[tuple[UUID, int]]) -> Unit[None]:
        stored = self._dialect.uuid(aside)
        moves = by_attempt("message_put_aside", bucket.id, messages, self._dialect)
        yield Query("message_stale_aside", {"aside": stored, "bucket_id": self._dialect.uuid(bucket.id)})
        yield tuple(evolve(move, params={**move.params, "aside": stored}) for move in moves)

    async def remove(self, aside: UUID, messages: Sequence[Message]) -> None:
        """Remove messages that were set aside, as they were when read."""
        if messages:
            await self._driver.run(lambda: self._remove(aside, messages))

    def _remove(self, aside: UUID, messages: Sequence[Message]) -> Unit[None]:
        yield by_placing("message_remove_aside", aside, messages, self._dialect)
