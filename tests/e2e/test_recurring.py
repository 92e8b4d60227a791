"""Recurring schedules in real processes, killed and restarted: each nominal time runs, and runs once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from jobmaster import Cron, JobRecord, JobStatus, Runtime, ScheduleRecord, ScheduleStatus
from jobmaster.plugins import Plugins
from jobmaster.schedule_models import Fires
from tests.e2e.processes import Process, registered
from tests.e2e.recurring_app import ALL
from tests.e2e.scenario import UNFINISHED, Scenario, eventually
from tests.e2e.workload import NOOP

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(150)]

SECOND = timedelta(seconds=1)
DOWN = 2.5
"""Seconds for which no worker is there."""
DYNAMIC: tuple[Any, ...] = (SECOND, "every 2 seconds", Cron("*/2 * * * * *"))
ON_THE_WAY = 2
"""Nominal times that may come, at the most, before a schedule is stored."""
ON_TIME = 3.0
"""Seconds after its time by which a job has started while nothing is wrong: the machine may be busy."""


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"misfire_grace": 0.5, "lease": 2.0}


def start(scenario: Scenario, number: int) -> Process:
    backend = ("asyncio", "trio")[number % 2]
    return scenario.fleet.start("tests.e2e.recurring_app", worker=f"W-{number}", backend=backend)


async def test_each_time_is_run_once_through_kills_and_restarts(scenario: Scenario) -> None:
    async with scenario.watching() as runtime:
        first, second = start(scenario, 1), start(scenario, 2)
        await registered(runtime, first, second)
        for expression in DYNAMIC:
            await runtime.scheduler.recurring(NOOP, expression, **ALL)
        schedules = await runtime.schedules.query()
        assert len(schedules) == 6
        await runs(runtime, schedules, 3)
        calm = await jobs_of(runtime, schedules)
        first.kill()
        await runs(runtime, schedules, 5)
        second.kill()
        gone = time.monotonic()
        await eventually(lambda: passed(gone + DOWN))
        await registered(runtime, start(scenario, 3), start(scenario, 4))
        await runs(runtime, schedules, 8)
        for schedule in schedules:
            await runtime.scheduler.pause_recurring(schedule.id)
        await scenario.finished(runtime)
        jobs = await jobs_of(runtime, schedules)
    for schedule in schedules:
        check(schedule, jobs[schedule.id])
    late = [lateness(job) for found in calm.values() for job in found if job.status is JobStatus.SUCCEEDED]
    print(f"\n{len(late)} jobs started on time, the last one {max(late) * 1000:.1f} ms late")  # noqa: T201
    assert max(late) < ON_TIME


async def test_a_cancelled_schedule_starts_once_more_at_most(scenario: Scenario) -> None:
    async with scenario.watching() as runtime:
        await registered(runtime, start(scenario, 1), start(scenario, 2))
        receipt = await runtime.scheduler.recurring(NOOP, SECOND)
        ours = [await runtime.schedules.get(receipt.schedule_id)]
        await runs(runtime, ours, 2)
        cancelled = await runtime.scheduler.cancel_recurring(receipt.schedule_id)
        moment = time.monotonic()
        await eventually(lambda: passed(moment + DOWN))
        jobs = (await jobs_of(runtime, ours))[receipt.schedule_id]
    known = {job.id for job in jobs}
    after = [
        entry for entry in scenario.ledger.starts() if entry.job_id in known and entry.monotonic > moment
    ]
    assert cancelled.status is ScheduleStatus.CANCELLED
    assert len(after) <= 1
    assert not [job for job in jobs if job.status in UNFINISHED]


async def passed(moment: float) -> bool:
    return time.monotonic() >= moment


async def jobs_of(runtime: Runtime, schedules: Sequence[ScheduleRecord]) -> dict[UUID, list[JobRecord]]:
    """Return the jobs of schedules with their attempts, the oldest first."""
    found = {}
    for schedule in schedules:
        page = await runtime.jobs.query(schedule=schedule.id, limit=1000)
        found[schedule.id] = [await runtime.jobs.get(job.id) for job in reversed(page)]
    return found


async def runs(runtime: Runtime, schedules: Sequence[ScheduleRecord], count: int) -> None:
    """Wait until each schedule has so many jobs that succeeded."""

    async def reached() -> bool:
        done = [await runtime.jobs.count(schedule=s.id, status=JobStatus.SUCCEEDED) for s in schedules]
        return min(done) >= count

    await eventually(reached, what=f"{count} runs of each schedule")


def check(schedule: ScheduleRecord, jobs: list[JobRecord]) -> None:
    """Check that each nominal time from the first to the last has one job, and that it succeeded.

    A schedule begins when it is stored: a time that came while a busy process was on the way there is none of it.
    """
    times = [job.nominal_at for job in jobs if job.nominal_at]
    wanted = expected(schedule, times[-1])
    assert times[0] in wanted[: ON_THE_WAY + 1], schedule.name
    assert times == wanted[wanted.index(times[0]) :], schedule.name
    assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}


def expected(schedule: ScheduleRecord, last: datetime) -> list[datetime]:
    fires, found = Fires(Plugins().kinds, schedule), [schedule.starts_after]
    while found[-1] < last and (following := fires(found[-1])) is not None:
        found.append(following)
    return found[1:]


def lateness(job: JobRecord) -> float:
    started = job.attempts[-1].started_at
    assert started is not None
    assert job.nominal_at is not None
    return (started - job.nominal_at).total_seconds()
