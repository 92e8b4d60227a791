"""Taking back messages that were not read, while their owner reads on independently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import anyio

from jobmaster.errors import StoreUnavailableError
from jobmaster_sql.driver import SqlDriver
from jobmaster_sql.message_rows import by_attempt
from jobmaster_sql.units import Answer, Query, Unit

MARGIN: Final = 1_000_000
"""Microseconds before its due time from which a message is left in place."""


class Withdrawal:
    """One withdrawal of messages, given as (job id, attempt).

    An owner that began to read before the messages were gone still sees them, and takes those that are due by the time it
    began. So only messages that are not due when the removal has been committed were certainly not read. Putting back
    messages that were due by then could revive a message that its owner has already run and acknowledged. Therefore messages
    that are nearly due are left alone, and a removal that took longer than that, or whose answer was lost, is reported as
    not known to have happened: the caller has recorded on the master that these messages may be missing.
    """

    def __init__(self, driver: SqlDriver, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> None:
        self._driver, self._dialect = driver, driver.dialect
        self._bucket_id, self._messages = bucket_id, messages

    async def run(self) -> frozenset[UUID]:
        """Return the ids of the jobs whose messages were removed.

        Raises `StoreUnavailableError` if some may have been both removed and read.
        """
        with anyio.CancelScope(shield=True):
            removed = await self._driver.run(self._remove, again=False)
            if removed:
                await self._driver.run(lambda: self._check(min(removed.values())), read_only=True)
        return frozenset(removed)

    def _remove(self) -> Unit[dict[UUID, int]]:
        """Remove messages that are not nearly due; return due times by job id."""
        ids = self._dialect.uuids([job_id for job_id, _ in self._messages])
        bucket_id = self._dialect.uuid(self._bucket_id)
        found: Answer = yield Query("message_places", {"bucket_id": bucket_id, "job_ids": ids})
        places = {(self._dialect.to_uuid(row[0]), row[1]): row for row in found.rows}
        waiting = {key: places[key] for key in self._messages if key in places and _has_time(places[key])}
        if waiting:
            yield by_attempt("message_remove", self._bucket_id, waiting, self._dialect)
        return {job_id: row[2] for (job_id, _), row in waiting.items()}

    def _check(self, ready_at: int) -> Unit[None]:
        """Raise `StoreUnavailableError` if a moment is not in the future."""
        answer: Answer = yield Query("store_now", last=True)
        if answer.rows[0][0] >= ready_at:
            raise StoreUnavailableError("a withdrawal took so long that messages became due meanwhile")


def _has_time(row: Sequence[Any]) -> bool:
    """Whether a row of `message_places` is not nearly due."""
    return bool(row[2] > row[3] + MARGIN)
