"""Lanes that nobody serves are named by callers: however many there are, few are served at a time, each in turn."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from uuid import UUID, uuid4

import anyio
import pytest

from jobmaster import Cluster, JobContext, Priority, WorkerMode, handler
from jobmaster._policy.placement import Place
from jobmaster._upkeep.fallback import LONGEST_TURN, MOST, SHORTEST_TURN, Fallback
from jobmaster.memory import MemoryMaster
from jobmaster_testing.clock import HandMovedClock
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.probes import Seen

pytestmark = pytest.mark.anyio

LANES = 5 * MOST
PATIENCE = 1.0


class Standing:
    """A coordinator that looks every second, in virtual time; `busy` are the places whose jobs do not end."""

    def __init__(self, world: World, busy: frozenset[str] = frozenset()) -> None:
        self.clock, self.world, self.busy = HandMovedClock(), world, busy
        self.open: frozenset[Place] = frozenset()
        self.opened: list[Place] = []
        self.step = Fallback(
            cluster_id=world.cluster_id,
            assignments=world.master.assignments,
            buckets=world.master.buckets,
            agents={},
            patience=PATIENCE,
            clock=self.clock,
            may_serve=lambda _: True,
            is_idle=lambda place: place[0] not in busy,
        )

    async def look(self, jobs: Mapping[str, UUID]) -> None:
        """Look once, and run what lies in the lanes that are served, but for what does not end."""
        self.clock.move(1)
        wanted = await self.step.run_once(self.open, jobs_left=True)
        self.opened += sorted(wanted - self.open)
        self.open = wanted
        ended = [jobs[lane] for lane, _ in wanted if lane not in self.busy]
        await self.world.master.requests.cancel(self.world.cluster_id, ended)


async def _unserved(count: int, **urgent: Priority) -> tuple[World, dict[str, UUID]]:
    world = await make_world(MemoryMaster(f"fallback-{uuid4()}"))
    lanes = [f"lane-{n}" for n in range(count)]
    jobs = {
        lane: (
            await world.put_one(lane=lane, priority=urgent.get(lane.replace("-", "_"), Priority.MEDIUM))
        ).id
        for lane in lanes
    }
    return world, jobs


async def test_each_of_many_unserved_lanes_has_its_turn_and_few_are_served_at_once() -> None:
    world, jobs = await _unserved(LANES, lane_7=Priority.CRITICAL)
    standing = Standing(world)

    most = 0
    for _ in range(int(LANES / MOST * (SHORTEST_TURN + 1)) + 3):
        await standing.look(jobs)
        most = max(most, len(standing.open))

    assert most == MOST
    assert {lane for lane, _ in standing.opened} == jobs.keys()
    assert standing.step.waiting == 0
    assert ("lane-7", Priority.CRITICAL) in standing.opened[:MOST]


async def test_lanes_whose_jobs_go_on_make_room_for_others_after_a_while() -> None:
    world, jobs = await _unserved(MOST + 3)
    standing = Standing(world, busy=frozenset(jobs))

    for _ in range(int(LONGEST_TURN)):
        await standing.look(jobs)
    assert len(standing.opened) == MOST

    for _ in range(int(LONGEST_TURN)):
        await standing.look(jobs)
    assert {lane for lane, _ in standing.opened} == jobs.keys()
    assert len(standing.open) == MOST


async def test_no_more_lanes_than_are_served_at_once_stay_served() -> None:
    world, jobs = await _unserved(MOST)
    standing = Standing(world)

    for _ in range(int(LONGEST_TURN) + 3):
        await standing.look(jobs)

    assert len(standing.open) == len(standing.opened) == MOST


async def test_a_coordinator_serves_many_lanes_with_few_workers_and_tells_of_it_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ran = Seen[str]()

    @handler("Fallback.Lanes")
    async def lanes(job: JobContext) -> None:
        ran.add(job.lane)

    store = f"memory://{uuid4()}"
    made = Cluster("Lanes", master=store).add_agent("A", f"memory://{uuid4()}")
    made.configure(fallback_patience=0.1, heartbeat=0.2, poll_interval=0.1).add_handlers(lanes)
    made.add_worker(agent="A", name="coordinator", mode=WorkerMode.COORDINATOR)
    made.add_worker(agent="A", name="executor", mode=WorkerMode.EXECUTION)
    with caplog.at_level(logging.WARNING, "jobmaster.cluster"):
        async with made.running() as runtime:
            await runtime.workers_ready()
            await runtime.scheduler.once_many([lanes.request(lane=f"lane-{n}") for n in range(2 * MOST)])
            with anyio.fail_after(10):
                served = await runtime.scheduler.once_now(lanes)
                await runtime.jobs.wait(served.job_id)
            await ran.count(MOST + 2, timeout=20)
            assert len(await runtime.list_workers()) >= MOST
            names = [worker.name for worker in await runtime.list_workers() if worker.status.name == "ACTIVE"]
            assert len(names) <= MOST + 2

    lines = [
        record.getMessage() for record in caplog.records if "no other worker runs" in record.getMessage()
    ]
    assert len(lines) == 1
    assert f"they take turns here, {MOST} at a time" in lines[0]
