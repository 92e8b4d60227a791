"""The schema: scripts for a DBA, schemas from the future, the view for people."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobmaster.contracts import MasterRepository
from jobmaster.errors import SchemaError
from jobmaster.ids import new_id
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_sql import load_migrations
from jobmaster_sqlite.master import SqliteMaster
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import make_new_job
from jobmaster_testing.options import Options, open_master, unopened_master

pytestmark = pytest.mark.anyio

MIGRATIONS = load_migrations("jobmaster_sqlite")


async def test_the_script_provisions_a_fresh_file(url: str, path: Path) -> None:
    master = unopened_master(url, Options(table_prefix="my_"))
    connection = sqlite3.connect(path)
    connection.executescript(master.migration_script())
    connection.close()

    await master.open()
    try:
        assert list(await master.pending_migrations()) == []
        assert (await master.insert_jobs([make_new_job()]))[0].created
    finally:
        await master.close()


async def test_a_schema_from_the_future_is_refused(master: MasterRepository, url: str, path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("INSERT INTO jm_migration VALUES (9999, '9999_from_the_future', 0)")
    connection.close()

    for attempt in (master.migrate, master.pending_migrations):
        with pytest.raises(SchemaError, match=r"9999_from_the_future.*upgrade JobMaster"):
            await attempt()
    with pytest.raises(SchemaError):
        async with open_master(url):
            pass


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
    url: str, applied: int
) -> None:
    old = unopened_master(url)
    assert isinstance(old, SqliteMaster)
    old._migrations = MIGRATIONS[:applied]
    async with opened(old):
        assert len(await old.migrate()) == applied
        world = World(old, new_id().hex)  # not registered: a cluster's row says more on every schema
        bucket = await world.bucket()
        await world.report(await world.claim(bucket))
        waiting = await world.put_one(delay=60)
    async with opened(unopened_master(url)) as new:
        assert list(await new.migrate()) == [migration.name for migration in MIGRATIONS[applied:]]
        record = await new.get_job(world.cluster_id, waiting.id)

    assert record is not None
    assert (record.status, record.schedule_id) == (JobStatus.HELD_ON_MASTER, None)


@asynccontextmanager
async def opened(master: MasterRepository) -> AsyncIterator[MasterRepository]:
    await master.open()
    try:
        yield master
    finally:
        await master.close()
