"""A massacre: nearly all workers are killed at once, with a large backlog; those that are left finish everything."""

from __future__ import annotations

import random
import time

import anyio

from jobmaster import JobRequest
from tests.e2e.audit import rescue_times
from tests.e2e.processes import kill_all, registered
from tests.e2e.scenario import Scenario
from tests.e2e.workload import NAP, NOOP, THINK

SURVIVORS = 0.1
BULK = 1000
LIMIT = 1800.0
"""Seconds that the survivors have."""


def tiny_jobs(seed: int, count: int) -> list[JobRequest]:
    """Return jobs that mostly do nothing, some of which take a while."""
    chance = random.Random(seed)
    return [_tiny(chance) for _ in range(count)]


def _tiny(chance: random.Random) -> JobRequest:
    roll = chance.random()
    if roll < 0.9:
        return NOOP.request()
    return (NAP if roll < 0.98 else THINK).request({"seconds": chance.uniform(0.001, 0.02)})


async def run(scenario: Scenario, jobs: int, workers: int, after: float) -> str:
    """Kill nine of ten workers `after` seconds of work, check everything, and return what to tell."""
    async with scenario.watching() as runtime:
        fleet = scenario.fleet.start_workers(workers)
        await registered(runtime, *fleet)
        async with anyio.create_task_group() as group:
            group.start_soon(scenario.schedule, runtime, tiny_jobs(1, jobs), BULK)
            await anyio.sleep(after)
            victims = fleet[max(1, round(workers * SURVIVORS)) :]
            killed_at = kill_all(victims)
            assert scenario.ledger.started() < jobs, "nothing was left to do; try more jobs, or less time"
        accepted_after = time.monotonic() - killed_at
        await scenario.finished(runtime, LIMIT)
        finished_after = time.monotonic() - killed_at
        audit = await scenario.audit(runtime)
    recovered = [t for victim in victims for t in rescue_times(audit.entries, victim.pid, killed_at)]
    return (
        f"{len(victims)} of {workers} workers killed, all accepted {accepted_after:.1f} s and finished "
        f"{finished_after:.1f} s later: {audit.summary(recovered)}"
    )
