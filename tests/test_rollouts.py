"""Migrate first, then deploy: code runs on a schema that is newer than itself, as long as that serves it."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
import psycopg
import pytest
from attrs import evolve, frozen
from typer.testing import CliRunner, Result

from jobmaster import Cluster, JobContext, Runtime, handler
from jobmaster.cli import ExitCode, build_app
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.errors import SchemaError, StoreUnavailableError
from jobmaster.models import ClusterRecord
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_sql import SqlSchema, load_agent_queries, load_queries
from jobmaster_sql.migrations import Migration
from jobmaster_sqlite.driver import SqliteDialect
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.options import (
    Options,
    open_agent,
    open_master,
    opened,
    unopened_agent,
    unopened_master,
)
from jobmaster_testing.probes import until
from jobmaster_testing.servers import postgres_url

pytestmark = pytest.mark.anyio

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
ROLES = ("master", "agent")

Store: TypeAlias = MasterRepository | AgentRepository

Change = Callable[[Store], str]
"""Returns the statements of a made-up migration for the schema of a store."""


@frozen
class Place:
    """Where a master and an agent of the test's own are."""

    url: str
    agent_url: str
    prefix: str

    @property
    def options(self) -> Options:
        """What their stores are opened with."""
        return Options(table_prefix=self.prefix)

    def unopened(self, role: str) -> Store:
        """Return one of them as the code of this release opens it."""
        if role == "master":
            return unopened_master(self.url, self.options)
        return unopened_agent("Agent-1", self.agent_url, self.options)

    def cluster(self, **settings: Any) -> Cluster:
        """Return a cluster with an agent."""
        cluster = Cluster("Rollout-1", self.url).configure(
            table_prefix=self.prefix, heartbeat=0.2, lease=8.0, stop_grace=1.0, **settings
        )
        return cluster.add_agent("Agent-1", self.agent_url).add_handlers(work)

    def execute(self, statement: str) -> None:
        """Do something by hand to the master's database."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)) as file:
                file.execute(statement)
        else:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(statement.encode())

    def run(self, command: str, *arguments: str, config: Path) -> Result:
        """Run a command of this release."""
        agents = [{"name": "Agent-1", "url": self.agent_url}]
        cluster = {"cluster": "Rollout-1", "master": self.url, "settings": {"table_prefix": self.prefix}}
        config.write_text(json.dumps(cluster | {"agents": agents}))
        return CliRunner().invoke(build_app(), [*command.split(), *arguments, "--config", str(config)])


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    prefix = f"r{uuid4().hex[:8]}_"
    if request.param == "sqlite":
        yield Place(f"sqlite:///{tmp_path}/jobs.db", f"sqlite:///{tmp_path}/agent.db", prefix)
        return
    url = postgres_url()
    yield Place(url, url, prefix)
    with psycopg.connect(url, autocommit=True) as connection:
        tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE %s"
        for (name,) in connection.execute(tables, [prefix.replace("_", r"\_") + "%"]).fetchall():
            connection.execute(f'DROP TABLE "{name}" CASCADE'.encode())


def added(store: Store) -> str:
    """Add what a release may add: columns to every table, a table, an index, and a wider view."""
    tables = sorted(set(re.findall(r"CREATE TABLE \{prefix\}(\w+)", "".join(m.text for m in known(store)))))
    columns = "".join(
        f"ALTER TABLE {{prefix}}{table} ADD COLUMN remark text;\n"
        f"ALTER TABLE {{prefix}}{table} ADD COLUMN weight integer NOT NULL DEFAULT 0;\n"
        for table in tables
    )
    more = "CREATE TABLE {prefix}remark (id integer NOT NULL PRIMARY KEY, note text NOT NULL);\n"
    return f"{columns}{more}CREATE INDEX {{prefix}}remarks ON {{prefix}}{tables[-1]} (remark);\n"


def taken_away(_: Store) -> str:
    """Do what code of before cannot live with."""
    return "ALTER TABLE {prefix}cluster RENAME COLUMN mode TO way;\n"


def schema_of(store: Store) -> SqlSchema:
    assert isinstance(store.schema, SqlSchema)
    return store.schema


def known(store: Store) -> Sequence[Migration]:
    return schema_of(store)._migrations


def next_release(store: Store, change: Change, serves: int | None = None) -> Store:
    """Return a store as the code of the next release opens it; without `serves` its migration serves this one."""
    version = known(store)[-1].version + 1
    says = version - 1 if serves is None else serves
    text = f"-- serves: {says}\n{change(store)}"
    schema_of(store)._migrations = [*known(store), Migration(version, f"{version:04}_made_up", text, says)]
    return store


async def migrated(place: Place, role: str, change: Change = added, serves: int | None = None) -> str:
    """Migrate as the next release would; return the name of its migration."""
    async with opened(next_release(place.unopened(role), change, serves)) as store:
        return list(await store.schema.migrate())[-1]


@handler("Rollout.Work")
async def work(_: JobContext) -> None: ...


# What lets statements run on a schema that has more


STATEMENTS = {
    f"{kind} {role} {name}": text
    for kind, dialect in (("sqlite", SqliteDialect()), ("postgres", PostgresDialect()))
    for role, load in (("master", load_queries), ("agent", load_agent_queries))
    for name, text in load(f"jobmaster_{kind}", dialect, "jm_")._texts.items()
}
_TEXT = re.compile(r"'[^']*'")
_INSERT = re.compile(r"INSERT\s+INTO\s+\w+(?:\s+AS\s+\w+)?\s*(.)")
_EVERYTHING = re.compile(
    r"(?:SELECT|RETURNING)(?:\s+DISTINCT)?\s+(?:\w+\.)?\*(?!\s+FROM\s+unnest\()|,\s*(?:\w+\.)?\*"
)


def outermost(text: str) -> str:
    """Return what of a statement is in no brackets: the rest is seen by the statement alone."""
    depth, kept = 0, list[str]()
    for char in text:
        depth -= char == ")"
        kept.append(char if depth == 0 or char == "(" else " ")
        depth += char == "("
    return "".join(kept)


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_names_the_columns_that_it_writes_and_returns(name: str) -> None:
    text = _TEXT.sub("''", STATEMENTS[name])

    assert set(_INSERT.findall(text)) <= {"("}
    assert not _EVERYTHING.search(outermost(text))


def test_statements_that_name_no_columns_are_seen() -> None:
    for text in ("INSERT INTO jm_job VALUES (1)", "INSERT INTO jm_job SELECT 1"):
        assert _INSERT.findall(text) != ["("]
    for text in ("SELECT * FROM jm_job", "SELECT j.id, l.* FROM jm_job j", "DELETE FROM jm_job RETURNING *"):
        assert _EVERYTHING.search(outermost(text))


# A schema that serves this code


@pytest.mark.slow
async def test_the_next_migration_goes_unnoticed_by_processes_that_run_restart_and_look(
    place: Place, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    jobs: list[UUID] = []

    async def schedule(runtime: Runtime, count: int = 20) -> None:
        for number in range(count):
            receipt = await runtime.scheduler.once_now(work, confirm="master" if number % 2 else None)
            jobs.append(receipt.job_id)

    async with place.cluster().add_worker(name="Running").running() as running:
        await schedule(running)
        async with anyio.create_task_group() as group:
            group.start_soon(schedule, running, 200)
            for role in ROLES:
                await migrated(place, role)
        for auto_migrate in (True, False):
            restarted = place.cluster(auto_migrate=auto_migrate).add_worker(name="Restarted")
            async with restarted.running() as runtime:
                await schedule(runtime)
                await runtime.scheduler.recurring(work, "every 1 hour", key=f"hourly-{auto_migrate}")
        for command in ("status", "jobs list", "workers list", "schedules list", "migrate --check"):
            result = await anyio.to_thread.run_sync(look, place, command, tmp_path)
            assert result.exit_code == 0, result.output
        await schedule(running)
        for job_id in jobs:  # one that was pushed to a worker on its leave is brought back within a lease
            assert (await running.jobs.wait(job_id, timeout=40)).status == "succeeded"

    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")]


def look(place: Place, command: str, folder: Path) -> Result:
    return place.run(command, config=folder / "cluster.json")


@pytest.mark.parametrize("role", ROLES)
async def test_old_code_names_what_it_does_not_know_and_applies_nothing(place: Place, role: str) -> None:
    async with opened(place.unopened(role)) as store:
        await store.schema.migrate()
        assert list(await store.schema.newer()) == []
        name = await migrated(place, role)

        assert list(await store.schema.newer()) == [name]
        assert list(await store.schema.pending()) == []
        assert list(await store.schema.migrate()) == []


async def test_a_migration_that_is_entered_by_hand_serves_everybody(place: Place) -> None:
    """Those of before said nothing of the kind, and what is added by hand need not."""
    async with opened(place.unopened("master")) as store:
        await store.schema.migrate()
        place.execute(f"INSERT INTO {place.prefix}migration VALUES (9999, '9999_by_hand', 0)")  # noqa: S608 - our own

        assert list(await store.schema.newer()) == ["9999_by_hand"]
        assert list(await store.schema.migrate()) == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("serves_us", [True, False])
async def test_a_script_says_what_its_migrations_serve(place: Place, role: str, serves_us: bool) -> None:
    store = place.unopened(role)
    newest = known(store)[-1].version
    script = next_release(place.unopened(role), added, newest if serves_us else newest + 1).schema.script()
    if place.url.startswith("sqlite"):
        url = place.url if role == "master" else place.agent_url
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.executescript(script)
    else:
        place.execute(script)

    async with opened(store):
        if serves_us:
            assert list(await store.schema.newer()) == [f"{newest + 1:04}_made_up"]
        else:
            with pytest.raises(SchemaError, match="_made_up"):
                await store.schema.newer()


def test_migrate_says_that_a_newer_schema_is_fine(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "cluster.json"
    assert place.run("migrate", config=config).exit_code == 0
    names = [anyio.run(migrated, place, role) for role in ROLES]

    fine = "which serves this version of JobMaster as well"
    expected = [
        f"newer: {names[0]}, {fine}",
        f"newer: Agent-1: {names[1]}, {fine}",
        "the schema is up to date",
    ]
    for arguments in ([], ["--check"]):
        result = place.run("migrate", *arguments, config=config)
        assert (result.exit_code, result.stdout.splitlines()) == (0, expected)
    plain = json.loads(place.run("migrate", "--json", config=config).stdout)
    assert plain == {"applied": [], "newer": [names[0], f"Agent-1: {names[1]}"]}


# A schema that does not


@pytest.mark.parametrize("role", ROLES)
async def test_a_start_on_a_schema_that_is_too_new_is_refused_with_what_to_deploy(
    place: Place, role: str
) -> None:
    newest = known(place.unopened(role))[-1]
    async with place.cluster().running():
        pass
    name = await migrated(place, role, serves=newest.version + 1)

    said = rf"too new for JobMaster \S+, which knows it up to {newest.name}: {name} .*; deploy JobMaster \S+ here"
    for auto_migrate in (True, False):
        with pytest.raises(SchemaError, match=said):
            async with place.cluster(auto_migrate=auto_migrate).add_worker().running():
                pass
    async with opened(place.unopened(role)) as store:
        for ask in (store.schema.migrate, store.schema.pending, store.schema.newer):
            with pytest.raises(SchemaError, match=said):
                await ask()


@pytest.mark.parametrize("command", ["status", "jobs list", "migrate", "migrate --check", "worker"])
def test_commands_refuse_a_schema_that_is_too_new(place: Place, command: str, tmp_path: Path) -> None:
    config = tmp_path / "cluster.json"
    assert place.run("migrate", config=config).exit_code == 0
    anyio.run(migrated, place, "master", added, known(place.unopened("master"))[-1].version + 1)

    result = place.run(command, config=config)

    assert result.exit_code == ExitCode.SCHEMA
    assert "_made_up (of JobMaster" in result.stderr


async def test_a_process_that_runs_goes_on_as_long_as_its_statements_do_and_then_waits(place: Place) -> None:
    too_new = known(place.unopened("master"))[-1].version + 1
    async with open_master(place.url, place.options) as master:
        world = await make_world(master)
        await migrated(place, "master", serves=too_new)
        await world.put_one()
        later = evolve(place)
        release = next_release(later.unopened("master"), added)
        async with opened(next_release(release, taken_away, too_new + 1)) as store:
            await store.schema.migrate()

        with pytest.raises(StoreUnavailableError, match="a newer release has changed the schema, deploy it"):
            await master.clusters.register(ClusterRecord(id="Rollout-1"))


@pytest.mark.postgres
@pytest.mark.slow
async def test_nobody_waits_behind_a_migration_that_waits_for_a_long_transaction(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A dump, for one, holds every table for as long as it takes, and whoever comes waits behind who waits."""
    place = Place(postgres_url(), postgres_url(), f"r{uuid4().hex[:8]}_")
    options = evolve(place.options, store_timeout=5.0)
    async with open_master(place.url, options) as master, anyio.create_task_group() as group:
        world = await make_world(master)
        done = anyio.Event()

        async def migrate() -> None:
            await migrated(place, "master")
            done.set()

        with psycopg.connect(place.url) as dump:
            dump.execute(f"SELECT FROM {place.prefix}job".encode())
            group.start_soon(migrate)
            await until(lambda: "lock timeout; trying again" in caplog.text)
            for _ in range(5):
                job = await world.put_one()
                assert (await world.record(job)).id == job.id
            assert not done.is_set()
        with anyio.fail_after(10):
            await done.wait()
        assert await world.put_one() is not None


async def test_an_agent_of_the_same_database_has_a_schema_of_its_own(place: Place) -> None:
    async with (
        open_master(place.url, place.options) as master,
        open_agent("Agent-1", place.url, place.options) as agent,
    ):
        await migrated(evolve(place, agent_url=place.url), "agent", serves=99)

        assert list(await master.schema.pending()) == []
        with pytest.raises(SchemaError, match="agent_"):
            await agent.schema.pending()


async def test_a_statement_that_was_prepared_survives_a_column_of_another_type(place: Place) -> None:
    """Such as a server refuses to run again with what it had planned: it goes again, on another connection."""
    async with open_master(place.url, place.options) as master:
        world = await make_world(master)
        job = await world.put_one()
        await until(lambda: master.jobs.get(world.cluster_id, job.id))
        if place.url.startswith("postgres"):
            place.execute(f"DROP VIEW {place.prefix}jobs")
            place.execute(f"ALTER TABLE {place.prefix}job ALTER COLUMN max_retries TYPE bigint")

        assert await master.jobs.get(world.cluster_id, job.id) is not None
        assert await world.put_one() is not None
