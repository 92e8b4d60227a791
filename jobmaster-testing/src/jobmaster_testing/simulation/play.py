"""The course of a simulation: trouble for a while, then calm until all work is done, then an orderly end and the audit."""

from __future__ import annotations

import anyio
import anyio.abc
from attrs import define, field, frozen

from jobmaster.memory import MemoryMaster
from jobmaster.memory.rows import RUNNING
from jobmaster.models import WorkerRecord
from jobmaster.states import BucketStatus, WorkerMode
from jobmaster_testing.clock import VirtualClock
from jobmaster_testing.simulation.audit import audit
from jobmaster_testing.simulation.order import run_in_order
from jobmaster_testing.simulation.processes import Process
from jobmaster_testing.simulation.scenario import Event, ProcessSpec, Scenario
from jobmaster_testing.simulation.trace import Trace
from jobmaster_testing.simulation.weather import Outage
from jobmaster_testing.simulation.world import CLUSTER, World

FINISHER = ProcessSpec(name="Finisher", modes=[WorkerMode.FULL])
"""The process that finishes the remaining work in the calm phase: it knows every handler."""
LONGEST_CALM = 400.0
"""Virtual seconds in which a calm cluster has to finish all its work."""
LOOK = 0.25
RESTART = 1.5
"""Longest time in seconds until a dead process is started again."""


@frozen
class Outcome:
    """The result of a simulation: `broken` names the guarantees that did not hold."""

    scenario: Scenario
    backend: str
    broken: list[str]
    summary: str
    trace: Trace
    longest_idle: float | None = None
    """The longest time that a slot was idle beside a due job that it may run, in seconds; None if it was not watched."""

    def __str__(self) -> str:
        seed = self.scenario.seed
        if not self.broken:
            return f"seed {seed}: {self.summary}"
        replay = f"replay it with: python -m jobmaster_testing.simulation {self._options()} --trace"
        return "\n".join([f"seed {seed}: {len(self.broken)} guarantees broken; {replay}", *self.broken])

    def _options(self) -> str:
        kind = "distributed" if self.scenario.agents else "standalone"
        situation = f" --situation {self.scenario.situation}" if self.scenario.situation else ""
        return f"--seed {self.scenario.seed}{situation} --cluster {kind} --backend {self.backend}"


def simulate(scenario: Scenario, backend: str = "asyncio") -> Outcome:
    """Play a scenario; the same scenario always has the same result."""

    async def main(clock: VirtualClock) -> Outcome:
        clock.now()
        world = World(scenario, clock)
        with world.opened():
            return await Play(world, backend).run()

    return run_in_order(main, scenario.seed, backend)


