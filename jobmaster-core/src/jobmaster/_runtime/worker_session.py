"""A worker under one registration: its buckets, its loops, and the ways it ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from jobmaster._flow.handover import return_bucket
from jobmaster._flow.ownership import Finished, OwnedBucket, Slot, StopReason, WorkerLease
from jobmaster._pipeline.acknowledge import Acknowledge
from jobmaster._pipeline.claim import hand_back_unread
from jobmaster._pipeline.execute import UNLIMITED, DeadlineWatch, Execute
from jobmaster._pipeline.report import Reporter
from jobmaster._policy import outcome
from jobmaster._policy.liveness import Lease
from jobmaster._policy.placement import BINDS_AHEAD
from jobmaster._process.signals import Signal
from jobmaster._process.tasks import Contained
from jobmaster._runtime.bucket_loops import BucketLoops
from jobmaster._runtime.bucket_requests import BucketRequests
from jobmaster._runtime.other_workers import OtherWorkers
from jobmaster._runtime.runners import Runners
from jobmaster._runtime.service import SHORT_PAUSE, Service
from jobmaster.contracts import AgentRepository, Topics
from jobmaster.errors import JobMasterError, StoreUnreachableError
from jobmaster.ids import new_id
from jobmaster.loops import start_in
from jobmaster.models import STANDALONE, Bucket, Report, WorkerRecord
from jobmaster.states import Priority
from jobmaster.version import __version__

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.notifier import Notifier
    from jobmaster.config import WorkerSettings

log = logging.getLogger("jobmaster.worker")

NEVER_STAYS = -1.0
"""Longest delay in seconds with which a job that runs again stays in a bucket on an agent: all go to the master."""
DRAIN_LOOK = 0.5
"""Seconds between two looks at what the buckets of a draining worker still hold."""
LAST_WORDS = 1.0
"""Seconds for which handlers of a session that collapsed may clean up."""
LAST_FLUSH = 5.0
"""Seconds the reporter gets to write the last outcomes."""


class WorkerSession:
    """One session of a worker, from its registration until it stops or its lease expires.

    A suspended session owns no buckets: it renews its lease, and rescues if that is one of its duties.
    """

    def __init__(
        self, env: Environment, name: str, settings: WorkerSettings, *, suspended: bool = False
    ) -> None:
        self.env = env
        self.settings = settings
        self.suspended = suspended
        self.record = _record(env, name, settings)
        self.remote = self.record.is_on_agent
        self.notifications = env.agents.notifications_of(self.record.agent)
        self.lease = WorkerLease(self.record.id, env.settings.lease, env.monotonic())
        self._asked_at: float | None = None
        self.owned = [self._own(bucket) for bucket in (() if suspended else _buckets(self.record, settings))]
        self.acknowledge: Acknowledge | None = None
        self.reporter = Reporter(
            env.master.outcomes, env.observers, self._reports_written, settings.batch_size
        )
        self.requests = BucketRequests(env, self.record, self.owned, self.reporter.submit)
        self.stirred = Signal()
        self.others = OtherWorkers(env)
        for owned in self.owned:
            owned.stirred, owned.on_idle = self.stirred, self._fetch_work
        self.watch = DeadlineWatch(self.owned, env.clock, self._leave_handler)
        self.execute = self._make_execute(name)
        self.over = anyio.Event()
        self._stopping = False
        self._stop_lock = anyio.Lock()
        self._claims: list[Service] = []
        self._runners: Runners | None = None
        self._subscriptions = ExitStack()

    def _own(self, bucket: Bucket) -> OwnedBucket:
        env, settings = self.env, self.settings
        finished = Finished(env.handover_age(), env.clock) if self.remote else None
        slots = settings.slots(bucket.priority)
        sizes = {"batch_size": settings.batch_size, "batch_bytes": settings.batch_bytes}
        return OwnedBucket(bucket, self.lease, slots, **sizes, finished=finished)

    def _make_execute(self, name: str) -> Execute:
        env = self.env
        return Execute(
            outcomes=env.master.outcomes,
            handlers=env.registry,
            retry=env.settings.retry,
            threshold=NEVER_STAYS if self.remote else BINDS_AHEAD,
            worker=name,
            host=env.host,
            on_report=self.reporter.submit,
            watch=self.watch,
            clock=env.clock,
            threads=anyio.CapacityLimiter(UNLIMITED),
            build=env.plugins.build_handler,
            middleware=env.plugins.middleware(),
            observers=env.observers,
        )

    def _reports_written(self, reports: Sequence[Report]) -> None:
        self.execute.poison_guard.written(reports)
        self.env.reports_written(reports)

    # Registering and running

    async def register(self) -> None:
        """Register the worker and its buckets. May be called again: its lease counts from the first call."""
        env, buckets = self.env, [owned.bucket for owned in self.owned]
        if buckets:
            await self._use_agent(env.agents[self.record.agent], buckets)
        await self._ask(buckets)
        for owned in self.owned:
            owned.last_progress = env.monotonic()
        env.renew.set()
        env.notify.tell(Topics.buckets(env.cluster_id))

    async def _ask(self, buckets: Sequence[Bucket]) -> None:
        """Ask the master, and count the lease from the first try that may have reached it."""
        asked_at = self.env.monotonic() if self._asked_at is None else self._asked_at
        unheard, self._asked_at = self._asked_at, asked_at
        try:
            await self.env.master.workers.register(self.record, buckets, self.env.settings.lease)
        except StoreUnreachableError:
            self._asked_at = unheard
            raise
        self.lease.renew(asked_at)

    def is_expired_unheard(self, now: float) -> bool:
        """Return whether the session tried to register, got no answer, and may have been declared lost since."""
        return self._asked_at is not None and not Lease(self.env.settings.lease, self._asked_at).is_safe(now)

    async def _use_agent(self, agent: AgentRepository, buckets: Sequence[Bucket]) -> None:
        await agent.buckets.create(buckets)
        self.agent = agent
        if self.remote and self.acknowledge is None:
            self.acknowledge = Acknowledge(
                self.env.master.handovers, self.env.master.outcomes, agent.messages, self.settings.batch_size
            )
            self.reporter.on_settled = self.acknowledge.submit

    async def run(self) -> None:
        """Run all loops until the session is over. It must be registered."""
        with self._subscriptions:
            self._subscribe(self.env.notify, Topics.worker(self.record.id), self.env.orders.set)
            for topic in (Topics.free, Topics.buckets):
                self._subscribe(self.env.notify, topic(self.env.cluster_id), self._hear_of_free)
            async with anyio.create_task_group() as group:
                self._runners = Runners(self.execute, group)
                try:
                    self._start(group, self._runners)
                    await self.over.wait()
                    await self._settle_down()
                finally:
                    await self._runners.close()
                    self.execute.abandon(self.owned)
                group.cancel_scope.cancel()

    def _subscribe(
        self, notifications: Notifier, topic: str, wake: Callable[[], None], *, own: bool = False
    ) -> None:
        self._subscriptions.enter_context(notifications.subscribed(topic, lambda _: wake(), own=own))

    def _start(self, group: TaskGroup, runners: Runners) -> None:
        start_in(group, self._guard)
        if not self.owned:
            return
        start_in(group, self.watch.run)
        loops = self._loops()
        for service in loops.shared():
            start_in(group, service.run)
        for owned in self.owned:
            self._start_claiming(loops, owned, group)
            runners.start(owned)

    def _hear_of_free(self) -> None:
        """Others may have free slots: if more lies here than can start soon, check whether they can take some."""
        self.others.hear_of_free()
        if any(owned.waiting or owned.more_behind for owned in self.owned):
            self.stirred.set()

    def _fetch_work(self) -> None:
        """A slot is idle: have the jobs fetched that this process left for lack of room."""
        env = self.env
        if env.due_left:
            env.notify.hear(Topics.free(env.cluster_id))
        if self.requests.parked_left:
            env.notify.hear(Topics.parked(env.cluster_id))

    def _leave_handler(self, owned: OwnedBucket, slot: Slot) -> None:
        if self._runners is not None:
            self._runners.leave(owned, slot)

    def _loops(self) -> BucketLoops:
        return BucketLoops(
            env=self.env,
            agent=self.agent,
            notifications=self.notifications,
            owned=self.owned,
            reporter=self.reporter,
            acknowledge=self.acknowledge,
            fence=self.fence,
            stirred=self.stirred,
            others=self.others,
        )

    def _start_claiming(self, loops: BucketLoops, owned: OwnedBucket, group: TaskGroup) -> None:
        service = loops.claiming(owned)
        self._claims.append(service)
        self._subscribe(self.notifications, Topics.bucket(owned.id), owned.pull_again.set, own=True)
        start_in(group, service.run)

    async def _guard(self) -> None:
        """Fence this session before its lease can expire on the master."""
        while (left := self.lease.safe_until - self.env.monotonic()) > 0:
            await self.lease.renewals.wait(left)
        self.fence("its lease could not be renewed in time")

    def fence(self, why: str) -> None:
        """Stop at once: bucket ownership may have changed."""
        if self.lease.fenced:
            return
        log.warning("worker %s stops what it runs: %s", self.record.name, why)
        self.lease.fenced = True
        self._hand_back_waiting()
        for owned in self.owned:
            owned.stop_running(StopReason.FENCED)
        self.over.set()

    async def _settle_down(self) -> None:
        """Give cancelled handlers and the last reports a moment."""
        with anyio.move_on_after(min(LAST_FLUSH, self.env.settings.lease)):
            # This waits for two different things, rarely and for a bounded time: polling is good enough.
            while self._unsettled():  # noqa: ASYNC110
                await anyio.sleep(0.01)

    def _unsettled(self) -> bool:
        acknowledging = self.acknowledge is not None and self.acknowledge.pending and not self.lease.fenced
        return bool(self.reporter.pending or acknowledging or any(any(o.running()) for o in self.owned))

    # Stopping

    @property
    def leaving(self) -> bool:
        """Whether this session is over, or about to be."""
        return self._stopping or self.over.is_set()

    def draining(self) -> Service:
        """Return the loop of a drain: take nothing new, and end when the buckets are empty."""
        ids = {owned.id for owned in self.owned}

        async def tick() -> float | None:
            if self.requests.adopts:
                await self.env.master.workers.set_stopping(self.record.id)
                self.env.notify.tell(Topics.buckets(self.env.cluster_id))
                self.requests.adopts = False
            if self.leaving or not ids or not ids & (await self.agent.buckets.holdings()).keys():
                service.stop()
            return DRAIN_LOOK

        service = Service("drain", tick, longest_pause=SHORT_PAUSE)
        return service

    async def stop(self, grace: float) -> None:
        """Stop gracefully: take nothing new, let running jobs end, hand back the rest; costs no retry.

        A second call waits for the first, and takes over if that was cancelled.
        """
        self._stopping = True
        async with self._stop_lock:
            if not self.over.is_set():
                await self._stop(grace)

    async def _stop(self, grace: float) -> None:
        await self._quietly(self.env.master.workers.set_stopping(self.record.id))
        self.env.notify.tell(Topics.buckets(self.env.cluster_id))
        self._hand_back_waiting()
        await self._let_running_end(grace)
        await self._leave()
        self.over.set()

    def cut_short(self) -> None:
        """All tasks are being cancelled from outside: interrupt running jobs, and start no more.

        Called while no task runs, so no scope can be cancelled.
        """
        self._hand_back_waiting()
        for slot in [slot for owned in self.owned for slot in owned.running()]:
            slot.note_stop(StopReason.SHUTDOWN)

    async def salvage(self) -> None:
        """Leave although the loops no longer run: write what was done, and give up the rest."""
        self._hand_back_waiting()
        for owned in self.owned:
            owned.stop_running(StopReason.SHUTDOWN)
        with anyio.move_on_after(LAST_WORDS):
            while any(any(owned.running()) for owned in self.owned):  # noqa: ASYNC110 - rarely, and not for long
                await anyio.sleep(0.01)
        self.execute.abandon(self.owned)
        async with anyio.create_task_group() as group:
            for service in self._loops().shared() if self.owned else ():
                start_in(group, service.run)
            await self.stop(0)
            group.cancel_scope.cancel()

    def _hand_back_waiting(self) -> None:
        for service in self._claims:
            service.stop()
        for owned in self.owned:
            for claim in owned.close():
                self.reporter.submit(owned, outcome.released(claim))

    async def _hand_back_unread(self) -> None:
        for owned in self.owned:
            if owned.in_flight:  # an empty one is given up as a whole
                unit = hand_back_unread(self.agent.claims, owned, self.reporter.submit, self.env.clock)
                await self._quietly(unit)

    async def _let_running_end(self, grace: float) -> None:
        with anyio.move_on_after(grace):
            await self._hand_back_unread()
            await self._wait_empty()
        for owned in self.owned:
            owned.stop_running(StopReason.SHUTDOWN)
        with anyio.move_on_after(LAST_FLUSH):
            await self._wait_empty()

    async def _wait_empty(self) -> None:
        for owned in self.owned:
            await owned.wait_empty()

    async def _leave(self) -> None:
        """Give up buckets with nothing in flight. A bucket with unwritten outcomes stays ours until it is rescued.

        While a store is silent each call takes its full timeout, so not all calls are made then.
        """
        with anyio.move_on_after(LAST_FLUSH):
            await self._acknowledged()
        with anyio.move_on_after(LAST_FLUSH):
            await self._return_buckets()
        self.env.notify.tell(Topics.held(self.env.cluster_id))

    async def _return_buckets(self) -> None:
        clean = [owned for owned in self.owned if not owned.in_flight]
        for owned in clean:
            await self._quietly(return_bucket(self.env.master, self.agent, owned.bucket))
        if len(clean) == len(self.owned):
            self.lease.retiring = True
            await self._quietly(self.env.master.workers.retire(self.record.id))

    async def _acknowledged(self) -> None:
        """Wait until the messages of all reported jobs have left the agent."""
        while any(owned.unacknowledged for owned in self.owned):  # noqa: ASYNC110 - rarely, and not for long
            await anyio.sleep(0.01)

    async def _quietly(self, unit: Awaitable[object]) -> None:
        """Do what is possible while stopping; what fails is left to the rescue."""
        async with Contained(f"worker {self.record.name}, while stopping", log):
            try:
                await unit
            except JobMasterError as error:
                log.warning("worker %s: while stopping: %s", self.record.name, error)


def _record(env: Environment, name: str, settings: WorkerSettings) -> WorkerRecord:
    return WorkerRecord(
        id=new_id(),
        cluster_id=env.cluster_id,
        name=name,
        agent=settings.agent or STANDALONE,
        lane=settings.lane,
        mode=settings.mode,
        host=env.host,
        process_id=env.process_id,
        pid=env.pid,
        version=__version__,
    )


def _buckets(worker: WorkerRecord, settings: WorkerSettings) -> Sequence[Bucket]:
    if not settings.mode.executes:
        return ()
    return [
        Bucket(
            id=new_id(),
            cluster_id=worker.cluster_id,
            agent=worker.agent,
            worker_id=worker.id,
            lane=settings.lane,
            priority=priority,
            free=settings.slots(priority),
        )
        for priority in sorted(Priority, reverse=True)
        for _ in range(settings.bucket_count(priority))
    ]
