"""From standalone to distributed: what the standalone buckets held comes back to the master, and runs on agents."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobmaster import BucketStatus, JobRequest, Runtime
from jobmaster.models import STANDALONE
from tests.e2e.ledger import START
from tests.e2e.processes import registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.stores import NewDatabase, make_agents
from tests.e2e.workload import delayed_jobs, long_jobs, short_jobs, shuffled

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(120)]

BEFORE, AFTER = 600, 300


@pytest.fixture
def agents(tmp_path: Path, new_database: NewDatabase) -> dict[str, str]:
    return make_agents(("sqlite", "postgres"), tmp_path, new_database)


async def test_a_standalone_cluster_that_is_killed_goes_on_as_a_distributed_one(
    scenario: Scenario, tmp_path: Path
) -> None:
    standalone = Scenario(scenario.url, tmp_path, scenario.config.clusters[0])
    async with standalone.watching() as runtime:
        await registered(runtime, *standalone.fleet.start_workers(2))
        await standalone.schedule(runtime, jobs_before())
        await half_done(standalone)
        leaving, staying = standalone.fleet.alive()
        leaving.terminate()
        await leaving.wait()
        staying.kill()
    scenario.accepted += standalone.accepted

    async with scenario.watching() as runtime:
        left = await unfinished_buckets(runtime)
        workers = scenario.fleet.start_workers(2, "Agents")
        await registered(runtime, *workers)
        await scenario.schedule(runtime, short_jobs(7, AFTER))
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)

    print("\nstandalone, then distributed:", audit.summary())  # noqa: T201
    assert left, "the killed worker was to leave buckets behind"
    old = {bucket.status for bucket in audit.tables.buckets if bucket.agent == STANDALONE}
    assert old == {BucketStatus.READY_TO_DELETE}
    on_agents = {worker.pid for worker in workers}
    late = {entry.job_id for entry in audit.entries if entry.event == START and entry.pid in on_agents}
    assert late & set(standalone.accepted), "jobs of before were to run on agents"


def jobs_before() -> list[JobRequest]:
    shorts = short_jobs(6, BEFORE - 46)
    return shuffled(6, shorts, long_jobs(6, 6), delayed_jobs(6, 40, 6.0, 9.0))


async def half_done(scenario: Scenario) -> None:
    async def reached() -> bool:
        return len(scenario.ledger.starts()) >= BEFORE // 3

    await eventually(reached, pause=0.005, what="a third of all starts")


async def unfinished_buckets(runtime: Runtime) -> int:
    buckets = await runtime.list_buckets()
    return sum(b.agent == STANDALONE and b.status is not BucketStatus.READY_TO_DELETE for b in buckets)
