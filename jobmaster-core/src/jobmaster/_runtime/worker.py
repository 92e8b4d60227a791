"""A worker across its lives: when its lease is lost, it registers anew."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import anyio

from jobmaster._runtime.environment import Environment
from jobmaster._runtime.incarnation import Incarnation
from jobmaster._runtime.service import NEWS_SPACING, Service
from jobmaster.config import WorkerSettings
from jobmaster.contracts import Topics
from jobmaster.ownership import WorkerLease

log = logging.getLogger("jobmaster.worker")


class RunningWorker:
    """Runs one configured worker until it is stopped."""

    def __init__(self, env: Environment, name: str, settings: WorkerSettings) -> None:
        self.env = env
        self.name = name
        self.settings = settings
        self.current: Incarnation | None = None
        self.ready = anyio.Event()
        self._stopping = False
        self._stopped = anyio.Event()

    @property
    def lease(self) -> WorkerLease | None:
        """The lease of the present life, if it is one to act under."""
        life = self.current
        return None if life is None or life.lease.fenced or life.over.is_set() else life.lease

    async def run(self) -> None:
        """Live, and live again after a lost lease, until stopped."""
        async with anyio.create_task_group() as group:
            while not self._stopping:
                life = Incarnation(self.env, self.name, self.settings)
                await self._register(life)
                self.current = life
                group.start_soon(life.run)
                group.start_soon(self._serve_news, life)
                self.ready.set()
                await life.over.wait()
        self._stopped.set()

    async def _register(self, life: Incarnation) -> None:
        registered = anyio.Event()

        async def tick() -> float | None:
            await life.register()
            registered.set()
            service.stop()
            return None

        service = Service(f"register worker {self.name}", tick)
        await service.run()
        log.info("worker %s is up with %d buckets", self.name, len(life.owned))

    async def _serve_news(self, life: Incarnation) -> None:
        """Look after cancel requests and parked jobs: on news, and with every heartbeat as the safety net."""
        notify, service = self.env.notify, self._request_service(life)
        topics = [Topics.control(owned.id) for owned in life.owned] + [Topics.parked(self.env.cluster_id)]
        if not life.owned:
            return
        with ExitStack() as subscriptions:
            for topic in topics:
                subscriptions.enter_context(notify.subscribed(topic, lambda _: service.wake.set()))
            async with anyio.create_task_group() as group:
                group.start_soon(service.run)
                await life.over.wait()
                group.cancel_scope.cancel()

    def _request_service(self, life: Incarnation) -> Service:
        async def tick() -> float | None:
            await life.handle_cancel_requests()
            await life.adopt_parked()
            return None

        return Service("requests", tick, self.env.poll_interval, spacing=NEWS_SPACING)

    async def stop(self, grace: float) -> None:
        """Stop gracefully; returns when the worker has left."""
        self._stopping = True
        if self.current is not None:
            await self.current.stop(grace)
