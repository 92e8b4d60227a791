"""One statement for many rows, in as few steps of SQLite as possible.

Each step releases Python's interpreter lock and has to acquire it again while the event loop's thread is busy: with a step
for each row, most of the time is spent waiting for the lock.
"""

from __future__ import annotations

import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

import orjson
from attrs import frozen

from jobmaster_sql import Batch, replace_parameters

_MOST_PARAMETERS: Final = 3000
"""With more parameters, statements take long to prepare. Old versions of SQLite accept at most 999."""
_FINER: Final = 4
"""How many times fewer rows the next smaller INSERT takes. Jobs of concurrent callers come in tens, not in hundreds."""
_VALUES: Final = re.compile(r"\bVALUES\s*(\(.*\))(\s*ON CONFLICT DO NOTHING)?\s*$", re.DOTALL)
_ARRAY: Final = re.compile(r"json_each\(:")


class BatchStatement(ABC):
    """A statement that is run for all rows of a batch."""

    @abstractmethod
    def run(self, native: sqlite3.Connection, batch: Batch) -> int:
        """Run the statement; return how many rows it touched. Raises `sqlite3.Error`."""


@frozen
class _RowByRow(BatchStatement):
    """Any statement; its parameters are numbered in the order of the batch's columns."""

    text: str

    def run(self, native: sqlite3.Connection, batch: Batch) -> int:
        return native.executemany(self.text, batch.rows).rowcount


@frozen
class _Arrays(BatchStatement):
    """A statement that takes its columns as JSON arrays: only for ids, since SQLite's JSON ends at NUL."""

    text: str

    def run(self, native: sqlite3.Connection, batch: Batch) -> int:
        columns = zip(*batch.rows, strict=True)
        arrays = [orjson.dumps(column).decode() for column in columns]
        return native.execute(self.text, arrays).rowcount


@frozen
class _Inserts(BatchStatement):
    """An INSERT with many rows of VALUES, in a few sizes: the largest as often as possible, then the next."""

    texts: Mapping[int, str]
    """The statement for each number of rows, from the largest number down to 1."""

    def run(self, native: sqlite3.Connection, batch: Batch) -> int:
        touched, start, rows = 0, 0, batch.rows
        for size, text in self.texts.items():
            while len(rows) - start >= size:
                values = list(chain.from_iterable(rows[start : start + size]))
                touched += native.execute(text, values).rowcount
                start += size
        return touched


def batch_statement(native: sqlite3.Connection, text: str, columns: Sequence[str]) -> BatchStatement:
    """Return how to run a statement for rows of these columns."""
    numbered = _numbered(text, columns)
    values = _VALUES.search(text)
    if _ARRAY.search(text):
        return _Arrays(numbered)
    if values is None:
        return _RowByRow(numbered)
    most = min(_MOST_PARAMETERS, native.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER))
    head, tail = text[: values.start()], values[2] or ""
    rows = [_numbered(values[1], columns, row * len(columns)) for row in range(most // len(columns))]
    return _Inserts({size: f"{head}VALUES {', '.join(rows[:size])}{tail}" for size in _sizes(len(rows))})


def _sizes(most: int) -> list[int]:
    """Return the numbers of rows that statements take, down to 1: any number of rows is a few of each size."""
    sizes = [most]
    while sizes[-1] > 1:
        sizes.append(max(1, sizes[-1] // _FINER))
    return sizes


def _numbered(text: str, columns: Sequence[str], before: int = 0) -> str:
    places: dict[str, Any] = {name: f"?{place}" for place, name in enumerate(columns, start=before + 1)}
    return replace_parameters(text, places)
