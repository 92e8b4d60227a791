"""A database that is made anew, or put back to what it was, under running processes."""
# ruff: noqa: S608 - names of our own

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import psycopg
import pytest

from jobmaster import Cluster, JobContext, JobStatus, Runtime, handler
from jobmaster.errors import StoreError
from jobmaster_testing.options import open_master
from jobmaster_testing.probes import until

pytestmark = [pytest.mark.anyio, pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def own_database(database: str) -> Iterator[str]:
    name = f"restored_{uuid4().hex[:12]}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield urlunsplit(urlsplit(database)._replace(path=f"/{name}"))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


class Work:
    """A handler, and how often it has run each job."""

    def __init__(self) -> None:
        self.runs: Counter[UUID] = Counter()

        async def work(job: JobContext) -> None:
            self.runs[job.id] += 1

        self.handler = handler("Restoring.Work")(work)

    def cluster(self, url: str) -> Cluster:
        found = Cluster.standalone("Restored-1", url).add_handlers(self.handler)
        return found.configure(heartbeat=0.2, lease=2.0, stop_grace=1.0, store_timeout=2.0)

    async def runs_again(self, runtime: Runtime) -> None:
        """Wait until a job is accepted, and run."""

        async def is_run() -> bool:
            try:
                receipt = await runtime.scheduler.once_now(self.handler)
                return (await runtime.jobs.wait(receipt.job_id, timeout=5)).status is JobStatus.SUCCEEDED
            except StoreError:
                return False

        await until(is_run, timeout=20)


@pytest.fixture
def work() -> Work:
    return Work()


async def test_a_schema_that_is_dropped_and_made_anew_is_an_outage_that_passes(
    own_database: str, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = work.cluster(own_database).add_worker(name="w")
    async with cluster.running(), work.cluster(own_database).running(workers=False) as producer:
        await work.runs_again(producer)
        with psycopg.connect(own_database, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            await until(lambda: "heartbeat: the store failed" in caplog.text)
            connection.execute("CREATE SCHEMA public")
        async with open_master(own_database):
            pass

        await work.runs_again(producer)
        assert await producer.master.clusters.get("Restored-1") is not None
        assert [worker.name for worker in await producer.list_workers()] == ["w"]
    assert "run `jobmaster migrate`" in caplog.text or "does not exist" in caplog.text


async def test_jobs_that_came_back_with_a_backup_run_again(own_database: str, work: Work) -> None:
    """Its rows are put back as they were: what has ended since waits again, behind what its owner has read."""
    tables = ("job", "live", "attempt", "worker", "bucket", "cluster")
    async with work.cluster(own_database).add_worker(name="w").running() as runtime:
        await work.runs_again(runtime)
        waiting = await runtime.scheduler.once_after(work.handler, 1)
        with psycopg.connect(own_database) as connection:
            for table in tables:
                connection.execute(f"CREATE TABLE saved_{table} AS SELECT * FROM jm_{table}".encode())
        await runtime.jobs.wait(waiting.job_id, timeout=10)

        with psycopg.connect(own_database) as connection:
            for table in tables:
                connection.execute(f"DELETE FROM jm_{table}".encode())
                connection.execute(f"INSERT INTO jm_{table} SELECT * FROM saved_{table}".encode())

        await until(lambda: work.runs[waiting.job_id] == 2, timeout=40)
        assert (await runtime.jobs.wait(waiting.job_id, timeout=10)).status is JobStatus.SUCCEEDED
        await work.runs_again(runtime)
