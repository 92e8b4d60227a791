"""A real PgBouncer, as it comes but for the mode: what works through it, and what says why it does not."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import anyio
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from jobmaster import Cluster, JobContext, StoreUnavailableError, handler
from jobmaster.errors import ConfigurationError, StoreError
from jobmaster_postgres.address import parse_address
from jobmaster_postgres.connecting import connect
from jobmaster_postgres.errors import POOLED
from jobmaster_postgres.schema import Finder
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.options import Options, open_master, unopened_master
from jobmaster_testing.probes import until

pytestmark = [pytest.mark.anyio, pytest.mark.postgres, pytest.mark.slow]

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
TRANSACTION = "pgbouncer=transaction"

Bouncer = Callable[..., str]
"""Starts PgBouncer in a mode, with further settings, and returns the URL of a database of the test's own behind it."""


@pytest.fixture
def new_database(database: str) -> Iterator[str]:
    name = f"bouncer_{uuid4().hex[:12]}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def bouncer(database: str, new_database: str) -> Iterator[Bouncer]:
    if PROGRAM is None:
        pytest.skip("needs the program pgbouncer")
    folder = Path(mkdtemp())  # which another user may read, unlike pytest's
    folder.chmod(0o755)
    started: list[subprocess.Popen[bytes]] = []

    def start(mode: str, options: str = "", **settings: object) -> str:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        file = folder / f"{mode}.ini"
        file.write_text(configuration(database, new_database, mode, port, settings))
        as_somebody = ["-u", "nobody"] if os.geteuid() == 0 else []
        started.append(subprocess.Popen([PROGRAM, "-q", *as_somebody, str(file)], stderr=subprocess.DEVNULL))
        user = conninfo_to_dict(database).get("user", "postgres")
        url = f"postgresql://{user}@127.0.0.1:{port}/{new_database}"
        wait_for(port)
        return f"{url}?{options}" if options else url

    yield start
    for process in started:
        process.kill()
        process.wait()
    shutil.rmtree(folder)


def configuration(server: str, name: str, mode: str, port: int, settings: dict[str, object]) -> str:
    given = conninfo_to_dict(server)
    names = {"host": "127.0.0.1", "port": "5432", "user": "postgres", "password": ""}
    to = " ".join(
        f"{key}={given.get(key) or value}" for key, value in names.items() if given.get(key) or value
    )
    own = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
    }
    lines = [f"{name} = {value}" for name, value in {**own, **settings}.items()]
    return "\n".join([f"[databases]\n{name} = {to}\n[pgbouncer]", *lines, ""])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    pytest.fail("pgbouncer did not start")


class Work:
    """A handler, and what it has run; one in three jobs fails once."""

    def __init__(self) -> None:
        self.ended: Counter[UUID] = Counter()

        async def work(job: JobContext) -> None:
            if job.id.int % 3 == 0 and job.attempt == 1:
                raise ValueError
            self.ended[job.id] += 1

        self.handler = handler("Bouncer.Work", max_retries=1, retry=0.1)(work)

    async def life(self, url: str, jobs: int = 60) -> None:
        """Run jobs of all kinds in two processes' worth of clusters, each of which ends once."""
        workers = [
            Cluster.standalone("Bouncer-1", url).configure(poll_interval=0.2).add_worker(name=name)
            for name in ("a", "b")
        ]
        first, second = (cluster.add_handlers(self.handler) for cluster in workers)
        async with first.running() as runtime, second.running() as other:
            schedule = await runtime.scheduler.recurring(self.handler, "every 1 second")
            ids: list[UUID] = []

            async def one(turn: int) -> None:
                scheduler = (runtime, other)[turn % 2].scheduler
                receipt = await scheduler.once_after(self.handler, 0.2 * (turn % 2), key=f"job-{turn}")
                ids.append(receipt.job_id)

            async with anyio.create_task_group() as group:
                for turn in range(jobs):
                    group.start_soon(one, turn)
            await until(lambda: all(self.ended[job_id] for job_id in ids), timeout=20, what="all jobs")
            await until(lambda: len(self.ended) > jobs + 1, timeout=10, what=f"the jobs of {schedule}")
        assert set(self.ended.values()) == {1}


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.mark.parametrize("options", ["", "pgbouncer=session", "schema=public", "connections=1"])
async def test_everything_works_in_session_mode_as_it_comes(
    bouncer: Bouncer, work: Work, options: str
) -> None:
    await work.life(bouncer("session", options))


@pytest.mark.parametrize("options", [TRANSACTION, f"{TRANSACTION}&schema=public"])
async def test_everything_works_in_transaction_mode_if_that_is_said(
    bouncer: Bouncer, work: Work, options: str
) -> None:
    await work.life(bouncer("transaction", options, default_pool_size=3))


