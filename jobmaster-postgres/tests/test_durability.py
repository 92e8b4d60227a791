"""Durability is what the server says: for the session's role and database, its URL, and the server itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import anyio.to_thread
import psycopg
import pytest
from attrs import frozen
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from jobmaster import Cluster
from jobmaster._runtime.durability import Durability
from jobmaster.cli import build_app
from jobmaster.contracts import MasterRepository
from jobmaster.errors import ConfigurationError, StoreUnreachableError
from jobmaster_postgres.durability import risks_in
from jobmaster_testing.options import Options, open_agent, open_master, unopened_master
from jobmaster_testing.probes import until
from jobmaster_testing.servers import postgres_url

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


@frozen
class Place:
    """A database and a role of the test's own, on a server of all tests."""

    server: str
    name: str

    def url(self, options: str = "") -> str:
        """Where it is, for its role."""
        given = conninfo_to_dict(self.server)
        host, port = str(given.get("host", "127.0.0.1")), given.get("port") or 5432
        where = urlsplit(self.server)._replace(
            netloc=f"{self.name}@{host}:{port}", path=f"/{self.name}", query=options
        )
        if host.startswith("/"):
            more = f"host={host}&port={port}" + (f"&{options}" if options else "")
            where = where._replace(netloc=f"{self.name}@", query=more)
        return urlunsplit(where)

    def do(self, *statements: str, inside: bool = False) -> None:
        """Do something as the server's administrator."""
        database = self.name if inside else conninfo_to_dict(self.server)["dbname"]
        with psycopg.connect(self.server, dbname=database, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.format(name=self.name).encode())

    def cut(self) -> None:
        """End all its connections, so that the next ones find what is set now."""
        self.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'")


@pytest.fixture
def place(database: str) -> Iterator[Place]:
    made = Place(database, f"durable_{uuid4().hex[:12]}")
    made.do("CREATE ROLE {name} LOGIN", "CREATE DATABASE {name} OWNER {name}")
    yield made
    made.do("DROP DATABASE IF EXISTS {name} WITH (FORCE)", "DROP ROLE {name}")


async def settings_of(url: str) -> dict[str, str]:
    """Return what is said of a master, without making its schema."""
    master = unopened_master(url)
    await master.open()
    try:
        return {risk.setting: risk.value for risk in await master.durability_risks()}
    finally:
        await master.close()


async def test_nothing_is_said_of_a_server_that_keeps_what_it_commits(place: Place) -> None:
    assert await settings_of(place.url()) == {}


@pytest.mark.parametrize("whose", ["ROLE", "DATABASE", "URL"])
@pytest.mark.parametrize(
    ("setting", "value"), [("synchronous_commit", "off"), ("default_transaction_read_only", "on")]
)
async def test_what_is_in_effect_counts_whoever_set_it(
    place: Place, whose: str, setting: str, value: str
) -> None:
    options = ""
    if whose == "URL":
        options = f"options=-c%20{setting}%3D{value}"
    else:
        place.do(f"ALTER {whose} {{name}} SET {setting} = {value}")

    assert await settings_of(place.url(options)) == {setting: value}


async def test_a_role_may_be_set_right_by_the_url(place: Place) -> None:
    place.do("ALTER ROLE {name} SET synchronous_commit = off")

    assert await settings_of(place.url("options=-c%20synchronous_commit%3Don")) == {}


async def test_what_notifications_are_sent_with_is_no_setting(place: Place) -> None:
    """They switch `synchronous_commit` off, for themselves alone."""
    async with open_master(place.url("connections=1")) as master:
        await master.notifications.announce(["x"])
        assert list(await master.durability_risks()) == []


async def test_an_agent_says_it_as_well(place: Place) -> None:
    place.do("ALTER ROLE {name} SET synchronous_commit = off")
    async with open_agent("A", place.url()) as agent:
        assert [risk.setting for risk in await agent.durability_risks()] == ["synchronous_commit"]


async def test_tables_that_a_crash_empties_are_named(place: Place) -> None:
    async with open_master(place.url(), Options(table_prefix="own_")) as master:
        place.do("CREATE UNLOGGED TABLE other_x (a int)", inside=True)
        assert list(await master.durability_risks()) == []
        place.do("ALTER TABLE own_log SET UNLOGGED", inside=True)
        [risk] = await master.durability_risks()
        assert (risk.setting, risk.value) == ("relpersistence", "unlogged (own_log)")


SAFE = ("on", "", "on", "on", "off", False, ())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({0: "remote_apply"}, []),
        ({0: "local"}, []),  # the same as `on`, where nobody stands by
        ({0: "remote_write"}, []),
        ({0: "local", 1: "b"}, ["synchronous_commit is local: a commit does not wait for the synchronous standbys"]),
        ({0: "remote_write", 1: "b"}, ["synchronous_commit is remote_write: a commit waits until a synchronous"]),
        ({0: "off", 1: "b"}, ["synchronous_commit is off: a call returns before its jobs are on disk"]),
        ({2: "off", 3: "off"}, ["fsync is off: the server never waits for its disk", "full_page_writes is off: "]),
        ({4: "on", 5: True}, ["pg_is_in_recovery is true: this server is a standby or is being restored"]),
    ],
)  # fmt: skip
async def test_what_settings_mean(changed: dict[int, Any], said: list[str]) -> None:
    values: list[Any] = [changed.get(at, value) for at, value in enumerate(SAFE)]
    told = [str(risk) for risk in risks_in(*values)]

    assert len(told) == len(said)
    assert all(text.startswith(start) for text, start in zip(told, said, strict=True))


