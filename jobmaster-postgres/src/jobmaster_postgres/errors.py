"""PostgreSQL's errors in JobMaster's terms."""

from __future__ import annotations

from collections.abc import Sequence
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
from jobmaster.veils import NO_SECRETS, Veil
from jobmaster_sql import OTHER_PREFIX, OTHER_SCHEMA

_NO_SCHEMA: Final = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.UndefinedObject,
)
_TAKEN: Final = (errors.DuplicateTable, errors.DuplicateObject)
"""A migration creates an object that already exists."""
_FORBIDDEN: Final = (
    errors.InsufficientPrivilege,
    errors.InvalidAuthorizationSpecification,
)
_READ_ONLY: Final = (errors.ReadOnlySqlTransaction,)
"""During a switch to another server: nothing was written, and the next connection finds the primary."""
POOLED: Final = (
    "a pooler seems to give each transaction another connection: add pgbouncer=transaction to the URL, "
    "or let it pool sessions"
)
_OF_ANOTHER: Final = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)
"""The prepared statement is on another connection than this one; this can happen repeatedly."""
_UNAVAILABLE: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.QueryCanceled,
    errors.LockNotAvailable,
)
"""Down, overloaded, or cut off: all of these may pass."""
_MEANINGS: Final[Sequence[tuple[tuple[type[psycopg.Error], ...], type[JobMasterError], str]]] = (
    (
        (errors.InvalidSchemaName,),
        SchemaError,
        "; create it (CREATE SCHEMA …), or correct `schema` in the URL",
    ),
    (_NO_SCHEMA, SchemaError, f"; {OTHER_SCHEMA}"),
    (_TAKEN, SchemaError, f". {OTHER_PREFIX}"),
    (_FORBIDDEN, ConfigurationError, "; GRANT the missing privileges to the URL's user"),
    (
        _OF_ANOTHER,
        ConfigurationError,
        f"; {POOLED}",
    ),
    (_READ_ONLY, StoreUnreachableError, ""),
    (_UNAVAILABLE, StoreUnavailableError, ""),
    ((psycopg.IntegrityError,), StoreConflictError, ""),
)
_UNDONE: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
)
_FORGETFUL: Final = (
    errors.InvalidSqlStatementName,
    errors.FeatureNotSupported,
)
"""The connection lost its prepared statements, or their tables have changed: it can no longer be used."""
_AGAIN: Final = (
    *_UNDONE,
    *_FORGETFUL,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.IdleInTransactionSessionTimeout,
    errors.IdleSessionTimeout,
)
USELESS: Final = (*_READ_ONLY, *_FORGETFUL)
"""After such an error, the next attempt needs another connection."""

_REFUSED: Final = (
    "password authentication failed",
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no such database",
    "no such user",
    "permission denied",
    "not permitted to log in",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "does not support SSL",
    "certificate verify failed",
)
"""Messages of servers and PgBouncer about a wrong user, password or database. libpq keeps no code for it."""
_UNSUPPORTED: Final = "unsupported startup parameter"
_STATEMENTS_ONLY: Final = "statement pooling mode"
"""PgBouncer's message when it pools statements and a client begins a transaction."""


def is_passing(error: psycopg.Error) -> bool:
    """Whether the same transaction is likely to succeed at once, if necessary on a new connection."""
    lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    return lost or isinstance(error, _AGAIN) or _is_pooler_hanging_up(error)


def is_of_another(error: psycopg.Error) -> bool:
    """Whether a prepared statement does not exist on a connection because the pooler switched connections."""
    return isinstance(error, _OF_ANOTHER)


def is_locked(error: psycopg.Error) -> bool:
    """Whether another session held a lock for longer than this session waits."""
    return isinstance(error, errors.LockNotAvailable)


def _is_pooler_hanging_up(error: psycopg.Error) -> bool:
    """Whether PgBouncer gives a reason for ending a connection, such as a lost server."""
    return isinstance(error, errors.ProtocolViolation) and _STATEMENTS_ONLY not in str(error)


def is_undone(error: psycopg.Error) -> bool:
    """Whether the same transaction is likely to succeed, and certainly has not been committed yet."""
    return isinstance(error, (*_UNDONE, *_FORGETFUL))


def translate(error: psycopg.Error, place: str, veil: Veil = NO_SECRETS) -> JobMasterError:
    """Return the JobMaster error for an error of PostgreSQL, without what `veil` hides."""
    text = f"{place}: {veil.text(first_line(error))}"
    if _STATEMENTS_ONLY in text:
        remedy = "let PgBouncer pool sessions, or transactions (then add pgbouncer=transaction to the URL)"
        return ConfigurationError(f"{text}; {remedy}")
    for natives, meaning, remedy in _MEANINGS:
        if isinstance(error, natives):
            return meaning(f"{text}{remedy}")
    return StoreError(text)


def cannot_connect(error: psycopg.Error, place: str, veil: Veil = NO_SECRETS) -> JobMasterError:
    """Return why there is no connection: the server refuses this process, or it is down."""
    text = str(error)
    if _STATEMENTS_ONLY in text:
        return translate(error, place)
    said = f"{place}: {veil.text(_last_line(text))}"
    if _UNSUPPORTED in text:
        remedy = "leave it out of the URL, or list it in PgBouncer's ignore_startup_parameters"
        return ConfigurationError(f"{said}; {remedy}")
    if any(phrase in text for phrase in _REFUSED):
        return ConfigurationError(f"{said}; correct the URL's user, password or database")
    return StoreUnreachableError(said)


def first_line(error: psycopg.Error) -> str:
    """Return an error's message in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]


def _last_line(text: str) -> str:
    """Return the last meaningful line: libpq's question whether the server runs follows it, indented."""
    lines = [line for line in text.strip().splitlines() if not line.startswith("\t")]
    return lines[-1] if lines else "no connection"
