"""Named statements: reading, completing, overriding and composing them."""

from pathlib import Path

import pytest

from jobmaster.errors import ConfigurationError
from jobmaster_sql import Queries, parameters, replace_parameters
from jobmaster_sql.queries import check_prefix

MACROS = {"prefix": "t_", "now": "clock()", "among": "{0} = ANY(:{1}::{2}[])"}

BASE = """-- name: find
-- Says why.
SELECT * FROM {prefix}job
-- in the middle, too
WHERE at < {now} AND {among:id:ids:uuid}{where};

-- name: other
SELECT 1
"""

CONDITIONS = """-- Before the first name: about the file.

-- name: by_lane
lane = :lane

-- name: by_value
value {op} :value{i}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, files in {
        "base_queries": {"base.sql": BASE, "conditions.sql": CONDITIONS, "note.txt": "no statements"},
        "own_queries": {"own.sql": "-- name: other\nSELECT {now}\n"},
    }.items():
        folder = tmp_path / name / "queries"
        folder.mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
        for file, text in files.items():
            (folder / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return "base_queries"


def test_a_statement_is_completed_at_load(package: str) -> None:
    queries = Queries([package], MACROS)

    assert queries.text("find") == "SELECT * FROM t_job\nWHERE at < clock() AND id = ANY(:ids::uuid[])"


def test_a_provider_overrides_by_name(package: str) -> None:
    queries = Queries([package, "own_queries"], MACROS)

    assert queries.text("other") == "SELECT clock()"


def test_sources_may_be_single_files_and_may_be_missing(package: str) -> None:
    queries = Queries([package, "own_queries"], MACROS, ["queries/own.sql", "no_such_folder"])

    assert queries.text("other") == "SELECT clock()"
    with pytest.raises(LookupError, match="find"):
        queries.require(["find"])


def test_conditions_are_put_together(package: str) -> None:
    queries = Queries([package], MACROS)

    text = queries.text("find+by_value.gte|by_value.ne+by_value.lt+by_lane")

    conditions = text.partition(")")[2].replace("\n  ", " ")
    assert conditions.endswith(
        "AND (value >= :value0 OR value <> :value1) AND (value < :value2) AND (lane = :lane)"
    )


def test_a_missing_statement_is_named(package: str) -> None:
    queries = Queries([package], MACROS)

    queries.require(["find", "other"])
    with pytest.raises(LookupError, match="one, two"):
        queries.require(["two", "find", "one"])


def test_an_unknown_macro_is_named(package: str) -> None:
    with pytest.raises(LookupError, match=r"'find' uses the unknown macro \{now\}"):
        Queries([package], {"prefix": "t_"})


def test_parameters_are_told_from_casts() -> None:
    text = "SELECT :a::text, :b_2, x::int, :a WHERE t > '10:30'"

    assert parameters(text) == ["a", "b_2", "a"]
    assert (
        replace_parameters(text, {"a": "?1", "b_2": "?2"})
        == "SELECT ?1::text, ?2, x::int, ?1 WHERE t > '10:30'"
    )


@pytest.mark.parametrize("prefix", ["jm_", "_", "a", "jobs2_", "x" * 21])
def test_prefixes_that_start_a_name(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["", "Jm_", "2jm", "jm-", "jm;drop", "jm_\n", "x" * 22, "ü"])
def test_prefixes_that_do_not(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="table_prefix"):
        check_prefix(prefix)
