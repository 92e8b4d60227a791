"""One connection with many callers, and the faults of nats-py that must not reach them."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from attrs import frozen

from jobmaster.errors import StoreUnavailableError
from jobmaster.models import Bucket, Cursor
from jobmaster_nats.address import parse_address
from jobmaster_nats.agent import NatsAgent
from jobmaster_nats.link import Link, Request
from jobmaster_nats.names import Names
from jobmaster_nats.servertime import ServerTime
from jobmaster_nats.stream import Entry, ReaderGoneError, Stream
from jobmaster_testing.factories import make_bucket, make_message
from jobmaster_testing.options import open_agent

pytestmark = [pytest.mark.nats, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    """These tests are about what happens in the bridge's loop."""
    return "asyncio"


@frozen
class Place:
    agent: NatsAgent
    stream: Stream
    bucket: Bucket


@pytest.fixture
async def place(stream: str) -> AsyncIterator[Place]:
    bucket = make_bucket()
    async with open_agent("A", stream) as agent:
        assert isinstance(agent, NatsAgent)
        await agent.buckets.create([bucket])
        address = parse_address(stream)
        link = Link(address)
        await link.open()
        yield Place(agent, Stream(link, Names(f"jm_{address.stream}"), ServerTime()), bucket)
        await link.close()


async def test_a_cancelled_request_is_cancelled(place: Place) -> None:
    """nats-py's `publish_async` raises another error instead."""
    entries = [Entry(f"{place.stream.names.stream}.x.{n}", b"x" * 100) for n in range(5000)]
    task = asyncio.create_task(place.stream.store(entries))
    await asyncio.sleep(0.01)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await place.stream.info()
    assert not place.stream.link._takers
    assert not place.stream.link._watches


async def test_headers_are_made_for_each_request() -> None:
    """nats-py's `publish` changes those that it is given."""
    request = Request("a", expected=3)
    first = request.headers()
    assert first is not None
    first["X"] = "y"

    assert request.headers() == {"Nats-Expected-Last-Subject-Sequence": "3"}
    assert Request("a").headers() is None


async def test_single_messages_are_read_quickly(place: Place) -> None:
    """nats-py's `fetch(1)` is slow."""
    messages = [make_message(place.bucket) for _ in range(200)]
    await place.agent.messages.push(messages)
    cursor, seen, began = Cursor(), 0, time.monotonic()

    while seen < len(messages):
        page = await place.agent.claims.pull(place.bucket, cursor, 1)
        cursor, seen = page.cursor, seen + len(page.claims)

    assert time.monotonic() - began < 4


async def test_messages_of_a_cancelled_fetch_are_read_again(place: Place) -> None:
    """nats-py leaves its request at the server, and the messages in a queue."""
    messages = [make_message(place.bucket) for _ in range(300)]
    await place.agent.messages.push(messages)
    seen = set()

    for _ in range(20):
        pull = asyncio.create_task(place.agent.claims.pull(place.bucket, Cursor(), 1000))
        await asyncio.sleep(0.001)
        pull.cancel()
        await asyncio.wait([pull])
    page = await place.agent.claims.pull(place.bucket, Cursor(), 1000)
    seen = {claim.job.id for claim in page.claims}

    assert seen == {message.new.job.id for message in messages}
    assert not page.more


async def test_a_reader_whose_fetch_was_cancelled_is_not_used_again(place: Place) -> None:
    await place.agent.messages.push([make_message(place.bucket) for _ in range(50)])
    reader = await place.stream.start_reader(place.stream.names.messages)
    fetch = await reader.ask_for(10)

    task = asyncio.create_task(fetch.result())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert not reader.is_usable
    await reader.stop()


async def test_a_lost_delivery_is_noticed(place: Place) -> None:
    await place.agent.messages.push([make_message(place.bucket) for _ in range(3)])
    reader = await place.stream.start_reader(place.stream.names.messages)
    await reader.fetch(1)
    reader._next = 5  # as if deliveries 2 to 4 were still to come

    with pytest.raises(ReaderGoneError):
        await reader.fetch(1)
    assert not reader.is_usable


async def test_a_reader_that_the_server_forgot_is_replaced(place: Place) -> None:
    await place.agent.messages.push([make_message(place.bucket)])
    assert len((await place.agent.claims.pull(place.bucket, Cursor(), 10)).claims) == 1
    desk = place.agent._desks.known(place.bucket.id)
    assert desk is not None
    assert desk._reader is not None
    names = place.stream.names
    await place.stream.ask(f"CONSUMER.DELETE.{names.stream}.{desk._reader._name}")

    await place.agent.messages.push([make_message(place.bucket)])

    assert len((await place.agent.claims.pull(place.bucket, Cursor(), 10)).claims) == 2


async def test_callers_learn_that_the_connection_broke(place: Place) -> None:
    waiting = asyncio.create_task(place.stream.link.exchange([Request("nobody.answers")] * 3))
    reading = asyncio.create_task(place.stream.start_reader(place.stream.names.messages))
    await reading
    await asyncio.wait([waiting], timeout=0.1)
    await place.stream.link.close()

    with pytest.raises(StoreUnavailableError):
        await place.stream.info()
    await asyncio.wait([waiting], timeout=1)
    assert waiting.done()


async def test_more_requests_than_are_in_flight_at_once(place: Place) -> None:
    entries = [Entry(f"{place.stream.names.stream}.x.{n % 7}", b"x" * 20_000) for n in range(2500)]

    numbers = await place.stream.store(entries)

    assert len(numbers) == len(entries)
    assert all(number is not None for number in numbers)
