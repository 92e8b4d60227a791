"""SAQ on PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import _protocol as protocol
from _async import Data, OnJob
from _peer import PostgresPeer
from saq.queue.postgres import PostgresQueue
from saq.worker import Worker

CONCURRENCY = 10


class SaqSystem(PostgresPeer):
    """One worker with several jobs at once. It has no call for many jobs."""

    about = protocol.About(
        packages=("saq", "psycopg"),
        settings={"concurrency": CONCURRENCY, "pool": "4 to 20 connections (its default)"},
        history="kept for 10 minutes, its default: the job row",
        bulk=False,
    )
    any_unfinished = "SELECT 1 FROM saq_jobs WHERE status IN ('new', 'queued', 'active') LIMIT 1"
    count_unfinished = "SELECT count(*) FROM saq_jobs WHERE status IN ('new', 'queued', 'active')"
    count_finished = "SELECT count(*) FROM saq_jobs WHERE status = 'complete'"

    def _queue(self) -> PostgresQueue:
        logging.getLogger("saq").setLevel(logging.WARNING)
        return PostgresQueue.from_url(self.url)

    async def setup(self) -> None:
        """Create the tables, as connecting does."""
        async with self.producing():
            pass

    @asynccontextmanager
    async def producing(self) -> AsyncIterator[None]:
        """Connect the queue."""
        self._producer = self._queue()
        await self._producer.connect()
        yield
        await self._producer.disconnect()

    async def schedule(self, data: Data) -> None:
        """Schedule one job."""
        await self._producer.enqueue("noop", **data)

    async def work(self, on_job: OnJob) -> None:
        """Run one worker."""

        async def noop(_context: Any, **data: Any) -> None:
            on_job(data)

        queue = self._queue()
        await queue.connect()
        await Worker(queue, [("noop", noop)], concurrency=CONCURRENCY).start()

    def sent(self, job: Data) -> int:
        """Return when a job was sent."""
        return int(job["sent"])


if __name__ == "__main__":
    SaqSystem(protocol.parse_options()).main()
