"""What the wire relies on holds in every session, whatever the role, the database or the environment say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from jobmaster.contracts import MasterRepository
from jobmaster.errors import ConfigurationError, SchemaError
from jobmaster.models import JobQuery, MetadataFilter, NewJob, Operator
from jobmaster_postgres.address import parse_address
from jobmaster_testing.factories import make_cluster, make_job
from jobmaster_testing.options import open_master, unopened_master

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

TEXT = "Žluťoučký \\ '\" 🚀 ß\u00a0"
DEFAULTS = {
    "client_encoding": "latin1",
    "standard_conforming_strings": "off",
    "search_path": '"$user"',
    "default_transaction_isolation": "serializable",
    "row_security": "off",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "transform_null_equals": "on",
    "statement_timeout": "500",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "default_text_search_config": "simple",
    "plan_cache_mode": "force_custom_plan",
}
"""What a role may be given by `ALTER ROLE … SET`."""

MakeDatabase = Callable[..., str]


@pytest.fixture
def new_database(database: str) -> Iterator[MakeDatabase]:
    """Return what makes a database with options, and returns its URL."""
    names: list[str] = []
    with psycopg.connect(database, autocommit=True) as connection:

        def make(options: str = "") -> str:
            names.append(f"sessions_{uuid4().hex[:12]}")
            connection.execute(f"CREATE DATABASE {names[-1]} {options}".encode())
            return urlunsplit(urlsplit(database)._replace(path=f"/{names[-1]}"))

        yield make
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def keeps_texts(master: MasterRepository) -> None:
    """See that texts come back as they were and are found, whether stored alone or by many."""
    cluster = make_cluster(f"Cluster {TEXT}")
    await master.clusters.register(cluster)
    jobs = [
        make_job(cluster_id=cluster.id, lane=TEXT, data={"text": TEXT, "n": n}, metadata={"tag": TEXT})
        for n in range(20)
    ]
    await master.jobs.insert([NewJob(job=jobs[0])])
    await master.jobs.insert([NewJob(job=job) for job in jobs[1:]])

    for job in jobs:
        record = await master.jobs.get(cluster.id, job.id)
        assert record is not None
        assert (record.job.data, record.job.lane) == (job.data, TEXT)
    wanted = JobQuery(metadata=[MetadataFilter("tag", Operator.EQ, TEXT)], lane=TEXT, limit=100)
    assert len(await master.jobs.query(cluster.id, wanted)) == len(jobs)


@pytest.mark.parametrize("mode", ["", "pgbouncer=transaction"])
async def test_defaults_of_the_database_change_nothing(new_database: MakeDatabase, mode: str) -> None:
    url = new_database()
    name = urlsplit(url).path[1:]
    # A pooler is told the first, and the others come before anything can be set for a transaction.
    pooled = {"client_encoding", "statement_timeout", "idle_in_transaction_session_timeout"}
    with psycopg.connect(url, autocommit=True) as connection:
        for setting, value in DEFAULTS.items():
            if setting != "search_path" and not (mode and setting in pooled):
                connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())

    async with open_master(f"{url}?{mode}") as master:
        await keeps_texts(master)


async def test_a_session_that_is_idle_is_not_cut(new_database: MakeDatabase) -> None:
    """Who listens for notifications is idle all day."""
    url = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.info.server_version < 140000:
            pytest.skip("this server cuts no idle session")
        name = urlsplit(url).path[1:]
        connection.execute(f"ALTER DATABASE {name} SET idle_session_timeout = '300ms'".encode())
        ours = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'jobmaster'"

        async with open_master(url) as master:
            await master.now()
            before = connection.execute(ours).fetchall()
            connection.execute("SELECT pg_sleep(0.6)")
            after = connection.execute(ours).fetchall()

    assert before == after != []


async def test_the_environment_changes_nothing(
    new_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "latin1")
    monkeypatch.setenv("PGOPTIONS", "-c client_encoding=latin1 -c standard_conforming_strings=off")

    async with open_master(new_database()) as master:
        await keeps_texts(master)


async def test_other_options_of_the_url_hold(new_database: MakeDatabase) -> None:
    """A path for where the tables are, and limits, which are the user's own."""
    url = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "of its own"')
    options = quote(r"-c search_path=nowhere,\"of\ its\ own\",public -c work_mem=8MB")

    async with open_master(f"{url}?options={options}") as master:
        await keeps_texts(master)

    with psycopg.connect(url) as connection:
        assert connection.execute('SELECT count(*) FROM "of its own".jm_job').fetchone() == (20,)


