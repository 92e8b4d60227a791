"""PostgreSQL's errors in JobMaster's terms."""

from __future__ import annotations

from typing import Final

import psycopg
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

_NO_SCHEMA: Final = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedObject,
)
_UNAVAILABLE: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.QueryCanceled,
    errors.LockNotAvailable,
    errors.ReadOnlySqlTransaction,
)
"""Down, overloaded, in the middle of a switch to another server: all of it may pass."""
_UNDONE: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
)
_AGAIN: Final = (
    *_UNDONE,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.IdleInTransactionSessionTimeout,
)
_REFUSED: Final = ("password authentication failed", "does not exist", "no password supplied")


def is_passing(error: psycopg.Error) -> bool:
    """Whether the same transaction can be expected to succeed at once, if need be on a new connection."""
    lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    return lost or isinstance(error, _AGAIN)


def is_undone(error: psycopg.Error) -> bool:
    """Whether the same transaction can be expected to succeed, and certainly has not been committed yet."""
    return isinstance(error, _UNDONE)


def translate(error: psycopg.Error, place: str) -> JobMasterError:
    """Return what an error of PostgreSQL means to JobMaster."""
    text = f"{place}: {_first_line(error)}"
    if isinstance(error, errors.InvalidSchemaName):
        return SchemaError(f"{text}; create it (CREATE SCHEMA …), or correct `schema` in the URL")
    if isinstance(error, _NO_SCHEMA):
        return SchemaError(f"{text}; run `jobmaster migrate`, or leave auto_migrate on")
    if isinstance(error, _UNAVAILABLE):
        return StoreUnavailableError(text)
    if isinstance(error, psycopg.IntegrityError):
        return StoreConflictError(text)
    return StoreError(text)


def cannot_connect(error: psycopg.Error, place: str) -> JobMasterError:
    """Return why there is no connection: a setting that is wrong, or a server that is down."""
    text = str(error)
    if any(phrase in text for phrase in _REFUSED):
        return ConfigurationError(
            f"{place}: {_last_line(text)}; correct the URL's user, password or database"
        )
    return StoreUnreachableError(f"{place}: {_last_line(text)}")


def _first_line(error: psycopg.Error) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _last_line(text: str) -> str:
    """Return the last line that says something: libpq's question whether the server runs follows it, indented."""
    lines = [line for line in text.strip().splitlines() if not line.startswith("\t")]
    return lines[-1] if lines else "no connection"
