"""Start everything in order, and stop it again: one cluster in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from jobmaster._flow.ownership import StopReason
from jobmaster._process.signals import Signal
from jobmaster._runtime.control import Control
from jobmaster._runtime.coordinator import assigning, declaring, recurring
from jobmaster._runtime.fallback import Shortage, fallbacks
from jobmaster._runtime.housekeeping import joining, looking_at_durability, pruning, renewing
from jobmaster._runtime.local_workers import LocalWorkers
from jobmaster._runtime.mover import archiving, moving
from jobmaster._runtime.rescuer import bringing_back, handing_over, rescuing
from jobmaster._runtime.unread_jobs import UnreadJobs
from jobmaster.contracts import Topics
from jobmaster.loops import start_in

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.service import Service
    from jobmaster._runtime.worker import RunningWorker

LAST_STEPS = 5.0
"""Seconds that a stop gives to jobs on their way between stores."""
LAST_NOTIFICATIONS = 1.0
"""Seconds that the end waits for notifications to go out; other processes poll for those they miss."""


class Supervisor:
    """Runs the workers and the upkeep of one cluster."""

    def __init__(self, env: Environment, workers: Iterable[RunningWorker]) -> None:
        self.env = env
        self.local_workers = LocalWorkers(env, workers)
        self.workers = self.local_workers.workers
        self.control = Control(env, self.workers)
        self.declared = anyio.Event()
        """Set once the static schedules of this process are stored."""
        self._rescue_needed = Signal()
        self._moving_jobs: list[Service] = []
        """The services that move jobs between stores."""
        self._subscriptions = ExitStack()
        self._cut_short = False

    @asynccontextmanager
    async def running(self, on_stopped: Callable[[], None] = lambda: None) -> AsyncIterator[TaskGroup]:
        """Run within the block; stop gracefully at its end, even if the block was cancelled.

        `on_stopped` is called when the stop is complete and only handlers that do not end still run.
        """
        failure: Exception | None = None
        with self._subscriptions:
            async with anyio.create_task_group() as group:
                start_in(group, self.env.notify.run)
                self._serve_agents(group)
                for worker in self.workers:
                    start_in(group, worker.run)
                for service in self._upkeep(group):
                    self._subscriptions.enter_context(self.env.notify.waking(service.wake, service.topics))
                    start_in(group, service.run)
                try:
                    yield group
                except Exception as error:  # noqa: BLE001 - raised again below, not wrapped in a group
                    failure = error
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._leave(group)
                    group.cancel_scope.cancel()
                    on_stopped()
        if failure is not None:
            raise failure

    async def _leave(self, group: TaskGroup) -> None:
        if not self._collapsed(group):
            try:
                await self.stop()
            except anyio.get_cancelled_exc_class():
                if not self._cut_short:
                    raise
        if self._collapsed(group):  # before, or while it stopped
            await self.salvage()

    async def stop(self) -> None:
        """Stop all workers concurrently, each within its grace period; then send the last notifications."""
        grace = self.env.settings.stop_grace
        async with anyio.create_task_group() as group:
            for worker in self.workers:
                start_in(group, worker.stop, grace)
        await self._end_moving_jobs()
        await self._send_last_notifications()

    async def _end_moving_jobs(self) -> None:
        """Leave no job halfway between two stores, where it would wait until another process may take it over."""
        async with anyio.create_task_group() as group:
            for service in self._moving_jobs:
                start_in(group, service.end, LAST_STEPS)

    def hurry(self) -> None:
        """Give running jobs no more time."""
        for owned in self.local_workers.all_owned():
            owned.stop_running(StopReason.SHUTDOWN)

    def cut_short(self) -> None:
        """All tasks are being cancelled from outside: do not let this count as a job's own end."""
        self._cut_short = True
        for worker in self.workers:
            worker.cut_short()

    def at_work(self) -> list[str]:
        """Return the definition ids of the jobs that run now, each once: callable from any thread, without a lock."""
        jobs = [slot.job for owned in self.local_workers.all_owned() for slot in list(owned.slots)]
        return list(dict.fromkeys(job.definition_id for job in jobs if job is not None))

    def begin_nothing_more(self) -> None:
        """Start no more jobs: this is a forked child, and its parent runs them."""
        for owned in self.local_workers.all_owned():
            owned.close()

    def _collapsed(self, group: TaskGroup) -> bool:
        """Return whether the loops no longer run: they were cancelled, or one of them failed."""
        return self._cut_short or group.cancel_scope.cancel_called

    async def salvage(self) -> None:
        """Leave although the loops no longer run: write what was done, and give up the rest."""
        async with anyio.create_task_group() as group:
            for worker in self.workers:
                start_in(group, worker.salvage)
        await self._send_last_notifications()

    async def _send_last_notifications(self) -> None:
        with anyio.move_on_after(LAST_NOTIFICATIONS):
            await self.env.notify.flush()
            for link in self.env.agents.links.values():
                await link.notify.flush()

    def _serve_agents(self, group: TaskGroup) -> None:
        """Announce on all agents; listen where workers of this process have buckets, or on all if one coordinates."""
        agents, coordinates = self.env.agents, any(mode.coordinates for mode in self.local_workers.modes)
        for link in agents.links.values():
            listens = coordinates or any(worker.settings.agent == link.name for worker in self.workers)
            start_in(group, partial(link.notify.run, listen=listens))
        if agents.distributed:
            start_in(group, joining(self.env).run)

    # Upkeep, by duty

    def _upkeep(self, group: TaskGroup) -> list[Service]:
        services = [self.control.service()]
        if self.env.master.capabilities.durable:
            services.append(looking_at_durability(self.env))
        if self.workers:
            services += [renewing(self.env, self.local_workers, self._rescue_needed), pruning(self.env)]
        services += [*self._rescuing(), *self._coordinating(group), *self._declaring(), *self._moving()]
        return services

    def _rescuing(self) -> list[Service]:
        env, local_workers = self.env, self.local_workers
        if not any(mode.rescues for mode in local_workers.modes):
            return []
        services = [rescuing(env, local_workers, self._rescue_needed)]
        if env.agents.distributed:
            moving = [bringing_back(env, local_workers), handing_over(env, local_workers)]
            services += moving
            self._moving_jobs += moving
        return services

    def _coordinating(self, group: TaskGroup) -> list[Service]:
        env, local_workers, shortage = self.env, self.local_workers, Shortage(self.env)
        if not any(mode.coordinates for mode in local_workers.modes):
            return []
        moving = [
            self._fetching(assigning(env, local_workers, shortage)),
            self._watching(UnreadJobs(env, local_workers)),
        ]
        self._moving_jobs += moving
        return [
            *moving,
            recurring(env, local_workers, self.declared),
            *fallbacks(env, local_workers, shortage, group),
        ]

    def _declaring(self) -> list[Service]:
        if self.workers and (self.env.declarations or self.local_workers.coordinates()):
            return [declaring(self.env, self.local_workers, self.declared.set)]
        self.declared.set()
        return []

    def _moving(self) -> list[Service]:
        """Return the services that move jobs and schedules to other clusters; moving needs no worker, archiving does."""
        env, movers = self.env, []
        if env.move_to is not None:
            movers.append(moving(env, env.move_to))
        if env.archive_to is not None and self.workers:
            movers.append(archiving(env, env.archive_to))
        return movers

    def _fetching(self, service: Service) -> Service:
        """Return the assigning service, woken by notifications of free slots if it has left due jobs for lack of room."""

        def hear(_topic: str) -> None:
            if self.env.due_left:
                service.wake.set()

        topic = Topics.free(self.env.cluster_id)
        self._subscriptions.enter_context(self.env.notify.subscribed(topic, hear))
        return service

    def _watching(self, taking: UnreadJobs) -> Service:
        """Return the service that looks for unread jobs on notifications about buckets elsewhere, or about free slots."""
        self._subscriptions.enter_context(
            self.env.notify.subscribed(Topics.free(self.env.cluster_id), taking.hear)
        )
        for notify in [self.env.notify, *(link.notify for link in self.env.agents.links.values())]:
            self._subscriptions.enter_context(notify.watching_buckets(taking.hear))
        return taking.service
