"""Procrastinate on PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import _protocol as protocol
from _async import Data, OnJob
from _peer import PostgresPeer
from procrastinate import App, PsycopgConnector

CONCURRENCY = 10


class ProcrastinateSystem(PostgresPeer):
    """One worker with several jobs at once, and a pool with as many connections."""

    about = protocol.About(
        packages=("procrastinate", "psycopg"),
        settings={"concurrency": CONCURRENCY, "pool": f"{CONCURRENCY} connections"},
        history="kept: job and event rows (delete_jobs=never, the default)",
    )
    any_unfinished = "SELECT 1 FROM procrastinate_jobs WHERE status IN ('todo', 'doing') LIMIT 1"
    count_unfinished = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
    count_finished = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"

    def _app(self) -> App:
        logging.getLogger("procrastinate").setLevel(logging.WARNING)
        connector = PsycopgConnector(conninfo=self.url, min_size=CONCURRENCY, max_size=CONCURRENCY)
        return App(connector=connector)

    async def setup(self) -> None:
        """Apply the schema."""
        async with self._app().open_async() as app:
            await app.schema_manager.apply_schema_async()

    @asynccontextmanager
    async def producing(self) -> AsyncIterator[None]:
        """Open the app, which knows the task by name."""
        async with self._app().open_async() as app:
            self._deferrer = app.configure_task("noop", queue="bench")
            yield

    async def schedule(self, data: Data) -> None:
        """Schedule one job."""
        await self._deferrer.defer_async(**data)

    async def schedule_many(self, batch: Sequence[Data]) -> None:
        """Schedule jobs with one call."""
        await self._deferrer.batch_defer_async(*batch)

    async def work(self, on_job: OnJob) -> None:
        """Run one worker."""
        app = self._app()

        @app.task(name="noop", queue="bench")
        async def noop(**data: Any) -> None:
            on_job(data)

        async with app.open_async():
            await app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)

    def sent(self, job: Data) -> int:
        """Return when a job was sent."""
        return int(job["sent"])


if __name__ == "__main__":
    ProcrastinateSystem(protocol.parse_options()).main()
