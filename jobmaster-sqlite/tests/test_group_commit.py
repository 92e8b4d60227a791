"""The writer thread: shared commits, failures that stay alone, callers that go away."""

import sqlite3
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from jobmaster.contracts import MasterRepository
from jobmaster.errors import StoreConflictError, StoreError, StoreUnavailableError, StoreUnreachableError
from jobmaster.models import JobQuery
from jobmaster.notifications import NotificationHub
from jobmaster_sql import Script, Unit, load_queries
from jobmaster_sqlite.address import Address
from jobmaster_sqlite.driver import SqliteDialect, SqliteDriver
from jobmaster_testing.factories import CLUSTER, make_new_job
from jobmaster_testing.options import Options, open_master

pytestmark = pytest.mark.anyio


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold the file's write lock, as another process would."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def commits(path: Path) -> int:
    """Count the commits in the write-ahead log: their last frames tell the size of the database.

    https://www.sqlite.org/fileformat2.html#walformat
    """
    log = path.with_name(path.name + "-wal").read_bytes()
    (page_size,) = struct.unpack_from(">I", log, 8)
    frames = range(32, len(log), 24 + page_size)
    return sum(struct.unpack_from(">I", log, frame + 4)[0] > 0 for frame in frames)


def values(path: Path) -> list[int]:
    connection = sqlite3.connect(path)
    try:
        return [row[0] for row in connection.execute("SELECT value FROM numbers ORDER BY value")]
    finally:
        connection.close()


async def insert_one(master: MasterRepository) -> None:
    await master.jobs.insert([make_new_job()])


async def count(master: MasterRepository) -> int:
    return sum((await master.jobs.count(CLUSTER, JobQuery())).values())


async def test_concurrent_callers_share_commits(master: MasterRepository, path: Path) -> None:
    before = commits(path)

    async with anyio.create_task_group() as group:
        with write_lock(path):
            for _ in range(100):
                group.start_soon(insert_one, master)
            await wait_all_tasks_blocked()

    assert await count(master) == 100
    assert commits(path) - before <= 3


async def test_a_lone_caller_waits_for_nobody(master: MasterRepository, path: Path) -> None:
    before = commits(path)

    await insert_one(master)

    assert commits(path) == before + 1


async def test_readers_do_not_wait_for_writers(master: MasterRepository, path: Path) -> None:
    await insert_one(master)

    with write_lock(path):
        assert await count(master) == 1


async def test_a_caller_that_goes_away_leaves_its_unit_whole(master: MasterRepository, path: Path) -> None:
    async with anyio.create_task_group() as group:
        with write_lock(path):
            group.start_soon(insert_one, master)
            await wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    assert await count(master) == 1
    await insert_one(master)
    assert await count(master) == 2


async def test_many_cancellations_leave_no_trace(master: MasterRepository) -> None:
    began = 0

    async def insert_and_go() -> None:
        nonlocal began
        with anyio.CancelScope() as scope:
            scope.cancel()
            began += 1
            await insert_one(master)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(insert_and_go)

    assert began == 50
    assert await count(master) == 0, "who is cancelled already begins nothing"
    await insert_one(master)
    assert await count(master) == 1


async def test_a_lock_that_is_held_too_long_is_reported(
    master: MasterRepository, url: str, path: Path
) -> None:
    async with open_master(url, Options(store_timeout=0.2)) as hasty:
        with write_lock(path), pytest.raises(StoreUnreachableError, match="held the database too long"):
            await insert_one(hasty)

    await insert_one(master)
    assert await count(master) == 1


# The driver by itself


@pytest.fixture
async def driver(path: Path) -> AsyncIterator[SqliteDriver]:
    queries = load_queries("jobmaster_sqlite", SqliteDialect(), "jm_")
    driver = SqliteDriver(Address(path=path), queries, 1.0, NotificationHub())
    await driver.open()
    await driver.run(lambda: script("CREATE TABLE numbers (value INTEGER NOT NULL UNIQUE);"))
    try:
        yield driver
    finally:
        await driver.close()


def script(text: str) -> Unit[None]:
    yield Script(text)


