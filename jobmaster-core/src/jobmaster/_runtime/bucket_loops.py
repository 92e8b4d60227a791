"""The loops of one worker session, around the steps between its buckets and the master."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from attrs import define

from jobmaster._pipeline.claim import ClaimJobs
from jobmaster._pipeline.save_waiting import SaveWaiting
from jobmaster._pipeline.share import LOOK_EVERY, Share
from jobmaster._runtime.service import SHORT_PAUSE, Service
from jobmaster._upkeep.beat import Beat
from jobmaster.errors import LeaseLostError

if TYPE_CHECKING:
    from jobmaster._flow.ownership import Attempt, OwnedBucket
    from jobmaster._pipeline.acknowledge import Acknowledge
    from jobmaster._pipeline.report import Reporter
    from jobmaster._process.signals import Signal
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.notifier import Notifier
    from jobmaster._runtime.other_workers import OtherWorkers
    from jobmaster.contracts import AgentRepository

BUSY_POLL = 0.1
"""Longest wait in seconds of a busy claim loop that receives no notifications."""
IDLE_POLL = 300.0
"""Longest wait in seconds of a claim loop with nothing in flight: one glance checks all of those."""
BUSY_FOR = 5.0
"""Seconds for which a bucket counts as busy after it had jobs."""
TAKEN_OVER = "one of its buckets was taken over"


@define(eq=False)
class BucketLoops:
    """Makes the loops of a worker that owns buckets.

    `acknowledge` is set if the buckets are on an agent; `notifications` is the notifier of that agent. `fence` ends the
    session. `stirred` is set when jobs arrive or slots become idle.
    """

    env: Environment
    agent: AgentRepository
    notifications: Notifier
    owned: Sequence[OwnedBucket]
    reporter: Reporter
    acknowledge: Acknowledge | None
    fence: Callable[[str], None]
    stirred: Signal
    others: OtherWorkers

    def shared(self) -> list[Service]:
        """Return the loops that all buckets share."""
        services = [self._reporting(), self._beating(), self._glancing(), self._sharing()]
        if self.acknowledge is not None:
            services += [self._acknowledging(self.acknowledge), self._syncing()]
        return services

    # Claiming

    def claiming(self, owned: OwnedBucket) -> Service:
        """Return the loop that reads a bucket's due jobs into memory."""
        env = self.env
        step = ClaimJobs(
            self.agent.claims, owned, env.registry, self.reporter.submit, self._came_again, env.clock
        )
        busy_until = (
            env.monotonic() + BUSY_FOR
        )  # notifications of the first jobs may arrive before the listener is ready

        async def tick() -> float | None:
            nonlocal busy_until
            try:
                result = await step.run_once()
            except LeaseLostError:
                self.fence(TAKEN_OVER)
                return None
            now = env.monotonic()
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
        longest = self.env.poll_interval(self.notifications) if owned.in_flight else IDLE_POLL
        if busy and not self.notifications.listening:
            longest = min(longest, BUSY_POLL)
        return longest if wait is None else min(wait, longest)

    def _glancing(self) -> Service:
        """The safety net for lost notifications: wake the claim loops of idle buckets that hold due jobs."""

        async def tick() -> float | None:
            idle = {owned.id: owned for owned in self.owned if not owned.in_flight and not owned.closed}
            if idle:
                for bucket_id in await self.agent.claims.due([owned.bucket for owned in idle.values()]):
                    idle[bucket_id].pull_again.set()
            return None

        return Service(
            "glance", tick, lambda: self.env.poll_interval(self.notifications), longest_pause=SHORT_PAUSE
        )

    # Sharing

    def _sharing(self) -> Service:
        """Return the loop that reports what these buckets would take, and gives back jobs that others can start sooner."""
        env = self.env
        step = Share(
            cluster_id=env.cluster_id,
            master=env.master,
            agent=self.agent,
            owned=self.owned,
            on_report=self.reporter.submit,
            others=self.others,
            clock=env.clock,
        )
        return Service(
            "share", step.run_once, wake=self.stirred, longest_pause=SHORT_PAUSE, spacing=LOOK_EVERY
        )

    # Reporting to the master, then to the agent

    def _reporting(self) -> Service:
        async def tick() -> float | None:
            await self.reporter.wait()
            await self.reporter.run_once()
            return 0.0

        return Service("report", tick, longest_pause=SHORT_PAUSE)

    def _acknowledging(self, step: Acknowledge) -> Service:
        async def tick() -> float | None:
            await step.wait()
            try:
                await step.run_once()
            except LeaseLostError:
                self.fence(TAKEN_OVER)
                return None  # the rest belongs to the new owner
            return 0.0

        return Service("acknowledge", tick, longest_pause=SHORT_PAUSE)

    def _syncing(self) -> Service:
        """Save waiting jobs on the master; no query runs while no bucket has any."""
        env = self.env
        steps = [
            SaveWaiting(env.master.jobs, self.agent.messages, owned, env.settings.save_after)
            for owned in self.owned
        ]

        async def tick() -> float | None:
            more = [await step.run_once() for step in steps if step.owned.keeps_waiting]
            return 0.0 if any(more) else env.settings.save_after / 2

        return Service("sync", tick, longest_pause=SHORT_PAUSE)

    def _beating(self) -> Service:
        env = self.env
        beat = Beat(
            env.master.outcomes,
            env.master.jobs,
            self.agent.messages,
            self.owned,
            env.settings.beat,
            env.clock,
        )

        async def tick() -> float | None:
            await beat.run_once()
            return env.settings.beat

        return Service("beat", tick)
