"""What the server refuses: an outage while it has been in use, a mistake in the configuration at the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import anyio
import anyio.abc
import psycopg
import pytest
from attrs import frozen
from psycopg.conninfo import conninfo_to_dict

from jobmaster import Cluster, JobContext, handler
from jobmaster.bridge import Bridge
from jobmaster.contracts import MasterRepository
from jobmaster.errors import ConfigurationError, StoreError, StoreUnavailableError, StoreUnreachableError
from jobmaster.models import ClusterRecord
from jobmaster_postgres.address import parse_address
from jobmaster_postgres.connecting import connect
from jobmaster_testing.options import Options, open_agent, open_master, unopened_master
from jobmaster_testing.probes import Seen, until

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

TRIES = 10
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'"
PREFIX = "ref_"


@frozen
class Scratch:
    """A database of its own, used by a role of its own, of the same name."""

    server: str
    name: str

    @property
    def url(self) -> str:
        """Where it is, for its role."""
        parts, given = urlsplit(self.server), conninfo_to_dict(self.server)
        host = f"{given.get('host', '127.0.0.1')}:{given.get('port') or 5432}"
        where = parts._replace(netloc=f"{self.name}:secret@{host}", path=f"/{self.name}", query="")
        if str(given.get("host", "")).startswith("/"):
            where = where._replace(
                netloc=f"{self.name}:secret@", query=f"host={given['host']}&port={given['port']}"
            )
        return urlunsplit(where)

    def admin(self, *statements: str, inside: bool = False) -> None:
        """Do something as the server's administrator, beside the database or inside."""
        database = self.name if inside else conninfo_to_dict(self.server)["dbname"]
        with psycopg.connect(self.server, dbname=database, autocommit=True) as connection:
            for statement in statements:
                self._execute(connection, statement)

    def _execute(self, connection: psycopg.Connection[Any], statement: str) -> None:
        """Execute a statement; what runs here connects anew at any time, so that a rename may need several tries."""
        query = statement.format(name=self.name, prefix=PREFIX).encode()
        for _ in range(TRIES):
            try:
                connection.execute(query)
            except psycopg.errors.ObjectInUse:
                connection.execute(CUT.format(name=self.name).encode())
            else:
                return
        raise AssertionError(f"the database stays in use: {statement}")

    def cut(self) -> None:
        """End all its connections, as happens to a database that is renamed or restored."""
        self.admin(CUT)


@pytest.fixture
def scratch(database: str) -> Iterator[Scratch]:
    made = Scratch(database, f"refusing_{uuid4().hex[:12]}")
    made.admin("CREATE ROLE {name} LOGIN PASSWORD 'secret'", "CREATE DATABASE {name} OWNER {name}")
    yield made
    made.admin(
        "DROP DATABASE IF EXISTS {name} WITH (FORCE)",
        "DROP DATABASE IF EXISTS {name}_away WITH (FORCE)",
        "DROP ROLE {name}",
    )


@frozen
class Trouble:
    """What is done to a database and undone again; whether connections in use are not affected by themselves."""

    done: str
    undone: str
    inside: bool = False
    lasts: bool = True
    """Whether it looks like a mistake in the configuration to whoever starts."""
    affects_reads: bool = True


_TABLE = "{prefix}cluster"
TROUBLES = {
    "renamed": Trouble(
        "ALTER DATABASE {name} RENAME TO {name}_away", "ALTER DATABASE {name}_away RENAME TO {name}"
    ),
    "no role": Trouble("ALTER ROLE {name} NOLOGIN", "ALTER ROLE {name} LOGIN"),
    "closed": Trouble(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        "ALTER DATABASE {name} ALLOW_CONNECTIONS true",
        lasts=False,
    ),
    "full": Trouble(
        "ALTER ROLE {name} CONNECTION LIMIT 0", "ALTER ROLE {name} CONNECTION LIMIT -1", lasts=False
    ),
    "read only": Trouble(
        "ALTER ROLE {name} SET default_transaction_read_only = on",
        "ALTER ROLE {name} RESET default_transaction_read_only",
        lasts=False,
        affects_reads=False,
    ),
    "no privileges": Trouble(
        f"ALTER TABLE {_TABLE} OWNER TO CURRENT_USER; REVOKE ALL ON {_TABLE} FROM {{name}}",
        f"ALTER TABLE {_TABLE} OWNER TO {{name}}; GRANT ALL ON {_TABLE} TO {{name}}",
        inside=True,
    ),
    "no tables": Trouble(
        f"ALTER TABLE {_TABLE} RENAME TO gone", f"ALTER TABLE gone RENAME TO {_TABLE}", inside=True
    ),
    "no schema": Trouble(
        "ALTER SCHEMA public RENAME TO gone", "ALTER SCHEMA gone RENAME TO public", inside=True
    ),
}