@pytest.fixture(scope="module")
def own_server() -> str:
    """Return a database on a server that is this process's alone, and may be set otherwise."""
    return postgres_url("wheel")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_without_flushes_is_told_of(own_server: str, setting: str) -> None:
    place = Place(own_server, "")
    seen: dict[str, str] = {}

    async def is_seen() -> bool:
        nonlocal seen
        seen = await settings_of(own_server)
        return setting in seen

    try:
        place.do(f"ALTER SYSTEM SET {setting} = off", "SELECT pg_reload_conf()")
        await until(is_seen, what="the server to go by it")
        assert seen[setting] == "off"
    finally:
        place.do(f"ALTER SYSTEM RESET {setting}", "SELECT pg_reload_conf()")


# What a cluster makes of it


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what was logged about durability."""
    caplog.set_level(logging.INFO, "jobmaster.durability")
    return lambda: [r.getMessage() for r in caplog.records if r.name == "jobmaster.durability"]


def cluster(url: str, **settings: Any) -> Cluster:
    return Cluster(f"Durable-{uuid4().hex[:6]}", url).configure(**settings)


async def test_a_start_warns_once_of_master_and_agents(place: Place, told: Callable[[], list[str]]) -> None:
    place.do("ALTER DATABASE {name} SET synchronous_commit = off")
    made = cluster(place.url()).add_agent("A", place.url())
    found: dict[str, Any] = {}
    for _ in range(2):
        async with made.running(workers=False) as runtime:
            found = dict(await runtime.durability_risks())

    assert {store: [risk.setting for risk in risks] for store, risks in found.items()} == {
        "master": ["synchronous_commit"],
        "A": ["synchronous_commit"],
    }
    master, agent = told()
    assert master.startswith(
        f"cluster {made.id}: the master: synchronous_commit is off: a call returns before"
    )
    assert "set it to on for the server, the database or the role" in master
    assert agent.startswith(f"cluster {made.id}: agent 'A': synchronous_commit is off: ")


async def test_a_start_on_a_server_that_only_reads_says_why(
    place: Place, told: Callable[[], list[str]]
) -> None:
    async with open_master(place.url()):
        pass
    place.do("ALTER ROLE {name} SET default_transaction_read_only = on")

    with pytest.raises(StoreUnreachableError, match="read-only transaction"):
        async with cluster(place.url()).running(workers=False):
            pass
    [line] = told()
    assert "the master: default_transaction_read_only is on: sessions only read" in line


@pytest.mark.parametrize("whose", ["master", "agent"])
async def test_a_cluster_that_has_to_be_durable_does_not_start(
    place: Place, database: str, whose: str
) -> None:
    off = place.url("options=-c%20synchronous_commit%3Doff")
    urls = (off, place.url()) if whose == "master" else (place.url(), off)
    made = cluster(urls[0], require_durable=True).add_agent("A", urls[1])

    with pytest.raises(
        ConfigurationError, match=r"require_durable: .* may lose what it has accepted"
    ) as caught:
        async with made.running():
            pass
    assert ("the master" if whose == "master" else "agent 'A'") in str(caught.value)
    assert "synchronous_commit is off" in str(caught.value)
    assert database not in str(caught.value)


async def test_a_cluster_that_has_to_be_durable_starts_where_it_is(place: Place) -> None:
    async with cluster(place.url(), require_durable=True).add_agent("A", place.url()).running(workers=False):
        pass


async def test_a_change_is_noticed_on_the_next_connection(
    place: Place, told: Callable[[], list[str]]
) -> None:
    look = Durability(f"Durable-{uuid4().hex[:6]}", required=True)

    async def changed(statement: str, master: MasterRepository) -> list[str]:
        place.do(statement)
        place.cut()
        before = len(told())
        await look.look([("master", master)])
        return told()[before:]

    async with open_master(place.url()) as master:
        await look.check("master", master)
        assert told() == []
        off = "ALTER ROLE {name} SET synchronous_commit = off"
        [line] = await changed(off, master)
        assert "the master: synchronous_commit is off" in line
        assert await changed(off, master) == []
        [line] = await changed("ALTER ROLE {name} RESET ALL", master)
        assert line.endswith("the master: synchronous_commit is no longer off")
        [line] = await changed(off, master)
        assert "the master: synchronous_commit is off" in line


async def test_status_shows_it(place: Place) -> None:
    made = cluster(place.url())
    async with made.running(workers=False):
        pass
    place.do("ALTER ROLE {name} SET synchronous_commit = off")

    def status(*more: str) -> str:
        where = ["--cluster", made.id, "--master", place.url()]
        return CliRunner().invoke(build_app(), ["status", *where, *more]).stdout

    shown = json.loads(await anyio.to_thread.run_sync(status, "--json"))
    [risk] = shown["durability"]
    assert (risk["store"], risk["setting"], risk["value"]) == ("master", "synchronous_commit", "off")
    assert risk["means"]
    assert risk["remedy"]
    [warning] = [one for one in shown["warnings"] if "synchronous" in one]
    assert warning.startswith("the master: synchronous_commit is off: ")
    text = " ".join((await anyio.to_thread.run_sync(status)).split())
    assert "warning: the master: synchronous_commit is off: a call returns before" in text
