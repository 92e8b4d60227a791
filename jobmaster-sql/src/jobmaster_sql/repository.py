"""What masters and agents on SQL databases have in common: opening, closing and the clock."""

from __future__ import annotations

from datetime import datetime

from jobmaster.clock import from_micros
from jobmaster.contracts import Repository
from jobmaster.errors import starting
from jobmaster_sql.driver import SqlDriver
from jobmaster_sql.schema import SqlSchema
from jobmaster_sql.units import Answer, Query, Unit


class SqlRepository(Repository):
    """A repository whose stores share a driver."""

    _driver: SqlDriver
    _schema: SqlSchema

    async def open(self, *, create: bool = True) -> None:
        """Connect, and find the tables. Raises `StoreUnavailableError` if the database cannot be reached."""
        with starting():
            await self._driver.open(create=create)
            await self._schema.find()

    async def close(self) -> None:
        """Close every connection and thread."""
        await self._driver.close()

    async def now(self) -> datetime:
        """Return the time of the database's clock."""
        return from_micros(await self._driver.run(_now, read_only=True))


def _now() -> Unit[int]:
    answer: Answer = yield Query("store_now", last=True)
    stored: int = answer.rows[0][0]
    return stored