@pytest.mark.parametrize(("mode", "options"), [("session", ""), ("transaction", TRANSACTION)])
async def test_many_first_starts_at_once(bouncer: Bouncer, mode: str, options: str) -> None:
    url = bouncer(mode, options)
    names = [f"Bouncer-{number}" for number in range(6)]

    async def start(name: str) -> None:
        async with Cluster.standalone(name, url).running(workers=False):
            pass

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(start, name)
    async with open_master(url) as master:
        assert [record is not None for record in [await master.clusters.get(name) for name in names]] == [
            True
        ] * 6


@pytest.mark.parametrize("options", ["", TRANSACTION])
async def test_statement_mode_is_refused_with_what_to_set(bouncer: Bouncer, options: str) -> None:
    url = bouncer("statement", options)

    said = r"statement pooling mode; let PgBouncer pool sessions, or transactions \(then add pgbouncer=transaction"
    with pytest.raises(ConfigurationError, match=said):
        async with Cluster.standalone("Bouncer-1", url).running():
            pass


async def test_options_that_it_does_not_know_are_refused_with_what_to_set(bouncer: Bouncer) -> None:
    url = bouncer("session", "options=-c%20work_mem%3D8MB")
    master = unopened_master(url)
    with pytest.raises(
        ConfigurationError, match=r"options; leave it out of the URL, or list it in PgBouncer's"
    ):
        await master.open()
    await master.close()


async def test_options_that_it_is_to_ignore_harm_nothing(bouncer: Bouncer, work: Work) -> None:
    await work.life(bouncer("session", "options=-c%20work_mem%3D8MB", ignore_startup_parameters="options"))


async def test_a_pool_without_a_free_connection_is_a_store_that_is_away(bouncer: Bouncer) -> None:
    """In session mode a connection of a process is one of the server's, for as long as it is open."""
    url = bouncer("session", default_pool_size=1)
    async with open_master(url, Options(store_timeout=1.0)):
        other = unopened_master(url, Options(store_timeout=1.0))
        with pytest.raises(StoreUnavailableError, match=r"within [\d.]+ s"):
            await other.open()
        await other.close()


async def test_with_transaction_mode_unsaid_no_statement_is_taken_for_another(bouncer: Bouncer) -> None:
    """Two connections get one server's in turn. What either has prepared there is not what the other means."""
    url = bouncer("transaction", default_pool_size=1)
    async with open_master(url) as master, open_master(url) as other:
        worlds = [await make_world(one) for one in (master, other)]
        for turn in range(20):
            world = worlds[turn % 2]
            job = await world.put_one(delay=60)
            record = await world.record(job)
            assert (record.id, record.status) == (job.id, "held_on_master")


async def test_transaction_mode_that_is_unsaid_is_told_of(
    bouncer: Bouncer, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_master(bouncer("transaction", default_pool_size=3)) as master:
        world = await make_world(master)

        async def put() -> None:
            try:
                await world.put_one(delay=60)
            except StoreError as error:
                assert POOLED in str(error)  # noqa: PT017 - whether there is one depends on who is quicker

        async def is_told() -> bool:
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(put)
            return POOLED in caplog.text

        await until(is_told, what="connections to be mixed up")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_with_transaction_mode_unsaid_the_schema_is_found_on_the_path_of_the_user(
    bouncer: Bouncer,
) -> None:
    """Connections of the pooler that were used before have our own safe path, in which no tables are created."""
    address = parse_address(bouncer("transaction", default_pool_size=3))
    found: list[str | None] = []

    async def find() -> None:
        finder = Finder("jm_migration", address)
        native = await connect(address, 5.0, None, finder)
        native.pgconn.finish()
        found.append(finder.schema)

    for _ in range(5):
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(find)
    assert set(found) == {"public"}


async def test_a_pooler_that_is_restarted_is_an_outage_that_passes(bouncer: Bouncer, database: str) -> None:
    url = bouncer("session", admin_users=conninfo_to_dict(database).get("user", "postgres"))
    parts = urlsplit(url)
    async with open_master(url, Options(store_timeout=2.0)) as master:
        world = await make_world(master)
        job = await world.put_one()
        with psycopg.connect(urlunsplit(parts._replace(path="/pgbouncer")), autocommit=True) as console:
            console.execute("KILL " + parts.path.strip("/"))
            console.execute("RESUME " + parts.path.strip("/"))

        async def is_back() -> bool:
            try:
                return (await world.record(job)).id == job.id
            except StoreUnavailableError:
                return False

        await until(is_back, what="the pooler")
