"""The behaviour of a simulation's jobs: they succeed, fail, take some time, ask for a retry, or hang."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from jobmaster.context import JobContext
from jobmaster.errors import Discard, Retry, Snooze
from jobmaster.handlers import Handler, handler
from jobmaster.states import JobStatus
from jobmaster_testing.simulation.processes import Process

if TYPE_CHECKING:
    from jobmaster_testing.simulation.world import World

COMMON, RARE = "Simulated", "SimulatedRare"
STUCK_TIMEOUT = 0.7
SNOOZE, RETRY_AFTER = 0.6, 0.9
CLEANING = 0.15
"""Seconds that a tidy job needs for cleaning up when it is told to stop."""

ENDS: Mapping[str, JobStatus] = {
    "plain": JobStatus.SUCCEEDED,
    "tidy": JobStatus.SUCCEEDED,
    "flaky": JobStatus.SUCCEEDED,
    "again": JobStatus.SUCCEEDED,
    "snooze": JobStatus.SUCCEEDED,
    "hopeless": JobStatus.FAILED,
    "discard": JobStatus.FAILED,
    "stuck": JobStatus.FAILED,
}
"""The kinds of jobs, and how each ends unless it is cancelled."""


def handlers_of(world: World, process: Process) -> list[Handler]:
    """Return the handlers that a process knows."""

    async def work(job: JobContext) -> None:
        await process.gate()
        run = world.started(process, job)
        try:
            await _behave(world, process, job)
        except (Exception, anyio.get_cancelled_exc_class()) as error:
            run.told_to_stop = isinstance(error, anyio.get_cancelled_exc_class())
            if run.told_to_stop and job.data["kind"] == "tidy":
                await _clean_up()
            world.ended(run, _how(error))
            raise
        world.ended(run, "ok")

    return [handler(name)(work) for name in known_to(process)]


def known_to(process: Process) -> Sequence[str]:
    """Return the definitions that a process has handlers for."""
    return (COMMON, RARE) if process.spec.knows_rare else (COMMON,)


async def _clean_up() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(CLEANING)


def _how(error: BaseException) -> str:
    if isinstance(error, Snooze):
        return "snoozed"
    return "raised" if isinstance(error, Exception) else "stopped"


async def _behave(world: World, process: Process, job: JobContext) -> None:
    data = job.data
    await anyio.sleep(data["seconds"])
    await process.gate()
    kind, times = data["kind"], data["times"]
    if kind == "hopeless" or (kind == "flaky" and job.retries < times):
        raise ValueError("as it was told")
    if kind == "again" and job.retries < times:
        raise Retry(RETRY_AFTER)
    if kind == "snooze" and world.ledger.count(job.id, "snoozed") < times:
        raise Snooze(SNOOZE)
    if kind == "discard":
        raise Discard("as it was told")
    if kind == "stuck":
        await anyio.sleep_forever()


def data_of(number: int, kind: str, times: int, seconds: float) -> dict[str, Any]:
    """Return the data for a job's handler; number 0 is for recurring jobs."""
    return {"n": number, "kind": kind, "times": times, "seconds": seconds}
