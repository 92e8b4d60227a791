"""Event loops of other makers, which do not tell all that asyncio's own tell about a socket."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from jobmaster_postgres.address import parse_address
from jobmaster_postgres.connecting import connect
from jobmaster_postgres.wire import Message, Wire

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

SOON = 20.0


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "uvloop" and sys.platform == "win32":
        pytest.skip("there is no uvloop for Windows")
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


class Snapping:
    """A proxy before a server that lets one connection through, and snaps it in the middle of an answer."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._server = (host, port)
        self.armed, self.snapped = Event(), Event()
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._server)
        Thread(target=self._forward, args=(client, server), daemon=True).start()
        while data := server.recv(65536):
            if self.armed.is_set():
                client.sendall(data[:10])
                time.sleep(0.05)  # the start of the answer is there before the reset
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.shutdown(socket.SHUT_RD)
                client.close()
                server.close()
                self.snapped.set()
                return
            client.sendall(data)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                server.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def snapping(database: str) -> Iterator[Snapping]:
    given = conninfo_to_dict(database)
    if str(given.get("host", "")).startswith("/"):
        pytest.skip("this server has no port")
    made = Snapping(str(given["host"]), int(given.get("port") or 5432))
    yield made
    made.close()


async def test_an_answer_that_breaks_off_while_the_loop_is_busy_is_not_waited_for(
    database: str, snapping: Snapping
) -> None:
    parts = urlsplit(database)
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    netloc, query = f"{user}127.0.0.1:{snapping.port}", "sslmode=disable&gssencmode=disable"
    url = urlunsplit(parts._replace(netloc=netloc, query=query))
    wire = Wire(await connect(parse_address(url), SOON))
    try:
        snapping.armed.set()
        asking = asyncio.ensure_future(wire.ask(Message(b"SELECT repeat('x', 1000)")))
        await asyncio.sleep(0)
        assert snapping.snapped.wait(SOON)  # in the event loop: it is busy
        async with asyncio.timeout(SOON):
            with pytest.raises(psycopg.OperationalError):
                await asking
    finally:
        wire.close()


async def test_a_connection_that_is_cut_ends_its_call_though_nobody_watches_the_socket(database: str) -> None:
    wire = Wire(await connect(parse_address(database), SOON))
    try:
        asking = asyncio.ensure_future(wire.ask(Message(b"SELECT pg_sleep(60)")))
        await asyncio.sleep(0)
        asyncio.get_running_loop().remove_reader(wire.socket)
        wire.cut()
        async with asyncio.timeout(SOON):
            with pytest.raises(psycopg.OperationalError, match="did not answer in time"):
                await asking
    finally:
        wire.close()