@define(eq=False)
class Play:
    """Plays the scenario of a world."""

    world: World
    backend: str
    _current: dict[int, Process] = field(factory=dict, init=False)
    """The current process for each one of the scenario, by its place there; none for a process that has left."""

    async def run(self) -> Outcome:
        """Play the scenario, and judge the result."""
        world = self.world
        async with anyio.create_task_group() as group:
            group.start_soon(world.serve_late_calls)
            if world.idle.is_on:
                group.start_soon(world.idle.run)
            async with anyio.create_task_group() as background:
                background.start_soon(self._undertake, group)
                await self._trouble(group)
                background.cancel_scope.cancel()
            await self._calm(group)
            broken = [*world.watch.found, *audit(world)]
            await self._end_all()
            group.cancel_scope.cancel()
        idle = world.idle.idleness.longest if world.idle.is_on else None
        return Outcome(world.scenario, self.backend, broken, self._summary(), world.trace, idle)

    def _summary(self) -> str:
        world = self.world
        killed = sum(process.killed for process in world.processes)
        return (
            f"{len(world.rows.jobs)} jobs, {len(world.ledger.runs)} runs, {len(world.processes)} processes, "
            f"{killed} killed, {len(world.ledger.stale)} stale reports, {world.watch.echoes} echoes, "
            f"{world.clock.monotonic():.0f} s, {world.idle.summary()}"
        )

    # Trouble

    async def _trouble(self, group: anyio.abc.TaskGroup) -> None:
        scenario = self.world.scenario
        early = [(place, spec) for place, spec in enumerate(scenario.processes) if not spec.starts]
        self._current = {place: self.world.start(group, spec) for place, spec in early}
        async with anyio.create_task_group() as events:
            for place, spec in enumerate(scenario.processes):
                if spec.starts:
                    events.start_soon(self._join, place, spec, group)
            for event in scenario.events:
                events.start_soon(self._befall, event, group)
            await anyio.sleep(scenario.duration)
            events.cancel_scope.cancel()

    async def _join(self, place: int, spec: ProcessSpec, group: anyio.abc.TaskGroup) -> None:
        await anyio.sleep(spec.starts)
        self._current[place] = self.world.start(group, spec)

    async def _befall(self, event: Event, group: anyio.abc.TaskGroup) -> None:
        await anyio.sleep(event.at)
        if event.process not in self._current:
            return
        process = self._current[event.process]
        match event.what:
            case "kill":
                self.world.kill(process, "by the scenario")
            case "lose":
                del self._current[event.process]
                self.world.kill(process, "by the scenario, for good")
            case "stop":
                del self._current[event.process]
                self._stop(process)
            case "freeze":
                await self._freeze(process, event.lasting)
            case "restart":
                await self._restart(event.process, group)
            case "roll":
                for place in list(self._current):
                    await self._restart(place, group)
            case "outage":
                await self._cut(process if event.lasting > 4 else None, event)

    async def _freeze(self, process: Process, seconds: float) -> None:
        if process.stands:
            self.world.trace.add(process.name, "FROZEN", seconds)
            process.freeze()
            await anyio.sleep(seconds)
            self.world.trace.add(process.name, "THAWED")
            process.thaw()

    async def _restart(self, place: int, group: anyio.abc.TaskGroup) -> None:
        """Start a new process, then stop the old one, as a rolling deploy does."""
        old = self._current[place]
        if old.killed:
            return
        self._current[place] = self.world.start(group, old.spec)
        self._stop(old)
        await anyio.sleep(self.world.chance.uniform(0.0, 1.0))

    def _stop(self, process: Process) -> None:
        self.world.trace.add(process.name, "is to stop")
        process.stop()
        self.world.idle.stopped()

    async def _cut(self, process: Process | None, event: Event) -> None:
        outage = Outage(process, event.store)
        self.world.trace.add(
            "weather", "outage", process or "everybody", event.store or "everywhere", event.lasting
        )
        self.world.weather.begin(outage)
        await anyio.sleep(event.lasting)
        self.world.trace.add("weather", "outage ends", process or "everybody", event.store or "everywhere")
        self.world.weather.end(outage)

    async def _undertake(self, group: anyio.abc.TaskGroup) -> None:
        """Start a new process for each that died or could not start."""
        world = self.world
        while True:
            with anyio.move_on_after(1.0):
                await world.died.wait()
            world.died = anyio.Event()
            for place, process in list(self._current.items()):
                if process.killed or process.ended.is_set():
                    await anyio.sleep(world.chance.uniform(0.0, RESTART))
                    if place in self._current:
                        self._current[place] = world.start(group, process.spec)

    # Calm

    async def _calm(self, group: anyio.abc.TaskGroup) -> None:
        """End all trouble, and wait until all work is done and all processes have ended."""
        world = self.world
        world.trace.add("play", "CALM")
        world.is_calm = True
        world.weather.calm()
        for process in world.processes:
            process.thaw()
        finisher = world.start(group, self._finisher(), calls=False)
        with anyio.move_on_after(LONGEST_CALM) as limit:
            await self._end_schedules(finisher)
            while not await self._is_done():  # noqa: ASYNC110 - many conditions are waited for, and time costs nothing
                await anyio.sleep(LOOK)
        if limit.cancelled_caught:
            world.watch.complain("the calm cluster did not get done in time")
        alive = [process for process in world.processes if process.stands and process is not finisher]
        for process in [*alive, finisher]:
            process.stop()
            await process.ended.wait()

    async def _end_schedules(self, finisher: Process) -> None:
        """Cancel recurring schedules, so that the work comes to an end."""
        while (runtime := finisher.runtime) is None:  # noqa: ASYNC110 - as above
            await anyio.sleep(LOOK)
        for schedule in list(self.world.rows.schedules.values()):
            if not schedule.status.is_terminal:
                await runtime.scheduler.cancel_recurring(schedule.id)

    def _finisher(self) -> ProcessSpec:
        agents = self.world.scenario.agents
        return FINISHER if not agents else ProcessSpec(name="Finisher", modes=FINISHER.modes, agent=agents[0])

    async def _is_done(self) -> bool:
        world = self.world
        if not world.is_quiet or world.rows.live or world.is_waited_for() or world.rows.handovers:
            return False
        if any(
            bucket.status in (BucketStatus.LOST, BucketStatus.DRAINING)
            for bucket in world.rows.buckets.values()
        ):
            return False
        if any(
            self._is_silent(worker) or self._is_replaced(worker) for worker in world.rows.workers.values()
        ):
            return False
        return not await MemoryMaster(world.master_name, world.clock).rescue.is_needed(CLUSTER)

    def _is_silent(self, worker: WorkerRecord) -> bool:
        """Return whether a worker counts as running but does not run: its lease has yet to expire."""
        if worker.status not in RUNNING or worker.heartbeat_at is None:
            return False
        dead = {process.name for process in self.world.processes if process.killed or process.ended.is_set()}
        silence = (self.world.clock.now() - worker.heartbeat_at).total_seconds()
        return worker.name.partition("-")[0] in dead or silence > 2 * self.world.heartbeat

    def _is_replaced(self, worker: WorkerRecord) -> bool:
        """Return whether a worker counts as running although its process has registered anew, because of a late write.

        Fallbacks are left out: several fallbacks of one coordinator have the same name.
        """
        if worker.status not in RUNNING or worker.name.endswith("-fallback"):
            return False
        namesakes = [each for each in self.world.rows.workers.values() if each.name == worker.name]
        return any(each.id > worker.id for each in namesakes)

    async def _end_all(self) -> None:
        for process in self.world.processes:
            process.let_go()
        for process in self.world.processes:
            await process.ended.wait()
