"""A job that brings every worker down is found out; the jobs that ran beside it are not blamed."""

from __future__ import annotations

from uuid import UUID

import anyio
import pytest

from jobmaster import AttemptOutcome, JobRequest, Runtime
from tests.e2e.processes import Process, registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.workload import DEADLY, NAP, THINK

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]

DEATHS = 3


@pytest.fixture
def settings() -> dict[str, float]:
    """Return a longer lease: one that a busy machine lets run out would count as one more death."""
    return {"lease": 2.5}


@pytest.mark.parametrize("delay", [0.0, 0.5], ids=["at once", "after a beat"])
async def test_only_the_guilty_job_is_poison(scenario: Scenario, delay: float) -> None:
    dead: list[Process] = []
    async with scenario.watching() as runtime:
        await registered(runtime, *scenario.fleet.start_workers(2))
        await scenario.schedule(runtime, innocents())
        poison = (await runtime.scheduler.once_now(DEADLY, {"seconds": delay})).job_id
        scenario.accepted.append(poison)
        async with anyio.create_task_group() as group:
            group.start_soon(replace_the_dead, scenario, dead)
            await innocents_beside(scenario, runtime, poison)
            await scenario.finished(runtime)
            group.cancel_scope.cancel()
        audit = await scenario.audit(runtime, failed=[poison])
        job = await runtime.jobs.get(poison)

    print(f"\n{len(dead)} workers died:", audit.summary())  # noqa: T201
    assert len(dead) == DEATHS
    assert sum(entry.job_id == poison for entry in scenario.ledger.starts()) == DEATHS
    assert [a.outcome for a in job.attempts] == [
        AttemptOutcome.LOST,
        AttemptOutcome.LOST,
        AttemptOutcome.POISONED,
    ]
    assert "brought down its worker 3 times" in (job.attempts[-1].error or pytest.fail("no error")).message


def innocents() -> list[JobRequest]:
    """Return jobs that run beside the guilty one: short, in threads, and longer than many a crash."""
    short = [NAP.request({"seconds": 0.2}) for _ in range(20)]
    threads = [THINK.request({"seconds": 0.2}) for _ in range(6)]
    return [*short, *threads, *(NAP.request({"seconds": 2.5}) for _ in range(3))]


async def replace_the_dead(scenario: Scenario, dead: list[Process]) -> None:
    """Start a worker in the place of each one that died, as a process manager would."""
    while True:
        for process in scenario.fleet.processes:
            if not process.is_alive and process not in dead:
                dead.append(process)
                scenario.fleet.restart(process)
        await anyio.sleep(0.05)


async def innocents_beside(scenario: Scenario, runtime: Runtime, poison: UUID) -> None:
    """Keep some innocent jobs running until the guilty one has ended."""

    async def ended() -> bool:
        if len(scenario.accepted) - len(scenario.ledger.ends()) < 20:
            await scenario.schedule(runtime, innocents()[:10])
        return (await runtime.jobs.get(poison)).status.is_terminal

    await eventually(ended, what="the guilty job to be found out")
