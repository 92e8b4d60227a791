"""The common part of peers on PostgreSQL: their store is queried through our own connection."""

from __future__ import annotations

from typing import ClassVar

import psycopg
from _async import AsyncSystem


class PostgresPeer(AsyncSystem):
    """Another queue on PostgreSQL. The store is queried through our own connection."""

    any_unfinished: ClassVar[str]
    """Query: one row if there is an unfinished job, none otherwise."""
    count_unfinished: ClassVar[str]
    """Query: how many jobs are unfinished."""
    count_finished: ClassVar[str | None]
    """Query: how many jobs finished well; None if the system deletes them."""

    async def prepare(self) -> None:
        """Connect."""
        self._connection = psycopg.connect(self.url, autocommit=True)

    async def drained(self) -> bool:
        """Return whether the store holds no unfinished job."""
        return not self._connection.execute(self.any_unfinished.encode()).fetchall()

    async def count(self) -> tuple[int | None, int]:
        """Return how many finished and unfinished jobs the store holds."""
        finished = None if self.count_finished is None else self._number(self.count_finished)
        return finished, self._number(self.count_unfinished)

    def _number(self, query: str) -> int:
        row = self._connection.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0
