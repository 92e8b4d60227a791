"""Chaos: a distributed cluster at work while its processes, servers and connections fail, by a plan."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from attrs import define

from jobmaster import JobRequest, Runtime, StoreUnavailableError
from tests.e2e.audit import Audit, rescue_times
from tests.e2e.faults import Fault, waves
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.workload import calls, delayed_jobs, keyed_jobs, short_jobs, shuffled
from tests.e2e.world import Servers, World, at_work

BULK = 20
"""Jobs in one scheduling call."""
UNDER_WAY = 0.2
MOSTLY_DONE = 0.7
"""Shares of a step's jobs: started before its fault, and before the next step."""
LIMIT = 180.0
"""Seconds until chaos that makes no progress has failed."""


@define
class Producer:
    """Schedules jobs, each call until it is answered, and counts the jobs of those that were not."""

    scenario: Scenario
    runtime: Runtime
    unanswered: int = 0

    async def schedule(self, requests: Sequence[JobRequest]) -> None:
        """Schedule all requests."""
        for chunk in calls(requests, BULK):
            while not await self._try(chunk):
                self.unanswered += len(chunk)

    async def _try(self, chunk: Sequence[JobRequest]) -> bool:
        try:
            await self.scenario.schedule(self.runtime, chunk)
        except StoreUnavailableError:
            return False
        return True


async def run(scenario: Scenario, servers: Servers, seed: int, jobs: int, faults: Sequence[Fault]) -> str:
    """Let all faults happen, wave after wave, while jobs are scheduled and run; check all, and sum up."""
    planned = waves(seed, faults)
    async with at_work(scenario, servers) as (world, runtime):
        producer = Producer(scenario, runtime)
        for number, wave in enumerate(planned):
            share = jobs // len(planned) + (number < jobs % len(planned))
            await step(world, producer, wave, workload(seed * 1000 + number, share))
        await scenario.finished(runtime, LIMIT)
        audit = await scenario.audit(runtime, unacknowledged=True, poison=True)
    check_extra(audit, producer)
    rescues = [rescue_times(audit.entries, process.pid, process.ended_at or 0) for process in world.killed]
    recovered = [times[0] for times in rescues if times]
    return f"{len(faults)} faults, {producer.unanswered} jobs unanswered, {audit.summary(recovered)}"


def workload(seed: int, count: int) -> list[JobRequest]:
    """Return a mix: for now and for soon, with and without keys."""
    keyed, later = keyed_jobs(f"chaos-{seed}", count // 10), delayed_jobs(seed, count // 10, 0.5, 5.0)
    return shuffled(seed, short_jobs(seed, count - len(keyed) - len(later)), keyed, later)


async def step(
    world: World, producer: Producer, wave: Sequence[Fault], requests: Sequence[JobRequest]
) -> None:
    """Schedule a share of the jobs: half of them before a wave of faults, and half while it is on.

    The faults come when jobs are under way, and have to be got over.
    """
    print(f"  {len(requests)} jobs,", " and ".join(map(str, wave)), flush=True)  # noqa: T201
    before = world.scenario.ledger.started()
    half = len(requests) // 2
    async with anyio.create_task_group() as group:
        group.start_soon(producer.schedule, requests[:half])
        await starts(world.scenario, before + int(len(requests) * UNDER_WAY))
        for fault in wave:
            group.start_soon(world.inflict, fault)
        group.start_soon(producer.schedule, requests[half:])
    await starts(world.scenario, before + int(len(requests) * MOSTLY_DONE))


async def starts(scenario: Scenario, count: int) -> None:
    """Wait until so many jobs have been started in all."""

    async def reached() -> bool:
        return scenario.ledger.started() >= count

    await eventually(
        reached, pause=0.02, what=lambda: f"{count} starts; there are {scenario.ledger.started()}"
    )


def check_extra(audit: Audit, producer: Producer) -> None:
    """Assert that jobs without a receipt come from calls that were not answered."""
    extra = len(audit.tables.definitions) - len(set(audit.accepted))
    assert extra <= producer.unanswered, f"{extra} jobs without a receipt, {producer.unanswered} unanswered"
