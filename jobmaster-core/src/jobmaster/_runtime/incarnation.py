"""A worker under one registration: its buckets, its loops, and the ways it ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from jobmaster._pipeline.acknowledge import Acknowledge
from jobmaster._pipeline.claim import ClaimJobs
from jobmaster._pipeline.execute import DeadlineWatch, Execute
from jobmaster._pipeline.report import Reporter
from jobmaster._pipeline.sync import Sync
from jobmaster._policy import outcome
from jobmaster._policy.liveness import Lease
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.notify import Notify
from jobmaster._runtime.service import Service
from jobmaster._upkeep.beat import Beat
from jobmaster.carrying import give_up
from jobmaster.config import WorkerSettings
from jobmaster.contracts import AgentRepository, Topics
from jobmaster.errors import JobMasterError, LeaseLostError
from jobmaster.ids import new_id
from jobmaster.models import STANDALONE, Bucket, Claim, JobRecord, Report, WorkerRecord
from jobmaster.ownership import Attempt, Finished, OwnedBucket, StopReason, WorkerLease
from jobmaster.states import Priority
from jobmaster.version import __version__

log = logging.getLogger("jobmaster.worker")

BUSY_POLL = 0.1
"""Longest wait in seconds of a busy claim loop that nobody brings news."""
IDLE_POLL = 300.0
"""Longest wait in seconds of a claim loop with nothing in hand: one glance looks after all of those."""
BUSY_FOR = 5.0
"""Seconds for which a bucket counts as busy after it had jobs."""
SHORT_PAUSE = 1.0
"""Longest pause in seconds between two tries while the store is away."""
NEVER_STAYS = -1.0
"""The delay, in seconds, up to which a job that runs again stays in a bucket on an agent: it goes to the master."""
ADOPTED_AT_ONCE = 1000
DRAIN_LOOK = 0.5
"""Seconds between two looks at what the buckets of a draining worker still hold."""
LAST_FLUSH = 5.0
"""Seconds the reporter gets to write the last outcomes."""


class Incarnation:
    """One life of a worker, from its registration until it stops or its lease runs out.

    A suspended one owns no buckets: it renews its lease, and rescues if that is among its duties.
    """

    def __init__(
        self, env: Environment, name: str, settings: WorkerSettings, *, suspended: bool = False
    ) -> None:
        self.env = env
        self.settings = settings
        self.suspended = suspended
        self.record = _record(env, name, settings)
        self.remote = self.record.agent != STANDALONE
        self.news = env.agents.news_of(self.record.agent)
        self.lease = WorkerLease(self.record.id, env.settings.lease, env.monotonic())
        self._asked_at: float | None = None
        self.owned = [
            OwnedBucket(
                bucket,
                self.lease,
                settings.slots(bucket.priority),
                settings.batch_size,
                finished=Finished(env.handover_age(), env.monotonic) if self.remote else None,
            )
            for bucket in (() if suspended else _buckets(self.record, settings))
        ]
        self.acknowledge: Acknowledge | None = None
        self.reporter = Reporter(env.master, env.observers, self._reports_written, settings.batch_size)
        self.watch = DeadlineWatch(lambda: self.owned, env.monotonic)
        self.execute = self._make_execute(name)
        self.over = anyio.Event()
        self._stopping = False
        self._completing = False
        self._claims: list[Service] = []
        self._subscriptions = ExitStack()

    def _make_execute(self, name: str) -> Execute:
        env = self.env
        slots = sum(len(owned.slots) for owned in self.owned)
        return Execute(
            master=env.master,
            handlers=env.registry,
            retry=env.settings.retry,
            threshold=lambda: NEVER_STAYS if self.remote else env.settings.transient_threshold,
            worker=name,
            host=env.host,
            on_report=self.reporter.submit,
            watch=self.watch,
            monotonic=env.monotonic,
            now=env.clock.now,
            threads=anyio.CapacityLimiter(max(1, slots)),
            build=env.plugins.build_handler,
            middleware=env.plugins.middleware(),
            observers=env.observers,
        )

    def _reports_written(self, reports: Sequence[Report]) -> None:
        self.execute.suspects.written(reports)
        self.env.reports_written(reports)

    # Life

    async def register(self) -> None:
        """Make the worker and its buckets known. May be called again: its lease counts from the first call."""
        env, buckets = self.env, [owned.bucket for owned in self.owned]
        if buckets:
            await self._use_agent(env.agents[self.record.agent], buckets)
        if self._asked_at is None:
            self._asked_at = env.monotonic()
        await env.master.register_worker(self.record, buckets, env.settings.lease)
        self.lease.renew(self._asked_at)
        for owned in self.owned:
            owned.last_progress = env.monotonic()
        env.notify.tell(Topics.buckets(env.cluster_id))

    def is_expired_unheard(self, now: float) -> bool:
        """Return whether it asked to be registered, got no answer, and may have been declared lost since."""
        return self._asked_at is not None and not Lease(self.env.settings.lease, self._asked_at).is_safe(now)

    async def _use_agent(self, agent: AgentRepository, buckets: Sequence[Bucket]) -> None:
        await agent.create_buckets(buckets)
        self.agent = agent
        if self.remote and self.acknowledge is None:
            self.acknowledge = Acknowledge(self.env.master, agent, self.settings.batch_size)
            self.reporter.on_settled = self.acknowledge.submit

    async def run(self) -> None:
        """Run all loops until the worker is over. Needs to be registered."""
        with self._subscriptions:
            self._subscribe(self.env.notify, Topics.worker(self.record.id), self.env.orders.set)
            async with anyio.create_task_group() as group:
                self._start(group)
                await self.over.wait()
                await self._settle_down()
                group.cancel_scope.cancel()

    def _subscribe(self, news: Notify, topic: str, wake: Callable[[], None], *, own: bool = False) -> None:
        self._subscriptions.enter_context(news.subscribed(topic, lambda _: wake(), own=own))

    def _start(self, group: TaskGroup) -> None:
        group.start_soon(self._guard)
        if not self.owned:
            return
        group.start_soon(self.watch.run)
        group.start_soon(self._reporting().run)
        group.start_soon(self._beating().run)
        group.start_soon(self._glancing().run)
        if self.remote:
            group.start_soon(self._acknowledging().run)
            group.start_soon(self._syncing().run)
        for owned in self.owned:
            self._claims.append(self._claiming(owned))
            group.start_soon(self._claims[-1].run)
            for slot in owned.slots:
                group.start_soon(self.execute.runner, owned, slot)

    async def _guard(self) -> None:
        """Fence ourselves before the lease can run out elsewhere."""
        while (left := self.lease.safe_until - self.env.monotonic()) > 0:
            await self.lease.renewals.wait(left)
        self.fence("its lease could not be renewed in time")

    def fence(self, why: str) -> None:
        """Stop at once: the buckets may belong to somebody else."""
        if self.lease.fenced:
            return
        log.warning("worker %s stops what it runs: %s", self.record.name, why)
        self.lease.fenced = True
        for owned in self.owned:
            owned.close()
            owned.stop_running(StopReason.FENCED)
        self.over.set()

    async def _settle_down(self) -> None:
        """Give cancelled handlers and the last reports a moment."""
        with anyio.move_on_after(min(LAST_FLUSH, self.env.settings.lease)):
            # Two unlike things are waited for, rarely and for a bounded time: a look now and then will do.
            while self._unsettled():  # noqa: ASYNC110
                await anyio.sleep(0.01)

    def _unsettled(self) -> bool:
        acknowledging = self.acknowledge is not None and self.acknowledge.pending and not self.lease.fenced
        return bool(self.reporter.pending or acknowledging or any(any(o.running()) for o in self.owned))

    # Loops

    def _claiming(self, owned: OwnedBucket) -> Service:
        env = self.env
        step = ClaimJobs(
            self.agent, owned, env.registry, self.reporter.submit, self._came_again, env.monotonic
        )
        self._subscribe(self.news, Topics.bucket(owned.id), owned.pull_again.set, own=True)
        busy_until = self.env.monotonic() + BUSY_FOR  # news of the first jobs may come before anybody listens

        async def tick() -> float | None:
            nonlocal busy_until
            try:
                result = await step.run_once()
            except LeaseLostError:
                self.fence("one of its buckets was taken over")
                return None
            now = self.env.monotonic()
            busy_until = now + BUSY_FOR if result.taken else busy_until
            wait = self._bounded(owned, result.wait, busy=now < busy_until)
            owned.last_progress = now + wait
            return wait

        name = f"claim {owned.bucket.priority.name}"
        return Service(name, tick, wake=owned.pull_again, longest_pause=SHORT_PAUSE)

    def _came_again(self, owned: OwnedBucket, keys: Sequence[Attempt]) -> None:
        if self.acknowledge is not None:
            self.acknowledge.again(owned, keys)

    def _bounded(self, owned: OwnedBucket, wait: float | None, *, busy: bool) -> float:
        longest = self.env.poll_interval(self.news) if owned.held else IDLE_POLL
        if busy and not self.news.listening:
            longest = min(longest, BUSY_POLL)
        return longest if wait is None else min(wait, longest)

    def _glancing(self) -> Service:
        """The safety net for lost news: wake the claim loops of idle buckets that hold something due."""

        async def tick() -> float | None:
            idle = {owned.id: owned for owned in self.owned if not owned.held and not owned.closed}
            if idle:
                for bucket_id in await self.agent.due_buckets([owned.bucket for owned in idle.values()]):
                    idle[bucket_id].pull_again.set()
            return None

        return Service("glance", tick, lambda: self.env.poll_interval(self.news), longest_pause=SHORT_PAUSE)

    def _reporting(self) -> Service:
        async def tick() -> float | None:
            await self.reporter.wait()
            await self.reporter.run_once()
            return 0.0

        return Service("report", tick, longest_pause=SHORT_PAUSE)

    def _acknowledging(self) -> Service:
        step = self.acknowledge
        if step is None:  # pragma: no cover - only called for buckets on an agent
            raise AssertionError

        async def tick() -> float | None:
            await step.wait()
            try:
                await step.run_once()
            except LeaseLostError:
                self.fence("one of its buckets was taken over")
                return None  # what is left is the new owner's
            return 0.0

        return Service("acknowledge", tick, longest_pause=SHORT_PAUSE)

    def _syncing(self) -> Service:
        """Let the master know of jobs that have to wait; nothing is asked while no bucket keeps any waiting."""
        env = self.env
        steps = [Sync(env.master, self.agent, owned, env.settings.save_after) for owned in self.owned]

        async def tick() -> float | None:
            more = [await step.run_once() for step in steps if step.owned.keeps_waiting]
            return 0.0 if any(more) else env.settings.save_after / 2

        return Service("sync", tick, longest_pause=SHORT_PAUSE)

    def _beating(self) -> Service:
        env = self.env
        beat = Beat(env.master, self.agent, lambda: self.owned, env.settings.beat, env.monotonic)

        async def tick() -> float | None:
            await beat.run_once()
            return self.env.settings.beat

        return Service("beat", tick)

    async def handle_cancel_requests(self) -> None:
        """Look for cancel requests, and stop or withdraw what they name."""
        by_id = {owned.id: owned for owned in self.owned}
        if not by_id:
            return
        for bucket_id, job_id, attempt in await self.env.master.cancel_requests(list(by_id)):
            owned = by_id[bucket_id]
            claim = owned.cancel(job_id, attempt)
            if claim is not None:
                self.reporter.submit(owned, outcome.cancelled_unstarted(claim))
            elif job_id not in owned.held:
                await self._cancel_unclaimed(owned, job_id, attempt)

    async def _cancel_unclaimed(self, owned: OwnedBucket, job_id: UUID, attempt: int) -> None:
        """Cancel a job that lies in a bucket and is not in hand.

        From the master's own rows the next pull brings it, marked. A message on an agent knows of no mark.
        """
        if not self.remote:
            owned.pull_again.set()
            return
        record = await self.env.master.get_job(self.env.cluster_id, job_id)
        if record is None or record.bucket_id != owned.id or owned.closed:
            return
        claim = _unclaimed(owned.bucket, record, attempt)
        if not owned.knows(claim):
            owned.take_aside(claim, self.env.monotonic())
            owned.cancelled.add((job_id, attempt))
            self.reporter.submit(owned, outcome.cancelled_unstarted(claim))

    async def adopt_parked(self) -> int:
        """Take parked jobs whose handlers are known here; return how many."""
        buckets = [owned.bucket for owned in self.owned if not owned.closed]
        if not buckets or self._completing or not self.env.registry:
            return 0
        adopted = await self._adopt(buckets, list(self.env.registry))
        if adopted:
            for owned in self.owned:
                owned.pull_again.set()
        return adopted

    async def _adopt(self, buckets: Sequence[Bucket], definition_ids: Sequence[str]) -> int:
        master = self.env.master
        if not self.remote:
            return await master.adopt_parked(buckets, definition_ids, ADOPTED_AT_ONCE)
        asked_at = self.env.monotonic()
        handovers = await master.hand_over_parked(buckets, definition_ids, ADOPTED_AT_ONCE, self.record.id)
        given = [(self.record.agent, one) for one in handovers]
        arrived = await self.env.carrier().carry(given, asked_at)
        return sum(len(one.messages) for one in arrived)

    # Stopping

    @property
    def leaving(self) -> bool:
        """Whether this life is over, or about to be."""
        return self._stopping or self.over.is_set()

    def draining(self) -> Service:
        """Return the loop of a drain: take nothing new, and end when the buckets hold nothing more."""
        ids = {owned.id for owned in self.owned}

        async def tick() -> float | None:
            if not self._completing:
                await self.env.master.set_worker_stopping(self.record.id)
                self.env.notify.tell(Topics.buckets(self.env.cluster_id))
                self._completing = True
            if self.leaving or not ids or not ids & (await self.agent.holdings()).keys():
                service.stop()
            return DRAIN_LOOK

        service = Service("drain", tick, longest_pause=SHORT_PAUSE)
        return service

    async def stop(self, grace: float) -> None:
        """Stop gracefully: take nothing new, let running jobs end, hand back the rest; costs no retry."""
        if self.leaving:
            await self.over.wait()
            return
        self._stopping = True
        await self._quietly(self.env.master.set_worker_stopping(self.record.id))
        self.env.notify.tell(Topics.buckets(self.env.cluster_id))
        self._hand_back_waiting()
        await self._let_running_end(grace)
        await self._leave()
        self.over.set()

    def _hand_back_waiting(self) -> None:
        for service in self._claims:
            service.stop()
        for owned in self.owned:
            for claim in owned.close():
                self.reporter.submit(owned, outcome.released(claim))

    async def _let_running_end(self, grace: float) -> None:
        with anyio.move_on_after(grace):
            await self._wait_empty()
        for owned in self.owned:
            owned.stop_running(StopReason.SHUTDOWN)
        with anyio.move_on_after(LAST_FLUSH):
            await self._wait_empty()

    async def _wait_empty(self) -> None:
        for owned in self.owned:
            await owned.wait_empty()

    async def _leave(self) -> None:
        """Give up what is empty-handed. A bucket with unwritten outcomes stays ours until it is rescued."""
        with anyio.move_on_after(LAST_FLUSH):
            await self._acknowledged()
        clean = [owned for owned in self.owned if not owned.held]
        for owned in clean:
            await self._quietly(give_up(self.env.master, self.agent, owned.bucket))
        if len(clean) == len(self.owned):
            await self._quietly(self.env.master.retire_worker(self.record.id))
        self.env.notify.tell(Topics.held(self.env.cluster_id))

    async def _acknowledged(self) -> None:
        """Wait until the messages of all reported jobs have left the agent."""
        while any(owned.unacknowledged for owned in self.owned):  # noqa: ASYNC110 - rarely, and not for long
            await anyio.sleep(0.01)

    async def _quietly(self, unit: Awaitable[object]) -> None:
        """Do what can be done while stopping; what fails is left to the rescue."""
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
        )
        for priority in sorted(Priority, reverse=True)
        for _ in range(settings.bucket_count(priority))
    ]


def _unclaimed(bucket: Bucket, record: JobRecord, attempt: int) -> Claim:
    """Return a job in an owned bucket as if it had been claimed."""
    return Claim(
        job=record.job,
        bucket_id=bucket.id,
        epoch=bucket.epoch,
        attempt=attempt,
        ready_at=record.ready_at or record.scheduled_at,
        retries=record.retries,
    )
