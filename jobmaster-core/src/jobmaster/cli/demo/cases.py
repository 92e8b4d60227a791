"""The single jobs of the demo: how each is scheduled, and how it should end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

import anyio
from attrs import frozen

from jobmaster import (
    AttemptOutcome,
    CancelResult,
    InvalidArgumentsError,
    JobContext,
    JobReceipt,
    JobRecord,
    JobStatus,
    Priority,
    Runtime,
    Scheduler,
    hookimpl,
)
from jobmaster.cli.demo import handlers
from jobmaster.models import NewJob, Report

DELAY = 1.0
"""Seconds the delayed job waits."""
START_LIMIT = 30.0
"""Seconds within which the job that is cancelled while running must have started."""

SUCCEEDED, FAILED = AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED

Check = Callable[[JobRecord], str | None]
"""Says what is wrong with a finished job besides its status and attempts, if anything is."""


@frozen
class Case:
    """A job, what it shows, and how it should end."""

    title: str
    job_id: UUID
    status: JobStatus
    outcomes: Sequence[AttemptOutcome]
    check: Check = lambda _job: None
    problem: str | None = None
    """What already went wrong when it was scheduled."""

    def difference(self, job: JobRecord) -> str | None:
        """Return what differs from what should be, or None."""
        found = [attempt.outcome for attempt in job.attempts]
        if job.status is not self.status:
            return f"is {job.status}, not {self.status}"
        if found != list(self.outcomes):
            return f"attempts: {named(found)}, not {named(self.outcomes)}"
        return self.problem or self.check(job)


def named(outcomes: Sequence[AttemptOutcome]) -> str:
    """Return outcomes for people, repeated ones counted: `failed x2, succeeded`."""
    runs = [(one.replace("_", " "), len(list(same))) for one, same in groupby(outcomes)]
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in runs) or "none"


class Starts:
    """A plug-in that sees which jobs start, so that one can be cancelled while it runs."""

    def __init__(self) -> None:
        self._events: dict[UUID, anyio.Event] = {}

    @hookimpl
    def jobmaster_observer(self) -> Starts:
        """Watch the jobs of this process."""
        return self

    def on_scheduled(self, new: NewJob, receipt: JobReceipt) -> None:
        """Nothing to do."""

    def on_started(self, job: JobContext) -> None:
        """Wake who waits for this job."""
        if job.definition_id == handlers.endless.definition.id:
            self._event(job.id).set()

    def on_reported(self, report: Report, stale: bool) -> None:
        """Nothing to do."""

    def _event(self, job_id: UUID) -> anyio.Event:
        return self._events.setdefault(job_id, anyio.Event())

    async def wait(self, job_id: UUID) -> bool:
        """Wait until a job has started; return whether it did in time."""
        with anyio.move_on_after(START_LIMIT):
            await self._event(job_id).wait()
        return self._event(job_id).is_set()


async def schedule_cases(runtime: Runtime) -> list[Case]:
    """Schedule all single jobs but the one that is cancelled while it runs; return what they should become."""
    scheduler = runtime.scheduler
    return [
        *[await _prioritized(scheduler, priority) for priority in sorted(Priority, reverse=True)],
        await _delayed(scheduler),
        await _typed(scheduler),
        await _keyed(scheduler),
        await _simple(scheduler, "retried to success", handlers.flaky, [FAILED, FAILED, SUCCEEDED]),
        await _simple(scheduler, "fails for good", handlers.broken, [FAILED, FAILED], amount=100),
        await _simple(scheduler, "times out", handlers.slow, [AttemptOutcome.TIMED_OUT]),
        await _cancelled_waiting(scheduler),
    ]


async def _simple(
    scheduler: Scheduler, title: str, handler: Any, outcomes: Sequence[AttemptOutcome], **options: Any
) -> Case:
    """Schedule a job whose last outcome decides its status."""
    receipt = await scheduler.once_now(handler, **options)
    status = JobStatus.SUCCEEDED if outcomes[-1] is SUCCEEDED else JobStatus.FAILED
    return Case(title, receipt.job_id, status, outcomes)


async def _prioritized(scheduler: Scheduler, priority: Priority) -> Case:
    name = priority.name.lower().replace("_", " ")
    return await _simple(
        scheduler, f"{name} priority", handlers.greet, [SUCCEEDED], name=name, priority=priority
    )


async def _delayed(scheduler: Scheduler) -> Case:
    receipt = await scheduler.once_after(handlers.greet, DELAY, {"name": "later"})
    title = f"delayed by {DELAY:g} s"
    return Case(title, receipt.job_id, JobStatus.SUCCEEDED, [SUCCEEDED], _not_early)


def _not_early(job: JobRecord) -> str | None:
    started = job.attempts[0].started_at
    return "started before it was due" if started is None or started < job.scheduled_at else None


async def _typed(scheduler: Scheduler) -> Case:
    """A plain function with typed arguments; a call with a wrong type must be refused before."""
    title, problem = "typed arguments", None
    try:
        await scheduler.once_now(handlers.resize, {"url": "https://example.org/a.png", "width": "wide"})
        problem = "a wrong argument type was accepted"
    except InvalidArgumentsError:
        pass
    receipt = await scheduler.once_now(handlers.resize, url="https://example.org/a.png", width=80)
    return Case(title, receipt.job_id, JobStatus.SUCCEEDED, [SUCCEEDED], problem=problem)


async def _keyed(scheduler: Scheduler) -> Case:
    first = await scheduler.once_now(handlers.greet, {"name": "once"}, key="demo")
    second = await scheduler.once_now(handlers.greet, {"name": "once"}, key="demo")
    same = second.job_id == first.job_id and not second.created
    return Case(
        "one key, two calls",
        first.job_id,
        JobStatus.SUCCEEDED,
        [SUCCEEDED],
        problem=None if same else "the second call made another job",
    )


async def _cancelled_waiting(scheduler: Scheduler) -> Case:
    receipt = await scheduler.once_after(handlers.greet, 3600, {"name": "never"})
    result = await scheduler.cancel(receipt.job_id)
    return Case(
        "cancelled waiting",
        receipt.job_id,
        JobStatus.CANCELLED,
        [],
        problem=None if result is CancelResult.CANCELLED else f"cancelling answered {result}",
    )


async def cancel_running(runtime: Runtime, starts: Starts) -> Case:
    """Schedule a job, wait until it runs, and cancel it."""
    receipt = await runtime.scheduler.once_now(handlers.endless)
    started = await starts.wait(receipt.job_id)
    await runtime.scheduler.cancel(receipt.job_id)
    return Case(
        "cancelled running",
        receipt.job_id,
        JobStatus.CANCELLED,
        [AttemptOutcome.CANCELLED],
        problem=None if started else f"it did not start within {START_LIMIT:g} s",
    )
