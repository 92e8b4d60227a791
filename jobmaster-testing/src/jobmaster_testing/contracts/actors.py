"""Producers and coordinators of a cluster with one agent, which lose calls and die on the way."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum, auto
from random import Random
from typing import TypeVar
from uuid import UUID

from attrs import define, field

from jobmaster.contracts import Handover, Message
from jobmaster.errors import InvalidTransitionError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Claim, NewJob
from jobmaster_testing.contracts.depot import Depot, keys
from jobmaster_testing.contracts.world import room
from jobmaster_testing.factories import make_message

T = TypeVar("T")

LATER = 1000.0
"""Seconds until a message that is not due during a test."""


class Fate(Enum):
    """The result of a call to the agent."""

    ARRIVES = auto()
    ANSWER_IS_LOST = auto()
    NEVER_ARRIVES = auto()


@define(eq=False)
class Owner:
    """The owner of a bucket, and what it has in memory."""

    bucket: Bucket
    in_hand: list[Claim] = field(factory=list)
    unacknowledged: list[Claim] = field(factory=list)
    done: set[tuple[UUID, int]] = field(factory=set)


@define(eq=False)
class Actors:
    """What the actors know and have in memory, which jobs were accepted, and which ended. `random` decides everything."""

    depot: Depot
    random: Random
    steps: list[str] = field(factory=list)
    accepted: set[UUID] = field(factory=set)
    ended: Counter[UUID] = field(factory=Counter)
    owners: list[Owner] = field(factory=list)
    ghosts: list[Owner] = field(factory=list)
    """Owners that others consider dead, but that continue to work."""
    carried: list[Handover] = field(factory=list)
    """Handovers that coordinators have written and not yet pushed."""
    retaken: list[Handover] = field(factory=list)
    """Handovers that others left behind and coordinators have yet to push again."""
    late: list[Handover] = field(factory=list)
    """Handovers that coordinators did not push in time."""
    calm: bool = False
    """Whether there are no more faults and no new jobs."""

    def _one(self, choices: Sequence[T]) -> T:
        return self.random.choice(choices)

    # Producers

    async def push(self) -> None:
        """Push a new job; a producer that gets no answer stores the job through the master, or gives up."""
        await self._push_to(self._one(self.owners).bucket)

    async def _push_to(self, bucket: Bucket) -> None:
        message = make_message(bucket, self.depot.job(), delay=self._delay())
        fate = self._one(list(Fate))
        if fate is not Fate.NEVER_ARRIVES:
            await self.depot.agent.messages.push([message])
        if fate is Fate.ARRIVES:
            self.accepted.add(message.new.job.id)
        elif self._one([True, False]):
            await self._store_instead(message, bucket)

    def _delay(self) -> float:
        """Return 0 mostly; an agent that cannot withdraw messages keeps those that are not due forever."""
        return self._one([0.0, 0.0, 0.0, LATER]) if self.depot.agent.capabilities.addressable else 0.0

    async def _store_instead(self, message: Message, bucket: Bucket) -> None:
        master, job = self.depot.world.master, message.new.job
        await master.handovers.open(job.cluster_id, bucket.id, [job.id], new_id())
        if self._one([True, True, False]):
            await master.jobs.insert([message.new])
            self.accepted.add(job.id)

    async def hold(self) -> None:
        """Store a job on the master."""
        job = self.depot.job()
        await self.depot.world.insert(NewJob(job=job))
        self.accepted.add(job.id)

    async def reschedule(self) -> None:
        """Withdraw a message and reschedule its job; the caller may die on the way, or be slow."""
        await self._withdraw_one(sorted(self.accepted), [True, True, False])

    async def _withdraw_one(self, job_ids: Sequence[UUID], goes_on: Sequence[bool]) -> None:
        found = await self.depot.agent.messages.find(job_ids)
        waiting = sorted((m for m in found if m.new.delay), key=lambda m: m.new.job.id)
        if waiting:
            await self._withdraw(self._one(waiting), goes_on)

    async def _withdraw(self, message: Message, goes_on: Sequence[bool]) -> None:
        master, job, bucket_id = self.depot.world.master, message.new.job, message.new.bucket_id
        assert bucket_id is not None
        await master.jobs.insert([message.new])
        withdrawn = await master.handovers.open(job.cluster_id, bucket_id, [job.id], new_id())
        if not await self.depot.agent.messages.withdraw(bucket_id, keys([message])):
            await master.handovers.close([withdrawn])
            return
        if not all(goes_on) and self._one([True, False]):
            await self.retake()
            await self.push_handover()
        if self._one(goes_on):
            await self._move(job.id, withdrawn)

    async def _move(self, job_id: UUID, withdrawn: UUID | None = None) -> None:
        """Make a job due; a caller that has withdrawn its message may find that the message is back."""
        world = self.depot.world
        try:
            await world.master.requests.reschedule(world.cluster_id, job_id, 0, withdrawn)
        except InvalidTransitionError:
            assert withdrawn, "a job that no worker can hold could not be moved"

    # Coordinators

    async def hand_over(self) -> None:
        """Mark held jobs, to be pushed later."""
        rooms = [room(owner.bucket, 2) for owner in self.owners]
        world = self.depot.world
        found = await world.master.handovers.hand_over(world.cluster_id, 1, rooms, new_id())
        self.carried += found.handovers

    async def push_handover(self) -> None:
        """Push a handover that was marked a while ago; a caller that gets no answer, or dies, leaves it to others."""
        retaken = bool(self.retaken)
        queue = self.retaken or self.carried
        if not queue:
            return
        handover, fate = queue.pop(0), self._one([*Fate, None])
        if fate in (Fate.ARRIVES, Fate.ANSWER_IS_LOST):
            await self.depot.agent.messages.push(handover.messages)
        if fate is Fate.ARRIVES:
            await self.depot.world.master.handovers.close([handover.id])
        if fate is Fate.NEVER_ARRIVES and not retaken:
            await self.depot.world.master.handovers.undo([handover.id])

    async def retake(self) -> None:
        """Take over handovers that other coordinators left, or were too slow to push."""
        world = self.depot.world
        self.late, self.carried = self.late + self.carried, []
        self.retaken += await world.master.handovers.take_over(world.cluster_id, 0, new_id(), 3)

    async def give_up(self) -> None:
        """Let a coordinator that could not push its jobs take them back, maybe after others already did."""
        late, self.late = self.late, []
        await self.depot.world.master.handovers.undo([handover.id for handover in late])
