"""Judging others by their leases in virtual time: nobody is held to one that nobody could have renewed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from jobmaster import (
    Cluster,
    JobContext,
    JobStatus,
    Priority,
    Runtime,
    ScheduleStatus,
    StaticSchedule,
    handler,
)
from jobmaster_testing.clock import VirtualClock
from jobmaster_testing.faults import MASTER, Fault, Faults, When
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

HOUR, LEASE = 3600.0, 15.0
DECLARED = 4 * LEASE
"""How long the declaration of a static schedule lasts."""


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
def build(distributed: Build) -> Build:
    """Build a cluster with one worker: `build(*handlers, faults=None)`."""

    def standalone(*handlers: Any, faults: Faults | None = None, **settings: Any) -> Cluster:
        return distributed(*handlers, agents="", workers=[{}], faults=faults, **settings)

    return standalone


@handler("Judging.Other")
async def other(_: JobContext) -> None: ...


class Hourly:
    """A handler that notes its runs, as a static schedule that fires every hour."""

    def __init__(self) -> None:
        self.ran = list[Any]()

        @handler("Judging.Hourly")
        async def hourly(job: JobContext) -> None:
            self.ran.append(job.scheduled_at)

        self.handler = hourly

    def declared(self, cluster: Cluster, *, every: float = HOUR, **rules: Any) -> Cluster:
        every_hour = StaticSchedule("Hourly", self.handler, timedelta(seconds=every), **rules)
        return cluster.add_handlers(self.handler).add_schedules(every_hour)


async def status(runtime: Runtime) -> ScheduleStatus:
    [schedule] = await runtime.schedules.query(static=True)
    return schedule.status


@pytest.mark.parametrize("method", ["schedules.expired", "schedules.write"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_nobody_declares_any_more_is_inactive_after_two_leases(
    build: Build, method: str, when: When
) -> None:
    fault = Fault(method, when, count=2)
    async with build(other, faults=Faults([fault])).running() as runtime:
        await anyio.sleep(5 * LEASE)
        async with Hourly().declared(build()).running():
            await anyio.sleep(5 * LEASE)
            assert await status(runtime) is ScheduleStatus.ACTIVE

        await anyio.sleep(DECLARED - LEASE - 1)
        assert await status(runtime) is ScheduleStatus.ACTIVE
        await anyio.sleep(DECLARED + 2 * LEASE)

        assert await status(runtime) is ScheduleStatus.INACTIVE
        assert fault.hits


async def test_after_an_outage_a_schedule_whose_process_comes_back_later_is_not_laid_to_rest(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    near, far, hourly = Faults(), Faults(), Hourly()
    declaring = hourly.declared(build(faults=far))
    async with build(other, faults=near).running(), declaring.running() as runtime:
        await anyio.sleep(HOUR - 60)
        near.away = far.away = {MASTER}
        await anyio.sleep(5 * 60)
        near.away = set()
        await anyio.sleep(DECLARED - 2 * LEASE)
        far.away = set()
        await anyio.sleep(2 * LEASE)

        assert await status(runtime) is ScheduleStatus.ACTIVE
    assert len(hourly.ran) == 1
    assert "is inactive" not in caplog.text


async def test_after_everybody_was_away_who_declares_a_schedule_may_start_last(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    hourly = Hourly()
    async with hourly.declared(build()).running():
        await anyio.sleep(60)
    await anyio.sleep(2 * HOUR)

    async with build(other).running():
        await anyio.sleep(DECLARED - LEASE)
        changed = hourly.declared(build(), every=7 * HOUR, overlap="queue")
        async with changed.running() as runtime:
            await until(lambda: hourly.ran, what="the missed time to be run")
            await anyio.sleep(DECLARED)

            assert await status(runtime) is ScheduleStatus.ACTIVE
    assert len(hourly.ran) == 1
    assert "is inactive" not in caplog.text


@pytest.mark.parametrize("misfire", ["skip", "run_once"])
async def test_a_release_that_changes_a_schedule_finds_it_changed_whatever_was_missed(
    build: Build, misfire: str
) -> None:
    hourly = Hourly()
    async with hourly.declared(build(), misfire="run_all(100)").running():
        await anyio.sleep(60)
    await anyio.sleep(3 * HOUR)

    changed = hourly.declared(build(), every=7 * HOUR, misfire=misfire, priority="high")
    async with changed.running() as runtime:
        await anyio.sleep(60)
        [schedule] = await runtime.schedules.query(static=True)

    assert (schedule.expression, str(schedule.misfire), schedule.priority) == ("7h", misfire, Priority.HIGH)
    assert len(hourly.ran) == {"skip": 0, "run_once": 1}[misfire]


@pytest.mark.parametrize("minutes", [5, -5])
async def test_a_schedule_without_a_start_begins_by_the_clock_of_the_store(
    store_url: str, virtual_clock: VirtualClock, minutes: int
) -> None:
    now = virtual_clock.now()
    host = VirtualClock(now + timedelta(minutes=minutes))
    skewed = Cluster.standalone("Test-1", store_url, clock=host).add_handlers(other)
    async with skewed.configure(store_options={"clock": virtual_clock}).running() as runtime:
        receipt = await runtime.scheduler.recurring(other, timedelta(hours=1))
        schedule = await runtime.schedules.get(receipt.schedule_id)

    assert abs(schedule.starts_after - now) < timedelta(seconds=1)
    assert schedule.planned_to == schedule.starts_after


async def test_a_process_that_starts_right_after_an_outage_lets_others_say_how_their_jobs_ended(
    build: Build, virtual_clock: VirtualClock
) -> None:
    """Their leases have run out, and they need a moment to come back: a rescuer could only guess."""
    started, faults = anyio.Event(), Faults()

    @handler("Judging.Long")
    async def long(_: JobContext) -> None:
        started.set()
        await anyio.sleep(5)

    async with build(long, faults=faults, heartbeat=5.0).running() as runtime:
        receipt = await runtime.scheduler.once_now(long)
        await started.wait()
        faults.away = {MASTER}
        await anyio.sleep(60)
        before = virtual_clock.monotonic()
        async with build(other).running() as fresh:
            assert virtual_clock.monotonic() - before < 1
            faults.away = set()
            job = await fresh.jobs.wait(receipt.job_id, timeout=60)

    assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)
