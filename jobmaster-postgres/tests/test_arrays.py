"""Columns as binary arrays: what is sent comes back."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobmaster_postgres.arrays import ARRAYS, register_arrays

pytestmark = pytest.mark.postgres

BIGINTS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def echo(connection: "psycopg.Connection[tuple[object, ...]]", element: str, values: Sequence[Any]) -> Any:
    register_arrays(connection)
    statement = f"SELECT %s::{element}[]"
    row = connection.execute(statement, [ARRAYS[element].encode(values)], binary=True).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("element", "values"),
    [
        ("bigint", []),
        ("bigint", [0, -1, 2**63 - 1, -(2**63)]),
        ("bigint", [None]),
        ("bigint", [1, None, 3]),
        ("text", ["", "a", "ü🚀", 'it\'s {"quoted", NULL}', None]),
        ("uuid", [UUID(int=0), None, UUID(int=2**128 - 1)]),
        ("int", [1, 2, 3]),
    ],
)
def test_values_come_back(
    observer: "psycopg.Connection[tuple[object, ...]]", element: str, values: list[object]
) -> None:
    assert echo(observer, element, values) == values


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.lists(st.none() | BIGINTS), st.lists(st.none() | TEXTS), st.lists(st.none() | st.uuids()))
def test_any_values_come_back(
    observer: "psycopg.Connection[tuple[object, ...]]",
    numbers: list[int | None],
    texts: list[str | None],
    uuids: list[UUID | None],
) -> None:
    assert echo(observer, "bigint", numbers) == numbers
    assert echo(observer, "text", texts) == texts
    assert echo(observer, "uuid", uuids) == uuids
