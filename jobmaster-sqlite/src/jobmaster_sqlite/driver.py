"""Running units of work on a SQLite file."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import anyio
import orjson
from anyio.lowlevel import checkpoint_if_cancelled
from anyio.to_thread import run_sync

from jobmaster._process.files import is_wider
from jobmaster.errors import ConfigurationError, StoreRefusedError
from jobmaster.notifications import NotificationHub
from jobmaster_sql import Dialect, Queries, Query, SqlDriver, Unit, UnitFactory
from jobmaster_sqlite.address import Address
from jobmaster_sqlite.calls import Call
from jobmaster_sqlite.idtexts import IdTexts
from jobmaster_sqlite.threads import Reader, UnitThread, Writer

T = TypeVar("T")
log = logging.getLogger("jobmaster.sqlite")


class SqliteDialect(Dialect):
    """UUIDs are text of 36 characters, arrays are JSON, and one lock covers the whole file."""

    now = "jobmaster_now()"
    # A parameter, since a function would be called when the snapshot is already taken, and once for each occurrence.
    began = ":began"
    now_in_script = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
    greatest = "MAX"
    lock = ""
    lock_free = ""
    among = "{0} IN (SELECT value FROM json_each(:{1}))"
    not_among = "{0} NOT IN (SELECT value FROM json_each(:{1}))"

    def uuid(self, value: UUID) -> str:
        """Return a UUID as text."""
        return _ids.text_of(value)

    def to_uuid(self, stored: Any) -> UUID:
        """Return a UUID from its text."""
        return _ids.uuid_of(stored)

    def to_uuids(self, stored: Any) -> list[UUID]:
        """Return UUIDs from a JSON array."""
        return [_ids.uuid_of(text) for text in orjson.loads(stored)]

    def array(self, values: Sequence[Any]) -> str:
        """Return values as a JSON array."""
        return orjson.dumps(list(values)).decode()


_ids = IdTexts()


class SqliteDriver(SqlDriver):
    """A writer thread and a reader thread on one file, for callers in any event loop."""

    def __init__(
        self, address: Address, queries: Queries, timeout: float, notifications: NotificationHub
    ) -> None:
        """`timeout` is how many seconds a unit may take; `notifications` is notified when other processes commit."""
        self.dialect = SqliteDialect()
        self._timeout = timeout
        self._path, self._file_mode, self._queries = address.path, address.file_mode, queries
        self._writer = Writer(address, queries, lambda: notifications.tell(["*"]))
        self._reader = Reader(address, queries)
        self._has_served = False
        """Whether a unit has ever succeeded: a later refusal is an outage."""

    def rename_tables(self, before: str, after: str) -> None:
        """Change how the names of tables begin."""
        self._queries.rename_tables(before, after)

    async def open(self, *, create: bool = True) -> None:
        """Open or create the file; raises `ConfigurationError` if it cannot be used as it is, or must not be created."""
        if not create and not self._path.exists():
            msg = f"{self._path}: there is no such file; correct the path, or run `jobmaster migrate` to create it"
            raise ConfigurationError(msg)
        for thread in (self._writer, self._reader):
            await self._run(thread, _nothing, self._timeout)
        if create:
            self._warn_of_its_mode()

    def _warn_of_its_mode(self) -> None:
        """Warn about a file that more users can access than intended: an earlier release, or another program, created it."""
        with suppress(OSError):
            if os.name == "posix" and is_wider(self._path, self._file_mode):
                mode = f"{stat.S_IMODE(self._path.stat().st_mode):04o}"
                log.warning(
                    "%s is open to other users of this host (mode %s): chmod %04o, or file_mode=%s in its URL",
                    *(self._path, mode, self._file_mode, mode),
                )

    async def look(self, unit: UnitFactory[T]) -> T:
        """Run a unit that only reads as part of opening."""
        return await self._run(self._reader, unit, self._timeout)

    async def close(self) -> None:
        """Finish queued work, and close the file."""
        with anyio.CancelScope(shield=True):
            for thread in (self._reader.stop(), self._writer.stop()):
                if thread is not None:
                    await run_sync(thread.join)

    async def run(
        self,
        unit: UnitFactory[T],
        *,
        read_only: bool = False,
        time_limit: float | None = None,
        again: bool = True,  # noqa: ARG002 - a unit is only retried after it was rolled back
    ) -> T:
        """Run a unit as one transaction and return its result."""
        thread = self._reader if read_only else self._writer
        try:
            result = await self._run(thread, unit, self._timeout if time_limit is None else time_limit)
        except ConfigurationError as error:
            if self._has_served:
                raise StoreRefusedError(error) from error
            raise
        self._has_served = True
        return result

    async def _run(self, thread: UnitThread, unit: UnitFactory[T], time_limit: float) -> T:
        await checkpoint_if_cancelled()
        call: Call[T] = Call(unit, time_limit)
        thread.submit(call)
        return await call.wait()

    @property
    def replaced(self) -> int:
        """How often another file was found at the path, such as a restored backup."""
        return self._writer.replaced

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block, watch for commits of other processes."""
        self._writer.watch(1)
        try:
            yield
        finally:
            self._writer.watch(-1)


def _nothing() -> Unit[None]:
    yield Query("store_now", last=True)
