"""A coordinator that runs jobs itself, for as long as nobody else runs those of its lane."""

from __future__ import annotations

import logging

from anyio.abc import TaskGroup

from jobmaster._runtime.crew import Crew
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.service import Service
from jobmaster._runtime.worker import RunningWorker
from jobmaster._upkeep.fallback import Fallback
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
    """Return a service for each coordinator that is to run jobs itself when nobody else does."""
    patience = env.settings.fallback_patience
    if patience is None or not env.agents.distributed or not env.registry:
        return []
    coordinators = [w for w in crew.workers if w.settings.mode is WorkerMode.COORDINATOR]
    coordinators = [w for w in coordinators if any(map(w.settings.bucket_count, Priority))]
    return [_Standby(env, crew, shortage, group, one, patience).service() for one in coordinators]


class _Standby:
    """Starts a worker for a coordinator's lane when it is needed, and stops it when it is not."""

    def __init__(
        self,
        env: Environment,
        crew: Crew,
        shortage: Shortage,
        group: TaskGroup,
        coordinator: RunningWorker,
        patience: float,
    ) -> None:
        self.env, self.crew, self.shortage, self.group = env, crew, shortage, group
        self.patience = patience
        self.name = f"{coordinator.name}-fallback"
        self.lane = coordinator.settings.lane
        self.settings = evolve(coordinator.settings, name=None, mode=WorkerMode.EXECUTION, agent=STANDALONE)
        self.step = Fallback(env.cluster_id, self.lane, env.master, env.agents, patience, env.monotonic)
        self.running: RunningWorker | None = None

    def service(self) -> Service:
        """Return the loop that looks now and then."""

        async def tick() -> float | None:
            await self._run_once()
            return min(self.patience, self.env.settings.heartbeat)

        return Service("fallback", tick)

    async def _run_once(self) -> None:
        if self.running is None and not self.shortage.is_recent():
            self.step.forget()
            return
        rests = self.crew.stands_still() or self.env.suspends(self.lane)
        wanted = not rests and await self.step.run_once(open_now=self.running is not None)
        if wanted and self.running is None:
            self._start()
        elif self.running is not None and not wanted:
            await self._stop(self.running)

    def _start(self) -> None:
        self.running = RunningWorker(self.env, self.name, self.settings)
        log.warning("nobody else runs the jobs of lane %s: %s does", self.lane, self.name)
        self.crew.workers.append(self.running)
        self.group.start_soon(self.running.run)

    async def _stop(self, running: RunningWorker) -> None:
        log.info("the lane %s has workers again: %s stops", self.lane, self.name)
        await running.stop(self.env.settings.stop_grace)
        self.crew.workers.remove(running)
        self.running = None
