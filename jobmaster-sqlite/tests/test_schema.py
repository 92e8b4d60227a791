"""The schema: scripts for a DBA, schemas from the future, the view for people."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jobmaster.contracts import MasterRepository
from jobmaster.ids import new_id
from jobmaster.models import Bucket
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_sql import SqlSchema, load_migrations
from jobmaster_sqlite.master import SqliteMaster
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import make_bucket, make_new_job
from jobmaster_testing.options import Options, opened, unopened_master

pytestmark = pytest.mark.anyio

MIGRATIONS = load_migrations("jobmaster_sqlite")


async def test_the_script_provisions_a_fresh_file(url: str, path: Path) -> None:
    master = unopened_master(url, Options(table_prefix="my_"))
    connection = sqlite3.connect(path)
    connection.executescript(master.schema.script())
    connection.close()

    await master.open()
    try:
        assert list(await master.schema.pending()) == []
        assert (await master.jobs.insert([make_new_job()]))[0].created
    finally:
        await master.close()


async def test_the_view_shows_jobs_to_people(master: MasterRepository, path: Path) -> None:
    world = await make_world(master)
    bucket = await world.bucket()
    claim = await world.claim(bucket, definition_id="Hello")
    await world.report(claim, JobStatus.FAILED, outcome=AttemptOutcome.FAILED)
    waiting = await world.put_one(delay=60)
    lost = await world.claim(bucket)
    await world.report(lost, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.LOST, started_at=None)

    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT id, definition, status, priority, attempts, finished_at LIKE '20__-__-__T__:__:__.___Z' FROM jm_jobs"
    ).fetchall()
    connection.close()

    assert sorted(rows) == sorted(
        [
            (str(claim.job.id), "Hello", "failed", "medium", 1, 1),
            (str(waiting.id), "TestJob", "held_on_master", "medium", 0, None),
            (str(lost.job.id), "TestJob", "held_on_master", "medium", 0, None),
        ]
    )


@pytest.mark.parametrize("applied", range(1, len(MIGRATIONS)))
async def test_jobs_live_on_the_schema_before_this_one_and_are_kept_by_the_next(
    url: str, path: Path, applied: int
) -> None:
    old = unopened_master(url)
    assert isinstance(old, SqliteMaster)
    assert isinstance(old.schema, SqlSchema)
    old.schema._migrations = MIGRATIONS[:applied]
    async with opened(old):
        assert len(await old.schema.migrate()) == applied
        world = World(old, new_id().hex)  # not registered: a cluster's row says more on every schema
        bucket = make_bucket(cluster_id=world.cluster_id)
        put_bucket(path, bucket)
        waiting, cancelled = await world.put_one(delay=60), await world.put_one(delay=60)
        await old.requests.cancel(world.cluster_id, [cancelled.id])
    async with opened(unopened_master(url)) as new:
        assert list(await new.schema.migrate()) == [migration.name for migration in MIGRATIONS[applied:]]
        record = await new.jobs.get(world.cluster_id, waiting.id)
        ended = await new.jobs.get(world.cluster_id, cancelled.id)
        [stored] = await new.buckets.list_all(world.cluster_id)

    assert record is not None
    assert (record.status, record.schedule_id) == (JobStatus.HELD_ON_MASTER, None)
    assert ended is not None
    assert ended.status is JobStatus.CANCELLED
    assert (stored.id, stored.running, stored.free, stored.offered) == (bucket.id, 0, 0, None)


def put_bucket(path: Path, bucket: Bucket) -> None:
    """Write the row of a bucket as code of the first schema does."""
    values = (str(bucket.id), bucket.cluster_id, bucket.agent, str(bucket.worker_id), bucket.lane, 3)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO jm_bucket "
            "(id, cluster_id, agent, worker_id, lane, priority, epoch, status, load, created_at, status_changed_at) "
            "VALUES (?, ?, ?, ?, ?, ?, 1, 1, 0, 1, 1)",
            values,
        )
