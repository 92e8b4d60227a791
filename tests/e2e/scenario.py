"""What all scenarios share: a cluster of real processes, a ledger, and a watcher in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio

from jobmaster import JobRequest, JobStatus, Runtime
from tests.e2e.audit import Audit, check_through_the_api, read_tables
from tests.e2e.config import Config
from tests.e2e.ledger import LedgerReader
from tests.e2e.processes import Fleet
from tests.e2e.workload import chunks

LIMIT = 60.0
"""Seconds until a scenario that makes no progress has failed."""

UNFINISHED = [status for status in JobStatus if not status.is_terminal]


class Scenario:
    """One cluster on one database."""

    def __init__(
        self, url: str, folder: Path, cluster_id: str = "E2E-1", settings: Mapping[str, Any] | None = None
    ) -> None:
        self.url = url
        config = Config(url=url, ledger=str(folder / "ledger.txt"), clusters=(cluster_id,))
        self.config = config.but(settings=settings or {})
        self.fleet = Fleet(self.config, folder)
        self.ledger = LedgerReader(folder / "ledger.txt")
        self.accepted: list[UUID] = []

    @property
    def lease(self) -> float:
        """Seconds after which a silent worker's jobs may be taken."""
        return float(self.config.settings["lease"])

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Runtime]:
        """Within the block, look at the cluster and schedule from this process; its workers end with it."""
        async with self.config.producer().running() as runtime:
            with self.fleet:
                yield runtime

    async def schedule(self, runtime: Runtime, requests: Sequence[JobRequest], size: int = 100) -> None:
        """Schedule all requests in chunks, and note what was accepted."""
        for chunk in chunks(requests, size):
            receipts = await runtime.scheduler.once_many(chunk)
            self.accepted.extend(receipt.job_id for receipt in receipts)

    async def finished(self, runtime: Runtime, limit: float = LIMIT) -> None:
        """Wait until every job of the cluster has ended."""

        async def none_left() -> bool:
            return await runtime.jobs.count(status=UNFINISHED) == 0

        await eventually(none_left, limit, what="all jobs to end")

    async def second_tries_are_over(self, runtime: Runtime) -> None:
        """Wait until no unfinished job has been tried before.

        A job that is running when its worker dies for the third time counts as poison, as it must: nobody
        can know that it was not the job's doing. So nothing may be killed three times in one job's life.
        """

        async def none_left() -> bool:
            return all([job.attempt == 1 async for job in runtime.jobs.all(status=UNFINISHED)])

        await eventually(none_left, LIMIT, what="second tries to end")

    async def audit(
        self, runtime: Runtime, *, failed: Collection[UUID] = (), unacknowledged: bool = False
    ) -> Audit:
        """Check everything that must hold at the end."""
        tables = await read_tables(self.url, runtime.id)
        ours = [entry for entry in self.ledger.entries() if entry.job_id in tables.definitions]
        audit = Audit(self.accepted, ours, tables, failed, unacknowledged)
        audit.check()
        await check_through_the_api(runtime, audit)
        return audit


async def eventually(
    predicate: Callable[[], Awaitable[bool]], limit: float = LIMIT, pause: float = 0.1, what: str = ""
) -> None:
    """Ask until the answer is true; pauses between, so that the question costs the cluster little."""
    with anyio.move_on_after(limit):
        while not await predicate():  # noqa: ASYNC110 - it asks other processes, which set no event here
            await anyio.sleep(pause)
        return
    raise AssertionError(f"waited {limit:g} s for {what or predicate}")
