"""A worker across its lives: when its lease is lost, it registers anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import anyio
from anyio.abc import TaskGroup

from jobmaster._runtime.departing import Departure
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.forewarning import warn_of_no_handlers
from jobmaster._runtime.incarnation import Incarnation
from jobmaster._runtime.requests import TAKE_EVERY
from jobmaster._runtime.service import NEWS_SPACING, Service
from jobmaster._runtime.working import SHORT_PAUSE
from jobmaster.config import WorkerSettings
from jobmaster.contracts import Topics
from jobmaster.errors import StoreError
from jobmaster.logtext import counted
from jobmaster.models import WorkerRecord
from jobmaster.ownership import WorkerLease
from jobmaster.states import WorkerRequest, WorkerStatus
from jobmaster.tasks import Contained

log = logging.getLogger("jobmaster.worker")

RUNNING = frozenset({WorkerStatus.ACTIVE, WorkerStatus.STOPPING})
LAST_ANSWER = 5.0
"""Seconds that a stop waits for the answer to a registration that is under way."""
LAST_DEPARTURES = 5.0
"""Seconds that a stop waits for former lives to write their outcomes and give back their buckets."""


class RunningWorker:
    """Runs one configured worker until it is stopped."""

    def __init__(self, env: Environment, name: str, settings: WorkerSettings) -> None:
        self.env = env
        self.name = name
        self.settings = settings
        self.current: Incarnation | None = None
        self.ready = anyio.Event()
        self.stopped = anyio.Event()
        self.request: WorkerRequest | None = None
        self._unknown: WorkerRequest | None = None
        self._suspended = self._is_to_rest()
        self._draining: Incarnation | None = None
        self._stopping = False
        self._registered = anyio.Event()
        self._registered.set()
        self._group: TaskGroup | None = None
        self._departing: set[anyio.CancelScope] = set()
        self._last_moment = float("inf")

    @property
    def lease(self) -> WorkerLease | None:
        """The lease of the present life, if it is one to act under."""
        life = self.current
        return None if life is None or life.lease.fenced or life.over.is_set() else life.lease

    async def run(self) -> None:
        """Live, and live again after a lost lease or a change of duties, until stopped."""
        async with anyio.create_task_group() as self._group:
            while (life := await self._register()) is not None:
                if not self.ready.is_set():
                    self._group.start_soon(self._warn_of_namesakes, life.record)
                self._group.start_soon(warn_of_no_handlers, self.env, life.record)
                self._group.start_soon(self._live, life)
                self._group.start_soon(self._serve_news, life)
                self.ready.set()
                self._keep_in_step()
                await life.over.wait()
            self._hurry_departures()
        self.stopped.set()

    async def _live(self, life: Incarnation) -> None:
        await life.run()
        if life.lease.fenced:
            await self._depart(life)

    async def _depart(self, life: Incarnation) -> None:
        """See a life off that ended without a stop; what it cannot do in time is left to the rescue."""
        with anyio.CancelScope(deadline=self._last_moment) as scope:
            self._departing.add(scope)
            await Departure(self.env, life).run()
        self._departing.discard(scope)

    def _hurry_departures(self) -> None:
        """Give former lives a last moment: this worker ends."""
        self._last_moment = anyio.current_time() + LAST_DEPARTURES
        for scope in self._departing:
            scope.deadline = self._last_moment

    async def _register(self) -> Incarnation | None:
        """Return a new life once it is registered, or None if there is to be none any more.

        A try without an answer may have been heard, and its lease runs from then on. When that can be over, others
        may have declared this life lost and taken its buckets: then it is another one that registers.
        """
        life: Incarnation | None = None

        async def tick() -> float | None:
            nonlocal life
            if life is None:
                life = await self._wanted_life()
            elif life.is_expired_unheard(self.env.monotonic()):
                life = self._replaced(life)
            if life is not None:
                await life.register()
            service.stop()
            return None

        service = Service(f"register worker {self.name}", tick, longest_pause=SHORT_PAUSE)
        with self._while_registering():
            await service.run()
        return None if life is None else self._begun(life)

    async def _wanted_life(self) -> Incarnation | None:
        """Return a new life, or None if there is to be none any more.

        Who has lived before asks first what was wanted of it meanwhile, when it may not have heard of anything.
        """
        if self.current is not None:
            await self.env.heed()
        return None if self._stopping or self.request else self._new_life()

    def _begun(self, life: Incarnation) -> Incarnation:
        self.current = life
        resting = " (suspended)" if life.suspended else ""
        log.info("worker %s is up with %s%s", self.name, counted(len(life.owned), "bucket"), resting)
        return life

    def _replaced(self, unheard: Incarnation) -> Incarnation:
        """Return another life in place of one that may have been registered; then it has buckets to give back."""
        if self._group is not None:
            self._group.start_soon(self._depart, unheard)
        return self._new_life()

    @contextmanager
    def _while_registering(self) -> Iterator[None]:
        self._registered = anyio.Event()
        try:
            yield
        finally:
            self._registered.set()

    async def _warn_of_namesakes(self, me: WorkerRecord) -> None:
        """Tell of a worker elsewhere that has the same name: people, and what they ask of workers, go by that."""
        async with Contained("looking for namesakes", log, StoreError):
            for other in await self.env.master.list_workers(self.env.cluster_id):
                if other.name == me.name and other.status in RUNNING and other.process_id != me.process_id:
                    log.warning(
                        "worker %s on host %s (process %d) is not the only one of that name: another is on host %s "
                        "(process %d), or died there a moment ago; whoever stops one of them by name stops both",
                        *(me.name, me.host, me.pid, other.host, other.pid),
                    )

    def _new_life(self) -> Incarnation:
        return Incarnation(self.env, self.name, self.settings, suspended=self._suspended)

    async def _serve_news(self, life: Incarnation) -> None:
        """Look after cancel requests and parked jobs: on news, and now and then as the safety net.

        Of cancel requests also the answer to each heartbeat tells.
        """
        if not life.owned:
            return
        services = {
            self._cancelling(life): [Topics.control(owned.id) for owned in life.owned],
            self._adopting(life): [Topics.parked(self.env.cluster_id)],
        }
        with ExitStack() as subscriptions:
            async with anyio.create_task_group() as group:
                for service, topics in services.items():
                    for topic in topics:
                        subscriptions.enter_context(self._woken(service, topic))
                    group.start_soon(service.run)
                await life.over.wait()
                group.cancel_scope.cancel()

    def _woken(self, service: Service, topic: str) -> AbstractContextManager[None]:
        """Within the block, news of a topic wake a service."""
        return self.env.notify.subscribed(topic, lambda _: service.wake.set())

    def _cancelling(self, life: Incarnation) -> Service:
        env = self.env

        async def tick() -> float | None:
            await life.handle_cancel_requests()
            return None

        def longest() -> float | None:
            """Return None while heartbeats tell of requests often enough."""
            poll = env.poll_interval()
            return None if env.settings.heartbeat <= poll else poll

        return Service("requests", tick, longest, spacing=NEWS_SPACING)

    def _adopting(self, life: Incarnation) -> Service:
        async def tick() -> float | None:
            await life.adopt_parked()
            return TAKE_EVERY if life.parked_left else None

        def longest() -> float:
            return self.env.seldom(self.env.settings.poll_interval)

        return Service("adopt", tick, longest, spacing=NEWS_SPACING)

    # Following orders

    def follow(self, request: WorkerRequest | None = None) -> None:
        """Do as the cluster's mode and lanes are now, and as was asked; ending what runs may take a while."""
        self._suspended = self._is_to_rest()
        if request is not None and request is not self.request:
            self._heed(request)
        self._keep_in_step()

    def _heed(self, request: WorkerRequest) -> None:
        """Go by a request; one that this version does not know changes nothing, and is told of once."""
        if request.is_known:
            log.info("worker %s was asked to %s", self.name, request)
            self.request = request
        elif request != self._unknown:
            log.warning("worker %s was asked for what this version does not know: %s", self.name, request)
            self._unknown = request

    def _is_to_rest(self) -> bool:
        """Return whether to live without buckets. Who has none anyway goes on as ever."""
        return self.settings.mode.executes and self.env.suspends(self.settings.lane)

    def _keep_in_step(self) -> None:
        """End the present life if another one is wanted, or none."""
        life, group = self.current, self._group
        if life is None or group is None or life.leaving:
            return
        if self._stopping or self.request is WorkerRequest.STOP or life.suspended != self._suspended:
            group.start_soon(life.stop, self.env.settings.stop_grace)
        elif self.request is WorkerRequest.DRAIN and self._draining is not life:
            self._draining = life
            group.start_soon(self._drain, life)

    async def _drain(self, life: Incarnation) -> None:
        await life.draining().run()
        await life.stop(self.env.settings.stop_grace)

    async def stop(self, grace: float) -> None:
        """Stop gracefully; returns when the worker has left."""
        self._stopping = True
        await self._await_registration()
        if self.current is not None:
            await self.current.stop(grace)
        if self._departing:
            with anyio.move_on_after(LAST_DEPARTURES):
                await self.stopped.wait()

    async def _await_registration(self) -> None:
        """Wait for a life that is about to begin: it has to leave as well, lest its lease has to run out first."""
        with anyio.move_on_after(LAST_ANSWER):
            await self._registered.wait()

    # Leaving when the loops run no more

    def cut_short(self) -> None:
        """All tasks are being cancelled from outside: what runs is interrupted, and nothing more is begun."""
        self._stopping = True
        if self.current is not None:
            self.current.cut_short()

    async def salvage(self) -> None:
        """Leave although the loops of the present life run no more."""
        self._stopping = True
        if self.current is not None:
            await self.current.salvage()
