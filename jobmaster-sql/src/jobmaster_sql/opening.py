"""Opening a database, and its clock: what masters and agents have in common."""

from __future__ import annotations

from datetime import datetime

from jobmaster.clock import from_micros
from jobmaster.errors import starting
from jobmaster_sql.driver import SqlDriver
from jobmaster_sql.schema import SqlSchema
from jobmaster_sql.units import Answer, Query, Unit


async def open_database(driver: SqlDriver, schema: SqlSchema, *, create: bool) -> None:
    """Connect, and find the tables. Raises `StoreUnavailableError` if the database cannot be reached."""
    with starting():
        await driver.open(create=create)
        await schema.find()


async def database_time(driver: SqlDriver) -> datetime:
    """Return the time of the database's clock."""
    return from_micros(await driver.run(_now, read_only=True))


def _now() -> Unit[int]:
    answer: Answer = yield Query("store_now", last=True)
    stored: int = answer.rows[0][0]
    return stored
