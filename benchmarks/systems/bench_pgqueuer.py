"""PgQueuer on PostgreSQL, with asyncpg and uvloop, as its own benchmark tool runs it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import _protocol as protocol
import asyncpg
from _async import Data, OnJob
from _peer import PostgresPeer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.core.qm import QueueManager
from pgqueuer.models import Job
from pgqueuer.queries import Queries

BATCH = 500


class PgQueuerSystem(PostgresPeer):
    """One queue manager on one connection; producers use a pool."""

    about = protocol.About(
        packages=("pgqueuer", "asyncpg", "uvloop"),
        settings={
            "batch_size": BATCH,
            "worker": "1 QueueManager, 1 connection",
            "producers": "pool of 20",
            "tables": "durable, its autovacuum settings",
            "loop": "uvloop",
        },
        history="kept: log rows without the payload",
        uvloop=True,
    )
    any_unfinished = "SELECT 1 FROM pgqueuer LIMIT 1"
    count_unfinished = "SELECT count(*) FROM pgqueuer"
    count_finished = "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"

    async def setup(self) -> None:
        """Install, and apply the autovacuum settings its documentation asks for."""
        connection = await asyncpg.connect(self.url)
        queries = Queries.from_asyncpg_connection(connection)
        await queries.install()
        await queries.optimize_autovacuum()
        await connection.close()

    @asynccontextmanager
    async def producing(self) -> AsyncIterator[None]:
        """Open a pool."""
        async with asyncpg.create_pool(self.url, min_size=20, max_size=20) as pool:
            self._queries = Queries(AsyncpgPoolDriver(pool))
            yield

    async def schedule(self, data: Data) -> None:
        """Schedule one job."""
        await self._queries.enqueue("noop", json.dumps(data, separators=(",", ":")).encode())

    async def schedule_many(self, batch: Sequence[Data]) -> None:
        """Schedule jobs with one call."""
        payloads: list[bytes | None] = [json.dumps(data, separators=(",", ":")).encode() for data in batch]
        await self._queries.enqueue(["noop"] * len(batch), payloads, [0] * len(batch))

    async def work(self, on_job: OnJob) -> None:
        """Run one queue manager."""
        manager = QueueManager(Queries(AsyncpgDriver(await asyncpg.connect(self.url))))

        @manager.entrypoint("noop")
        async def noop(job: Job) -> None:
            on_job(job)

        await manager.run(batch_size=BATCH)

    def sent(self, job: Job) -> int:
        """Return when a job was sent."""
        return int(json.loads(job.payload or b"{}")["sent"])


if __name__ == "__main__":
    PgQueuerSystem(protocol.parse_options()).main()
