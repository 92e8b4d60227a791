"""A backup that is restored while everything runs, by the steps of the documentation and by others."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster import Cluster, JobContext, JobStatus, Runtime, WorkerStatus, handler
from jobmaster.contracts import Topics
from jobmaster.errors import SchemaError, StoreError
from jobmaster_sql import SqlSchema, load_migrations
from jobmaster_sqlite.master import SqliteMaster
from jobmaster_testing.options import open_agent, open_master, unopened_master
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

HEARTBEAT = 0.2
FILES = ("", "-wal", "-shm")


def back_up(path: Path) -> Path:
    """Make a backup while everything runs."""
    backup = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", [str(backup)])
    return backup


def restore(path: Path, backup: Path) -> None:
    """Move the file and what belongs to it away, and the backup in its place."""
    for end in FILES:
        path.with_name(path.name + end).rename(path.with_name(f"away{end}"))
    backup.rename(path)


def put_over(path: Path, backup: Path) -> None:
    """Move the backup over the file, and leave there what belonged to that."""
    backup.replace(path)


def restore_into(path: Path, backup: Path) -> None:
    """Have SQLite write the backup into the file."""
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)


class Work:
    """A handler, and how often it has run each job."""

    def __init__(self) -> None:
        self.runs: Counter[UUID] = Counter()

        async def work(job: JobContext) -> None:
            self.runs[job.id] += 1

        self.handler = handler("Restoring.Work")(work)

    async def done(self, runtime: Runtime, **when: Any) -> UUID:
        """Have a job run; return its id."""
        receipt = await runtime.scheduler.once_now(self.handler, **when)
        assert (await runtime.jobs.wait(receipt.job_id, timeout=10)).status is JobStatus.SUCCEEDED
        return receipt.job_id


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def made(url: str, work: Work) -> Callable[[], Cluster]:
    def build() -> Cluster:
        found = Cluster.standalone("Restored-1", url).add_handlers(work.handler)
        return found.configure(heartbeat=HEARTBEAT, lease=2.0, stop_grace=1.0)

    return build


@pytest.mark.parametrize("way", [restore, put_over, restore_into])
async def test_a_restored_backup_is_what_everybody_goes_on_with(
    made: Callable[[], Cluster],
    work: Work,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    way: Callable[[Path, Path], None],
) -> None:
    async with made().add_worker(name="w").running() as runtime, made().running(workers=False) as producer:
        before = await work.done(runtime)
        waiting = await runtime.scheduler.once_after(work.handler, 1)
        backup = back_up(path)
        after = await work.done(runtime)
        await runtime.jobs.wait(waiting.job_id, timeout=10)

        way(path, backup)

        await until(lambda: work.runs[waiting.job_id] == 2, timeout=40 if way is restore_into else 10)
        assert work.runs[before] == 1
        assert await producer.jobs.find(after) is None
        assert work.runs[await scheduled(producer, work)] == 1
        assert (await producer.jobs.wait(waiting.job_id, timeout=10)).status is JobStatus.SUCCEEDED
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    said = [record.getMessage() for record in caplog.records if record.name == "jobmaster.sqlite"]
    replaced = [text for text in said if "the file was replaced" in text]
    assert len(replaced) == (0 if way is restore_into else 2), "once for each process"
    others = [text for text in said if text not in replaced and "the file was moved away" not in text]
    assert all("-wal.replaced" in text or "-shm.replaced" in text for text in others)
    assert len(others) == (2 if way is put_over else 0)


async def scheduled(runtime: Runtime, work: Work) -> UUID:
    """Have a job run although the first call that reaches the new file may be refused."""
    ids: list[UUID] = []

    async def is_accepted() -> bool:
        try:
            ids.append(await work.done(runtime))
        except StoreError:
            return False
        return True

    await until(is_accepted, what="a job to be accepted")
    return ids[0]


async def test_who_only_listens_notices_at_once_that_another_file_is_there(
    url: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No write has to come for that: it would be refused."""
    notifications = Seen[str]()
    async with open_master(url) as master:
        backup = back_up(path)
        async with anyio.create_task_group() as group:
            ready = anyio.Event()
            group.start_soon(master.notifications.listen, [Topics.ANY], notifications.add, ready.set)
            await ready.wait()
            restore(path, backup)
            await until(lambda: "jobs.db: " in caplog.text, timeout=2)
            await notifications.count(1)
            group.cancel_scope.cancel()
        assert await master.clusters.get("Restored-1") is None