async def register(master: MasterRepository) -> None:
    await master.clusters.register(ClusterRecord(id="Refused-1"))


@pytest.mark.parametrize("kind", TROUBLES)
async def test_what_is_refused_in_use_is_an_outage_and_over_when_it_is_mended(
    scratch: Scratch, kind: str
) -> None:
    trouble = TROUBLES[kind]
    async with open_master(scratch.url, Options(table_prefix=PREFIX)) as master:
        await register(master)
        scratch.cut()
        scratch.admin(trouble.done, inside=trouble.inside)
        for error in (
            StoreUnavailableError,
            StoreUnreachableError,
        ):  # the first may have been sent before the cut
            with pytest.raises(error) as caught:
                await register(master)
            assert not isinstance(caught.value, ConfigurationError)
        if trouble.affects_reads:
            with pytest.raises(StoreUnreachableError):
                await master.clusters.get("Refused-1")
        scratch.cut()
        scratch.admin(trouble.undone, inside=trouble.inside)
        await register(master)


@pytest.mark.parametrize("kind", [kind for kind, trouble in TROUBLES.items() if trouble.lasts])
async def test_the_same_at_the_start_is_a_mistake_in_the_configuration(scratch: Scratch, kind: str) -> None:
    trouble = TROUBLES[kind]
    async with open_master(scratch.url, Options(table_prefix=PREFIX)):
        pass
    scratch.admin(trouble.done, inside=trouble.inside)
    cluster = Cluster.standalone("Refused-1", scratch.url).configure(table_prefix=PREFIX, auto_migrate=False)
    with pytest.raises(ConfigurationError) as caught:
        async with cluster.add_worker().running():
            pass
    assert not isinstance(caught.value, StoreError)


async def test_who_listens_goes_on_when_a_database_that_was_away_is_back(scratch: Scratch) -> None:
    trouble, ready = TROUBLES["renamed"], Seen[int]()
    async with open_master(scratch.url, Options(table_prefix=PREFIX)) as master:
        await register(master)

        async def listen() -> None:
            await master.notifications.listen(["a"], lambda _: None, lambda: ready.add(1))

        scratch.cut()
        scratch.admin(trouble.done)
        with pytest.raises(StoreUnavailableError):
            await listen()
        scratch.admin(trouble.undone)
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await ready.count(1)
            group.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize(("role", "kind"), [("master", "renamed"), ("agent", "no privileges")])
async def test_a_cluster_waits_for_a_database_that_refuses_it(
    scratch: Scratch, database: str, role: str, kind: str
) -> None:
    """Calls are refused as in any outage or go elsewhere; workers go on when it is over."""
    trouble, ran = TROUBLES[kind], Seen[int]()
    table = "{prefix}agent_message" if role == "agent" else "{prefix}job"
    done, undone = (text.replace(_TABLE, table) for text in (trouble.done, trouble.undone))

    @handler("Refusals.Work", max_retries=0)
    async def work(_: JobContext, number: int) -> None:
        ran.add(number)

    master = scratch.url if role == "master" else database
    cluster = Cluster(f"Refused-{uuid4().hex[:6]}", master).add_handlers(work)
    cluster.configure(table_prefix=PREFIX, heartbeat=0.2, lease=2, stop_grace=0.2, poll_interval=0.2)
    if role == "agent":
        cluster.add_agent("A", scratch.url)
    async with cluster.add_worker(agent="A" if role == "agent" else None).running() as runtime:
        await runtime.scheduler.once_now(work, number=1)
        await ran.count(1)
        scratch.cut()
        scratch.admin(done, inside=trouble.inside)
        if role == "master":
            with pytest.raises(StoreUnavailableError):
                await runtime.scheduler.once_now(work, number=2)
        else:
            assert (await runtime.scheduler.once_now(work, number=2)).accepted_by == "master"
        await anyio.sleep(2.5)  # longer than a lease: a server keeps real time
        scratch.admin(undone, inside=trouble.inside)
        await until(lambda: accepts(runtime.scheduler.once_now, work), timeout=20)
        await until(lambda: 3 in ran.items and (role == "master" or 2 in ran.items), timeout=20)


