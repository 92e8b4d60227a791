"""What databases and their administrators do on a bad day: what was accepted survives it, and the cluster works on."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

import anyio
import anyio.to_thread
import psycopg
import pytest

from jobmaster import JobStatus, MetadataFilter, Operator, Runtime, StoreError, StoreUnavailableError
from jobmaster._flow.handover import aside_of
from jobmaster.models import Cursor
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import make_job, make_schedule
from jobmaster_testing.options import open_agent, open_master
from tests.e2e.ledger import END, START
from tests.e2e.load import StubbornProducer, grows, under_load
from tests.e2e.processes import registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.stores import OwnPostgres, small_disk
from tests.e2e.workload import NAP, NOOP

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(150)]

FEW = 600
"""Jobs that the scenarios schedule at the least."""


@pytest.fixture
def url(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Return a database of the test's own: on PostgreSQL on a server that others do not use."""
    if store == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    server: OwnPostgres = request.getfixturevalue("own_server")
    return server.new_database()


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, autocommit=True)


def of_file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


on_postgres = pytest.mark.parametrize(
    "store", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


# Limits that somebody else sets


@on_postgres
async def test_timeouts_that_the_administrator_sets_fail_no_job(scenario: Scenario) -> None:
    """The cluster's own connections have limits of their own; one that is cut for being idle is opened again."""
    name = scenario.url.partition("?")[0].rpartition("/")[2]
    pauses = iter((1.0, 1.0, 0.0))

    def wait() -> None:
        if pause := next(pauses):
            time.sleep(pause)
        else:  # for those who look at the end; connections that are open keep them
            alter("RESET ALL")

    def alter(what: str) -> None:
        with connect(scenario.url) as connection:
            connection.execute(f'ALTER DATABASE "{name}" {what}'.encode())

    for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        alter(f"SET {setting} = '30ms'")
    alter("SET idle_session_timeout = '300ms'")
    await under_load(scenario, 40, wait, 3, FEW)


TABLES: Final = ("live", "job", "bucket")


@on_postgres
async def test_tables_that_are_locked_for_longer_than_a_lease_are_waited_for(scenario: Scenario) -> None:
    tables = iter(TABLES)

    def lock() -> None:
        with psycopg.connect(scenario.url) as connection:
            connection.execute(f"LOCK TABLE jm_{next(tables)} IN ACCESS EXCLUSIVE MODE".encode())
            time.sleep(2 * scenario.lease)

    await under_load(scenario, 41, lock, len(TABLES), FEW)


@on_sqlite
async def test_a_file_that_another_program_locks_for_longer_than_a_lease_is_waited_for(
    scenario: Scenario,
) -> None:
    def lock() -> None:
        with closing(sqlite3.connect(of_file(scenario.url), isolation_level=None, timeout=10)) as file:
            file.execute("BEGIN IMMEDIATE")
            time.sleep(2 * scenario.lease)
            file.execute("ROLLBACK")

    await under_load(scenario, 42, lock, 2, FEW)


@on_postgres
async def test_a_server_without_a_free_connection_is_waited_for(
    scenario: Scenario, own_server: OwnPostgres
) -> None:
    taken: list[object] = []

    def exhaust() -> None:
        """Take all connections that there are, and those of the cluster as well."""
        with ExitStack() as stack:
            own_server.terminate_backends(scenario.url)
            take = [partial(psycopg.connect, scenario.url, autocommit=True)] * 1000
            with pytest.raises(psycopg.OperationalError, match="too many clients"):
                taken.extend(stack.enter_context(one()) for one in take)
            time.sleep(2 * scenario.lease)

    await under_load(scenario, 43, exhaust, 2, FEW)
    assert len(taken) > 20


# Disks


def filled(disk: Path, seconds: float) -> None:
    """Leave no room on a disk for a while."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    time.sleep(seconds)
    ballast.unlink()


async def test_a_disk_that_is_full_for_a_while_refuses_calls_and_loses_nothing(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Of PostgreSQL the data's disk; one that is full of its log makes the server itself stop."""
    with ExitStack() as stack:
        if store == "sqlite":
            disk = stack.enter_context(small_disk(48))
            url = f"sqlite:///{disk}/jobs.db"
        else:
            disk = stack.enter_context(small_disk(60))
            server: OwnPostgres = request.getfixturevalue("own_server")
            url = stack.enter_context(server.database_on_disk(disk))
        scenario = Scenario(url, tmp_path, f"E2E-{uuid4().hex[:8]}")
        audit = await under_load(scenario, 44, lambda: filled(disk, 3 * scenario.lease), 2, FEW)
    assert len(audit.tables.definitions) >= FEW


@on_sqlite
async def test_a_damaged_file_is_refused_and_a_backup_in_its_place_is_used(scenario: Scenario) -> None:
    path = of_file(scenario.url)
    backup = path.with_name("backup.db")
    async with scenario.watching() as runtime:
        await registered(runtime, *scenario.fleet.start_workers(2))
        await scenario.schedule(runtime, [NOOP.request() for _ in range(200)])
        await scenario.ended(runtime)
        with closing(sqlite3.connect(path)) as file, closing(sqlite3.connect(backup)) as copy:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            file.backup(copy)
            pages = file.execute("PRAGMA page_count").fetchone()[0]
            size = file.execute("PRAGMA page_size").fetchone()[0]
        with path.open("r+b") as file_of_bytes:
            file_of_bytes.seek(size)
            file_of_bytes.write(os.urandom(size * (pages - 1)))

        await eventually(lambda: refuses(runtime), what="a call to be refused")
        backup.replace(path)
        await eventually(lambda: accepts(scenario, runtime), what="a call to be accepted")
        await eventually(lambda: ran(scenario), what="the jobs of afterwards to run")
        assert [process.is_alive for process in scenario.fleet.processes] == [True, True]


async def refuses(runtime: Runtime) -> bool:
    try:
        await runtime.scheduler.once_now(NOOP)
    except StoreError as error:
        return "damaged; restore it from a backup" in str(error)
    return False


async def accepts(scenario: Scenario, runtime: Runtime) -> bool:
    try:
        await scenario.schedule(runtime, [NOOP.request() for _ in range(20)])
    except StoreError:
        return False
    return True


async def ran(scenario: Scenario) -> bool:
    found = {entry.job_id for entry in scenario.ledger.entries() if entry.event == END}
    return found.issuperset(scenario.accepted)


# Calls


@on_postgres
async def test_a_bulk_call_whose_server_is_killed_stores_all_of_it_or_nothing(
    scenario: Scenario, own_server: OwnPostgres
) -> None:
    size, tags = 20_000, [uuid4().hex for _ in range(5)]
    answered: dict[str, bool] = {}
    async with scenario.watching() as runtime:
        began = time.monotonic()
        await runtime.scheduler.once_many([NOOP.request(after=3600) for _ in range(size)])
        takes = time.monotonic() - began
        for number, tag in enumerate(tags, 1):
            requests = [NOOP.request(after=3600, metadata={"tag": tag}) for _ in range(size)]
            await eventually(lambda: accepts(scenario, runtime), what="the server to answer again")
            async with anyio.create_task_group() as group:
                pause = takes * number / (len(tags) + 1)
                group.start_soon(anyio.to_thread.run_sync, crash_soon, own_server, pause)
                try:
                    await runtime.scheduler.once_many(requests)
                    answered[tag] = True
                except StoreUnavailableError:
                    answered[tag] = False
        counts = {}
        for tag in tags:
            counts[tag] = await counted(runtime, tag)

    print("\nstored of each call, and whether it was answered:", [(counts[t], answered[t]) for t in tags])  # noqa: T201
    assert all(count in (0, size) for count in counts.values())
    assert all(counts[tag] == size for tag, accepted in answered.items() if accepted)


def crash_soon(server: OwnPostgres, pause: float) -> None:
    time.sleep(pause)
    server.crash()


async def counted(runtime: Runtime, tag: str) -> int:
    return await answered(lambda: runtime.jobs.count(metadata=[MetadataFilter("tag", Operator.EQ, tag)]))


@on_postgres
@pytest.mark.parametrize("end", ["crash", "immediate", "fast"])
async def test_after_a_crash_nothing_is_taken_before_its_owner_reads_on(
    url: str, own_server: OwnPostgres, end: str
) -> None:
    """The bound on record may be an older one than the owner was told: it waits for no disk. A checkpoint says nothing."""
    async with open_master(url) as master, open_agent("A", url) as agent:
        world = World(master, "Crashed")
        depot = Depot(world, agent)
        here, there = await world.bucket(), await depot.bucket()
        for _ in range(5):
            await world.put_one(here)
        await depot.push(there, 5)
        at_master = await master.claims.pull(here, Cursor(), 1)
        at_agent = await agent.claims.pull(there, Cursor(), 1)
        with connect(url) as connection:
            connection.execute("CHECKPOINT")

        async def taken() -> tuple[int, int]:
            of_agent = await agent.asides.set_aside(there, aside_of(there.id), 0.0, 0, 1)
            return await master.buckets.hold_unread(here, 0.0, 0, 1), of_agent

        assert await taken() == (1, 1)
        own_server.crash() if end == "crash" else own_server.restart(end)
        assert await answered(taken) == (0, 0)
        await master.claims.pull(here, at_master.cursor, 1)
        await agent.claims.pull(there, at_agent.cursor, 1)
        assert await taken() == (1, 1)


T = TypeVar("T")


async def answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer, and return it."""
    answers: list[T] = []

    async def asked() -> bool:
        with suppress(StoreUnavailableError):
            answers.append(await ask())
        return bool(answers)

    await eventually(asked, what="the server to answer again")
    return answers[0]


# Administrators


DELETED: Final = ("attempt", "bucket", "worker", "cluster", "host", "log", "handover", "agent", "live", "job")


async def test_rows_that_somebody_deletes_harm_no_other_job(scenario: Scenario) -> None:
    """What was running may run again; of what was accepted nothing is lost but what has itself been deleted."""
    gone: dict[str, set[str]] = {}
    async with scenario.watching() as runtime:
        await registered(runtime, *scenario.fleet.start_workers(2))
        producer = StubbornProducer(scenario, runtime, 46, FEW)
        async with anyio.create_task_group() as group:
            group.start_soon(producer.run)
            for table in DELETED:
                await grows(scenario, 50)
                gone[table] = await anyio.to_thread.run_sync(delete, scenario.url, table)
            await grows(scenario, 100)
            producer.enough = True
        await scenario.schedule(runtime, [NAP.request({"seconds": 0.01}) for _ in range(50)])
        deleted = gone["live"] | gone["job"]
        wanted = {job_id for job_id in scenario.accepted if str(job_id) not in deleted}

        async def they_ran() -> bool:
            return not wanted - {entry.job_id for entry in scenario.ledger.entries() if entry.event == END}

        await eventually(they_ran, what=lambda: f"{len(wanted)} jobs to run")
        runs = [entry.run for entry in scenario.ledger.entries() if entry.event == START]
    rows = {table: len(ids) for table, ids in gone.items()}
    print(f"\n{rows} deleted; {len({job for job, _ in runs})} jobs, {len(runs)} starts")  # noqa: T201
    assert min(rows[table] for table in ("attempt", "bucket", "worker", "cluster", "live", "job")) > 0


def delete(url: str, table: str) -> set[str]:
    """Delete all rows of a table; return the ids of the jobs whose own rows they were, or what stands for them."""
    column = {"live": "job_id", "job": "id", "attempt": "job_id", "handover": "id", "cluster": "id"}.get(
        table, "cluster_id"
    )
    statement = f"DELETE FROM jm_{table} RETURNING {column}"  # noqa: S608 - of this test
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(of_file(url), isolation_level=None, timeout=10)) as file:
            return {str(value) for (value,) in file.execute(statement).fetchall()}
    with connect(url) as connection:
        return {str(value) for (value,) in connection.execute(statement.encode()).fetchall()}


# Crowds


CROWD: Final = 5000


async def test_5000_schedules_that_are_due_at_once_fire_once_each(scenario: Scenario) -> None:
    async with scenario.watching() as runtime:
        await registered(runtime, *scenario.fleet.start_workers(2))
        start = await runtime.master.now() - timedelta(hours=1) + timedelta(seconds=5)
        schedules = [
            make_schedule(
                make_job(cluster_id=runtime.id, definition_id=NOOP.id, scheduled_at=start), expression="1h"
            )
            for _ in range(CROWD)
        ]
        for few in (schedules[at : at + 500] for at in range(0, CROWD, 500)):
            await runtime.master.schedules.add(few)

        async def all_ended() -> bool:
            counts = await runtime.jobs.count_by_status()
            return counts.get(JobStatus.SUCCEEDED, 0) >= CROWD

        await eventually(all_ended, what="all of them to have fired, and their jobs to have ended")
        await scenario.schedule(runtime, [NOOP.request() for _ in range(20)])
        await eventually(lambda: ran(scenario), what="other jobs to run")
        counts = await runtime.jobs.count_by_status()
        of_schedules = {job.schedule_id async for job in runtime.jobs.all()} - {None}

    assert counts == {JobStatus.SUCCEEDED: CROWD + 20}
    assert of_schedules == {schedule.id for schedule in schedules}


@on_postgres
async def test_noise_on_the_notification_channel_disturbs_nobody(scenario: Scenario) -> None:
    def shout() -> None:
        with connect(scenario.url) as connection:
            for payload in ("", "nonsense", "{", "[1,", "null", "\u202e\x1b[2J", "x" * 7000):
                for _ in range(200):
                    connection.execute("SELECT pg_notify('jm_news', %s)", [payload])

    await under_load(scenario, 47, shout, 2, FEW)


async def test_memory_stays_flat_over_many_jobs(scenario: Scenario) -> None:
    """A worker that has run 40,000 jobs holds about as much as one that has run 10,000."""
    sizes = []
    async with scenario.watching() as runtime:
        [worker] = scenario.fleet.start_workers(1)
        await registered(runtime, worker)
        for count in (10_000, 30_000):
            await scenario.schedule(runtime, [NOOP.request() for _ in range(count)], 1000)
            await scenario.ended(runtime, 120)
            sizes.append(resident(worker.pid))

    print(f"\nMiB after 10,000 and 40,000 jobs: {sizes}")  # noqa: T201
    assert sizes[1] < sizes[0] + 15


def resident(pid: int) -> float:
    """Return the memory that a process holds, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
