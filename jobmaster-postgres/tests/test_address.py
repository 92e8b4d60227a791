"""URLs of PostgreSQL databases."""

import re

import pytest

from jobmaster.errors import ConfigurationError
from jobmaster_postgres import PostgresMaster
from jobmaster_postgres.address import parse_address
from jobmaster_testing.options import Options, unopened_master

SECRET = "postgresql://ann:se%40cret@db.example:6432/jobs"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_what_a_url_says(scheme: str) -> None:
    address = parse_address(
        f"{scheme}://ann:se%40cret@db.example:6432/jobs?sslmode=require&connect_timeout=3"
    )

    assert address.parameters == {
        "user": "ann",
        "password": "se@cret",
        "host": "db.example",
        "port": "6432",
        "dbname": "jobs",
        "sslmode": "require",
        "connect_timeout": "3",
    }
    assert (address.pooled, address.schema, address.connections) == (False, None, 4)


def test_our_own_options_are_not_passed_on() -> None:
    address = parse_address(f"{SECRET}?pgbouncer=transaction&connections=9&application_name=a%20b")

    assert (address.pooled, address.connections) == (True, 9)
    assert address.parameters["application_name"] == "a b"
    assert not {"pgbouncer", "connections"} & address.parameters.keys()


def test_a_session_mode_pool_is_like_none() -> None:
    assert not parse_address(f"{SECRET}?pgbouncer=session").pooled


def test_a_password_may_hold_a_question_mark() -> None:
    assert parse_address("postgresql://ann:se?cret@db.example/jobs").parameters["password"] == "se?cret"


def test_a_schema_can_be_named() -> None:
    assert parse_address(f"{SECRET}?schema=Background").schema == "Background"


def test_no_password_is_shown() -> None:
    address = parse_address(SECRET)

    assert str(address) == "PostgreSQL at db.example:6432/jobs"
    assert "cret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        (f"{SECRET}?pgbouncer=statement", "use pgbouncer=transaction"),
        (f"{SECRET}?connections=0", "a number from 1 to 100"),
        (f"{SECRET}?connections=many", "a number from 1 to 100"),
        (f"{SECRET}?sslmodus=require", r"unknown option \(did you mean sslmode\?\)"),
        (f"{SECRET}?prefix=a_", "configure.table_prefix="),
        ("postgresql://ann:secret@[db.example/jobs", "cannot be parsed"),
    ],
)
def test_a_wrong_url_is_refused_with_a_remedy_and_without_the_password(url: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        PostgresMaster(url, Options())

    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_libpq_and_servers_say_is_shown_without_user_and_options() -> None:
    veil = parse_address(
        "postgresql://app_user:se%40cret@db/jobs?options=-c%20statement_timeout%3D7s%20-c%20role%3Dother_one&sslmode=require"
    ).veil

    kept = "canceling statement due to statement timeout"
    assert veil.text(kept) == kept
    assert veil.text('role "app_user" does not exist') == 'role "…" does not exist'
    assert veil.text(f"role {'app_user' * 7} does not exist") == "role … does not exist"
    assert veil.text('permission denied to set role "OTHER_ONE"') == 'permission denied to set role "…"'
    assert veil.text('invalid sslmode value: "require"') == 'invalid sslmode value: "require"'


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("PGHOST", "db.example", "PostgreSQL at db.example:5432/x"),
        ("PGHOST", "/var/run/postgresql", "PostgreSQL at /var/run/postgresql:5432/x"),
        ("PGPORT", "6543", "PostgreSQL at localhost:6543/x"),
        ("PGHOST", "u:s3cr3tPW@db", "PostgreSQL at localhost:5432/x"),
        ("PGHOST", "postgresql://u:s3cr3tPW@db/x", "PostgreSQL at localhost:5432/x"),
        ("PGPORT", "s3cr3tPW", "PostgreSQL at localhost:5432/x"),
        ("PGUSER", "s3cr3tPW", "PostgreSQL at localhost:5432/x"),
        ("PGSSLMODE", "s3cr3tPW", "PostgreSQL at localhost:5432/x"),
    ],
)
def test_what_libpq_takes_from_the_environment_is_shown_as_if_it_were_in_the_url(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, shown: str
) -> None:
    monkeypatch.setenv(variable, value)
    address = parse_address("postgresql:///x")

    assert str(address) == shown
    told = address.veil.text(f'failed: "{value}" is wrong')
    assert "s3cr3tPW" not in told
    assert ("…" in told) == ("s3cr3tPW" in value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://h/x?options=-c%20client_encoding%3Dlatin1", "sets client_encoding, which"),
        ("postgresql://h/x;password=geheim", "write it as postgresql://user:password@host:5432/database"),
    ],
)
def test_our_own_words_are_not_hidden_for_what_a_url_shares_with_them(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        unopened_master(url)
