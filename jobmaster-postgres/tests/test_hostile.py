"""Objects that another role puts on the search path (CVE-2018-1058): no statement of ours finds any of them.

The contract suite runs where a role that may create in `public`, as everybody may up to PostgreSQL 14, has put functions,
operators, types and tables that raise. The application's role has `public` first on its path, even before `pg_catalog`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from jobmaster.models import NewJob
from jobmaster_testing.contracts import AgentContract, EndToEndContract, InlineContract, MasterContract
from jobmaster_testing.factories import make_job
from jobmaster_testing.options import Options, open_master, unopened_agent, unopened_master

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

HERE = Path(__file__)
SOURCES = [HERE.parents[2] / "jobmaster-sql" / "src", HERE.parents[1] / "src"]
FURTHER = ("set_config", "current_schemas", "current_schema", "current_database", "now", "hashtextextended")
OPERATORS = ("=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "->", "->>", "~", "!~")


def names_used() -> list[str]:
    """Return what looks like a function in our statements, and in the code that makes some."""
    files = [file for source in SOURCES for kind in ("*.sql", "*.py") for file in source.rglob(kind)]
    found = {name.lower() for file in files for name in re.findall(r"\b(\w{2,})\(", file.read_text())}
    return sorted(found | set(FURTHER))


class Hostile:
    """A database in which a role of its own has put what it could. `url` is the application's, with `public` first."""

    def __init__(self, server: str) -> None:
        self.server, self._name = server, f"hostile_{uuid4().hex[:10]}"
        self.database = self._as(server)
        self.url = self._as(server, f"{self._name}_app:secret")
        self.intruder = f"{self._name}_hostile"

    def _as(self, server: str, who: str = "") -> str:
        parts = urlsplit(server)
        netloc = f"{who}@{parts.netloc.rpartition('@')[2]}" if who else parts.netloc
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{self._name}"))

    def set_up(self) -> None:
        app, hostile = f"{self._name}_app", f"{self._name}_hostile"
        self.execute(
            f"CREATE ROLE {app} LOGIN PASSWORD 'secret'",
            f"CREATE ROLE {hostile}",
            f"CREATE DATABASE {self._name} OWNER {app}",
            f"ALTER ROLE {app} SET search_path = public, pg_catalog",
            on=self.server,
        )
        self.execute(
            f"GRANT CREATE ON SCHEMA public TO {app}, {hostile}",
            f"CREATE SCHEMA app AUTHORIZATION {app}",
        )
        with psycopg.connect(self.database, autocommit=True) as connection:
            used = connection.execute(
                "SELECT array_agg(DISTINCT proname::text) FROM pg_proc WHERE proname = ANY (%s)",
                [names_used()],
            ).fetchone()
            assert used is not None
            connection.execute("SET search_path = pg_catalog")
            connection.execute(f"SET ROLE {hostile}".encode())
            connection.execute(hostile_objects(used[0]))

    def execute(self, *statements: str, on: str = "") -> None:
        with psycopg.connect(on or self.database, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def count(self, table: str) -> int:
        with psycopg.connect(self.database) as connection:
            statement = f"SELECT count(*) FROM {table}"  # noqa: S608 - a test's name
            (found,) = connection.execute(statement.encode()).fetchone() or (0,)
            return int(found)

    def tear_down(self) -> None:
        self.execute(
            f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)",
            f"DROP ROLE IF EXISTS {self._name}_app",
            f"DROP ROLE IF EXISTS {self._name}_hostile",
            on=self.server,
        )


def hostile_objects(functions: Sequence[str]) -> bytes:
    """Return the statements that shadow some functions, and all operators."""
    text = HERE.with_name("hostile.sql").read_text()
    lists = {"names": functions, "operators": OPERATORS}
    declared = "".join(
        f"  {name} text[] := ARRAY[{', '.join(repr(one) for one in values)}];\n"
        for name, values in lists.items()
    )
    return text.replace("DECLARE\n", f"DECLARE\n{declared}", 1).encode()


@pytest.fixture(scope="module")
def hostile(database: str) -> Iterator[Hostile]:
    made = Hostile(database)
    try:
        made.set_up()
        yield made
    finally:
        made.tear_down()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # what statements find does not depend on it


