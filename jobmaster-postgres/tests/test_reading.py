"""A page is read once, and is handed out only if its bucket is still the reader's when that goes on record."""

from collections.abc import AsyncIterator

import anyio
import psycopg
import pytest

from jobmaster.errors import LeaseLostError
from jobmaster.models import Bucket, BucketPage, Cursor
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.options import open_master
from jobmaster_testing.probes import until

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """Return a cluster of the test's own."""
    async with open_master(database) as master:
        yield await make_world(master)


@pytest.mark.parametrize("epochs", [0, 1])
async def test_a_page_whose_bucket_is_taken_before_it_is_on_record_is_not_handed_out(
    world: World, observer: "psycopg.Connection[tuple[object, ...]]", epochs: int
) -> None:
    bucket = await world.bucket()
    await world.put(bucket, count=3)
    pages: list[BucketPage] = []
    lost: list[LeaseLostError] = []

    async def read() -> None:
        try:
            pages.append(await world.master.claims.pull(bucket, Cursor(), 2))
        except LeaseLostError as error:
            lost.append(error)

    observer.execute("BEGIN")
    take(observer, bucket, epochs)
    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await until(lambda: someone_waits(observer), what="the page to be read, and its record to wait")
        observer.execute("COMMIT")

    assert [len(page.claims) for page in pages] == [2] * (1 - epochs)
    assert len(lost) == epochs


def take(observer: "psycopg.Connection[tuple[object, ...]]", bucket: Bucket, epochs: int) -> None:
    """Lock a bucket's row as who takes it over does; without a new epoch, as a heartbeat does."""
    observer.execute("UPDATE jm_bucket SET epoch = epoch + %s WHERE id = %s", [epochs, bucket.id])


async def someone_waits(observer: "psycopg.Connection[tuple[object, ...]]") -> bool:
    pid = observer.info.backend_pid
    found = observer.execute("SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [pid])
    return found.fetchone() is not None
