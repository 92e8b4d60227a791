"""Databases for the tests of this package, and a wire to them that can be cut."""

import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from jobmaster.contracts import AgentRepository
from jobmaster.models import Bucket
from jobmaster_postgres.address import parse_address
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.driver import PostgresDriver
from jobmaster_postgres.statements import Statements
from jobmaster_postgres.wire import Message
from jobmaster_sql import Batch, Query, load_queries
from jobmaster_testing.factories import make_bucket
from jobmaster_testing.options import Options, open_agent
from jobmaster_testing.servers import POSTGRES_SERVERS, Wire, postgres_url


@pytest.fixture(scope="session", params=POSTGRES_SERVERS)
def every_database(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database on each server there is, one after the other."""
    return postgres_url(request.param)


@pytest.fixture(scope="module")
def untouched_database(every_database: str) -> Iterator[str]:
    """Return the URL of a database of the module's own: nothing that other tests left sways its planner."""
    name = f"plans_{uuid4().hex[:12]}"
    with psycopg.connect(every_database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield urlunsplit(urlsplit(every_database)._replace(path=f"/{name}"))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def database() -> str:
    """Return the URL of a database on the first server found."""
    return postgres_url()


@pytest.fixture
def observer(database: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Connect to the database beside the code under test."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def make_driver() -> AsyncIterator[Callable[..., PostgresDriver]]:
    """Return a maker of drivers, which are closed in the end."""
    drivers = []

    def make(url: str, timeout: float = 10.0) -> PostgresDriver:
        queries = load_queries("jobmaster_postgres", PostgresDialect(), "jm_")
        drivers.append(PostgresDriver(parse_address(url), queries, timeout))
        return drivers[-1]

    yield make
    for driver in drivers:
        await driver.close()


@pytest.fixture
def wire(database: str) -> Iterator[Wire]:
    """Return a proxy in front of the database's server."""
    address = conninfo_to_dict(database)
    wire = Wire(str(address.get("host", "127.0.0.1")), int(address.get("port") or 5432))
    yield wire
    wire.cut()


@pytest.fixture
def wired(database: str, wire: Wire) -> str:
    """Return the URL of the database behind the proxy."""
    parts = urlsplit(database)
    user = conninfo_to_dict(database).get("user", "postgres")
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{wire.port}", query="sslmode=disable"))


@pytest.fixture
def silent() -> Iterator[int]:
    """Return the port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def options() -> Options:
    """Return options under which the database has no schema yet."""
    return Options(table_prefix=f"t{uuid4().hex[:8]}_")


@pytest.fixture
async def agent(database: str, options: Options) -> AsyncIterator[AgentRepository]:
    """Open an agent with tables of its own."""
    async with open_agent("Postgres-1", database, options) as agent:
        yield agent


@pytest.fixture
async def bucket(agent: AgentRepository) -> Bucket:
    """Create a bucket on the agent."""
    bucket = make_bucket()
    await agent.buckets.create([bucket])
    return bucket


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return a count of the statements that are sent, by name."""
    counts: Counter[str] = Counter()
    messages = Statements.messages

    def counting(self: Statements, step: Query | Batch) -> Sequence[Message]:
        sent = messages(self, step)
        counts[step.name] += len(sent)
        return sent

    monkeypatch.setattr(Statements, "messages", counting)
    return counts