async def test_the_workers_of_a_file_that_was_replaced_start_anew(
    made: Callable[[], Cluster], work: Work, path: Path
) -> None:
    """Though the backup knows them: what they remember of their buckets is not true of it."""
    async with made().add_worker(name="w").running() as runtime:
        await work.done(runtime)
        [first] = await runtime.list_workers()
        restore(path, back_up(path))

        async def has_begun_anew() -> bool:
            try:
                workers = await runtime.list_workers()
            except StoreError:
                return False
            return {first.id: WorkerStatus.STOPPED}.items() <= {w.id: w.status for w in workers}.items()

        await until(has_begun_anew)
        await scheduled(runtime, work)
        assert len(await runtime.list_workers()) == 2


async def test_a_backup_from_before_the_cluster_was_registered(
    made: Callable[[], Cluster], work: Work, url: str, path: Path
) -> None:
    async with open_master(url):
        empty = back_up(path)
    async with made().add_worker(name="w").running() as runtime:
        await work.done(runtime)
        await runtime.configure(default_max_retries=7)
        restore(path, empty)

        async def is_known() -> bool:
            try:
                return await runtime.master.clusters.get("Restored-1") is not None
            except StoreError:
                return False

        await until(is_known)
        await scheduled(runtime, work)
        assert runtime.settings.default_max_retries == 3


async def test_a_backup_of_an_older_schema_is_waited_for_to_be_migrated(url: str, path: Path) -> None:
    """A process that runs changes no schema. It says what to do, and goes on when that is done."""
    old = unopened_master(url.replace("jobs.db", "old.db"))
    assert isinstance(old, SqliteMaster)
    assert isinstance(old.schema, SqlSchema)
    old.schema._migrations = load_migrations("jobmaster_sqlite")[:3]
    await old.open()
    await old.schema.migrate()
    await old.close()
    async with open_master(url) as master:
        restore(path, path.with_name("old.db"))

        async def says_what_to_do() -> bool:
            try:
                await master.clusters.get("Restored-1")
            except StoreError as error:
                return "run `jobmaster migrate`" in str(error) and not isinstance(error, SchemaError)
            return False

        await until(says_what_to_do)
        async with open_master(url):
            pass
        assert await master.clusters.get("Restored-1") is None


@pytest.mark.parametrize("is_old", [True, False])
async def test_a_backup_of_an_agent_is_what_its_workers_go_on_with(
    work: Work, url: str, path: Path, is_old: bool
) -> None:
    """Whether it knows the buckets of those that run or not, new jobs are run, and what is saved on the master is kept."""
    file = path.with_name("agent.db")
    cluster = Cluster("Restored-1", url).add_agent("Agent-1", f"sqlite:///{file}").add_handlers(work.handler)
    cluster.configure(
        heartbeat=HEARTBEAT, lease=2.0, stop_grace=1.0, save_after=0.1, store_timeout=1.0
    ).add_worker(name="w")
    async with open_agent("Agent-1", f"sqlite:///{file}"):
        empty = back_up(file)
    async with cluster.running() as runtime:
        done = await work.done(runtime)
        later = await runtime.scheduler.once_after(work.handler, 3)

        async def is_saved() -> bool:
            found = await runtime.master.jobs.get(runtime.id, later.job_id)
            return found is not None

        await until(is_saved)
        if not is_old:
            empty.unlink()
        restore(file, empty if is_old else back_up(file))
        await scheduled(runtime, work)
        assert work.runs[done] == 1
        assert (await runtime.jobs.wait(later.job_id, timeout=30)).status is JobStatus.SUCCEEDED
        assert work.runs[later.job_id] == 1
