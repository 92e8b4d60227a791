"""Workers that are killed: their jobs run elsewhere, within seconds, and each job ends once."""

from __future__ import annotations

import random

import anyio
import pytest

from jobmaster import Runtime
from tests.e2e.audit import rescue_times
from tests.e2e.processes import Process, registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.workload import long_jobs, short_jobs, shuffled

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(150)]

JOBS = 5000
ROUNDS = 3


async def test_killed_workers_lose_nothing(scenario: Scenario) -> None:
    chance = random.Random(20)
    killed: list[Process] = []
    async with scenario.watching() as runtime:
        await registered(runtime, *scenario.fleet.start_workers(3))
        for number in range(ROUNDS):
            await kill_twice(scenario, runtime, chance, killed, number)
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)
    rescues = [t for p in killed for t in rescue_times(audit.entries, p.pid, p.ended_at or 0)]
    print("\nkilled six times:", audit.summary(rescues))  # noqa: T201
    assert len(scenario.accepted) == JOBS
    assert rescues, "no job was running when its worker was killed"


async def kill_twice(
    scenario: Scenario, runtime: Runtime, chance: random.Random, killed: list[Process], number: int
) -> None:
    """Run a share of the jobs; meanwhile two workers are killed, while jobs are still being scheduled."""
    share = JOBS // ROUNDS + (JOBS % ROUNDS if number == 0 else 0)
    before = len(scenario.ledger.starts())
    jobs = shuffled(number, short_jobs(number, share - 8), long_jobs(number, 8))
    async with anyio.create_task_group() as group:
        group.start_soon(scenario.schedule, runtime, jobs)
        for part in (chance.uniform(0.05, 0.3), chance.uniform(0.4, 0.8)):
            await progress(scenario, before + int(share * part))
            killed.append(kill_one(scenario, chance))
    await scenario.second_tries_are_over(runtime)


def kill_one(scenario: Scenario, chance: random.Random) -> Process:
    """Kill a worker process without warning, and start another one in its place."""
    victim = chance.choice(list(scenario.fleet.alive()))
    victim.kill()
    scenario.fleet.restart(victim)
    return victim


async def progress(scenario: Scenario, count: int) -> None:
    async def reached() -> bool:
        return len(scenario.ledger.starts()) >= count

    await eventually(reached, pause=0.01, what=f"{count} starts")


async def test_long_jobs_of_a_killed_worker_run_elsewhere_within_seconds(scenario: Scenario) -> None:
    async with scenario.watching() as runtime:
        victim, other = scenario.fleet.start_workers(2)
        await registered(runtime, victim, other)
        await scenario.schedule(runtime, long_jobs(4, 10, 1.5, 2.5))
        await starts_on(scenario, victim, 3)
        killed_at = victim.kill()
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)
    rescues = rescue_times(audit.entries, victim.pid, killed_at)
    print(  # noqa: T201
        f"\nlease {scenario.lease} s, heartbeat {scenario.config.settings['heartbeat']} s:",
        audit.summary(rescues),
    )
    assert len(rescues) >= 3
    assert max(rescues) < 20, "rescue is to take seconds, not minutes"


async def starts_on(scenario: Scenario, process: Process, count: int) -> None:
    async def started() -> bool:
        return sum(entry.pid == process.pid for entry in scenario.ledger.starts()) >= count

    await eventually(started, pause=0.01, what=f"{count} starts on {process.config.worker}")
