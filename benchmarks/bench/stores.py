"""A new database for every measurement, and its statistics besides the jobs."""

from __future__ import annotations

import itertools
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from attrs import define, evolve, field, frozen

from bench.servers import SETTINGS, Server

_numbers = itertools.count(1)

_STATEMENTS = """
SELECT coalesce(sum(s.calls), 0)
FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname = %s AND s.query !~* '^(begin|commit|rollback|start transaction|set|reset|discard)'
"""
_TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
_DEAD = "SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables"


class Database(ABC):
    """One database, empty at first."""

    url: str
    options: tuple[str, ...] = ()
    """The options of a system's script about the database, besides its URL."""

    @abstractmethod
    def settle(self) -> None:
        """Bring the database to rest after it was filled, so that no system pays for another's work."""

    def queries(self) -> int | None:
        """Return how many queries were run in it so far (see `Store.counts`); None if they are not counted."""
        return None

    def dead_tuples(self) -> int | None:
        """Return how many dead rows its tables hold; None where they do not exist."""
        return None

    def written_rows(self) -> int | None:
        """Return how many rows were written so far, except those of agents; None if they are not counted."""
        return None

    @contextmanager
    def held_snapshot(self) -> Iterator[None]:
        """Keep a transaction open that sees the database in its current state."""
        raise NotImplementedError
        yield


_WRITTEN = """
SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables
WHERE relname NOT LIKE '%agent%' AND relname NOT LIKE '%worker' AND relname NOT LIKE '%bucket'
"""


class Store(ABC):
    """Makes databases."""

    counts: str = "nothing"
    """What `Database.queries` counts."""

    @abstractmethod
    def fresh(self) -> Any:
        """Return a context manager with a new database, removed at the end."""

    @abstractmethod
    def facts(self) -> Mapping[str, str]:
        """Return the store's facts for the report."""


@frozen
class PostgresDatabase(Database):
    """A database on our own server."""

    server: Server
    name: str
    options: tuple[str, ...] = ()

    @property
    def url(self) -> str:  # type: ignore[override]  # made from the two fields
        """The database's URL."""
        return self.server.url(self.name)

    def settle(self) -> None:
        """Vacuum, analyze, and write everything out."""
        self.server.execute("VACUUM ANALYZE", "CHECKPOINT", database=self.name)

    def queries(self) -> int | None:
        """Return how many statements were run in it, except transaction control; otherwise its transactions."""
        query = _STATEMENTS if self.server.counts_statements else _TRANSACTIONS
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            row = connection.execute(query.encode(), [self.name]).fetchone()
        return int(row[0]) if row else 0

    def dead_tuples(self) -> int | None:
        """Return how many dead rows its tables hold, by the server's own statistics."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(_DEAD.encode()).fetchone()
        return int(row[0]) if row else 0

    def written_rows(self) -> int | None:
        """Return how many rows were inserted, updated and deleted, except those of agents."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(_WRITTEN.encode()).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def held_snapshot(self) -> Iterator[None]:
        """Keep a REPEATABLE READ transaction open: rows that die from now on cannot be vacuumed."""
        with psycopg.connect(self.url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("SELECT count(*) FROM pg_class")
            yield
            connection.rollback()


@define
class PostgresStore(Store):
    """Databases on our own PostgreSQL server."""

    server: Server
    counts: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Set what can be counted."""
        self.counts = "statements" if self.server.counts_statements else "transactions"

    @contextmanager
    def fresh(self) -> Iterator[PostgresDatabase]:
        """Create a database, and drop it at the end."""
        name = f"bench_{next(_numbers)}"
        self.server.execute(f"CREATE DATABASE {name}")
        try:
            yield PostgresDatabase(self.server, name)
        finally:
            self.server.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def facts(self) -> Mapping[str, str]:
        """Return version and settings."""
        return {"PostgreSQL": self.server.version, **SETTINGS}


@frozen
class PairStore(Store):
    """A database on each of two servers: the second one is an agent's."""

    master: PostgresStore
    agent: PostgresStore

    @property
    def counts(self) -> str:  # type: ignore[override]  # queries are counted on the master
        """What `Database.queries` counts."""
        return f"{self.master.counts} of the master"

    @contextmanager
    def fresh(self) -> Iterator[Database]:
        """Create both, and drop them at the end."""
        with self.master.fresh() as master, self.agent.fresh() as agent:
            yield evolve(master, options=("--agent", agent.url))

    def facts(self) -> Mapping[str, str]:
        """Return version and settings."""
        return {**self.master.facts(), "servers": "two, on one machine: master and agent"}


@frozen
class SqliteDatabase(Database):
    """A file."""

    path: Path

    @property
    def url(self) -> str:  # type: ignore[override]  # made from the path
        """The file's URL."""
        return f"sqlite:///{self.path}"

    def settle(self) -> None:
        """Move the contents of the write-ahead log to the file."""
        with sqlite3.connect(self.path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()


@frozen
class SqliteStore(Store):
    """Files in a folder."""

    folder: Path

    @contextmanager
    def fresh(self) -> Iterator[Database]:
        """Name a file, and remove it at the end."""
        path = self.folder / f"bench_{next(_numbers)}.db"
        try:
            yield SqliteDatabase(path)
        finally:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    def facts(self) -> Mapping[str, str]:
        """Return version and settings."""
        return {"SQLite": sqlite3.sqlite_version, "journal_mode": "WAL", "synchronous": "FULL"}
