"""A coordinator that runs jobs itself for as long as no other worker runs them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from anyio.abc import TaskGroup

from jobmaster._flow.ownership import NEVER
from jobmaster._runtime.service import Service
from jobmaster._text.logtext import counted
from jobmaster._upkeep.fallback import MOST, SHORTEST_TURN, Fallback
from jobmaster.loops import start_in
from jobmaster.models import STANDALONE, evolve
from jobmaster.states import Priority, WorkerMode

if TYPE_CHECKING:
    from jobmaster._policy.placement import Place
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.local_workers import LocalWorkers
    from jobmaster._runtime.worker import RunningWorker
    from jobmaster.config import WorkerSettings

log = logging.getLogger("jobmaster.cluster")

TELLING: Final = 60.0
"""Seconds between two log lines about lanes that take turns."""


class Shortage:
    """Whether a coordinator of this process has recently left due jobs for lack of room."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._noted_at = -NEVER

    def note(self) -> None:
        """Note that jobs were left just now."""
        self._noted_at = self._env.monotonic()

    def is_recent(self) -> bool:
        """Return whether jobs were left recently: a coordinator that finds no bucket looks again after a poll."""
        return self._env.monotonic() - self._noted_at < 2 * self._env.poll_interval()


def fallbacks(
    env: Environment, local_workers: LocalWorkers, shortage: Shortage, group: TaskGroup
) -> list[Service]:
    """Return the services that make this process's coordinators run jobs themselves when no other worker does."""
    patience = env.settings.fallback_patience
    if patience is None or not env.agents.distributed or not env.registry:
        return []
    coordinators = [w for w in local_workers.workers if w.settings.mode is WorkerMode.COORDINATOR]
    if not any(w.settings.bucket_count(priority) for w in coordinators for priority in Priority):
        return []
    return [_Standby(env, local_workers, shortage, group, coordinators, patience).service()]


class _Standby:
    """Starts a worker for each lane and priority that needs one, and stops it when it is no longer needed."""

    def __init__(
        self,
        env: Environment,
        local_workers: LocalWorkers,
        shortage: Shortage,
        group: TaskGroup,
        coordinators: Sequence[RunningWorker],
        patience: float,
    ) -> None:
        self.env, self.local_workers, self.shortage, self.group = env, local_workers, shortage, group
        self.coordinators, self.patience = coordinators, patience
        self.step = Fallback(
            cluster_id=env.cluster_id,
            assignments=env.master.assignments,
            buckets=env.master.buckets,
            agents=env.agents,
            patience=patience,
            clock=env.clock,
            may_serve=self._may_serve,
            is_idle=self._is_idle,
        )
        self.running: dict[Place, RunningWorker] = {}
        self.leaving: set[Place] = set()
        """Places whose workers are stopping. Their jobs may run for long, and block nothing."""
        self._told_at = -NEVER

    def service(self) -> Service:
        """Return the loop that checks now and then."""

        async def tick() -> float | None:
            await self._run_once()
            pause = min(self.patience, self.env.settings.heartbeat)
            return min(pause, SHORTEST_TURN / 2) if self.step.waiting else pause

        return Service("fallback", tick)

    async def _run_once(self) -> None:
        wanted = await self._wanted()
        if self.step.waiting:
            self._tell_of_turns(self.step.waiting + len(wanted))
        # Leaving workers still count: no more than `MOST` run at once.
        free = MOST - len(self.running)
        for place in sorted(wanted - self.running.keys())[:free]:
            self._start(place)
        for place in self.running.keys() - wanted - self.leaving:
            self.leaving.add(place)
            start_in(self.group, self._stop, place)

    def _tell_of_turns(self, count: int) -> None:
        """Log one line, now and then, that more lanes lack workers than can be served at once."""
        if self._has_told:
            return
        self._told_at = self.env.monotonic()
        log.warning(
            "no other worker runs jobs of %s and priorities: they take turns here, %d at a time; start workers for these "
            "lanes, or correct their names where jobs are scheduled (`jobmaster status` names them)",
            counted(count, "lane"),
            MOST,
        )

    @property
    def _has_told(self) -> bool:
        """Whether a recent line said that lanes take turns: then lines about single lanes are only noise."""
        return self.env.monotonic() - self._told_at < TELLING

    async def _wanted(self) -> frozenset[Place]:
        if self.local_workers.stands_still():
            self.step.forget()
            return frozenset()
        open_now = self.running.keys() - self.leaving
        return await self.step.run_once(open_now, jobs_left=self.shortage.is_recent())

    def _may_serve(self, place: Place) -> bool:
        return not self.env.suspends(place[0]) and self._coordinator_for(place) is not None

    def _coordinator_for(self, place: Place) -> RunningWorker | None:
        """Return the coordinator whose settings apply to a place: one of its lane, if there is one."""
        lane, priority = place
        own = [one for one in self.coordinators if one.settings.lane == lane] or self.coordinators
        return next((one for one in own if one.settings.bucket_count(priority)), None)

    def _start(self, place: Place) -> None:
        coordinator = self._coordinator_for(place)
        if coordinator is None:
            return
        running = coordinator.another(f"{coordinator.name}-fallback", _settings(coordinator, place))
        level = logging.DEBUG if self._has_told else logging.WARNING
        log.log(level, "no other worker runs jobs of %s: %s does", _named(place), running.name)
        self.running[place] = running
        self.local_workers.workers.append(running)
        start_in(self.group, running.run)

    async def _stop(self, place: Place) -> None:
        running = self.running[place]
        level = logging.DEBUG if self._has_told else logging.INFO
        log.log(level, "%s no longer needs a fallback: %s stops", _named(place), running.name)
        await running.stop(self.env.settings.stop_grace)
        self.local_workers.workers.remove(running)
        del self.running[place]
        self.leaving.discard(place)

    def _is_idle(self, place: Place) -> bool:
        """Return whether the worker of a place has nothing in flight."""
        session = self.running[place].current
        return session is not None and not any(owned.in_flight for owned in session.owned)


def _settings(coordinator: RunningWorker, place: Place) -> WorkerSettings:
    """Return the settings of a worker with the buckets of one place only, so that each place can close by itself."""
    lane, priority = place
    own = coordinator.settings
    buckets = dict.fromkeys(Priority, 0) | {priority: own.bucket_count(priority)}
    return evolve(own, name=None, mode=WorkerMode.EXECUTION, agent=STANDALONE, lane=lane, buckets=buckets)


def _named(place: Place) -> str:
    lane, priority = place
    return f"lane {lane}, priority {priority.name}"
