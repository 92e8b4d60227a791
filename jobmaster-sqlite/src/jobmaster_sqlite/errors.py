"""SQLite's errors in JobMaster's terms."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from jobmaster.errors import (
    ConfigurationError,
    JobMasterError,
    SchemaError,
    StoreConflictError,
    StoreError,
    StoreUnavailableError,
    StoreUnreachableError,
)
from jobmaster_sql import OTHER_PREFIX, OTHER_SCHEMA

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_UNAVAILABLE: Final = {
    sqlite3.SQLITE_BUSY: "another process held its write lock too long",
    sqlite3.SQLITE_LOCKED: "another connection held a lock too long",
    sqlite3.SQLITE_INTERRUPT: "the statement took longer than store_timeout",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk could not be read or written",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PROTOCOL: "its locks cannot be acquired",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup",
}
_REFUSED: Final = {
    sqlite3.SQLITE_READONLY: "it cannot be written; change its permissions, or those of its file system",
    sqlite3.SQLITE_PERM: "this process may not use it; change its permissions",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; name another file, or move this one away",
}
_TAINTED: Final = frozenset(_REFUSED) | {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_CORRUPT,
}
"""Errors that a connection may keep reporting although the file is right again."""
_NO_SCHEMA: Final = ("no such table", "no such column", "has no column named")
"""SQLite's messages for a schema other than the one that a statement was written for."""
_TAKEN: Final = ("already exists", "there is already a", "already an index")
"""Its messages where a migration creates an object that already exists."""
_PRIMARY: Final = 0xFF
"""The low byte of an extended error code is the primary one."""


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds a needed lock, so that a retry helps."""
    return _code(error) in _BUSY


def is_tainted(error: sqlite3.Error) -> bool:
    """Whether the next attempt needs another connection."""
    return _code(error) in _TAINTED


def translate(error: sqlite3.Error, path: Path) -> JobMasterError:
    """Return the JobMaster error for an error of SQLite."""
    code = _code(error)
    if code in _UNAVAILABLE:
        return StoreUnavailableError(f"{path}: {_UNAVAILABLE[code]} ({error})")
    if code in _REFUSED:
        return ConfigurationError(f"{path}: {_REFUSED[code]} ({error})")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return StoreConflictError(f"{path}: {error}")
    if any(phrase in str(error) for phrase in _TAKEN):
        return SchemaError(f"{path}: {error}. {OTHER_PREFIX}")
    if any(phrase in str(error) for phrase in _NO_SCHEMA):
        return SchemaError(f"{path}: {error}; {OTHER_SCHEMA}")
    return StoreError(f"{path}: {error}")


def cannot_open(error: sqlite3.Error, path: Path) -> JobMasterError:
    """Return why a database file could not be opened, and the remedy."""
    if _code(error) == sqlite3.SQLITE_NOTADB:
        return ConfigurationError(
            f"{path} is not a SQLite database; name another file, or move this one away"
        )
    if not path.parent.is_dir():
        return ConfigurationError(f"{path}: the folder {path.parent} does not exist; create it")
    if path.is_dir():
        return ConfigurationError(f"{path} is a folder; name a file in it, such as {path / 'jobs.db'}")
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.R_OK | os.W_OK):
            return ConfigurationError(
                f"{path}: this process may not write to {place}; change its permissions"
            )
    if _code(error) == sqlite3.SQLITE_READONLY:
        return ConfigurationError(f"{path} is on a file system that cannot be written; choose another place")
    return _unreachable(translate(error, path))


def moved_away(path: Path) -> str:
    """Return what happened to a file that was open here, and the remedy."""
    if path.exists():
        return (
            f"{path}: the file was replaced, for example by a backup; this process continues with the new one. "
            "Jobs that it does not contain are lost, and jobs that ended after the backup run again"
        )
    return (
        f"{path}: the file was moved or removed; move it back, or put a backup in its place, and all processes "
        "continue. No jobs are accepted until then"
    )


def _unreachable(error: JobMasterError) -> JobMasterError:
    """Return an error for a file that could not be opened: no request was made of it yet."""
    return StoreUnreachableError(str(error)) if isinstance(error, StoreUnavailableError) else error


def _code(error: sqlite3.Error) -> int:
    # Errors that the sqlite3 module raises by itself carry no code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
