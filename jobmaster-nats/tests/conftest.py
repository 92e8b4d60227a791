"""NATS servers for the tests of this package."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import nats
import pytest

from jobmaster_testing.servers import NATS_SERVERS, nats_url


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
