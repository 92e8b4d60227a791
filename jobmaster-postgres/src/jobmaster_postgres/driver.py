"""Running units of work on PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import psycopg
from anyio.lowlevel import checkpoint_if_cancelled

from jobmaster.bridge import Bridge
from jobmaster.errors import (
    ConfigurationError,
    JobMasterError,
    StoreRefusedError,
    StoreUnavailableError,
    StoreUnreachableError,
)
from jobmaster.veils import without_context
from jobmaster_postgres.address import Address
from jobmaster_postgres.connecting import prelude_of
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.errors import (
    POOLED,
    first_line,
    is_locked,
    is_of_another,
    is_passing,
    is_undone,
    translate,
)
from jobmaster_postgres.pool import Pool
from jobmaster_postgres.route import Route
from jobmaster_postgres.schema import Finder
from jobmaster_postgres.session import Session
from jobmaster_postgres.statements import Statements
from jobmaster_sql import Queries, Query, SqlDriver, Unit, UnitFactory

log = logging.getLogger("jobmaster.postgres")

T = TypeVar("T")

_IsWorthIt: TypeAlias = Callable[[psycopg.Error], bool]
"""Whether the same unit is retried after an error."""

_TRIES = 5
"""Maximum number of attempts for a transaction that collides with others or loses its connection."""
_PAUSE = 0.01
_LOCK_PAUSE = 1.0
"""Maximum number of seconds in which transactions that waited behind a migration can run."""


class PostgresDriver(SqlDriver):
    """A pool of asyncio connections: natively under asyncio, over a bridge under trio."""

    def __init__(self, address: Address, queries: Queries, timeout: float, prefix: str = "jm_") -> None:
        """`timeout` is how many seconds a unit may take; `prefix` starts the names of the tables."""
        self.dialect = PostgresDialect()
        self.bridge = Bridge()
        self._address, self._timeout = address, timeout
        self._finder = Finder(f"{prefix}migration", address)
        self.route = Route(address, timeout, self._finder)
        # Through PgBouncer, the next transaction gets another connection.
        self._statements = Statements(queries, keep=not address.pooled)
        self._pool: Pool | None = None
        self._has_served = False
        """Whether a unit has ever succeeded: a later refusal is an outage."""
        self._has_told = False

    def rename_tables(self, before: str, after: str) -> None:
        self._statements.rename_tables(before, after)

    async def open(self, *, create: bool = True) -> None:  # noqa: ARG002 - connecting makes no database
        try:
            await self.look(_nothing)
        except JobMasterError as error:
            without_context(error)
            raise

    async def look(self, unit: UnitFactory[T]) -> T:
        return await self.bridge.run(self._run, unit, True, self._timeout, is_passing)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await self.bridge.run(_close, pool)
        await self.bridge.close()

    async def run(
        self,
        unit: UnitFactory[T],
        *,
        read_only: bool = False,
        time_limit: float | None = None,
        again: bool = True,
    ) -> T:
        await checkpoint_if_cancelled()
        is_worth_it = is_passing if again else is_undone
        try:
            result = await self.bridge.run(
                self._run, unit, read_only, time_limit or self._timeout, is_worth_it
            )
        except ConfigurationError as error:
            without_context(error)
            if self._has_served:
                raise StoreRefusedError(error) from error
            raise
        except JobMasterError as error:
            without_context(error)
            raise
        self._has_served = True
        return result

    async def _run(
        self, unit: UnitFactory[T], read_only: bool, time_limit: float, is_worth_it: _IsWorthIt
    ) -> T:
        deadline = asyncio.get_running_loop().time() + time_limit
        attempt = 1
        while True:
            try:
                return await self._run_once(unit, read_only, deadline, time_limit)
            except (StoreUnreachableError, ConfigurationError) as error:
                if attempt == 1:
                    raise
                raise _doubtful(error) from error
            except psycopg.Error as error:
                self._tell_of_pooler(error)
                overdue = asyncio.get_running_loop().time() >= deadline
                if not overdue and time_limit > self._timeout and is_locked(error):
                    await self._wait_for_locks(error, deadline)
                    continue
                if overdue or attempt == _TRIES or not is_worth_it(error):
                    raise self._translated(error, attempt) from self._address.veil.cause(error)
            await asyncio.sleep(random.uniform(0, _PAUSE * attempt))  # noqa: S311 - so as not to collide again
            attempt += 1

    async def _wait_for_locks(self, error: psycopg.Error, deadline: float) -> None:
        """Let other transactions run before a unit that has time to spare, a migration, is retried."""
        what = self._address.veil.text(first_line(error))
        log.warning("%s: %s; trying again until it succeeds", self._address, what)
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(min(deadline - now, random.uniform(0.5, 1.0) * _LOCK_PAUSE))  # noqa: S311 - as below

    def _tell_of_pooler(self, error: psycopg.Error) -> None:
        """Log once what is wrong where a retry helps for now."""
        if is_of_another(error) and not self._has_told:
            self._has_told = True
            log.warning("%s: %s; %s", self._address, self._address.veil.text(first_line(error)), POOLED)

    def _translated(self, error: psycopg.Error, attempt: int) -> JobMasterError:
        translated = translate(error, str(self._address), self._address.veil)
        return translated if attempt == 1 else _doubtful(translated)

    async def _run_once(self, unit: UnitFactory[T], read_only: bool, deadline: float, time_limit: float) -> T:
        pool = self._open_pool()
        try:
            session = await pool.take(deadline)
        except TimeoutError as error:
            msg = f"{self._address}: no connection within {time_limit:g} s (store_timeout)"
            raise StoreUnreachableError(msg) from error
        try:
            return await session.run(unit, read_only=read_only, deadline=deadline)
        finally:
            pool.give_back(session)

    def _open_pool(self) -> Pool:
        if self._pool is None:
            self._pool = Pool(self._connect, self._address.connections)
        return self._pool

    async def _connect(self, deadline: float) -> Session:
        # A unit with a long time limit must not wait that long for a connection.
        soon = asyncio.get_running_loop().time() + self._timeout
        native = await self.route.connect(min(deadline, soon))
        schema = self._address.schema or self._finder.schema
        if schema is not None:
            self._statements.settle(schema)
        return Session(native, self._statements, prelude_of(self._address, self._timeout))

    def is_own(self, pid: int) -> bool:
        """Whether a server process serves this driver."""
        return self._pool is not None and pid in self._pool.pids


def _doubtful(error: JobMasterError) -> JobMasterError:
    """Return the error of a later attempt. Only this one certainly did nothing: an earlier one may have lost its answer."""
    certain = isinstance(error, (StoreUnreachableError, ConfigurationError))
    return StoreUnavailableError(str(error)) if certain else error


def _nothing() -> Unit[None]:
    yield Query("store_now", last=True)


async def _close(pool: Pool) -> None:
    pool.close()
