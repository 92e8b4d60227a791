"""All executors die at once: drain workers bring every job back to the master, and executors that return run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from jobmaster import BucketStatus, JobStatus, Runtime
from tests.e2e.agents import holdings
from tests.e2e.processes import Process, kill_all, registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.stores import NewDatabase, make_agents
from tests.e2e.workload import delayed_jobs, keyed_jobs, short_jobs, shuffled

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(200)]

JOBS = 5000
EXECUTORS = 3
AT_REST = {JobStatus.HELD_ON_MASTER, JobStatus.SUCCEEDED}


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def agents(tmp_path: Path, new_database: NewDatabase) -> dict[str, str]:
    return make_agents(("postgres", "postgres", "sqlite"), tmp_path, new_database)


async def test_drain_workers_bring_back_what_dead_executors_held(scenario: Scenario) -> None:
    waiting = [*delayed_jobs(3, 300, 5.0, 9.0), *keyed_jobs("drain", 100)]
    async with scenario.watching() as runtime:
        executors = scenario.fleet.start_workers(EXECUTORS)
        await registered(runtime, *executors)
        await scenario.schedule(runtime, shuffled(2, short_jobs(2, JOBS - len(waiting)), waiting), 500)
        await starts_on_each(scenario, executors, 50)
        originals = {bucket.id for bucket in await runtime.list_buckets()}
        kill_all(executors)

        drains = scenario.fleet.start_workers(EXECUTORS, "Drain", mode="drain", serves=())
        held = await all_back_on_the_master(scenario, runtime)
        before = len(scenario.ledger.starts())
        for executor in executors:
            scenario.fleet.restart(executor)
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)
        statuses = {b.id: b.status for b in audit.tables.buckets if b.id in originals}

    print(f"\n{held} of {JOBS} jobs brought back:", audit.summary())  # noqa: T201
    assert held > JOBS // 10, "the executors were to be killed with most of their work before them"
    assert len(audit.tables.definitions) == JOBS
    assert statuses == dict.fromkeys(originals, BucketStatus.READY_TO_DELETE)
    assert len(audit.entries) > before
    assert not {entry.pid for entry in audit.entries} & {drain.pid for drain in drains}, (
        "a drain worker ran jobs"
    )


async def starts_on_each(scenario: Scenario, processes: Sequence[Process], count: int) -> None:
    async def reached() -> bool:
        pids = [entry.pid for entry in scenario.ledger.starts()]
        return all(pids.count(process.pid) >= count for process in processes)

    await eventually(reached, pause=0.01, what=f"{count} starts on each executor")


async def all_back_on_the_master(scenario: Scenario, runtime: Runtime) -> int:
    """Wait until no agent holds anything and every job has ended or is held; return how many are held."""
    held = 0

    async def all_back() -> bool:
        nonlocal held
        counts = await runtime.jobs.count_by_status()
        held = counts.get(JobStatus.HELD_ON_MASTER, 0)
        return counts.keys() <= AT_REST and sum(counts.values()) == JOBS and not await on_agents(scenario)

    await eventually(all_back, what="every job to be back on the master")
    return held


async def on_agents(scenario: Scenario) -> set[tuple[str, UUID]]:
    return set(await holdings(scenario.agents))
