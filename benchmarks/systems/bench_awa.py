"""awa on PostgreSQL: a Rust core with a Python interface (the package awa-pg)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import _protocol as protocol
import anyio
from _async import Data, OnJob
from _peer import PostgresPeer
from awa import AsyncClient

WORKERS = 1000
CONNECTIONS = 20
ENQUEUED = "(SELECT count(*) FROM awa.ready_entries)"
COMPLETED = "(SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)"
PRUNED = "(SELECT coalesce(sum(pruned_completed_count), 0) FROM awa.queue_terminal_rollups)"


@dataclass
class Noop:
    """The arguments of the job, declared as awa requires."""

    sent: int
    text: str


class AwaSystem(PostgresPeer):
    """One client with one queue; bulk goes through COPY."""

    about = protocol.About(
        packages=("awa-pg",),
        settings={"max_workers": WORKERS, "max_connections": CONNECTIONS, "bulk": "enqueue_many_copy"},
        history="kept for seconds, until its ring turns; then a count",
    )
    # Its view of jobs takes tens of milliseconds and does not show claimed jobs, so its tables are queried: entries and
    # completions are appended, and pruned together to a count.
    any_unfinished = f"SELECT 1 WHERE {ENQUEUED} > {COMPLETED}"
    count_unfinished = f"SELECT {ENQUEUED} - {COMPLETED}"
    count_finished = f"SELECT {COMPLETED} + {PRUNED}"

    def _client(self) -> AsyncClient:
        return AsyncClient(self.url, CONNECTIONS)

    async def setup(self) -> None:
        """Run its migrations, and a worker: a new database gets its fast storage when the first worker starts."""
        client = self._client()
        await client.migrate()
        self._declare(client, lambda _: None)
        await client.start([("bench", 1)])
        # There is no event for it.
        while json.loads(await client.storage_status())["active_engine"] != "queue_storage":  # noqa: ASYNC110
            await anyio.sleep(0.1)
        await client.shutdown()

    @asynccontextmanager
    async def producing(self) -> AsyncIterator[None]:
        """Open a client."""
        async with self._client() as client:
            self._producer = client
            yield

    async def schedule(self, data: Data) -> None:
        """Schedule one job."""
        await self._producer.insert(Noop(**data), queue="bench")

    async def schedule_many(self, batch: Sequence[Data]) -> None:
        """Schedule jobs with one call."""
        await self._producer.enqueue_many_copy([Noop(**data) for data in batch], queue="bench")

    async def work(self, on_job: OnJob) -> None:
        """Run one client with workers."""
        client = self._client()
        self._declare(client, on_job)
        await client.start([("bench", WORKERS)])
        await anyio.sleep_forever()

    @staticmethod
    def _declare(client: AsyncClient, on_job: OnJob) -> None:
        @client.task(Noop, queue="bench")
        async def noop(job: Any) -> None:
            on_job(job)

    def sent(self, job: Any) -> int:
        """Return when a job was sent."""
        return int(job.args.sent)


if __name__ == "__main__":
    AwaSystem(protocol.parse_options()).main()
