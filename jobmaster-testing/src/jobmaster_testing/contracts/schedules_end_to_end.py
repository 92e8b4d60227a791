"""Recurring schedules from the call or the declaration to the runs of their jobs, on a provider's store."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack
from uuid import UUID

import anyio

from jobmaster.cluster import Runtime
from jobmaster.context import JobContext
from jobmaster.handlers import Handler, HandlerSettings, handler
from jobmaster.models import JobRecord
from jobmaster.states import JobStatus, ScheduleStatus
from jobmaster_testing.contracts.running import Clusters, RunningTests, ended, outcomes
from jobmaster_testing.probes import Seen, until

SECOND = timedelta(seconds=1)
QUICKLY_GONE: dict[str, Any] = {"heartbeat": 0.1, "lease": 0.5}
"""Settings with which a declaration lasts 2 s."""

Runs = Seen[tuple[datetime, datetime]]
"""When each run was due, and when it began."""


def noting(
    runs: Runs, definition_id: str = "Recurring", **settings: Unpack[HandlerSettings]
) -> Handler[[], None]:
    """Return a handler that records its runs."""

    @handler(definition_id, **settings)
    async def note(job: JobContext) -> None:
        runs.add((job.scheduled_at, datetime.now(UTC)))

    return note


async def of_schedule(runtime: Runtime, schedule_id: UUID) -> list[JobRecord]:
    """Return the jobs of a schedule, oldest first."""
    return list(reversed(await runtime.jobs.query(schedule=schedule_id, limit=1000)))


class RecurringContract(RunningTests, suite=True):
    """Schedules that fire every second, in real clusters."""

    async def test_a_schedule_runs_at_each_of_its_times(self, clusters: Clusters) -> None:
        runs: Runs = Seen()
        async with clusters.running(noting(runs)) as runtime:
            before = datetime.now(UTC)
            receipt = await runtime.scheduler.recurring(noting(runs), SECOND)
            await runs.count(3)
            schedule = await runtime.schedules.get(receipt.schedule_id)
            jobs = await of_schedule(runtime, receipt.schedule_id)

        due = [time for time, _ in runs.items]
        assert due[0] > before
        assert [later - earlier for earlier, later in itertools.pairwise(due)] == [SECOND] * (len(due) - 1)
        assert all(timedelta(0) <= began - time < SECOND for time, began in runs.items)
        assert [job.nominal_at for job in jobs][: len(due)] == due
        assert (schedule.status, schedule.next_at) == (ScheduleStatus.ACTIVE, due[2] + SECOND)
        assert schedule.last_job_id == jobs[2].id

    async def test_several_runtimes_run_each_time_once(self, clusters: Clusters) -> None:
        runs: Runs = Seen()
        note = noting(runs)
        async with AsyncExitStack() as stack:
            runtimes = [
                await stack.enter_async_context(clusters.running(note, name=f"Worker-{n}")) for n in range(3)
            ]
            await runtimes[0].scheduler.recurring(note, SECOND)
            await runs.count(3)

        due = sorted(time for time, _ in runs.items)
        assert [later - earlier for earlier, later in itertools.pairwise(due)] == [SECOND] * (len(due) - 1)

    async def test_a_schedule_waits_for_a_worker(self, clusters: Clusters) -> None:
        runs: Runs = Seen()
        note = noting(runs)
        async with clusters.scheduling() as runtime:
            receipt = await runtime.scheduler.recurring(note, SECOND, key="one")
            again = await runtime.scheduler.recurring(note, SECOND, key="one")
            assert (again.schedule_id, again.created) == (receipt.schedule_id, False)
        async with clusters.running(note):
            await runs.count(1)

    async def test_a_cancelled_schedule_runs_no_more(self, clusters: Clusters) -> None:
        runs: Runs = Seen()
        note = noting(runs)
        async with clusters.running(note) as runtime:
            receipt = await runtime.scheduler.recurring(note, SECOND)
            await runs.count(1)
            cancelled = await runtime.scheduler.cancel_recurring(receipt.schedule_id)
            known = len(await of_schedule(runtime, receipt.schedule_id))
            # Beyond the next two times: a run of another schedule shows that they have passed.
            await runtime.scheduler.once_after(note, 2.2)
            await runs.count(2)
            jobs = await of_schedule(runtime, receipt.schedule_id)

        assert (cancelled.status, cancelled.next_at) == (ScheduleStatus.CANCELLED, None)
        assert len(jobs) == known <= 2
        assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}

    async def test_a_paused_schedule_goes_on_when_it_is_resumed(self, clusters: Clusters) -> None:
        runs: Runs = Seen()
        note = noting(runs)
        async with clusters.running(note) as runtime:
            receipt = await runtime.scheduler.recurring(note, SECOND)
            await runs.count(1)
            paused = await runtime.scheduler.pause_recurring(receipt.schedule_id)
            resumed = await runtime.scheduler.resume_recurring(receipt.schedule_id)
            seen = len(runs.items)
            await runs.count(seen + 1)

        assert (paused.status, resumed.status) == (ScheduleStatus.PAUSED, ScheduleStatus.ACTIVE)

    async def test_an_updated_schedule_fires_as_it_is_told_now(self, clusters: Clusters) -> None:
        seen: Seen[str] = Seen()

        @handler("Updated")
        async def updated(job: JobContext, name: str) -> None:
            assert job.data["name"] == name
            seen.add(name)

        async with clusters.running(updated) as runtime:
            receipt = await runtime.scheduler.recurring(updated, timedelta(hours=1), name="old")
            await runtime.scheduler.update_recurring(
                receipt.schedule_id, SECOND, {"name": "new"}, max_retries=0
            )
            await seen.count(1)
            [job, *_] = await of_schedule(runtime, receipt.schedule_id)

        assert seen.items[0] == "new"
        assert job.max_retries == 0

    async def test_a_schedule_can_be_run_now(self, clusters: Clusters) -> None:
        runs: Runs = Seen()
        note = noting(runs)
        async with clusters.running(note) as runtime:
            receipt = await runtime.scheduler.recurring(note, timedelta(hours=1))
            job = await ended(runtime, (await runtime.scheduler.run_now(receipt.schedule_id)).job_id)

        assert (job.schedule_id, job.nominal_at, outcomes(job)) == (receipt.schedule_id, None, ["succeeded"])

    async def test_a_running_job_makes_way(self, clusters: Clusters) -> None:
        started: Seen[UUID] = Seen()

        @handler("Endless", timeout=None)
        async def endless(job: JobContext) -> None:
            started.add(job.id)
            await anyio.sleep_forever()

        async with clusters.running(endless) as runtime:
            receipt = await runtime.scheduler.recurring(endless, SECOND, overlap="cancel_running")
            first, second = (await started.count(2))[:2]
            job = await ended(runtime, first)
            await runtime.scheduler.cancel_recurring(receipt.schedule_id)
            await runtime.scheduler.cancel_many(started.items)

        assert (job.status, outcomes(job)) == (JobStatus.CANCELLED, ["cancelled"])
        assert first != second

    async def test_a_static_schedule_lives_while_it_is_declared(self, clusters: Clusters) -> None:
        runs: Runs = Seen()
        static, other = noting(runs, "Static", every=SECOND), noting(Seen(), "Other")
        async with clusters.running(other, name="Other-01", **QUICKLY_GONE) as runtime:
            async with clusters.running(static, name="Static-01", **QUICKLY_GONE):
                await runs.count(1)
                [schedule] = await runtime.schedules.query(static=True)
                assert (schedule.name, schedule.status) == ("Static", ScheduleStatus.ACTIVE)

            async def inactive() -> bool:
                return (await runtime.schedules.get(schedule.id)).status is ScheduleStatus.INACTIVE

            await until(inactive, what="the schedule to be inactive")
            seen = len(runs.items)
            async with clusters.running(static, name="Static-02", **QUICKLY_GONE):
                await runs.count(seen + 1)
                [again] = await runtime.schedules.query(handler=static, status="active")

        assert again.id == schedule.id
