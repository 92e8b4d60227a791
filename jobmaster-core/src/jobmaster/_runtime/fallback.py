"""A coordinator that runs jobs itself, for as long as nobody else runs them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
from anyio.abc import TaskGroup

from jobmaster._policy.placement import Place
from jobmaster._runtime.crew import Crew
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.service import Service
from jobmaster._runtime.worker import RunningWorker
from jobmaster._upkeep.fallback import Fallback
from jobmaster.config import WorkerSettings
from jobmaster.models import STANDALONE, evolve
from jobmaster.ownership import NEVER
from jobmaster.states import Priority, WorkerMode

log = logging.getLogger("jobmaster.cluster")


class Shortage:
    """Whether a coordinator of this process has left due jobs lately, for which there was no room."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._noted_at = -NEVER

    def note(self) -> None:
        """Note that jobs were left just now."""
        self._noted_at = self._env.monotonic()

    def is_recent(self) -> bool:
        """Return whether jobs were left not long ago: who finds no bucket looks again after a poll."""
        return self._env.monotonic() - self._noted_at < 2 * self._env.poll_interval()


def fallbacks(env: Environment, crew: Crew, shortage: Shortage, group: TaskGroup) -> list[Service]:
    """Return what has the coordinators of this process run jobs themselves when nobody else does."""
    patience = env.settings.fallback_patience
    if patience is None or not env.agents.distributed or not env.registry:
        return []
    coordinators = [w for w in crew.workers if w.settings.mode is WorkerMode.COORDINATOR]
    if not any(w.settings.bucket_count(priority) for w in coordinators for priority in Priority):
        return []
    return [_Standby(env, crew, shortage, group, coordinators, patience).service()]


class _Standby:
    """Starts a worker for each lane and priority that needs one, and stops it when it is not needed any more."""

    def __init__(
        self,
        env: Environment,
        crew: Crew,
        shortage: Shortage,
        group: TaskGroup,
        coordinators: Sequence[RunningWorker],
        patience: float,
    ) -> None:
        self.env, self.crew, self.shortage, self.group = env, crew, shortage, group
        self.coordinators, self.patience = coordinators, patience
        self.step = Fallback(
            env.cluster_id, env.master, env.agents, patience, env.monotonic, may_serve=self._may_serve
        )
        self.running: dict[Place, RunningWorker] = {}

    def service(self) -> Service:
        """Return the loop that looks now and then."""

        async def tick() -> float | None:
            await self._run_once()
            return min(self.patience, self.env.settings.heartbeat)

        return Service("fallback", tick)

    async def _run_once(self) -> None:
        wanted = await self._wanted()
        for place in sorted(wanted - self.running.keys()):
            self._start(place)
        async with anyio.create_task_group() as stopping:
            for place in self.running.keys() - wanted:
                stopping.start_soon(self._stop, place)

    async def _wanted(self) -> frozenset[Place]:
        if self.crew.stands_still():
            self.step.forget()
            return frozenset()
        return await self.step.run_once(self.running.keys(), jobs_left=self.shortage.is_recent())

    def _may_serve(self, place: Place) -> bool:
        return not self.env.suspends(place[0]) and self._coordinator_for(place) is not None

    def _coordinator_for(self, place: Place) -> RunningWorker | None:
        """Return the coordinator whose settings go for a place: one of its lane, if there is one."""
        lane, priority = place
        own = [one for one in self.coordinators if one.settings.lane == lane] or self.coordinators
        return next((one for one in own if one.settings.bucket_count(priority)), None)

    def _start(self, place: Place) -> None:
        coordinator = self._coordinator_for(place)
        if coordinator is None:
            return
        running = RunningWorker(self.env, f"{coordinator.name}-fallback", _settings(coordinator, place))
        log.warning("nobody else runs jobs of %s: %s does", _named(place), running.name)
        self.running[place] = running
        self.crew.workers.append(running)
        self.group.start_soon(running.run)

    async def _stop(self, place: Place) -> None:
        running = self.running[place]
        log.info("%s needs no fallback any more: %s stops", _named(place), running.name)
        await running.stop(self.env.settings.stop_grace)
        self.crew.workers.remove(running)
        del self.running[place]


def _settings(coordinator: RunningWorker, place: Place) -> WorkerSettings:
    """Return the settings of a worker that has the buckets of one place only, each of which may close by itself."""
    lane, priority = place
    own = coordinator.settings
    buckets = dict.fromkeys(Priority, 0) | {priority: own.bucket_count(priority)}
    return evolve(own, name=None, mode=WorkerMode.EXECUTION, agent=STANDALONE, lane=lane, buckets=buckets)


def _named(place: Place) -> str:
    lane, priority = place
    return f"lane {lane}, priority {priority.name}"
