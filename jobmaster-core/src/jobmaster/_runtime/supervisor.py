"""Starting everything in order, and stopping it again: one cluster in one process."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from jobmaster._pipeline.assign import Assign
from jobmaster._runtime.control import Control
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.moving import archiving, migrating
from jobmaster._runtime.service import NEWS_SPACING, Service
from jobmaster._runtime.worker import RunningWorker
from jobmaster._upkeep.declare import Declare
from jobmaster._upkeep.fallback import Fallback
from jobmaster._upkeep.handovers import Handovers
from jobmaster._upkeep.heartbeat import Heartbeat
from jobmaster._upkeep.prune import Prune
from jobmaster._upkeep.recur import Recur
from jobmaster._upkeep.rescue import Rescue
from jobmaster._upkeep.strays import Strays
from jobmaster.contracts import Topics
from jobmaster.models import STANDALONE, evolve
from jobmaster.ownership import NEVER, OwnedBucket, WorkerLease
from jobmaster.states import ClusterMode, WorkerMode

log = logging.getLogger("jobmaster.cluster")

LONGEST_HORIZON = 120.0
"""Seconds ahead of their time for which jobs of recurring schedules are made at most."""
DECLARATION_LEASES = 4
"""How many leases the declaration of a static schedule outlives its process: a deploy is to go unnoticed."""
UNCHANGING = frozenset({ClusterMode.ARCHIVED, ClusterMode.MIGRATING})
"""Cluster modes in which static schedules are left as they are."""
PRUNE_EVERY = 300.0
"""Seconds between two looks for what is past its retention."""
LAST_NEWS = 1.0
"""Seconds that the end waits for news to go out; others poll for what they did not hear."""


class Supervisor:
    """Runs the workers and the upkeep of one cluster."""

    def __init__(self, env: Environment, workers: Sequence[RunningWorker]) -> None:
        self.env = env
        self.workers = list(workers)
        self.control = Control(env, self.workers)
        self.declared = anyio.Event()
        """Set once the static schedules of this process are stored."""
        self._services: list[Service] = []
        self._starved_at = -NEVER
        """When a coordinator of this process last left due jobs for which there was no room (monotonic)."""
        self._subscriptions = ExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TaskGroup]:
        """Run within the block; at its end stop gracefully, even when the block was cancelled."""
        failure: Exception | None = None
        with self._subscriptions:
            async with anyio.create_task_group() as group:
                group.start_soon(self.env.notify.run)
                self._serve_agents(group)
                for worker in self.workers:
                    group.start_soon(worker.run)
                for service in [*self._upkeep(), *self._fallbacks(group)]:
                    group.start_soon(service.run)
                try:
                    yield group
                except Exception as error:  # noqa: BLE001 - raised again below, not wrapped in a group
                    failure = error
                finally:
                    with anyio.CancelScope(shield=True):
                        await self.stop()
                    group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def stop(self) -> None:
        """Stop all workers at once, each within its grace period; then send the last news."""
        grace = self.env.settings.stop_grace
        async with anyio.create_task_group() as group:
            for worker in self.workers:
                group.start_soon(worker.stop, grace)
        with anyio.move_on_after(LAST_NEWS):
            await self.env.notify.flush()
            for link in self.env.agents.links.values():
                await link.notify.flush()

    def _serve_agents(self, group: TaskGroup) -> None:
        """Announce on all agents, listen on those that workers of this process have buckets on."""
        agents = self.env.agents
        for link in agents.links.values():
            listens = any(worker.settings.agent == link.name for worker in self.workers)
            group.start_soon(partial(link.notify.run, listen=listens))
        if agents.distributed:
            group.start_soon(self._joining().run)

    def _joining(self) -> Service:
        """Join agents that were away at the start."""
        env = self.env

        async def tick() -> float | None:
            return await env.agents.join_missing(migrate=env.settings.auto_migrate)

        return Service("join agents", tick)

    def _upkeep(self) -> Sequence[Service]:
        modes = {worker.settings.mode for worker in self.workers}
        services = [self._subscribe(Topics.cluster(self.env.cluster_id), self.control.service())]
        if modes:
            services += [self._heartbeat(), self._prune()]
        if any(mode.rescues for mode in modes):
            services.append(self._rescue())
        if any(mode.rescues for mode in modes) and self.env.agents.distributed:
            services += [self._strays(), self._handovers()]
        if any(mode.coordinates for mode in modes):
            services += [self._assign(), self._recur()]
        if modes and (self.env.declarations or self._coordinates()):
            services.append(self._declare())
        else:
            self.declared.set()
        services += self._movers(modes)
        self._services = services
        return services

    def _movers(self, modes: Collection[WorkerMode]) -> list[Service]:
        """Return what moves jobs and schedules to other clusters: also, and only then, while no worker runs."""
        env, movers = self.env, []
        if env.migrate_to is not None:
            service = self._subscribe(Topics.held(env.cluster_id), migrating(env, env.migrate_to))
            movers.append(self._subscribe(Topics.cluster(env.cluster_id), service))
        if env.archive_to is not None and modes:
            movers.append(archiving(env, env.archive_to))
        return movers

    def _subscribe(self, topic: str, service: Service) -> Service:
        self._subscriptions.enter_context(self.env.notify.subscribed(topic, lambda _: service.wake.set()))
        return service

    # Heartbeat

    def _heartbeat(self) -> Service:
        env = self.env
        beat = Heartbeat(
            env.master, self._leases, self._owned, env.settings.lease, env.monotonic, self._fence
        )

        async def tick() -> float | None:
            await beat.run_once()
            return env.settings.heartbeat

        return Service("heartbeat", tick, longest_pause=env.settings.heartbeat)

    def _leases(self) -> list[WorkerLease]:
        return [lease for worker in self.workers if (lease := worker.lease) is not None]

    def _owned(self, worker_id: UUID) -> Sequence[OwnedBucket]:
        lives = [worker.current for worker in self.workers]
        return next((life.owned for life in lives if life and life.record.id == worker_id), ())

    def _fence(self, lease: WorkerLease) -> None:
        for worker in self.workers:
            if worker.current is not None and worker.current.lease is lease:
                worker.current.fence("the master declared it lost")

    # Rescue

    def _rescue(self) -> Service:
        env = self.env
        rescue = Rescue(
            cluster_id=env.cluster_id,
            master=env.master,
            agents=env.agents,
            reachable=env.agents.reachable,
            rescuer=self._rescuer,
            now=env.clock.now,
            on_away=env.agents.leave_alone,
            monotonic=env.monotonic,
        )

        async def tick() -> float | None:
            result = await rescue.run_once()
            if not result.found:
                return env.settings.heartbeat
            log.warning(
                "rescued %d buckets: %d jobs may have been running, %d waited, %d were stray",
                result.buckets,
                result.lost,
                result.released,
                result.orphans,
            )
            env.notify.tell(Topics.held(env.cluster_id), Topics.buckets(env.cluster_id))
            return 0.0

        return Service("rescue", tick, longest_pause=env.settings.heartbeat)

    def _rescuer(self) -> UUID | None:
        now = self.env.monotonic()
        for worker in self.workers:
            lease = worker.lease
            if lease and worker.settings.mode.rescues and lease.is_safe(now):
                return lease.worker_id
        return None

    def _strays(self) -> Service:
        env = self.env
        step = Strays(env.cluster_id, env.master, env.agents)

        async def tick() -> float | None:
            found = await step.run_once() if self._rescuer() else 0
            if found:
                log.warning("brought back %d jobs that lay in buckets nobody reads", found)
                env.notify.tell(Topics.held(env.cluster_id))
            return env.settings.lease

        return Service("strays", tick)

    def _handovers(self) -> Service:
        env = self.env
        step = Handovers(env.cluster_id, env.master, env.carrier(), self._me, env.handover_age())

        async def tick() -> float | None:
            for bucket_id, agent in (await step.run_once()).items():
                env.tell_bucket(agent, bucket_id)
            return env.settings.lease

        return Service("handovers", tick)

    def _me(self) -> UUID:
        """Return who carries handovers: a worker that is alive, or the process."""
        return self._rescuer() or self.env.process_id

    # Assigning

    def _assign(self) -> Service:
        env = self.env
        lanes = [w.settings.batch_size for w in self.workers if w.settings.mode is not WorkerMode.DRAIN]
        step = Assign(
            cluster_id=env.cluster_id,
            master=env.master,
            agents=env.agents,
            reachable=env.agents.reachable,
            carrier=env.carrier(),
            me=self._me,
            ahead=lambda: env.settings.transient_threshold,
            target=4 * max(lanes, default=1000),
        )

        async def tick() -> float | None:
            while not self._stands_still():
                result = await step.run_once()
                if result.starving:
                    self._starved_at = env.monotonic()
                for bucket_id, agent in result.assigned.items():
                    env.tell_bucket(agent, bucket_id)
                if result.wait != 0:
                    return result.wait
            return None

        service = Service("assign", tick, env.poll_interval, spacing=NEWS_SPACING)
        self._subscribe(Topics.buckets(env.cluster_id), service)
        return self._subscribe(Topics.held(env.cluster_id), service)

    # Fallback

    def _fallbacks(self, group: TaskGroup) -> list[Service]:
        """Return a service for each coordinator that is to run jobs itself when nobody else does."""
        env, patience = self.env, self.env.settings.fallback_patience
        if patience is None or not env.agents.distributed or not env.registry:
            return []
        coordinators = [w for w in self.workers if w.settings.mode is WorkerMode.COORDINATOR]
        return [self._fallback(worker, patience, group) for worker in coordinators]

    def _starves(self) -> bool:
        """Return whether due jobs were left not long ago: a coordinator that finds no bucket looks again after a poll."""
        return self.env.monotonic() - self._starved_at < 2 * self.env.poll_interval()

    def _fallback(self, coordinator: RunningWorker, patience: float, group: TaskGroup) -> Service:
        env, lane = self.env, coordinator.settings.lane
        step = Fallback(env.cluster_id, lane, env.master, env.agents, patience, env.monotonic)
        settings = evolve(coordinator.settings, name=None, mode=WorkerMode.EXECUTION, agent=STANDALONE)
        running: RunningWorker | None = None

        async def tick() -> float | None:
            nonlocal running
            if running is None and not self._starves():
                step.forget()
                return min(patience, env.settings.heartbeat)
            rests = self._stands_still() or env.suspends(lane)
            wanted = not rests and await step.run_once(open_now=running is not None)
            if wanted and running is None:
                running = RunningWorker(env, f"{coordinator.name}-fallback", settings)
                log.warning("nobody else runs the jobs of lane %s: %s does", lane, running.name)
                self.workers.append(running)
                group.start_soon(running.run)
            elif running is not None and not wanted:
                log.info("the lane %s has workers again: %s stops", lane, running.name)
                await running.stop(env.settings.stop_grace)
                self.workers.remove(running)
                running = None
            return min(patience, env.settings.heartbeat)

        return Service("fallback", tick)

    # Recurring schedules

    def _coordinates(self) -> bool:
        return any(
            worker.settings.mode.coordinates and not worker.stopped.is_set() for worker in self.workers
        )

    def _stands_still(self) -> bool:
        """Whether nothing is to be assigned or planned here now."""
        return self.env.mode is not ClusterMode.ACTIVE or not self._coordinates()

    def _horizon(self) -> timedelta:
        return timedelta(seconds=min(self.env.settings.transient_threshold, LONGEST_HORIZON))

    def _recur(self) -> Service:
        env = self.env
        grace = timedelta(seconds=env.settings.misfire_grace)
        step = Recur(env.cluster_id, env.master, env.plugins.kinds, self._horizon(), grace)

        async def tick() -> float | None:
            if self._stands_still():
                return None
            step.horizon = self._horizon()
            result = await step.run_once()
            env.notify.tell(*(Topics.control(bucket_id) for bucket_id in result.cancelling))
            if result.made:
                env.notify.tell(Topics.held(env.cluster_id))
                env.jobs_made(result.made)
            return result.wait

        return self._subscribe(Topics.schedules(env.cluster_id), Service("recur", tick, env.poll_interval))

    def _declare(self) -> Service:
        env = self.env
        lasting = DECLARATION_LEASES * env.settings.lease
        step = Declare(env.cluster_id, env.master, env.declarations, lasting, self._coordinates)

        async def tick() -> float | None:
            if env.mode not in UNCHANGING and await step.run_once():
                env.notify.tell(Topics.schedules(env.cluster_id))
            self.declared.set()
            return env.settings.lease if env.declarations else lasting

        return Service("declare", tick)

    # Pruning

    def _prune(self) -> Service:
        env = self.env
        archived = env.archive_to is not None
        prune = Prune(env.cluster_id, env.master, env.settings.retention, archived=archived)

        async def tick() -> float | None:
            if self.env.mode is ClusterMode.ARCHIVED:
                return None
            prune.retention = self.env.settings.retention
            deleted = await prune.run_once()
            return 0.0 if prune.is_full(deleted) else PRUNE_EVERY

        return Service("prune", tick, lambda: PRUNE_EVERY)
