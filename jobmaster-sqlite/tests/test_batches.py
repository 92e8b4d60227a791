"""Statements for many rows: every row arrives once, however many there are."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster_sql import Batch
from jobmaster_sqlite.batches import batch_statement

COLUMNS = ("name", "value")
INSERT = (
    "INSERT INTO item (value, name, twice)\nVALUES (:value, :name, 2 * (:value + 0))\nON CONFLICT DO NOTHING"
)
AT_ONCE = 3000 // len(COLUMNS)

Rows = list[tuple[str, int]]


@pytest.fixture
def native() -> Iterator[sqlite3.Connection]:
    with closing(memory()) as native:
        yield native


def memory() -> sqlite3.Connection:
    native = sqlite3.connect(":memory:")
    native.execute("CREATE TABLE item (name TEXT PRIMARY KEY, value INTEGER, twice INTEGER)")
    return native


def run(native: sqlite3.Connection, text: str, rows: Rows) -> int:
    return batch_statement(native, text, COLUMNS).run(native, Batch("any", COLUMNS, rows))


def items(count: int) -> Rows:
    return [(f"item {number}", number) for number in range(count)]


def stored(native: sqlite3.Connection) -> list[tuple[str, int, int]]:
    return native.execute("SELECT name, value, twice FROM item ORDER BY value").fetchall()


@pytest.mark.parametrize("count", [1, 2, 4, 5, 7, 100, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 7])
def test_all_rows_are_inserted(native: sqlite3.Connection, count: int) -> None:
    assert run(native, INSERT, items(count)) == count
    assert stored(native) == [(name, value, 2 * value) for name, value in items(count)]


@pytest.mark.parametrize("count", [100, AT_ONCE - 1, 2 * AT_ONCE - 1])
def test_no_number_of_rows_takes_many_steps(native: sqlite3.Connection, count: int) -> None:
    steps: list[str] = []
    native.set_trace_callback(steps.append)

    run(native, INSERT, items(count))

    assert len([step for step in steps if step.startswith("INSERT")]) <= 20


def test_rows_in_conflict_are_left_alone_and_not_counted(native: sqlite3.Connection) -> None:
    run(native, INSERT, [("item 5", -1)])

    assert run(native, INSERT, items(AT_ONCE + 10)) == AT_ONCE + 9
    assert stored(native)[0] == ("item 5", -1, -2)


def test_an_update_touches_each_of_its_rows(native: sqlite3.Connection) -> None:
    run(native, INSERT, items(10))

    assert run(native, "UPDATE item SET twice = :value WHERE name = :name", items(10)) == 10
    assert all(twice == value for _, value, twice in stored(native))


# JSON in SQLite ends at NUL and is UTF-8; ids have neither NUL nor lone surrogates.
names_of_rows = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(names_of_rows, unique=True, min_size=1), st.data())
def test_columns_may_be_arrays(names: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.sampled_from(names), min_size=1))
    delete = "DELETE FROM item WHERE name IN (SELECT value FROM json_each(:name))"
    with closing(memory()) as native:
        native.executemany("INSERT INTO item VALUES (?, 1, 2)", [(name,) for name in names])

        statement = batch_statement(native, delete, ("name",))
        touched = statement.run(native, Batch("any", ("name",), [(name,) for name in gone]))

        assert touched == len(set(gone))
        assert {name for name, _, _ in stored(native)} == set(names) - set(gone)
