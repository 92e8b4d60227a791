"""A deploy: workers are asked to stop under load. Nothing is lost, no retry is used up, nothing new begins."""

from __future__ import annotations

from typing import Any

import pytest

from jobmaster import AttemptOutcome, BucketStatus, WorkerStatus
from tests.e2e.processes import Process, registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.workload import FLAKY, NAP, short_jobs, shuffled

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]

GRACE = 1.0
SLOTS = 5


@pytest.fixture
def settings() -> dict[str, Any]:
    """Nothing dies here: on a busy machine, a lease of a second is lost by a process that lives."""
    return {"lease": 6.0, "heartbeat": 1.0}


async def test_a_deploy_under_load_costs_nothing(scenario: Scenario) -> None:
    scenario.fleet.config = scenario.fleet.config.but(settings={"stop_grace": GRACE})
    naps = [NAP.request({"seconds": 0.05}) for _ in range(400)]
    longs = [FLAKY.request({"seconds": 2.5}) for _ in range(4)]
    async with scenario.watching() as runtime:
        leaving, staying = scenario.fleet.start_workers(2)
        await registered(runtime, leaving, staying)
        await scenario.schedule(runtime, [*longs, *shuffled(8, naps, short_jobs(8, 200))])
        await long_jobs_run_on(scenario, leaving)
        asked_at = leaving.terminate()
        exit_code = await leaving.wait()
        [record] = [w for w in await runtime.list_workers() if w.pid == leaving.pid]
        buckets = [b for b in await runtime.list_buckets() if b.worker_id == record.id]
        scenario.fleet.restart(leaving)
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)

    print("\nstopped under load:", audit.summary())  # noqa: T201
    assert exit_code == 0, leaving.tail()
    assert record.status is WorkerStatus.STOPPED
    assert {b.status for b in buckets} == {BucketStatus.READY_TO_DELETE}
    begun = sum(e.pid == leaving.pid and e.monotonic > asked_at for e in scenario.ledger.starts())
    assert begun <= 4 * SLOTS, "a worker that was asked to stop went on taking jobs"
    outcomes = [row.outcome for rows in audit.tables.attempts.values() for row in rows]
    assert AttemptOutcome.LOST not in outcomes
    assert 1 <= outcomes.count(AttemptOutcome.INTERRUPTED) <= SLOTS, "only what outlasted the grace"


async def long_jobs_run_on(scenario: Scenario, process: Process) -> None:
    async def started() -> bool:
        ended = {entry.run for entry in scenario.ledger.ends()}
        mine = [e for e in scenario.ledger.starts() if e.pid == process.pid]
        return len(mine) > 20 and any(entry.run not in ended for entry in mine[:SLOTS])

    await eventually(started, pause=0.01, what="long jobs on the worker that is to leave")


async def test_every_worker_can_be_replaced_in_turn(scenario: Scenario) -> None:
    """A rolling deploy: at each moment one worker leaves while another one comes."""
    async with scenario.watching() as runtime:
        workers = scenario.fleet.start_workers(2)
        await registered(runtime, *workers)
        for number, worker in enumerate(workers):
            await scenario.schedule(runtime, short_jobs(40 + number, 400))
            fresh = scenario.fleet.restart(worker)
            await registered(runtime, fresh)
            worker.terminate()
            assert await worker.wait() == 0
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)
    print("\nrolling deploy:", audit.summary())  # noqa: T201
    outcomes = {row.outcome for rows in audit.tables.attempts.values() for row in rows}
    assert AttemptOutcome.LOST not in outcomes
