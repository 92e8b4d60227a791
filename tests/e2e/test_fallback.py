"""Nobody but a coordinator: what is due runs there, after a while; and no longer when executors are back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jobmaster import Runtime
from jobmaster_testing.servers import Wire
from tests.e2e.ledger import Entry
from tests.e2e.processes import Process, registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.stores import NewDatabase, wired
from tests.e2e.workload import delayed_jobs, long_jobs, short_jobs, shuffled

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(120)]

PATIENCE = 1.5
HASTE = 0.5
"""Seconds by which the coordinator may look for jobs before it is registered."""


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"fallback_patience": PATIENCE}


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def wire(new_database: NewDatabase) -> Iterator[tuple[Wire, str]]:
    """Return a proxy in front of the agent that everybody uses, and the agent's URL through it."""
    made, url = wired(new_database())
    yield made, url
    made.cut()


@pytest.fixture
def agents(wire: tuple[Wire, str]) -> dict[str, str]:
    return {"Postgres-1": wire[1]}


def coordinate(scenario: Scenario) -> Process:
    return scenario.fleet.start(worker="Coordinator", mode="coordinator")


async def test_without_executors_jobs_run_in_the_coordinators_fallback_bucket(scenario: Scenario) -> None:
    jobs = shuffled(1, short_jobs(1, 60), long_jobs(1, 3, 0.3, 0.6), delayed_jobs(1, 10, 1.0, 3.0))
    async with scenario.watching() as runtime:
        await scenario.schedule(runtime, jobs)
        coordinator = coordinate(scenario)
        await registered(runtime, coordinator)
        await scenario.finished(runtime)
        alone = {entry.pid for entry in scenario.ledger.entries()}
        came = await came_at(runtime, coordinator)

        [executor] = scenario.fleet.start_workers(1, mode="execution")
        await registered(runtime, executor)
        await scenario.schedule(runtime, short_jobs(2, 100))
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)

    print("\na coordinator alone:", audit.summary())  # noqa: T201
    assert alone == {coordinator.pid}
    assert audit.entries[0].at - came >= PATIENCE - HASTE, "executors were to have their chance"
    assert starts_of(scenario, executor), "the executor was to take over"


async def test_while_no_agent_can_be_reached_jobs_run_in_the_fallback_bucket(
    scenario: Scenario, wire: tuple[Wire, str]
) -> None:
    wire[0].cut()
    async with scenario.watching() as runtime:
        coordinator = coordinate(scenario)
        await registered(runtime, coordinator)
        await scenario.schedule(runtime, short_jobs(4, 60))
        await scenario.ended(runtime)
        alone = {entry.pid for entry in scenario.ledger.entries()}

        wire[0].connect()
        [executor] = scenario.fleet.start_workers(1, mode="execution")
        await registered(runtime, executor)
        await runs_again(scenario, runtime, executor)
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)

    print("\nno agent at first:", audit.summary())  # noqa: T201
    assert alone == {coordinator.pid}


async def came_at(runtime: Runtime, coordinator: Process) -> float:
    """Return when the coordinator itself was registered, and not its fallback, in seconds since 1970."""
    return min(
        w.started_at.timestamp()
        for w in await runtime.list_workers()
        if w.pid == coordinator.pid and w.started_at
    )


async def runs_again(scenario: Scenario, runtime: Runtime, executor: Process) -> None:
    """Schedule a job now and then, until one has run on the executor."""

    async def ran() -> bool:
        await scenario.schedule(runtime, short_jobs(5, 1))
        return bool(starts_of(scenario, executor))

    await eventually(ran, pause=0.2, what="the executor to take jobs")


def starts_of(scenario: Scenario, process: Process) -> list[Entry]:
    return [entry for entry in scenario.ledger.starts() if entry.pid == process.pid]
