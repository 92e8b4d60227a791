"""One statement for many rows, in as few steps of SQLite as can be.

Each step lets go of Python's interpreter lock and has to get it back, while the event loop's thread is busy: with
a step for each row, most of the time goes into waiting for the lock.
"""

from __future__ import annotations

import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import orjson
from attrs import frozen

from jobmaster_sql import Batch, replace_parameters

_MOST_PARAMETERS: Final = 3000
"""More make statements long to prepare. Old versions of SQLite take 999 at most."""
_VALUES: Final = re.compile(r"\bVALUES\s*(\(.*\))(\s*ON CONFLICT DO NOTHING)?\s*$", re.DOTALL)
_ARRAY: Final = re.compile(r"json_each\(:")


class BatchStatement(ABC):
    """A statement that is run for all rows of a batch."""

    @abstractmethod
    def run(self, native: sqlite3.Connection, batch: Batch) -> int:
        """Run it; return how many rows it touched. Raises `sqlite3.Error`."""


@frozen
class _RowByRow(BatchStatement):
    """Any statement; its parameters are numbered in the order of the batch's columns."""

    text: str

    def run(self, native: sqlite3.Connection, batch: Batch) -> int:
        return native.executemany(self.text, batch.rows).rowcount


@frozen
class _Arrays(BatchStatement):
    """A statement that takes its columns as JSON arrays: of ids, since SQLite's JSON ends at NUL."""

    text: str

    def run(self, native: sqlite3.Connection, batch: Batch) -> int:
        columns = zip(*batch.rows, strict=True)
        arrays = [orjson.dumps(column).decode() for column in columns]
        return native.execute(self.text, arrays).rowcount


@frozen
class _Inserts(BatchStatement):
    """An INSERT with many rows of VALUES; those left over go one by one."""

    many: str
    at_once: int
    one: _RowByRow

    def run(self, native: sqlite3.Connection, batch: Batch) -> int:
        touched, rows = 0, batch.rows
        whole = len(rows) - len(rows) % self.at_once
        for start in range(0, whole, self.at_once):
            values = list(chain.from_iterable(rows[start : start + self.at_once]))
            touched += native.execute(self.many, values).rowcount
        rest = rows[whole:]
        return touched + (native.executemany(self.one.text, rest).rowcount if rest else 0)


def batch_statement(native: sqlite3.Connection, text: str, columns: Sequence[str]) -> BatchStatement:
    """Return how to run a statement for rows of these columns."""
    numbered = _numbered(text, columns)
    values = _VALUES.search(text)
    if _ARRAY.search(text):
        return _Arrays(numbered)
    if values is None:
        return _RowByRow(numbered)
    most = min(_MOST_PARAMETERS, native.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER))
    at_once = most // len(columns)
    rows = [_numbered(values[1], columns, row * len(columns)) for row in range(at_once)]
    many = f"{text[: values.start()]}VALUES {', '.join(rows)}{values[2] or ''}"
    return _Inserts(many, at_once, _RowByRow(numbered))


def _numbered(text: str, columns: Sequence[str], before: int = 0) -> str:
    places: dict[str, Any] = {name: f"?{place}" for place, name in enumerate(columns, start=before + 1)}
    return replace_parameters(text, places)
