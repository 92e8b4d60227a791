"""The schema: scripts for a DBA, schemas from the future, other schemas, the view for people."""

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from jobmaster.errors import ConfigurationError, SchemaError
from jobmaster.ids import new_id
from jobmaster.models import Bucket
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_postgres.master import PostgresMaster
from jobmaster_sql import SqlSchema, load_migrations
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import make_bucket, make_new_job
from jobmaster_testing.options import Options, open_master, opened, unopened_master

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

Observer = psycopg.Connection[tuple[object, ...]]

MIGRATIONS = load_migrations("jobmaster_postgres")


async def test_the_script_provisions_a_fresh_database(every_database: str, options: Options) -> None:
    master = unopened_master(every_database, options)
    with psycopg.connect(every_database) as connection:
        connection.execute(master.schema.script())

    await master.open()
    try:
        assert list(await master.schema.pending()) == []
        assert (await master.jobs.insert([make_new_job()]))[0].created
    finally:
        await master.close()


async def test_a_database_without_schema_is_reported_as_such(database: str, options: Options) -> None:
    master = unopened_master(database, options)
    await master.open()
    try:
        with pytest.raises(SchemaError, match="jobmaster migrate"):
            await master.jobs.insert([make_new_job()])
    finally:
        await master.close()


async def test_a_schema_that_does_not_exist_is_named_with_the_remedy(database: str) -> None:
    separator = "&" if "?" in database else "?"

    master = unopened_master(f"{database}{separator}schema=nowhere")

    for ask in (master.open, master.schema.pending, master.schema.migrate):
        with pytest.raises(SchemaError, match=r"there is no schema 'nowhere'; create it \(CREATE SCHEMA"):
            await ask()
    await master.close()


async def test_tables_can_be_in_a_schema_of_their_own(database: str, observer: Observer) -> None:
    observer.execute('DROP SCHEMA IF EXISTS "Back ground" CASCADE')
    observer.execute('CREATE SCHEMA "Back ground"')
    separator = "&" if "?" in database else "?"

    async with open_master(
        f"{database}{separator}schema=Back%20ground", Options(table_prefix="own_")
    ) as master:
        assert (await master.jobs.insert([make_new_job()]))[0].created

    assert observer.execute('SELECT count(*) FROM "Back ground".own_job').fetchone() == (1,)


async def test_the_view_shows_jobs_to_people(every_database: str) -> None:
    async with open_master(every_database) as master:
        world = await make_world(master)
        bucket = await world.bucket()
        claim = await world.claim(bucket, definition_id="Hello")
        await world.report(claim, JobStatus.FAILED, outcome=AttemptOutcome.FAILED)
        waiting = await world.put_one(delay=60)
        lost = await world.claim(bucket)
        await world.report(lost, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.LOST, started_at=None)
        record = await world.record(claim.job)

    with psycopg.connect(every_database) as connection:
        rows = connection.execute(
            "SELECT id, definition, status, priority, attempts, finished_at FROM jm_jobs WHERE cluster = %s ORDER BY id",
            [world.cluster_id],
        ).fetchall()

    assert rows == [
        (claim.job.id, "Hello", "failed", "medium", 1, record.finished_at),
        (waiting.id, "TestJob", "held_on_master", "medium", 0, None),
        (lost.job.id, "TestJob", "held_on_master", "medium", 0, None),
    ]


async def test_a_database_that_does_not_exist_stops_the_start(database: str) -> None:
    name = database.partition("?")[0].rpartition("/")[2]
    master = unopened_master(database.replace(name, "no_such_database"))
    try:
        with pytest.raises(ConfigurationError, match="no_such_database"):
            await master.open()
    finally:
        await master.close()


@pytest.mark.parametrize("applied", range(1, len(MIGRATIONS)))
async def test_jobs_live_on_the_schema_before_this_one_and_are_kept_by_the_next(
    database: str, options: Options, applied: int
) -> None:
    old = unopened_master(database, options)
    assert isinstance(old, PostgresMaster)
    assert isinstance(old.schema, SqlSchema)
    old.schema._migrations = MIGRATIONS[:applied]
    async with opened(old):
        assert len(await old.schema.migrate()) == applied
        world = World(old, new_id().hex)  # not registered: a cluster's row says more on every schema
        bucket = make_bucket(cluster_id=world.cluster_id)
        put_bucket(database, options.table_prefix, bucket)
        waiting, cancelled = await world.put_one(delay=60), await world.put_one(delay=60)
        await old.requests.cancel(world.cluster_id, [cancelled.id])
    async with opened(unopened_master(database, options)) as new:
        assert list(await new.schema.migrate()) == [migration.name for migration in MIGRATIONS[applied:]]
        record = await new.jobs.get(world.cluster_id, waiting.id)
        ended = await new.jobs.get(world.cluster_id, cancelled.id)
        [stored] = await new.buckets.list_all(world.cluster_id)

    assert record is not None
    assert (record.status, record.schedule_id) == (JobStatus.HELD_ON_MASTER, None)
    assert ended is not None
    assert ended.status is JobStatus.CANCELLED
    assert (stored.id, stored.running, stored.free, stored.offered) == (bucket.id, 0, 0, None)


def put_bucket(database: str, prefix: str, bucket: Bucket) -> None:
    """Write the row of a bucket as code of the first schema does."""
    values = (bucket.id, bucket.cluster_id, bucket.agent, bucket.worker_id, bucket.lane, 3)
    statement = SQL(
        "INSERT INTO {} "
        "(id, cluster_id, agent, worker_id, lane, priority, epoch, status, load, created_at, status_changed_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, 1, 1, 0, 1, 1)"
    )
    with psycopg.connect(database) as connection:
        connection.execute(statement.format(Identifier(f"{prefix}bucket")), values)