async def run_all(driver: SqliteDriver, path: Path, *scripts: str) -> list[str]:
    """Run scripts so that they are in one group, and return the names of the errors, in order."""
    errors = [""] * len(scripts)

    async def run(place: int) -> None:
        try:
            await driver.run(lambda: script(scripts[place]))
        except StoreError as error:
            errors[place] = type(error).__name__

    async with anyio.create_task_group() as group:
        with write_lock(path):
            for place in range(len(scripts)):
                group.start_soon(run, place)
                await wait_all_tasks_blocked()
    return errors


async def test_a_failing_unit_fails_alone(driver: SqliteDriver, path: Path) -> None:
    errors = await run_all(
        driver,
        path,
        "INSERT INTO numbers VALUES (1);",
        "INSERT INTO numbers VALUES (2);\nINSERT INTO numbers VALUES (1);",
        "INSERT INTO numbers VALUES (3);",
    )

    assert errors == ["", "StoreConflictError", ""]
    assert values(path) == [1, 3]


async def test_a_unit_that_undoes_the_whole_transaction_fails_alone(driver: SqliteDriver, path: Path) -> None:
    errors = await run_all(
        driver,
        path,
        "INSERT INTO numbers VALUES (1);",
        "INSERT OR ROLLBACK INTO numbers VALUES (1);",
        "INSERT INTO numbers VALUES (3);",
    )

    assert errors == ["", "StoreConflictError", ""]
    assert values(path) == [1, 3]


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR ROLLBACK"])
async def test_a_unit_that_fails_with_nobody_beside_it_leaves_nothing(
    driver: SqliteDriver, path: Path, verb: str
) -> None:
    twice = f"INSERT INTO numbers VALUES (1);\n{verb} INTO numbers VALUES (1);"  # noqa: S608 - our own verb

    with pytest.raises(StoreConflictError):
        await driver.run(lambda: script(twice))

    await driver.run(lambda: script("INSERT INTO numbers VALUES (2);"))
    assert values(path) == [2]


async def test_a_statement_without_end_is_interrupted_and_fails_alone(
    driver: SqliteDriver, path: Path
) -> None:
    endless = "INSERT INTO numbers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i) FROM n;"

    with pytest.raises(StoreUnavailableError, match="longer than store_timeout"):
        await driver.run(lambda: script(endless))

    await driver.run(lambda: script("INSERT INTO numbers VALUES (1);"))
    assert values(path) == [1]


async def test_what_a_unit_raises_comes_out_as_it_is(driver: SqliteDriver, path: Path) -> None:
    def unit() -> Unit[None]:
        yield Script("INSERT INTO numbers VALUES (1);")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await driver.run(unit)
    assert values(path) == []


async def test_native_errors_are_the_cause_of_ours(driver: SqliteDriver) -> None:
    with pytest.raises(StoreConflictError) as caught:
        await driver.run(lambda: script("INSERT INTO numbers VALUES (NULL);"))

    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)


async def test_a_closed_driver_can_be_used_again(driver: SqliteDriver, path: Path) -> None:
    await driver.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("jobmaster-sqlite")]

    await driver.run(lambda: script("INSERT INTO numbers VALUES (1);"))
    assert values(path) == [1]


def test_several_event_loops_share_a_driver(path: Path) -> None:
    queries = load_queries("jobmaster_sqlite", SqliteDialect(), "jm_")
    driver = SqliteDriver(Address(path=path), queries, 5.0, NotificationHub())

    async def prepare() -> None:
        await driver.run(lambda: script("CREATE TABLE numbers (value INTEGER);"))

    async def insert(first: int) -> None:
        async with anyio.create_task_group() as group:
            for value in range(first, first + 20):
                text = f"INSERT INTO numbers VALUES ({value});"  # noqa: S608 - our own number
                group.start_soon(driver.run, lambda text=text: script(text))

    anyio.run(prepare)
    threads = [
        threading.Thread(target=anyio.run, args=(insert, first), kwargs={"backend": backend})
        for first, backend in ((0, "asyncio"), (20, "trio"), (40, "trio"), (60, "asyncio"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    anyio.run(driver.close)
    assert values(path) == list(range(80))