async def accepts(once_now: Callable[..., object], work: object) -> bool:
    try:
        await once_now(work, number=3)  # type: ignore[misc]
    except StoreUnavailableError:
        return False
    return True


async def test_an_agent_that_refuses_a_late_joiner_is_tried_again(scratch: Scratch, database: str) -> None:
    """It was away at the start, and comes back without its password, its database, or its privileges at first."""
    ran = Seen[int]()

    @handler("Refusals.Late", max_retries=0)
    async def late(_: JobContext) -> None:
        ran.add(1)

    async with open_agent("A", scratch.url, Options(table_prefix=PREFIX)):
        pass
    closed, renamed = TROUBLES["closed"], TROUBLES["renamed"]
    scratch.admin(closed.done)
    cluster = Cluster(f"Refused-{uuid4().hex[:6]}", database).add_agent("A", scratch.url).add_handlers(late)
    cluster.configure(table_prefix=PREFIX, stop_grace=0.2, store_timeout=2).add_worker(agent="A")
    async with cluster.running() as runtime:
        await runtime.scheduler.once_now(late)
        link = runtime._env.agents.links["A"]
        scratch.admin(renamed.done, "ALTER DATABASE {name}_away ALLOW_CONNECTIONS true")
        seen = link.awaited
        await until(lambda: link.awaited is not seen, what="another reason", timeout=15)
        assert (link.joined, link.refused) == (False, None)
        scratch.admin(renamed.undone)
        await ran.count(1)


async def test_a_silent_first_host_takes_no_other_hosts_turn(silent: int, database: str) -> None:
    given = conninfo_to_dict(database)
    if str(given.get("host", "")).startswith("/"):
        pytest.skip("this server has no port")
    parts = urlsplit(database)
    hosts = f"127.0.0.1:{silent},{given['host']}:{given.get('port') or 5432}"
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    url = urlunsplit(parts._replace(netloc=f"{user}{hosts}"))
    async with open_master(url, Options(table_prefix=PREFIX, store_timeout=2.0)) as master:
        began = anyio.current_time()
        with anyio.CancelScope():
            await master.close()
        await master.now()
    assert anyio.current_time() - began < 1.0, "the host that answered is asked first"


async def test_a_start_does_not_wait_longer_than_it_may_for_a_server_that_says_nothing(silent: int) -> None:
    master = unopened_master(f"postgresql://ann@127.0.0.1:{silent}/jobs", Options(store_timeout=0.5))
    with anyio.fail_after(5):
        with pytest.raises(StoreUnreachableError, match=r"no answer from 127\.0\.0\.1"):
            await master.open()
        await master.close()


async def test_nothing_is_sent_at_the_start_of_a_connection_that_poolers_refuse() -> None:
    """PgBouncer in session mode refuses a connection that asks for `options`."""
    asked = Seen[bytes]()

    async def take(stream: anyio.abc.SocketStream) -> None:
        asked.add(await stream.receive())
        await stream.aclose()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no Django
    url = f"postgresql://ann@127.0.0.1:{port}/jobs?sslmode=disable&gssencmode=disable&schema=own"
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, take)
        master = unopened_master(url, Options(store_timeout=2.0))
        with pytest.raises(StoreUnavailableError):
            await master.open()
        await master.close()
        group.cancel_scope.cancel()
    assert asked.items
    assert all(b"\0options\0" not in packet and b"\0user\0" in packet for packet in asked.items)


@pytest.mark.parametrize(("given", "limit"), [("", "9s"), ("?options=-c%20statement_timeout%3D3s", "3s")])
async def test_a_connection_has_its_settings_and_the_users_own_win(
    database: str, given: str, limit: str
) -> None:
    native = await connect_in_asyncio(f"{database.partition('?')[0]}{given}")
    assert native == (limit, "force_generic_plan", "off")


async def connect_in_asyncio(url: str) -> object:
    """Return some settings of a connection that is opened as the driver opens them."""

    async def settings() -> object:
        native = await connect(parse_address(url), 10.0)
        try:
            found = await native.execute(
                "SELECT current_setting('statement_timeout'), current_setting('plan_cache_mode'),"
                " current_setting('jit')"
            )
            return await found.fetchone()
        finally:
            await native.close()

    bridge = Bridge()
    try:
        return await bridge.run(settings)
    finally:
        await bridge.close()
