"""One connection to the database file: how it is set up, and how it executes steps."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from jobmaster._process.files import check_link, check_regular, make_file
from jobmaster.comparing import Comparison
from jobmaster.data import Metadata
from jobmaster.errors import ConfigurationError
from jobmaster.models import Operator
from jobmaster.weighing import PAGE_BYTES
from jobmaster_sql import Answer, Batch, Queries, Query, Step
from jobmaster_sqlite.address import Address
from jobmaster_sqlite.batches import BatchStatement, batch_statement

_CACHED_STATEMENTS: Final = 256
_PAGES_OF_CACHE: Final = -32 * 1024
"""A negative value means KiB."""
_JOURNAL_BYTES: Final = 64 * 1024 * 1024
_STEPS_BETWEEN_CHECKS: Final = 10_000
"""Virtual machine steps between two deadline checks: some tenths of a millisecond."""


_BESIDE: Final = ("-wal", "-shm")
Identity: TypeAlias = tuple[int, int] | None
"""Identifies a file independently of its name; None for a file that does not exist."""


class Connection:
    """A connection that belongs to one thread."""

    def __init__(self, address: Address, queries: Queries, *, create: bool = True) -> None:
        """Open the file, creating it if necessary and allowed; raises `sqlite3.Error`, `ConfigurationError`."""
        _make_ready(address, create=create)
        self._queries = queries
        self._batches: dict[tuple[str, tuple[str, ...]], BatchStatement] = {}
        self._deadline: float | None = None
        # timeout=0: the writer waits for locks itself, as it knows its callers' deadlines.
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
            self.file = identity(self._path)
            """The identity of the open file, whatever happens to its path."""
            self.beside: Mapping[str, Identity] = {}
            """The identities of the files that belong to it, by the ends of their names, once they are recorded."""
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
        """Whether the open file is still the one at its path: commits to another file are lost."""
        return identity(self._path) == self.file

    def note_beside(self) -> None:
        """Record which files belong to this one. They exist once something was read or written."""
        if not self.beside:
            self.beside = {end: identity(_beside(self._path, end)) for end in _BESIDE}

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
            rows = cursor.fetchall() if step.weighed is None else _up_to_bytes(cursor, step.weighed)
            return Answer(rows, cursor.rowcount)
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
        """Close the file."""
        with suppress(sqlite3.Error):  # if it is already gone
            self._native.close()


def _make_ready(address: Address, *, create: bool) -> None:
    """Ensure that SQLite opens a file, and create it if necessary: SQLite itself would make it readable for everyone.

    The files beside it get its mode. A link of this user's may lead to a file that does not exist yet.
    """
    _check_not_left_behind(address.path)
    if create:
        _make(address.path, address.file_mode)
    check_link(address.path)
    check_regular(address.path)
    if create and address.path.is_symlink():
        _make(Path(os.path.realpath(address.path)), address.file_mode)


def _check_not_left_behind(path: Path) -> None:
    """Refuse to start anew beside leftovers of another file: SQLite would delete them, with the last accepted jobs."""
    with suppress(OSError):
        if not path.exists() or path.stat().st_size == 0:
            wal = _beside(path, "-wal")
            if wal.stat().st_size > 0:
                msg = (
                    f"{path} is missing or empty, and {wal.name} holds the jobs accepted last: move the file back to its "
                    f"place. To begin with a new file, first move {wal.name} and {path.name}-shm away, to the file that "
                    "they belong to"
                )
                raise ConfigurationError(msg)


def _make(path: Path, mode: int) -> None:
    with suppress(OSError):  # SQLite reports what is wrong
        make_file(path, mode)


def _up_to_bytes(cursor: sqlite3.Cursor, weighed: int) -> list[tuple[Any, ...]]:
    """Return rows as described for `Query.weighed`. Rows after those are never read from the file."""
    rows: list[tuple[Any, ...]] = []
    room = PAGE_BYTES
    for row in cursor:
        if room <= 0:
            rows.append((*row[:weighed], None, *row[weighed + 1 :]))
            break
        rows.append(row)
        room -= len(row[weighed])
    return rows


def identity(path: Path) -> Identity:
    """Return the identity of the file at a path, if there is one."""
    try:
        found = os.stat(path)  # noqa: PTH116 - runs in each transaction, so it must be fast
    except OSError:
        return None
    return found.st_dev, found.st_ino


def set_aside(path: Path, file: Identity, beside: Mapping[str, Identity]) -> list[Path]:
    """Rename files beside a path that belong to a former file there; return their new paths.

    SQLite would take them for parts of the current file.
    """
    moved: list[Path] = []
    if file is None or identity(path) in (None, file):
        return moved
    for end, former in beside.items():
        left = _beside(path, end)
        if former is not None and identity(left) == former:
            with suppress(OSError):
                moved += _moved(left, _beside(path, f"{end}.replaced"), former)
    return moved


def _moved(left: Path, aside: Path, former: Identity) -> list[Path]:
    """Rename a file, and rename it back if another process was faster and it is already a different file."""
    left.replace(aside)
    if identity(aside) == former:
        return [aside]
    aside.replace(left)
    return []


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _statements(script: str) -> list[str]:
    """Split a script at the semicolons that end statements: but not in strings, comments or triggers."""
    statements, begun = [], ""
    for line in script.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            statements.append(begun)
            begun = ""
    return statements


def now() -> int:
    """Return the store's clock: whole microseconds since 1970 UTC. To be read within a transaction that writes."""
    return time.time_ns() // 1000


def _matches(metadata: str, name: str, operator: str, values: str) -> bool:
    """Compare metadata for a query, as SQL function `jobmaster_matches`; `values` is a JSON array of stored values."""
    return _wanted(name, operator, values).matches(Metadata(metadata))


@lru_cache(maxsize=64)
def _wanted(name: str, operator: str, values: str) -> Comparison:
    return Comparison.of_stored(name, Operator(operator), orjson.loads(values))
