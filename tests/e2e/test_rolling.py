"""A rolling deploy of a distributed cluster under load: no job fails, and none uses up a retry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from jobmaster import AttemptOutcome, Runtime, WorkerStatus
from tests.e2e.processes import Process, registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.stores import NewDatabase, make_agents
from tests.e2e.workload import delayed_jobs, keyed_jobs, long_jobs, short_jobs, shuffled

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(150)]

BATCH = 50


@pytest.fixture
def settings() -> dict[str, Any]:
    """Nothing dies here: on a busy machine, a lease of a second is lost by a process that lives."""
    return {"lease": 6.0, "heartbeat": 1.0}


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def agents(tmp_path: Path, new_database: NewDatabase) -> dict[str, str]:
    return make_agents(("postgres", "sqlite"), tmp_path, new_database)


async def test_a_rolling_deploy_costs_no_retry(scenario: Scenario) -> None:
    async with scenario.watching() as runtime:
        coordinator = scenario.fleet.start(worker="Coordinator", mode="coordinator")
        workers = scenario.fleet.start_workers(2, mode="execution")
        await registered(runtime, coordinator, *workers)
        async with anyio.create_task_group() as group:
            deployed = anyio.Event()
            group.start_soon(load, scenario, runtime, deployed)
            for process in (*workers, coordinator):
                await replace(scenario, runtime, process)
            deployed.set()
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)
        records = await runtime.list_workers()

    print("\nrolling deploy on agents:", audit.summary())  # noqa: T201
    outcomes = {row.outcome for rows in audit.tables.attempts.values() for row in rows}
    assert outcomes <= {AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED}, "all ended within the grace period"
    old = {worker.status for worker in records if worker.pid in {p.pid for p in (*workers, coordinator)}}
    assert old == {WorkerStatus.STOPPED}


async def load(scenario: Scenario, runtime: Runtime, enough: anyio.Event) -> None:
    """Schedule batch after batch, each once most of the ones before it have been started."""
    number = 0
    while not enough.is_set():
        number += 1
        waiting = [*delayed_jobs(number, 5, 0.5, 2.0), *keyed_jobs(f"rolling-{number}", 5)]
        await scenario.schedule(
            runtime, shuffled(number, short_jobs(number, BATCH), long_jobs(number, 2, 0.5, 1.0), waiting)
        )
        await keeps_up(scenario)


async def keeps_up(scenario: Scenario) -> None:
    async def kept_up() -> bool:
        return len(scenario.ledger.starts()) >= len(scenario.accepted) - 2 * BATCH

    await eventually(kept_up, pause=0.02, what="the workers to keep up with the load")


async def replace(scenario: Scenario, runtime: Runtime, process: Process) -> None:
    """Start a successor, then ask the process to stop while it has jobs in hand."""
    fresh = scenario.fleet.restart(process)
    await registered(runtime, fresh)
    process.terminate()
    assert await process.wait() == 0, process.tail()
