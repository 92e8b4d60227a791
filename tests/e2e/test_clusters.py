"""Several clusters in one database, and in one process, never touch one another's jobs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from jobmaster import Runtime
from tests.e2e.audit import Audit
from tests.e2e.processes import registered
from tests.e2e.scenario import UNFINISHED, Scenario, eventually
from tests.e2e.tables import read_tables
from tests.e2e.workload import long_jobs, short_jobs, shuffled

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]

JOBS = 300


async def test_clusters_side_by_side_keep_to_themselves(scenario: Scenario) -> None:
    ids = [f"{scenario.config.clusters[0]}-{name}" for name in "AB"]
    accepted: dict[str, list[UUID]] = {}
    async with AsyncExitStack() as stack:
        runtimes = [
            await stack.enter_async_context(scenario.config.producer(cluster_id).running())
            for cluster_id in ids
        ]
        stack.enter_context(scenario.fleet)
        a, b = runtimes
        both = scenario.fleet.start(worker="Both", clusters=tuple(ids), backend="trio")
        only_a = scenario.fleet.start(worker="Only", clusters=(ids[0],), backend="asyncio")
        await registered(a, both, only_a)
        await registered(b, both)
        for number, runtime in enumerate(runtimes):
            jobs = shuffled(number, short_jobs(number, JOBS), long_jobs(number, 4))
            receipts = await runtime.scheduler.once_many(jobs)
            accepted[runtime.id] = [receipt.job_id for receipt in receipts]
        await half_of(scenario)
        both.kill()
        await finished(a)
        left = await b.jobs.count(status=UNFINISHED)
        scenario.fleet.restart(both)
        await finished(b)
        for runtime in runtimes:
            await check(scenario, runtime, accepted[runtime.id])
    assert left > 0, "the jobs of B were to wait: nobody served it"


async def half_of(scenario: Scenario) -> None:
    async def reached() -> bool:
        return len(scenario.ledger.starts()) >= JOBS

    await eventually(reached, pause=0.01, what="half of all starts")


async def finished(runtime: Runtime) -> None:
    async def none_left() -> bool:
        return await runtime.jobs.count(status=UNFINISHED) == 0

    await eventually(none_left, what=f"all jobs of {runtime.id} to end")


async def check(scenario: Scenario, runtime: Runtime, accepted: list[UUID]) -> None:
    tables = await read_tables(scenario.url, runtime.id)
    entries = [entry for entry in scenario.ledger.entries() if entry.job_id in tables.definitions]
    audit = Audit(accepted, entries, tables)
    audit.check()
    print(f"\n{runtime.id}:", audit.summary())  # noqa: T201
    strangers = {e.worker for e in entries} - {f"Both-{runtime.id}", *only(runtime)}
    assert not strangers, f"workers of another cluster ran jobs of {runtime.id}"


def only(runtime: Runtime) -> set[str]:
    return {"Only"} if runtime.id.endswith("-A") else set()
