"""What travels over one connection: in any size, through errors, and when nobody waits for it any more."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from jobmaster_postgres.address import parse_address
from jobmaster_postgres.connecting import connect
from jobmaster_postgres.wire import Message, TransactionStatus, Wire
from jobmaster_testing.probes import until
from jobmaster_testing.servers import Wire as Proxy

# psycopg knows only asyncio; under trio the driver runs in asyncio, too.
pytestmark = [pytest.mark.postgres, pytest.mark.anyio]

ECHO = Message(b"SELECT $1::text", ["hello"])
MEGABYTE = 1_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def wire(database: str) -> AsyncIterator[Wire]:
    wire = Wire(await connect(parse_address(database), 10.0))
    yield wire
    wire.close()


def echo(text: str, *, kept: bool = False) -> Message:
    return Message(b"SELECT $1::text", [text], kept)


async def echoed(wire: Wire, text: str) -> bool:
    """Whether the connection still works, and answers what it is asked."""
    (answer,) = await wire.ask(echo(text))
    return answer.rows == [(text,)]


async def test_what_does_not_fit_into_any_buffer_passes_both_ways(wire: Wire) -> None:
    texts = [letter * MEGABYTE for letter in "abcdefghijkl"]

    answers = await wire.ask(*map(echo, texts))

    assert [answer.rows[0][0] for answer in answers] == texts
    assert await echoed(wire, "z" * 10 * MEGABYTE)


@pytest.mark.parametrize("kept", [False, True])
async def test_an_error_undoes_its_whole_trip_and_leaves_the_connection_usable(
    wire: Wire, *, kept: bool
) -> None:
    await wire.run_script("CREATE TEMPORARY TABLE number (value integer UNIQUE)")
    insert = Message(b"INSERT INTO number VALUES ($1)", [1], kept)

    with pytest.raises(psycopg.errors.UniqueViolation):
        await wire.ask(insert, insert, echo("after it"))

    assert wire.state == TransactionStatus.IDLE
    (found,) = await wire.ask(Message(b"SELECT value FROM number"))
    assert found.rows == []
    assert (await wire.ask(insert))[0].touched == 1


async def test_a_statement_that_cannot_be_prepared_is_tried_again_the_next_time(wire: Wire) -> None:
    late = Message(b"SELECT value FROM late", kept=True)
    with pytest.raises(psycopg.errors.UndefinedTable):
        await wire.ask(late)

    await wire.run_script("CREATE TEMPORARY TABLE late AS SELECT 7 AS value")

    assert [(await wire.ask(late))[0].rows for _ in range(2)] == [[(7,)], [(7,)]]


async def test_the_server_keeps_one_prepared_statement_for_a_text_and_its_types(wire: Wire) -> None:
    for text in ("a", "b"):
        assert await wire.ask(echo(text, kept=True), echo(text, kept=True))
    for number in range(400):
        await wire.ask(Message(b"SELECT %d" % number, kept=True))

    (count,) = await wire.ask(Message(b"SELECT count(*) FROM pg_prepared_statements"))

    assert count.rows == [(300,)]


async def test_a_caller_that_goes_away_leaves_no_connection_that_seems_free(wire: Wire) -> None:
    task = asyncio.ensure_future(wire.ask(Message(b"SELECT pg_sleep(60)")))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert wire.state == TransactionStatus.ACTIVE


async def test_an_idle_connection_that_the_server_ends_is_seen_to_be_lost(
    wire: Wire, observer: psycopg.Connection[tuple[object, ...]]
) -> None:
    (answer,) = await wire.ask(Message(b"SELECT pg_backend_pid()"))
    observer.execute("SELECT pg_terminate_backend(%s, 5000)", [answer.rows[0][0]])

    with pytest.raises(psycopg.OperationalError):
        await wire.ask(ECHO)
    assert wire.state == TransactionStatus.UNKNOWN


async def test_a_server_that_goes_away_while_it_is_sent_something_is_an_error_of_that_call(
    database: str,
) -> None:
    """libpq closes the socket, which the event loop still watches for two reasons."""
    address = conninfo_to_dict(database)
    proxy = Proxy(str(address.get("host", "127.0.0.1")), int(address.get("port") or 5432))
    netloc = f"{address.get('user', 'postgres')}@127.0.0.1:{proxy.port}"
    url = urlunsplit(urlsplit(database)._replace(netloc=netloc, query="sslmode=disable"))
    wire = Wire(await connect(parse_address(url), 10.0))
    assert await echoed(wire, "before")
    proxy.fall_silent(to_client=False)
    task = asyncio.ensure_future(wire.ask(echo("x" * 64 * MEGABYTE)))
    await until(lambda: wire._writable is not None, what="the buffers to be full")

    proxy.cut()

    with pytest.raises(psycopg.OperationalError):
        await task
    wire.close()
