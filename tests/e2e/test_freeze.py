"""A worker that is frozen for longer than its lease: others take over, and it cannot undo what they did."""

from __future__ import annotations

import pytest

from jobmaster import AttemptOutcome, Runtime, WorkerStatus
from tests.e2e.audit import Audit
from tests.e2e.ledger import END
from tests.e2e.processes import Process, registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.workload import THINK, long_jobs, short_jobs

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_frozen_worker_fences_itself_and_works_on(scenario: Scenario) -> None:
    async with scenario.watching() as runtime:
        frozen, other = scenario.fleet.start_workers(2)
        await registered(runtime, frozen, other)
        # Threads go on where they stood, whatever the event loop decides: their ends are sure to be late.
        await scenario.schedule(runtime, [THINK.request({"seconds": 1.5}) for _ in range(6)])
        await scenario.schedule(runtime, long_jobs(5, 4))
        await runs_on(scenario, frozen, 2)
        frozen_at = frozen.freeze()
        await scenario.schedule(runtime, short_jobs(5, 300))
        await scenario.finished(runtime)
        thawed_at = frozen.thaw()
        assert thawed_at - frozen_at > scenario.lease

        await is_registered_anew(runtime, frozen)
        await late_ends_are_in(scenario, frozen, thawed_at)
        other.kill()
        await scenario.schedule(runtime, short_jobs(6, 100))
        await scenario.finished(runtime)
        audit = await scenario.audit(runtime)

    print("\nfrozen for", f"{thawed_at - frozen_at:.1f} s:", audit.summary())  # noqa: T201
    assert late_ends(audit, frozen, thawed_at) >= 1
    assert works_again(scenario, frozen, thawed_at)


async def runs_on(scenario: Scenario, process: Process, count: int) -> None:
    async def started() -> bool:
        return sum(entry.pid == process.pid for entry in scenario.ledger.starts()) >= count

    await eventually(started, pause=0.01, what=f"{count} starts on {process.config.worker}")


async def is_registered_anew(runtime: Runtime, process: Process) -> None:
    async def registrations() -> bool:
        statuses = [w.status for w in await runtime.list_workers() if w.pid == process.pid]
        return len(statuses) >= 2 and statuses[0] is WorkerStatus.ACTIVE and WorkerStatus.LOST in statuses

    await eventually(registrations, what="the thawed worker to register anew")


async def late_ends_are_in(scenario: Scenario, process: Process, thawed_at: float) -> None:
    async def seen() -> bool:
        ends = scenario.ledger.ends()
        return any(entry.pid == process.pid and entry.monotonic > thawed_at for entry in ends)

    await eventually(seen, what="a job of the thawed worker to end")


def late_ends(audit: Audit, process: Process, thawed_at: float) -> int:
    """Count the ends after the thaw of attempts that had been given up; none of them may count."""
    late = [e for e in audit.entries if e.event == END and e.pid == process.pid and e.monotonic > thawed_at]
    outcomes = {
        (job_id, row.number): row.outcome for job_id, rows in audit.tables.attempts.items() for row in rows
    }
    return sum(outcomes[entry.run] is AttemptOutcome.LOST for entry in late)


def works_again(scenario: Scenario, process: Process, thawed_at: float) -> bool:
    starts = scenario.ledger.starts()
    return any(entry.pid == process.pid and entry.monotonic > thawed_at for entry in starts)
