"""A worker across its sessions: when it loses its lease, it registers anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from jobmaster._process.tasks import Contained
from jobmaster._runtime.service import SHORT_PAUSE, Service
from jobmaster._runtime.session_cleanup import SessionCleanup
from jobmaster._runtime.start_warnings import warn_of_no_handlers
from jobmaster._runtime.worker_session import WorkerSession
from jobmaster._text.logtext import counted
from jobmaster.errors import StoreError
from jobmaster.loops import start_in
from jobmaster.states import WorkerRequest, WorkerStatus

if TYPE_CHECKING:
    from jobmaster._flow.ownership import WorkerLease
    from jobmaster._runtime.environment import Environment
    from jobmaster.config import WorkerSettings
    from jobmaster.models import WorkerRecord

log = logging.getLogger("jobmaster.worker")

RUNNING = frozenset({WorkerStatus.ACTIVE, WorkerStatus.STOPPING})
LAST_ANSWER = 5.0
"""Seconds that a stop waits for the answer to a registration that is under way."""
LAST_DEPARTURES = 5.0
"""Seconds that a stop waits for earlier sessions to write their outcomes and give back their buckets."""


class RunningWorker:
    """Runs one configured worker until it is stopped."""

    def __init__(self, env: Environment, name: str, settings: WorkerSettings) -> None:
        self.env = env
        self.name = name
        self.settings = settings
        self.current: WorkerSession | None = None
        self.ready = anyio.Event()
        self.stopped = anyio.Event()
        self.request: WorkerRequest | None = None
        self._unknown: WorkerRequest | None = None
        self._suspended = self._is_to_rest()
        self._draining: WorkerSession | None = None
        self._stopping = False
        self._registered = anyio.Event()
        self._registered.set()
        self._group: TaskGroup | None = None
        self._departing: set[anyio.CancelScope] = set()
        self._last_moment = float("inf")

    @property
    def lease(self) -> WorkerLease | None:
        """The lease of the current session, if the worker may act under it."""
        session = self.current
        return None if session is None or session.lease.fenced or session.over.is_set() else session.lease

    def another(self, name: str, settings: WorkerSettings) -> RunningWorker:
        """Return a further worker of this process, not yet running."""
        return RunningWorker(self.env, name, settings)

    async def run(self) -> None:
        """Run a session, and another after a lost lease or a change of duties, until stopped."""
        async with anyio.create_task_group() as self._group:
            while (session := await self._register()) is not None:
                if not self.ready.is_set():
                    start_in(self._group, self._warn_of_namesakes, session.record)
                start_in(self._group, warn_of_no_handlers, self.env, session.record)
                start_in(self._group, self._live, session)
                start_in(self._group, self._serve_notifications, session)
                self.ready.set()
                self._keep_in_step()
                await session.over.wait()
            self._hurry_departures()
        self.stopped.set()

    async def _live(self, session: WorkerSession) -> None:
        await session.run()
        if session.lease.fenced:
            await self._depart(session)

    async def _depart(self, session: WorkerSession) -> None:
        """Clean up a session that ended without a stop; what takes too long is left to the rescue."""
        with anyio.CancelScope(deadline=self._last_moment) as scope:
            self._departing.add(scope)
            await SessionCleanup(self.env, session).run()
        self._departing.discard(scope)

    def _hurry_departures(self) -> None:
        """Give earlier sessions a last moment: this worker ends."""
        self._last_moment = anyio.current_time() + LAST_DEPARTURES
        for scope in self._departing:
            scope.deadline = self._last_moment

    async def _register(self) -> WorkerSession | None:
        """Return a new session once it is registered, or None if none is wanted any more.

        A try without an answer may have reached the master, and its lease runs from then on. Once that lease can have
        expired, others may have declared this session lost and taken its buckets: then another session registers.
        """
        session: WorkerSession | None = None

        async def tick() -> float | None:
            nonlocal session
            if session is None:
                session = await self._wanted_session()
            elif session.is_expired_unheard(self.env.monotonic()):
                session = self._replaced(session)
            if session is not None:
                await session.register()
            service.stop()
            return None

        service = Service(f"register worker {self.name}", tick, longest_pause=SHORT_PAUSE)
        with self._while_registering():
            await service.run()
        return None if session is None else self._begun(session)

    async def _wanted_session(self) -> WorkerSession | None:
        """Return a new session, or None if none is wanted any more.

        A worker that has had a session first asks for its orders: it may have missed some meanwhile.
        """
        if self.current is not None:
            await self.env.heed()
        return None if self._stopping or self.request else self._new_session()

    def _begun(self, session: WorkerSession) -> WorkerSession:
        self.current = session
        resting = " (suspended)" if session.suspended else ""
        log.info("worker %s is up with %s%s", self.name, counted(len(session.owned), "bucket"), resting)
        return session

    def _replaced(self, unheard: WorkerSession) -> WorkerSession:
        """Return another session in place of one that may have been registered, and so may have buckets to give back."""
        if self._group is not None:
            start_in(self._group, self._depart, unheard)
        return self._new_session()

    @contextmanager
    def _while_registering(self) -> Iterator[None]:
        self._registered = anyio.Event()
        try:
            yield
        finally:
            self._registered.set()

    async def _warn_of_namesakes(self, me: WorkerRecord) -> None:
        """Warn of a worker elsewhere with the same name: operators, and their requests, identify workers by name."""
        async with Contained("looking for namesakes", log, StoreError):
            for other in await self.env.master.workers.list_all(self.env.cluster_id):
                if other.name == me.name and other.status in RUNNING and other.process_id != me.process_id:
                    log.warning(
                        "worker %s on host %s (process %d) is not the only one of that name: another is on host %s "
                        "(process %d), or died there a moment ago; stopping one of them by name stops both",
                        *(me.name, me.host, me.pid, other.host, other.pid),
                    )

    def _new_session(self) -> WorkerSession:
        return WorkerSession(self.env, self.name, self.settings, suspended=self._suspended)

    async def _serve_notifications(self, session: WorkerSession) -> None:
        """Handle cancel requests and parked jobs: on notifications, and now and then as the safety net."""
        with ExitStack() as subscriptions:
            async with anyio.create_task_group() as group:
                for service in session.requests.loops():
                    subscriptions.enter_context(self.env.notify.waking(service.wake, service.topics))
                    start_in(group, service.run)
                await session.over.wait()
                group.cancel_scope.cancel()

    # Following orders

    def follow(self, request: WorkerRequest | None = None) -> None:
        """Follow the cluster's current mode and lanes, and the request; ending running jobs may take a while."""
        self._suspended = self._is_to_rest()
        if request is not None and request is not self.request:
            self._heed(request)
        self._keep_in_step()

    def _heed(self, request: WorkerRequest) -> None:
        """Follow a request; one that this version does not know changes nothing, and is logged once."""
        if request.is_known:
            log.info("worker %s was asked to %s", self.name, request)
            self.request = request
        elif request != self._unknown:
            log.warning(
                "worker %s received a request that this version does not know: %s", self.name, request
            )
            self._unknown = request

    def _is_to_rest(self) -> bool:
        """Return whether to run without buckets. A worker that has none anyway goes on as before."""
        return self.settings.mode.executes and self.env.suspends(self.settings.lane)

    def _keep_in_step(self) -> None:
        """End the current session if another one is wanted, or none."""
        session, group = self.current, self._group
        if session is None or group is None or session.leaving:
            return
        if self._stopping or self.request is WorkerRequest.STOP or session.suspended != self._suspended:
            start_in(group, session.stop, self.env.settings.stop_grace)
        elif self.request is WorkerRequest.DRAIN and self._draining is not session:
            self._draining = session
            start_in(group, self._drain, session)

    async def _drain(self, session: WorkerSession) -> None:
        await session.draining().run()
        await session.stop(self.env.settings.stop_grace)

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
        """Wait for a session that is about to begin: it must leave as well, or its lease would have to run out first."""
        with anyio.move_on_after(LAST_ANSWER):
            await self._registered.wait()

    # Leaving when the loops no longer run

    def cut_short(self) -> None:
        """All tasks are being cancelled from outside: interrupt running jobs, and start no more."""
        self._stopping = True
        if self.current is not None:
            self.current.cut_short()

    async def salvage(self) -> None:
        """Leave although the loops of the current session no longer run."""
        self._stopping = True
        if self.current is not None:
            await self.current.salvage()
