"""Which code runs on which schema, and what a migration has to say of that."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster.errors import SchemaError
from jobmaster_sql.migrations import Limit, Migration, check_served, check_serves, load_migrations

FOLDERS = [
    (f"jobmaster_{kind}", folder)
    for kind in ("sqlite", "postgres")
    for folder in ("migrations", "agent_migrations")
]


def migration(version: int, serves: int | None = None) -> Migration:
    return Migration(version, f"{version:04}_made_up", "", serves)


def is_served(known: int, limits: dict[int, int | None]) -> bool:
    """Whether code that knows so many migrations runs on a schema with all of these."""
    newer = {version: migration(version).name for version in limits if version > known}
    said = {version: Limit(oldest, "9.9") for version, oldest in limits.items() if oldest is not None}
    with suppress(SchemaError):
        check_served("jm_", [migration(version) for version in range(1, known + 1)], newer, said)
        return True
    return False


@given(st.integers(1, 9), st.dictionaries(st.integers(1, 12), st.none() | st.integers(0, 12), max_size=8))
def test_code_runs_on_a_schema_if_all_that_it_does_not_know_serves_it(
    known: int, limits: dict[int, int | None]
) -> None:
    expected = all(oldest is None or oldest <= known for version, oldest in limits.items() if version > known)

    assert is_served(known, limits) is expected
    if expected:
        assert is_served(known + 1, limits), "newer code runs wherever older code does"


def test_the_error_names_what_bars_the_way_and_what_to_deploy() -> None:
    known, newer = [migration(8)], {9: "0009_added", 10: "0010_changed", 11: "0011_gone"}
    limits = {9: Limit(8, "1.1"), 10: Limit(9, "1.2"), 11: Limit(10, "1.3")}

    with pytest.raises(SchemaError) as caught:
        check_served("jm_", known, newer, limits)

    said = str(caught.value)
    assert "knows it up to 0008_made_up: 0010_changed, 0011_gone (of JobMaster 1.2, 1.3)" in said
    assert "deploy JobMaster 1.3 here" in said
    assert "knows number 10" in said
    assert "0009_added" not in said


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_migration_from_the_first_that_says_what_it_serves_does(folder: tuple[str, str]) -> None:
    migrations = load_migrations(*folder)
    said = [one.serves for one in migrations]
    first = next(place for place, serves in enumerate(said) if serves is not None)

    assert None not in said[first:]
    assert [one.version for one in migrations] == sorted({one.version for one in migrations})


@pytest.mark.parametrize("wrong", [None, 4])
def test_one_that_does_not_say_what_it_serves_is_not_loaded(wrong: int | None) -> None:
    check_serves([migration(1), migration(2, 2), migration(3, 2)])

    with pytest.raises(LookupError, match="0003_made_up does not say which code it serves"):
        check_serves([migration(1), migration(2, 2), migration(3, wrong)])


def test_both_databases_say_the_same_of_what_they_serve() -> None:
    for folder in ("migrations", "agent_migrations"):
        sqlite, postgres = (load_migrations(f"jobmaster_{kind}", folder) for kind in ("sqlite", "postgres"))
        assert [(one.version, one.serves) for one in sqlite] == [
            (one.version, one.serves) for one in postgres
        ]
