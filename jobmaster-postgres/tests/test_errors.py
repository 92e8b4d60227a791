"""What PostgreSQL's errors mean."""

import psycopg
import pytest
from psycopg import errors

from jobmaster.errors import (
    ConfigurationError,
    JobMasterError,
    SchemaError,
    StoreConflictError,
    StoreError,
    StoreUnavailableError,
    StoreUnreachableError,
)
from jobmaster_postgres.errors import cannot_connect, is_passing, translate


@pytest.mark.parametrize(
    ("native", "meaning"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), StoreUnavailableError),
        (psycopg.InterfaceError("the connection is closed"), StoreUnavailableError),
        (errors.AdminShutdown("terminating connection"), StoreUnavailableError),
        (errors.QueryCanceled("canceling statement due to statement timeout"), StoreUnavailableError),
        (errors.LockNotAvailable("canceling statement due to lock timeout"), StoreUnavailableError),
        (errors.ReadOnlySqlTransaction("cannot execute INSERT"), StoreUnreachableError),
        (errors.ObjectNotInPrerequisiteState("database is not accepting connections"), StoreUnavailableError),
        (errors.DiskFull("could not extend file"), StoreUnavailableError),
        (errors.TooManyConnections("sorry, too many clients already"), StoreUnavailableError),
        (errors.DeadlockDetected("deadlock detected"), StoreUnavailableError),
        (errors.UniqueViolation("duplicate key"), StoreConflictError),
        (errors.NotNullViolation("null value"), StoreConflictError),
        (errors.UndefinedTable("relation does not exist"), SchemaError),
        (errors.UndefinedColumn("column does not exist"), SchemaError),
        (errors.InvalidSchemaName("no schema has been selected to create in"), SchemaError),
        (errors.InsufficientPrivilege("permission denied for table"), ConfigurationError),
        (errors.DataException("invalid byte sequence"), StoreError),
        (psycopg.OperationalError(), StoreUnavailableError),
    ],
)
def test_every_error_has_a_meaning(native: psycopg.Error, meaning: type[JobMasterError]) -> None:
    translated = translate(native, "PostgreSQL at db:5432/jobs")

    assert type(translated) is meaning
    assert str(translated).startswith("PostgreSQL at db:5432/jobs: ")


@pytest.mark.parametrize(
    ("native", "passing"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (errors.AdminShutdown("terminating connection"), True),
        (errors.DeadlockDetected("deadlock detected"), True),
        (errors.SerializationFailure("could not serialize access"), True),
        (errors.QueryCanceled("statement timeout"), False),
        (errors.DiskFull("could not extend file"), False),
        (errors.UniqueViolation("duplicate key"), False),
    ],
)
def test_what_is_tried_again_at_once(native: psycopg.Error, *, passing: bool) -> None:
    assert is_passing(native) is passing


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ('connection failed: FATAL:  password authentication failed for user "ann"', ConfigurationError),
        ('connection failed: FATAL:  database "jbos" does not exist', ConfigurationError),
        ('connection failed: FATAL:  permission denied for database "jobs"', ConfigurationError),
        ('connection failed: FATAL:  role "ann" is not permitted to log in', ConfigurationError),
        (
            'connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ann"',
            ConfigurationError,
        ),
        ("connection failed: FATAL:  no such database: jbos", ConfigurationError),
        ("connection failed: FATAL:  unsupported startup parameter: options", ConfigurationError),
        (
            'connection failed: FATAL:  database "jobs" is not currently accepting connections',
            StoreUnreachableError,
        ),
        ("connection failed: FATAL:  sorry, too many clients already", StoreUnreachableError),
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', StoreUnreachableError),
        ("connection failed: FATAL:  the database system is starting up", StoreUnreachableError),
    ],
)
def test_why_there_is_no_connection(text: str, meaning: type[JobMasterError]) -> None:
    assert type(cannot_connect(psycopg.OperationalError(text), "here")) is meaning


def test_why_a_connection_was_refused_is_said() -> None:
    text = (
        'connection to server at "127.0.0.1", port 1 failed: Connection refused\n'
        "\tIs the server running on that host and accepting TCP/IP connections?"
    )

    assert str(cannot_connect(psycopg.OperationalError(text), "here")).endswith("Connection refused")