def test_the_traps_are_set(hostile: Hostile) -> None:
    """Each of them bites who has `public` on the path, before `pg_catalog` and after it."""
    bites = [
        "SELECT hashtextextended('a', 1)",
        "SELECT 1.5::numeric * 2",
        "SELECT extract(epoch FROM statement_timestamp()) * 1000000",
        "SELECT 'a'::pg_catalog.text = 'a'::pg_catalog.text",
        "SELECT now()",
        "SELECT COUNT(*) FROM pg_class",
        "SELECT true::text",
        "SELECT set_config('jit', 'off', true)",
    ]
    with psycopg.connect(hostile.url, autocommit=True) as connection:
        for statement in bites:
            with pytest.raises(psycopg.Error, match=r"hijacked|not an aggregate|does not"):
                connection.execute(statement.encode())
        connection.execute("SET search_path = pg_catalog, public")
        with pytest.raises(psycopg.Error, match="hijacked"):
            connection.execute(bites[1].encode())


class TestMasterAmongHostileObjects(MasterContract):
    @pytest.fixture
    def store_url(self, hostile: Hostile) -> str:
        return hostile.url


class TestPooledAmongHostileObjects(InlineContract):
    """As through PgBouncer in transaction mode, where each transaction has to set its path."""

    @pytest.fixture
    def store_url(self, hostile: Hostile) -> str:
        return f"{hostile.url}?pgbouncer=transaction"


class TestAgentAmongHostileObjects(AgentContract):
    @pytest.fixture
    def agent_url(self, hostile: Hostile) -> str:
        with psycopg.connect(hostile.database) as connection:
            if connection.execute("SELECT to_regclass('public.jm_agent_message')").fetchone() != (None,):
                connection.execute("TRUNCATE public.jm_agent_message, public.jm_agent_bucket")
        return hostile.url


class TestEndToEndAmongHostileObjects(EndToEndContract):
    @pytest.fixture
    def store_url(self, hostile: Hostile) -> str:
        return hostile.url


# Tables by our names


def _table(hostile: Hostile, schema: str, prefix: str) -> list[str]:
    """Return statements with which the hostile role makes tables of ours, whose triggers it would run as who uses them."""
    tables = [f"{schema}.{prefix}{name}" for name in ("migration", "job", "live")]
    return [f"SET ROLE {hostile.intruder}", *(f"CREATE TABLE {one} (version integer)" for one in tables)]


@pytest.mark.anyio
async def test_a_named_schema_is_the_only_one(hostile: Hostile) -> None:
    options = Options(table_prefix="named_")
    hostile.execute(*_table(hostile, "public", "named_"))

    async with open_master(f"{hostile.url}?schema=app", options) as master:
        assert (await master.jobs.insert([NewJob(job=make_job())]))[0].created

    assert hostile.count("app.named_job") == 1
    assert hostile.count("public.named_job") == 0


@pytest.mark.anyio
async def test_a_strangers_tables_on_the_path_are_passed_over(hostile: Hostile) -> None:
    """They may come first: in a schema that others may create in as well."""
    options = Options(table_prefix="passed_")
    async with open_master(f"{hostile.url}?schema=app", options):
        pass
    hostile.execute(*_table(hostile, "public", "passed_"))

    async with open_master(f"{hostile.url}?options=-csearch_path%3Dpublic%2Capp", options) as master:
        assert (await master.jobs.insert([NewJob(job=make_job())]))[0].created

    assert hostile.count("app.passed_job") == 1


@pytest.mark.anyio
async def test_tables_that_only_a_stranger_has_are_told_of(
    hostile: Hostile, caplog: pytest.LogCaptureFixture
) -> None:
    options = Options(table_prefix="told_")
    hostile.execute("GRANT CREATE ON SCHEMA public TO PUBLIC", *_table(hostile, "public", "told_"))

    master = unopened_master(hostile.url, options)
    await master.open()
    await master.close()

    assert f"the tables in the schema 'public' belong to {hostile.intruder}, and every user" in caplog.text


@pytest.mark.parametrize("kind", ["master", "agent"])
def test_a_dbas_script_finds_nothing_of_others(hostile: Hostile, kind: str) -> None:
    """Run by a path on which the schema of others comes last: exact matches of `pg_catalog` win, and all are exact."""
    options = Options(table_prefix=f"script_{kind}_")
    store = (
        unopened_master(hostile.url, options)
        if kind == "master"
        else unopened_agent("Agent-1", hostile.url, options)
    )
    with psycopg.connect(hostile.url, autocommit=True) as connection:
        connection.execute("SET search_path = app, public")

        connection.execute(store.schema.script().encode())

        if kind == "master":
            connection.execute(
                "INSERT INTO script_master_job VALUES ("
                "gen_random_uuid(), 'C', 'D', 'L', 3, 1000000, 1000000, NULL, 0, '{}', '{}', NULL)"
            )
            shown = connection.execute("SELECT created_at::text FROM script_master_jobs").fetchone()
            assert shown is not None
            assert shown[0].startswith("1970-01-01")
