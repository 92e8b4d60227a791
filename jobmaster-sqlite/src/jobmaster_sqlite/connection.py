"""One connection to the database file: how it is set up, and how it executes steps."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from jobmaster.data import MessageData, Metadata
from jobmaster.memory import matches
from jobmaster.models import MetadataFilter, Operator
from jobmaster_sql import Answer, Batch, Queries, Query, Step
from jobmaster_sqlite.address import Address
from jobmaster_sqlite.batches import BatchStatement, batch_statement

_CACHED_STATEMENTS: Final = 256
_PAGES_OF_CACHE: Final = -32 * 1024
"""Negative means KiB."""
_JOURNAL_BYTES: Final = 64 * 1024 * 1024
_STEPS_BETWEEN_CHECKS: Final = 10_000
"""Virtual machine steps between two looks at the deadline: some tenths of a millisecond."""


class Connection:
    """A connection that belongs to one thread."""

    def __init__(self, address: Address, queries: Queries, *, create: bool = True) -> None:
        """Open the file, creating it if need be and not told otherwise; raises `sqlite3.Error`."""
        self._queries = queries
        self._batches: dict[tuple[str, tuple[str, ...]], BatchStatement] = {}
        self._deadline: float | None = None
        # timeout=0: waiting for a lock is the writer's business, which knows its callers' deadlines.
        self._native = sqlite3.connect(
            address.path if create else f"{address.path.absolute().as_uri()}?mode=rw",
            timeout=0,
            isolation_level=None,
            cached_statements=_CACHED_STATEMENTS,
            uri=not create,
        )
        self._path = address.path
        try:
            self._set_up(address)
            self._file = _identity(self._path)
        except sqlite3.Error:
            self._native.close()
            raise

    def _set_up(self, address: Address) -> None:
        native = self._native
        native.create_function("jobmaster_now", 0, now, deterministic=True)
        native.create_function("jobmaster_matches", 4, _matches, deterministic=True)
        native.set_progress_handler(self._is_overdue, _STEPS_BETWEEN_CHECKS)
        if native.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            native.execute("PRAGMA journal_mode=WAL")
        native.execute(f"PRAGMA synchronous={address.synchronous}")
        native.execute(f"PRAGMA cache_size={_PAGES_OF_CACHE}")
        native.execute(f"PRAGMA journal_size_limit={_JOURNAL_BYTES}")
        native.execute("PRAGMA temp_store=MEMORY")

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open: some errors end it."""
        return self._native.in_transaction

    @property
    def is_of_its_path(self) -> bool:
        """Whether the file that is open is still the one at its path: what is written to another one is lost."""
        return _identity(self._path) == self._file

    @property
    def data_version(self) -> int:
        """A number that changes when another connection commits, and not when this one does."""
        version: int = self._native.execute("PRAGMA data_version").fetchone()[0]
        return version

    def control(self, statement: str) -> None:
        """Execute BEGIN, COMMIT and the like."""
        self._native.execute(statement)

    def limit(self, deadline: float | None) -> None:
        """Interrupt statements that run beyond a moment of the monotonic clock."""
        self._deadline = deadline

    def _is_overdue(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def execute(self, step: Step) -> Answer:
        """Execute one step of a unit; raises `sqlite3.Error`."""
        if isinstance(step, Query):
            cursor = self._native.execute(self._queries.text(step.name), step.params)
            return Answer(cursor.fetchall(), cursor.rowcount)
        if isinstance(step, Batch):
            return Answer([], self._batch(step).run(self._native, step))
        for statement in _statements(step.text):
            self._native.execute(statement)
        return Answer([], 0)

    def _batch(self, batch: Batch) -> BatchStatement:
        key = batch.name, batch.columns
        statement = self._batches.get(key)
        if statement is None:
            text = self._queries.text(batch.name)
            statement = self._batches[key] = batch_statement(self._native, text, batch.columns)
        return statement

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):  # one that is gone
            self._native.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - in each transaction, so as quick as can be
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _statements(script: str) -> list[str]:
    """Split a script at the semicolons that end statements: not those in strings, comments or triggers."""
    statements, begun = [], ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            statements.append(begun)
            begun = ""
    return statements


def now() -> int:
    """Return the store's clock: whole microseconds since 1970 UTC. To be asked within a transaction that writes."""
    return time.time_ns() // 1000


def _matches(metadata: str, name: str, operator: str, value: str) -> bool:
    """Compare metadata for a query, as SQL function `jobmaster_matches`."""
    try:
        return matches(_wanted(name, operator, value), Metadata(metadata))
    except (TypeError, LookupError, ArithmeticError):
        # Not comparable with one another, such as a naive with an aware datetime.
        return False


@lru_cache(maxsize=64)
def _wanted(name: str, operator: str, value: str) -> MetadataFilter:
    return MetadataFilter(name, Operator(operator), MessageData(value)["value"])
