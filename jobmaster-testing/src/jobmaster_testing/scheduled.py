"""The jobs that an application scheduled: asserting them, and letting them all run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from jobmaster.cluster import Runtime
from jobmaster.data import MessageData
from jobmaster.definitions import JobDefinition
from jobmaster.handlers import handler_of
from jobmaster.models import JobRecord
from jobmaster.states import JobStatus
from jobmaster_testing.probes import until

UNFINISHED = [status for status in JobStatus if not status.is_terminal]


async def assert_scheduled(
    runtime: Runtime,
    handler: Any,
    data: Mapping[str, Any] | None = None,
    *,
    within: timedelta | float | None = None,
    **conditions: Any,
) -> JobRecord:
    """Check that a job is stored, in any status, and return it (the newest of several).

    Args:
        runtime: the running cluster to look at.
        handler: a handler, a `JobDefinition`, or a definition id.
        data: values that the job contains, possibly among others.
        within: the job is due no later than this from now, in seconds or as `timedelta`.
        conditions: `status`, `lane`, `priority`, `metadata` and so on, as for `runtime.jobs.query`.

    Raises:
        AssertionError: there is no such job; the message lists the existing jobs of this handler.
    """
    candidates = [job async for job in runtime.jobs.all(handler=handler, **conditions)]
    found = [job for job in candidates if _carries(job, data)]
    if within is not None:
        latest = await runtime.master.now() + _delta(within)
        found = [job for job in found if job.scheduled_at <= latest]
    if not found:
        raise AssertionError(_nothing_like(handler, data, within, conditions, candidates))
    return found[0]


async def assert_not_scheduled(
    runtime: Runtime, handler: Any, data: Mapping[str, Any] | None = None, **conditions: Any
) -> None:
    """Check that no such job is stored; arguments as for `assert_scheduled`, without `within`."""
    candidates = [job async for job in runtime.jobs.all(handler=handler, **conditions)]
    found = [job for job in candidates if _carries(job, data)]
    if found:
        raise AssertionError(f"{_name(handler)} is scheduled: {_listed(found)}")


async def drain(runtime: Runtime, *, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - as in probes.until
    """Wait until no due job waits or runs, including jobs that these jobs schedule.

    Raises:
        AssertionError: some are left after `timeout` seconds of the event loop's time, or a job is parked
            because no worker here knows its handler.
    """

    async def drained() -> bool:
        left = await _due_jobs(runtime)
        parked = [job for job in left if job.reason]
        if parked:
            raise AssertionError(f"no worker runs these jobs: {_listed(parked)}")
        return not left

    await until(drained, timeout=timeout, what="all due jobs to end")


async def _due_jobs(runtime: Runtime) -> list[JobRecord]:
    now = await runtime.master.now()
    jobs = [job async for job in runtime.jobs.all(status=UNFINISHED)]
    return [job for job in jobs if job.ready_at is None or job.ready_at <= now]


def _carries(job: JobRecord, data: Mapping[str, Any] | None) -> bool:
    wanted = MessageData.of(data)
    return all(name in job.data and job.data[name] == value for name, value in wanted.items())


def _delta(span: timedelta | float) -> timedelta:
    return span if isinstance(span, timedelta) else timedelta(seconds=span)


def _nothing_like(
    handler: Any,
    data: Mapping[str, Any] | None,
    within: timedelta | float | None,
    conditions: Mapping[str, Any],
    candidates: Sequence[JobRecord],
) -> str:
    wanted = [f"data={dict(data)}"] if data else []
    wanted += [f"within={within}"] if within is not None else []
    wanted += [f"{name}={value!r}" for name, value in conditions.items()]
    return (
        f"no job of {_name(handler)} with {', '.join(wanted) or 'any data'}; there are: {_listed(candidates)}"
    )


def _name(handler: Any) -> str:
    if isinstance(handler, str):
        return handler
    return handler.id if isinstance(handler, JobDefinition) else handler_of(handler).definition.id


def _listed(jobs: Sequence[JobRecord]) -> str:
    return "; ".join(_described(job) for job in jobs[:10]) or "none"


def _described(job: JobRecord) -> str:
    reason = f" ({job.reason})" if job.reason else ""
    return f"{job.definition_id} {dict(job.data)} due {job.scheduled_at.isoformat()} {job.status}{reason}"