@pytest.mark.parametrize(
    "option",
    [
        "client_encoding=latin1",
        "client_encoding=SQL_ASCII",
        f"options={quote('-c client_encoding=latin1')}",
        f"options={quote('-cclient_encoding=latin1')}",
        f"options={quote('-c work_mem=1MB --client-encoding=latin1')}",
        f"options={quote('-c standard_conforming_strings=off')}",
        f"options={quote('-c Default_Transaction_Isolation=serializable')}",
        f"options={quote('-c row_security=off')}",
    ],
)
def test_what_contradicts_the_wire_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match=r"the PostgreSQL URL sets \w+, .*; leave it out of the URL"):
        parse_address(f"postgresql://ann:secret@db/jobs?{option}")


@pytest.mark.parametrize(
    "option",
    [
        "client_encoding=UTF8",
        "client_encoding=utf-8",
        f"options={quote('-c client_encoding=UTF8 -c jit=on')}",
    ],
)
def test_what_agrees_with_the_wire_is_not(option: str) -> None:
    parse_address(f"postgresql://ann:secret@db/jobs?{option}")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_every_text_is_refused(
    new_database: MakeDatabase, encoding: str
) -> None:
    url = new_database(f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    master = unopened_master(url)
    try:
        with pytest.raises(ConfigurationError, match=f"encoding is {encoding}.*ENCODING 'UTF8'"):
            await master.open()
    finally:
        await master.close()


# Where the tables are


async def test_tables_are_found_where_they_are_and_made_where_the_path_says(
    new_database: MakeDatabase,
) -> None:
    """`$user`, several schemas, one that is not there: the first with our tables, or else the first that is there."""
    url = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        user = connection.info.user
        connection.execute(f'CREATE SCHEMA "{user}"; CREATE SCHEMA later'.encode())
    found = []
    for path in ("later,public", '"$user",public', '"$user",public,later', "none,later", "public,later"):
        async with open_master(f"{url}?options={quote('-csearch_path=' + path)}") as master:
            await master.jobs.insert([NewJob(job=make_job())])
        with psycopg.connect(url) as connection:
            counts = [
                (name, connection.execute(f'SELECT count(*) FROM "{name}".jm_job'.encode()).fetchone())  # noqa: S608 - a test's name
                for (name,) in connection.execute(
                    "SELECT schemaname FROM pg_tables WHERE tablename = 'jm_job' ORDER BY 1"
                ).fetchall()
            ]
        found.append({name: count[0] for name, count in counts if count})

    assert found == [
        {"later": 1},
        {"later": 1, user: 1},
        {"later": 1, user: 2},
        {"later": 2, user: 2},
        {"later": 3, user: 2},
    ]


async def test_a_path_without_a_schema_is_told_with_the_remedy(new_database: MakeDatabase) -> None:
    master = unopened_master(f"{new_database()}?options={quote('-csearch_path=nowhere')}")
    try:
        with pytest.raises(
            SchemaError, match="no schema of the user's search_path exists; create one, or name"
        ):
            await master.open()
    finally:
        await master.close()


NAMES = [
    "a b",
    "a\tb",
    "a\nb",
    "a\\b",
    'a"b',
    "a'b",
    "Ä",
    "a,b",
    "$user",
    "%",
    "%s",
    "A",
    "a:job_id",
    "@schema@.x",
    "{x}",
]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("mode", ["", "&pgbouncer=transaction"])
async def test_a_schema_is_a_name_whatever_characters_it_has(new_database: MakeDatabase, mode: str) -> None:
    url = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        for name in (*NAMES, "é" * 31):
            quoted = name.replace('"', '""')
            connection.execute(f'CREATE SCHEMA "{quoted}"'.encode())
    for name in (*NAMES[:: 5 if mode else 1], "é" * 31):
        async with open_master(f"{url}?schema={quote(name, safe='')}{mode}") as master:
            await master.jobs.insert([NewJob(job=make_job()) for _ in range(3)])
        with psycopg.connect(url) as connection:
            quoted = name.replace('"', '""')
            statement = f'SELECT count(*) FROM "{quoted}".jm_job'  # noqa: S608 - a test's name
            assert connection.execute(statement.encode()).fetchone() == (3,)


@pytest.mark.parametrize("name", ["", "%00", "a%00b", "x" * 64, quote("é" * 32), "%ff"])
def test_what_can_be_no_schemas_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"a schema's name has 1 to 63 bytes .* leave it out"):
        parse_address(f"postgresql://ann:secret@db/jobs?schema={name}")
