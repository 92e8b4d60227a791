"""A cluster under load while something happens to its database; afterwards every job is audited."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import anyio
import anyio.to_thread

from jobmaster import JobRequest, Runtime, StoreUnavailableError
from tests.e2e.audit import Audit
from tests.e2e.processes import registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.workload import calls, short_jobs

JOBS = 2000


class StubbornProducer:
    """Schedules batch after batch. One that an outage refused is not noted, and the next one is tried."""

    def __init__(self, scenario: Scenario, runtime: Runtime, seed: int, jobs: int = JOBS) -> None:
        self._scenario, self._runtime = scenario, runtime
        self._batches = itertools.cycle(calls(short_jobs(seed, 500), 20))
        self._jobs = jobs
        self.refused = 0
        self.enough = False

    async def run(self) -> None:
        while not self.enough or len(self._scenario.accepted) < self._jobs:
            await self._try(next(self._batches))

    async def _try(self, batch: Sequence[JobRequest]) -> None:
        try:
            await self._scenario.schedule(self._runtime, batch)
        except StoreUnavailableError:
            self.refused += 1


async def under_load(
    scenario: Scenario, seed: int, disturb: Callable[[], object], times: int, jobs: int = JOBS
) -> Audit:
    """Disturb the database again and again while workers run jobs and a producer schedules more."""
    async with scenario.watching() as runtime:
        await registered(runtime, *scenario.fleet.start_workers(3))
        producer = StubbornProducer(scenario, runtime, seed, jobs)
        async with anyio.create_task_group() as group:
            group.start_soon(producer.run)
            for _ in range(times):
                await grows(scenario, 100)
                await anyio.to_thread.run_sync(disturb)
            await grows(scenario, 50)
            producer.enough = True
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime, unacknowledged=True)
    print(f"\n{times} outages, {producer.refused} calls refused:", audit.summary())  # noqa: T201
    return audit


async def grows(scenario: Scenario, count: int) -> None:
    """Wait until so many more jobs have been started: the cluster is at work again."""
    before = len(scenario.ledger.starts())

    async def grown() -> bool:
        return len(scenario.ledger.starts()) >= before + count

    await eventually(grown, pause=0.02, what=f"{count} more starts")
