"""JobMaster, through its public interface; PostgreSQL or SQLite by the URL, asyncio or trio.

The end of a drain is checked as for the peers on PostgreSQL: one row of the table of unfinished jobs, through our own
connection. It is checked whenever no handler has started for some milliseconds, and querying a page of jobs each time, with
all their details, would be a load that no peer has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import _protocol as protocol
import anyio
import psycopg
from _async import AsyncSystem, Data, OnJob, nap

from jobmaster import Cluster, JobContext, JobStatus, Priority, Runtime, handler

UNFINISHED = [status for status in JobStatus if not status.is_terminal]
ANY_UNFINISHED = "SELECT 1 FROM jm_live LIMIT 1"

_on_job: list[OnJob] = []
_trace: list[protocol.Trace] = []


def on_each_job(on_job: OnJob) -> None:
    """Let `on_job` see each job."""
    _on_job[:] = [on_job]


@handler("Noop")
async def noop(job: JobContext) -> None:
    """Do nothing but let the job be seen."""
    _on_job[0](job)


@handler("Nap")
async def napping(job: JobContext) -> None:
    """Take as long as the job says."""
    await nap(job.data.get_int("number"), job.data.get_float("seconds"), _trace[0])


class JobMaster(AsyncSystem):
    """A standalone cluster, every setting at its default."""

    about = protocol.About(
        packages=("jobmaster-core", "jobmaster-sql", "jobmaster-postgres", "jobmaster-sqlite", "anyio"),
        settings={
            "worker": "defaults: batch_size=1000, 5 buckets, slots 5 x CPUs for medium priority",
            "S-late, S-mixed, S-long, S-scale": "parallelism=1: 5 slots for medium priority",
        },
        history="kept: job and attempt rows, 30 days",
        leaves=True,
    )

    _runtime: Runtime | None = None
    _connection: psycopg.Connection[tuple[int]] | None = None

    def _cluster(self) -> Cluster:
        return Cluster.standalone("Bench", self.url)

    async def prepare(self) -> None:
        """Connect, if there is a server."""
        if self.url.startswith("postgresql:"):
            self._connection = psycopg.connect(self.url, autocommit=True)

    async def setup(self) -> None:
        """Provision the schema, as any start does."""
        async with self.producing():
            pass

    @asynccontextmanager
    async def producing(self) -> AsyncIterator[None]:
        """Join the cluster without workers."""
        async with self._cluster().running(workers=False) as runtime:
            self._runtime = runtime
            yield

    @property
    def _running(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError("the cluster does not run yet")
        return self._runtime

    async def schedule(self, data: Data) -> None:
        """Schedule one job."""
        await self._running.scheduler.once_now(noop, data)

    async def schedule_many(self, batch: Sequence[Data]) -> None:
        """Schedule jobs with one call."""
        await self._running.scheduler.once_many([noop.request(data) for data in batch])

    async def work(self, on_job: OnJob) -> None:
        """Run one worker."""
        on_each_job(on_job)
        async with self._with_worker().running() as runtime:
            self._runtime = runtime
            await anyio.sleep_forever()

    async def schedule_nap(self, data: Data) -> None:
        """Schedule one job that takes a while."""
        await self._running.scheduler.once_now(napping, data)

    async def work_on_naps(self, slots: int, trace: protocol.Trace) -> None:
        """Run one worker with this many slots for medium priority, or the default number."""
        _trace[:] = [trace]
        settings = {"parallelism": slots / Priority.MEDIUM.slots} if slots else {}
        async with self._with_worker(**settings).running() as runtime:
            await runtime.workers_ready()
            trace.joined()
            await anyio.sleep_forever()

    def _with_worker(self, **settings: Any) -> Cluster:
        return self._cluster().add_worker(**settings)

    def sent(self, job: JobContext) -> int:
        """Return when a job was sent."""
        return job.data.get_int("sent")

    async def drained(self) -> bool:
        """Return whether no unfinished job is left: reads only the live table, independent of the history."""
        if self._connection is not None:
            return not self._connection.execute(ANY_UNFINISHED).fetchall()
        return self._runtime is not None and not await self._runtime.jobs.query(status=UNFINISHED, limit=1)

    async def count(self) -> tuple[int | None, int]:
        """Return how many jobs succeeded, and how many are unfinished."""
        async with self.producing():
            by_status = await self._running.jobs.count_by_status()
        unfinished = sum(by_status.get(status, 0) for status in UNFINISHED)
        return by_status.get(JobStatus.SUCCEEDED, 0), unfinished


if __name__ == "__main__":
    JobMaster(protocol.parse_options()).main()
