"""The demo from start to end: schedule, watch, audit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import anyio
from attrs import define, field, frozen
from rich.console import Console

from jobmaster import Cluster, Handler, JobRecord, JobStatus, Runtime
from jobmaster.cli.demo import handlers, view
from jobmaster.cli.demo.cases import Case, Starts, cancel_running, schedule_cases

LOOK_EVERY = 0.1
"""Seconds between two looks at the progress."""


def time_limit(jobs: int) -> float:
    """Return the seconds the demo may take."""
    return 60 + jobs / 50


@frozen
class Audited:
    """A case with its job as the master has it in the end."""

    case: Case
    job: JobRecord

    @property
    def difference(self) -> str | None:
        """What is not as it should be."""
        return self.case.difference(self.job)


@define
class Burst:
    """Many jobs at once: when and how they were scheduled, and what became of them."""

    size: int
    scheduling: float = 0.0
    """Seconds that the scheduling call took."""
    counts: Counter[JobStatus] = field(factory=Counter)
    more_attempts: int = 0
    """Jobs that needed another number of attempts than one."""
    first: datetime | None = None
    last: datetime | None = None

    @property
    def running(self) -> float:
        """Seconds from the first job's acceptance to the last one's end."""
        return (self.last - self.first).total_seconds() if self.first and self.last else 0.0

    @property
    def difference(self) -> str | None:
        """What is not as it should be."""
        if self.counts[JobStatus.SUCCEEDED] != self.size or self.counts.total() != self.size:
            found = ", ".join(f"{count:,} {status}" for status, count in self.counts.items())
            return f"found {found or 'none'}, not {self.size:,} succeeded"
        return f"{self.more_attempts} took more than one attempt" if self.more_attempts else None

    def add(self, job: JobRecord) -> None:
        """Count a job."""
        self.counts[job.status] += 1
        self.more_attempts += job.attempt != 1
        self.first = min(self.first or job.created_at, job.created_at)
        if job.finished_at is not None:
            self.last = max(self.last or job.finished_at, job.finished_at)


async def run_demo(url: str, jobs: int, console: Console, *, kept: bool) -> bool:
    """Run the demo on a database; return whether every job ended as it should.

    Args:
        url: the cluster database.
        jobs: how many jobs the burst has.
        console: where to show what happens.
        kept: whether the database stays, so that it makes sense to say how to look at it.

    """
    starts = Starts()
    # A cluster of its own each time: a database that is used again does not mix runs up.
    cluster = Cluster.standalone(f"Demo-{uuid4().hex[:8]}", url).add_worker(name="demo-worker")
    cluster.add_handlers(*handlers.SINGLE, handlers.burst).use(starts).configure(stop_grace=2)
    async with cluster.running() as runtime:
        view.show_intro(console, cluster, url, jobs)
        cases = await schedule_cases(runtime)
        burst = await _schedule_burst(runtime, jobs)
        cases.append(await cancel_running(runtime, starts))
        finished = await _watch(runtime, burst, len(cases), console)
        audit = [Audited(case, await runtime.jobs.get(case.job_id)) for case in cases]
        await _count(runtime, burst)
    return conclude(console, audit, burst, cluster, finished=finished, kept=kept)


async def _schedule_burst(runtime: Runtime, size: int) -> Burst:
    requests = [handlers.burst.request({"number": number}) for number in range(size)]
    started = time.monotonic()
    await runtime.scheduler.once_many(requests)
    return Burst(size, scheduling=time.monotonic() - started)


async def _watch(runtime: Runtime, burst: Burst, cases: int, console: Console) -> bool:
    """Show the progress until all jobs have finished; return whether they did in time."""
    with anyio.move_on_after(time_limit(burst.size)), view.progress(console, burst.size, cases) as show:
        while True:
            of_burst = await _finished(runtime, [handlers.burst])
            of_cases = await _finished(runtime, handlers.SINGLE)
            show(of_burst, of_cases)
            if (of_burst, of_cases) == (burst.size, cases):
                return True
            await anyio.sleep(LOOK_EVERY)
    return False


async def _finished(runtime: Runtime, of: Sequence[Handler]) -> int:
    """Return how many jobs of some handlers have finished."""
    counts = [await runtime.jobs.count_by_status(handler=handler) for handler in of]
    return sum(count for one in counts for status, count in one.items() if status.is_terminal)


async def _count(runtime: Runtime, burst: Burst) -> None:
    async for job in runtime.jobs.all(handler=handlers.burst):
        burst.add(job)


def conclude(
    console: Console, audit: Sequence[Audited], burst: Burst, cluster: Cluster, *, finished: bool, kept: bool
) -> bool:
    """Show the audit; return whether everything is as it should be."""
    view.show_audit(console, audit, burst)
    retried = next(one.job for one in audit if one.job.definition_id == handlers.flaky.definition.id)
    view.show_timeline(console, retried)
    view.show_throughput(console, burst)
    if kept:
        view.show_where(console, cluster)
    differences = [f"{one.case.title}: {one.difference}" for one in audit if one.difference]
    differences += [f"burst: {burst.difference}"] if burst.difference else []
    if not finished:
        differences.append(f"not all jobs had ended after {time_limit(burst.size):g} s")
    view.show_verdict(console, len(audit) + burst.size, differences)
    return not differences
