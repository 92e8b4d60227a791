"""Units of work without I/O: what a repository asks of a database, written once for every kind of driver.

A unit is a generator. It yields a step, or a tuple of steps that need no answers in between, receives their answers, and
returns the result of the repository method. A driver runs the whole unit as one transaction: a synchronous driver in its own
thread, an asynchronous one by awaiting between the sends.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from attrs import field, frozen

T = TypeVar("T")


@frozen
class Query:
    """One statement, by its name in the query files, with its parameters by name.

    `last` promises that its unit yields no further step, so that a driver may send the commit along. The unit then handles
    the answer after the commit.

    `weighed` is the place of a column of texts. Where these exceed `PAGE_BYTES` together, the next row has None there, and
    later rows may be missing: see `whole_rows`.
    """

    name: str
    params: Mapping[str, Any] = field(factory=dict)
    last: bool = False
    weighed: int | None = None


@frozen
class Batch:
    """One statement for many rows (at least one); each row has a value for each of `columns`.

    A driver runs it once for each row, or once with an array for each column.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    last: bool = False


@frozen
class Script:
    """Statements of a migration, without parameters or answers."""

    text: str
    last: bool = False


class Answer(NamedTuple):
    """The result of a step: its rows, and how many rows it touched."""

    rows: list[tuple[Any, ...]]
    touched: int


def whole_rows(rows: list[tuple[Any, ...]], weighed: int) -> tuple[list[tuple[Any, ...]], bool]:
    """Return the rows that have their text, and whether others were omitted because there were too many bytes."""
    if not rows or rows[-1][weighed] is not None:
        return rows, False
    return [row for row in rows if row[weighed] is not None], True


Step: TypeAlias = Query | Batch | Script
Steps: TypeAlias = Step | tuple[Step, ...]
Unit: TypeAlias = Generator[Steps, Any, T]
"""Receives an `Answer` for a step, and a list of them for a tuple of steps."""

UnitFactory: TypeAlias = Callable[[], Generator[Steps, Any, T]]
"""Creates a unit. A driver calls it again when it retries a transaction after a transient fault."""


def perform(unit: Generator[Steps, Any, T], execute: Callable[[Step], Answer]) -> T:
    """Run a unit to its end with a function that executes one step; return its result.

    Any error that `execute` raises ends the unit.
    """
    answer: Any = None
    try:
        while True:
            steps = unit.send(answer)
            answer = [execute(step) for step in steps] if isinstance(steps, tuple) else execute(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        unit.close()
