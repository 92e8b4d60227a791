"""URLs of PostgreSQL databases."""

import pytest

from jobmaster.errors import ConfigurationError
from jobmaster_postgres import PostgresMaster
from jobmaster_postgres.address import parse_address
from jobmaster_testing.options import Options

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
        (f"{SECRET}?pgbouncer=transaction&schema=a", "search_path of the role"),
        (f"{SECRET}?sslmodus=require", "unknown option 'sslmodus'"),
        (f"{SECRET}?prefix=a_", "configure.table_prefix="),
        ("postgresql://ann:secret@[db.example/jobs", "cannot be understood"),
    ],
)
def test_a_wrong_url_is_refused_with_a_remedy_and_without_the_password(url: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        PostgresMaster(url, Options())

    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None
