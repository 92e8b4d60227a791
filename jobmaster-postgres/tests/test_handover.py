"""Handing over on PostgreSQL: its one statement, and what any other database with row locks would do."""

from collections.abc import AsyncIterator, Sequence

import anyio
import pytest

from jobmaster.contracts import Message
from jobmaster.models import Bucket
from jobmaster_postgres.master import PostgresMaster
from jobmaster_postgres.placing import PostgresHandoverStore
from jobmaster_sql.handovers import Messages, SqlHandoverStore
from jobmaster_sql.placement import groups_of
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World, room
from jobmaster_testing.options import open_master

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """Return a cluster of the test's own."""
    async with open_master(database) as master:
        yield await make_world(master)


@pytest.mark.parametrize("store", [PostgresHandoverStore, SqlHandoverStore])
async def test_jobs_are_shared_out_with_all_that_is_known_of_them(
    world: World, store: type[SqlHandoverStore]
) -> None:
    buckets = await world.buckets(2)
    jobs = await world.put(count=5, data={"a": 1}, metadata={"b": 1.5}, timeout=None)
    later = await world.put_one(delay=60)

    marked = await mark(world, buckets, 3, store)

    messages = [message for found in marked.values() for message in found]
    assert {m.new.job.id: m.new.job for m in messages} == {job.id: job for job in jobs}
    assert sorted(map(len, marked.values())) == [2, 3]
    records = {job.id: await world.record(job) for job in [*jobs, later]}
    places = {m.new.job.id: m.new.bucket_id for m in messages} | {later.id: None}
    assert {id_: record.bucket_id for id_, record in records.items()} == places


@pytest.mark.parametrize("store", [PostgresHandoverStore, SqlHandoverStore])
async def test_of_many_carriers_each_gets_other_jobs(world: World, store: type[SqlHandoverStore]) -> None:
    buckets = await world.buckets(4)
    jobs = await world.put(count=400)
    messages: list[Message] = []

    async def carry(bucket: Bucket) -> None:
        for _ in range(10):
            messages.extend((await mark(world, [bucket], 10, store)).get(bucket.id, []))

    async with anyio.create_task_group() as group:
        for bucket in buckets:
            group.start_soon(carry, bucket)

    carried = [message.new.job.id for message in messages]
    held = [record.id for record in await world.all_jobs() if record.bucket_id is None]
    assert sorted([*carried, *held]) == sorted(job.id for job in jobs)


async def mark(world: World, buckets: Sequence[Bucket], free: int, store: type[SqlHandoverStore]) -> Messages:
    """Put held jobs into buckets in the way of this store."""
    master = world.master
    assert isinstance(master, PostgresMaster)
    handovers = store(master._driver)
    groups = groups_of([room(bucket, free) for bucket in buckets])
    return await master._driver.run(lambda: handovers.mark_held(world.cluster_id, 0, groups))
