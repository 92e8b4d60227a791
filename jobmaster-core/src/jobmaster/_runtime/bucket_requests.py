"""Requests that concern a worker's buckets: cancel jobs, and run parked ones. The steps, and the loops around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import define, field

from jobmaster._flow.ownership import NEVER, OnReport, OwnedBucket
from jobmaster._policy import outcome
from jobmaster._runtime.service import NOTIFICATION_SPACING, Service
from jobmaster.contracts import Topics
from jobmaster.models import Bucket, Claim, JobRecord, WorkerRecord

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment

ADOPTED_AT_ONCE = 1000
TAKE_EVERY = 0.5
"""Seconds between two times that a bucket without room gets parked jobs, as many as it has slots."""


@define(eq=False)
class BucketRequests:
    """Looks for requests to a worker, and carries them out. Reports go to `on_report`.

    A worker that is draining no longer `adopts` parked jobs.
    """

    env: Environment
    worker: WorkerRecord
    owned: Sequence[OwnedBucket]
    on_report: OnReport
    adopts: bool = True
    parked_left: bool = False
    _took_at: dict[UUID, float] = field(factory=dict, init=False)

    @property
    def remote(self) -> bool:
        """Whether the buckets are on an agent."""
        return self.worker.is_on_agent

    def loops(self) -> list[Service]:
        """Return the loops around the steps."""
        return [self._cancelling(), self._adopting()] if self.owned else []

    # Cancelling

    def _cancelling(self) -> Service:
        """Return the loop that handles cancel requests. The answer to each heartbeat also announces them."""
        env = self.env

        async def tick() -> float | None:
            await self.handle_cancels()
            return None

        def longest() -> float | None:
            """Return None while heartbeats announce requests often enough."""
            poll = env.poll_interval()
            return None if env.settings.heartbeat <= poll else poll

        topics = [Topics.control(owned.id) for owned in self.owned]
        return Service("requests", tick, longest, spacing=NOTIFICATION_SPACING, topics=topics)

    async def handle_cancels(self) -> None:
        """Look for cancel requests, and stop or withdraw the jobs that they name."""
        by_id = {owned.id: owned for owned in self.owned}
        if not by_id:
            return
        for bucket_id, job_id, attempt in await self.env.master.requests.read_cancels(list(by_id)):
            owned = by_id[bucket_id]
            claim = owned.cancel(job_id, attempt)
            if claim is not None:
                self.on_report(owned, outcome.cancelled_unstarted(claim))
            elif job_id not in owned.in_flight:
                await self._cancel_unclaimed(owned, job_id, attempt)

    async def _cancel_unclaimed(self, owned: OwnedBucket, job_id: UUID, attempt: int) -> None:
        """Cancel a job that lies in a bucket and is not in flight.

        The next pull from the master's own rows returns the job, marked. A message on an agent has no mark.
        """
        if not self.remote:
            owned.pull_again.set()
            return
        record = await self.env.master.jobs.get(self.env.cluster_id, job_id)
        if record is None or record.bucket_id != owned.id or owned.closed:
            return
        claim = _unclaimed(owned.bucket, record, attempt)
        if not owned.knows(claim):
            owned.cancel_unread(claim, self.env.monotonic())
            self.on_report(owned, outcome.cancelled_unstarted(claim))

    # Adopting

    def _adopting(self) -> Service:
        """Return the loop that takes parked jobs."""

        async def tick() -> float | None:
            if self.adopts:
                await self.adopt_parked()
            return TAKE_EVERY if self.parked_left else None

        def longest() -> float:
            return self.env.seldom(self.env.settings.poll_interval)

        topics = [Topics.parked(self.env.cluster_id)]
        return Service("adopt", tick, longest, spacing=NOTIFICATION_SPACING, topics=topics)

    async def adopt_parked(self) -> int:
        """Take parked jobs whose handlers are known here, no more than can start soon; return how many.

        A bucket without room still takes some now and then: parked jobs must not wait for as long as there is other work.
        `parked_left` says whether some may be left for a while.
        """
        adopted, count, limit = 0, 0, 0
        while self.env.registry and count == limit:
            rooms = {owned: self._room(owned) for owned in self.owned if not owned.closed}
            free = [owned for owned, room in rooms.items() if room]
            self.parked_left = len(free) < len(rooms)
            if not free:
                break
            limit = min(ADOPTED_AT_ONCE, *(rooms[owned] for owned in free))
            count = await self._adopt([owned.bucket for owned in free], list(self.env.registry), limit)
            adopted += count
            self._took(free, count)
        return adopted

    def _room(self, owned: OwnedBucket) -> int:
        room, now = owned.room_for_more, self.env.monotonic()
        if room == 0 and now - self._took_at.get(owned.id, -NEVER) >= TAKE_EVERY:
            return len(owned.slots)
        return room

    def _took(self, buckets: Sequence[OwnedBucket], count: int) -> None:
        """Note that one or more of these buckets got jobs, and have the buckets read."""
        for owned in buckets if count else ():
            self._took_at[owned.id] = self.env.monotonic()
            owned.adopted(count)
            owned.pull_again.set()

    async def _adopt(self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int) -> int:
        master = self.env.master
        if not self.remote:
            return await master.assignments.adopt_parked(buckets, definition_ids, limit)
        asked_at = self.env.monotonic()
        handovers = await master.handovers.hand_over_parked(buckets, definition_ids, limit, self.worker.id)
        given = [(self.worker.agent, one) for one in handovers]
        arrived = await self.env.handover_pusher().push(given, asked_at)
        return sum(len(one.messages) for one in arrived)


def _unclaimed(bucket: Bucket, record: JobRecord, attempt: int) -> Claim:
    """Return a job of an owned bucket as if it had been claimed."""
    return Claim(
        job=record.job,
        bucket_id=bucket.id,
        epoch=bucket.epoch,
        attempt=attempt,
        ready_at=record.ready_at or record.scheduled_at,
        retries=record.retries,
    )
