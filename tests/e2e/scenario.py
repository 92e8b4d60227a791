"""What all scenarios share: a cluster of real processes, a ledger, and a watcher in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio

from jobmaster import BucketStatus, JobRequest, JobStatus, Runtime, StoreUnavailableError, WorkerStatus
from tests.e2e.agents import holdings
from tests.e2e.audit import Audit, check_through_the_api
from tests.e2e.config import Config
from tests.e2e.ledger import LedgerReader
from tests.e2e.processes import Fleet
from tests.e2e.tables import read_tables, unfinished_business
from tests.e2e.workload import calls

LIMIT = 60.0
"""Seconds until a scenario that makes no progress has failed."""

UNFINISHED = [status for status in JobStatus if not status.is_terminal]
AT_WORK = (WorkerStatus.ACTIVE, WorkerStatus.STOPPING)
OWNED = (BucketStatus.ACTIVE, BucketStatus.COMPLETING)


class Scenario:
    """One cluster on one database, with or without agents (URLs by name)."""

    def __init__(
        self,
        url: str,
        folder: Path,
        cluster_id: str = "E2E-1",
        settings: Mapping[str, Any] | None = None,
        agents: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url
        self.agents = agents or {}
        config = Config(
            url=url, ledger=str(folder / "ledger.txt"), clusters=(cluster_id,), agents=self.agents
        )
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
        for chunk in calls(requests, size):
            receipts = await runtime.scheduler.once_many(chunk)
            self.accepted.extend(receipt.job_id for receipt in receipts)

    async def ended(self, runtime: Runtime, limit: float = LIMIT) -> None:
        """Wait until every accepted job has ended on the master."""
        counts: Mapping[JobStatus, int] = {}

        async def all_ended() -> bool:
            nonlocal counts
            counts = await runtime.jobs.count_by_status()
            return _are_ends(counts, len(self.accepted))

        def wanted() -> str:
            return f"{len(self.accepted)} jobs to end; the master knows {dict(counts)}"

        await eventually(all_ended, limit, what=wanted)

    async def finished(self, runtime: Runtime, limit: float = LIMIT) -> None:
        """Wait until every job of the cluster has ended, and no agent holds one that nobody has heard of."""
        held: Mapping[Any, int] = {}

        async def none_left() -> bool:
            nonlocal held
            held = await holdings(self.agents)
            return not held and await self._all_ended(runtime)

        await self.ended(runtime, limit)
        await eventually(none_left, limit, what=lambda: f"agents to be empty; they hold {held}")

    async def _all_ended(self, runtime: Runtime) -> bool:
        return _are_ends(await runtime.jobs.count_by_status(), len(self.accepted))

    async def settled(self, runtime: Runtime) -> None:
        """Wait until nothing speaks of workers that are gone: their buckets are ready to delete, handovers closed."""
        left: list[str] = []

        async def nothing_left() -> bool:
            tables = await read_tables(self.url, runtime.id)
            left[:] = unfinished_business(tables, await self._owned(runtime))
            return not left

        await eventually(nothing_left, what=lambda: f"these to be cleared away: {', '.join(left)}")

    async def _owned(self, runtime: Runtime) -> set[UUID]:
        """Return the ids of the buckets that processes of now own and serve."""
        alive = {process.pid for process in self.fleet.alive()}
        workers = {w.id for w in await runtime.list_workers() if w.pid in alive and w.status in AT_WORK}
        buckets = await runtime.list_buckets()
        return {b.id for b in buckets if b.worker_id in workers and b.status in OWNED}

    async def second_tries_are_over(self, runtime: Runtime) -> None:
        """Wait until no unfinished job has been tried before.

        A job that is running when its worker dies for the third time counts as poison, as it must: nobody
        can know that it was not the job's doing. So nothing may be killed three times in one job's life.
        """

        async def none_left() -> bool:
            return all([job.attempt == 1 async for job in runtime.jobs.all(status=UNFINISHED)])

        await eventually(none_left, LIMIT, what="second tries to end")

    async def audit(
        self,
        runtime: Runtime,
        *,
        failed: Collection[UUID] = (),
        unacknowledged: bool = False,
        poison: bool = False,
    ) -> Audit:
        """Check everything that must hold at the end."""
        await self.settled(runtime)
        tables = await read_tables(self.url, runtime.id)
        ours = [entry for entry in self.ledger.entries() if entry.job_id in tables.definitions]
        audit = Audit(self.accepted, ours, tables, failed, unacknowledged, poison)
        audit.check()
        await check_through_the_api(runtime, audit)
        return audit


def _are_ends(counts: Mapping[JobStatus, int], accepted: int) -> bool:
    return all(status.is_terminal for status in counts) and sum(counts.values()) >= accepted


async def eventually(
    predicate: Callable[[], Awaitable[bool]],
    limit: float = LIMIT,
    pause: float = 0.1,
    what: str | Callable[[], str] = "",
) -> None:
    """Ask until the answer is true; pauses between, so that the question costs the cluster little.

    A store that is not there yet, or not any more, has not answered.
    """
    with anyio.move_on_after(limit):
        while not await _answer(predicate):  # noqa: ASYNC110 - it asks other processes, which set no event here
            await anyio.sleep(pause)
        return
    raise AssertionError(f"waited {limit:g} s for {what() if callable(what) else what or predicate}")


async def _answer(predicate: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await predicate()
    except StoreUnavailableError:
        return False
