"""Producers, owners, coordinators and rescuers of one cluster, each of which may die between any two calls."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from random import Random
from typing import TypeVar
from uuid import UUID

from attrs import define, evolve, field

from jobmaster.contracts import Handover, Message
from jobmaster.errors import InvalidTransitionError, LeaseLostError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Claim, Cursor, NewJob
from jobmaster.states import AttemptOutcome, BucketStatus, JobStatus
from jobmaster_testing.contracts.depot import PLENTY, Depot, keys
from jobmaster_testing.contracts.world import room
from jobmaster_testing.factories import make_message, make_report

T = TypeVar("T")

LATER = 1000.0
"""Seconds until a message that is not due within a test."""

ROUNDS = 20
"""How often everything is set right at the end before something must be wrong."""


class Fate(Enum):
    """What becomes of a call to the agent."""

    ARRIVES = auto()
    ANSWER_IS_LOST = auto()
    NEVER_ARRIVES = auto()


@define(eq=False)
class Owner:
    """Who owns a bucket, and what it has in memory."""

    bucket: Bucket
    in_hand: list[Claim] = field(factory=list)
    unacknowledged: list[Claim] = field(factory=list)
    done: set[tuple[UUID, int]] = field(factory=set)


@define(eq=False)
class Mishaps:
    """Does one thing after the other, chosen by `random`, and keeps count of what was accepted and what ended."""

    depot: Depot
    random: Random
    steps: list[str] = field(factory=list)
    accepted: set[UUID] = field(factory=set)
    ended: Counter[UUID] = field(factory=Counter)
    owners: list[Owner] = field(factory=list)
    ghosts: list[Owner] = field(factory=list)
    """Owners that others take for dead, and that go on all the same."""
    carried: list[Handover] = field(factory=list)
    """What coordinators have yet to push."""

    async def start(self) -> None:
        """Begin with two owners."""
        for _ in range(2):
            await self._new_owner()

    async def step(self) -> None:
        """Do one thing, and look whether everything is still somewhere."""
        frequent = [self.push, self.push, self.pull, self.pull, self.report, self.report, self.acknowledge]
        rare = [self.hold, self.hand_over, self.carry, self.retake, self.save, self.reschedule]
        mishaps = [self.die, self.haunt, self.rescue, self.sweep]
        todo = self._one([*frequent, *rare, *mishaps])
        self.steps.append(todo.__name__)
        await todo()
        await self._check_nothing_is_lost()

    def _one(self, choices: Sequence[T]) -> T:
        return self.random.choice(choices)

    async def _new_owner(self) -> None:
        self.owners.append(Owner(await self.depot.bucket()))

    # Producers

    async def push(self) -> None:
        """Push a new job; a producer that gets no answer lets the master make sure of it, or gives up."""
        bucket, delay = self._one(self.owners).bucket, self._one([0.0, 0.0, 0.0, LATER])
        message = make_message(bucket, self.depot.job(), delay=delay)
        fate = self._one(list(Fate))
        if fate is not Fate.NEVER_ARRIVES:
            await self.depot.agent.push([message])
        if fate is Fate.ARRIVES:
            self.accepted.add(message.new.job.id)
        elif self._one([True, False]):
            await self._store_instead(message, bucket)

    async def _store_instead(self, message: Message, bucket: Bucket) -> None:
        master, job = self.depot.world.master, message.new.job
        await master.open_handover(job.cluster_id, bucket.id, [job.id], new_id())
        if self._one([True, True, False]):
            await master.insert_jobs([message.new])
            self.accepted.add(job.id)

    async def hold(self) -> None:
        """Store a job on the master."""
        job = self.depot.job()
        await self.depot.world.insert(NewJob(job=job))
        self.accepted.add(job.id)

    async def reschedule(self) -> None:
        """Withdraw a message and give its job another time; the caller may die on the way."""
        if not self.accepted:
            return
        found = await self.depot.agent.find([self._one(sorted(self.accepted))])
        for message in found[:1]:
            await self._reschedule(message)

    async def _reschedule(self, message: Message) -> None:
        master, job, bucket_id = self.depot.world.master, message.new.job, message.new.bucket_id
        assert bucket_id is not None
        await master.insert_jobs([message.new])
        withdrawn = await master.open_handover(job.cluster_id, bucket_id, [job.id], new_id())
        if not await self.depot.agent.withdraw(bucket_id, keys([message])):
            await master.close_handovers([withdrawn])
        elif self._one([True, True, False]):
            await self._give_another_time(job.id, withdrawn)

    async def _give_another_time(
        self, job_id: UUID, withdrawn: UUID | None = None, delay: float = 0.0
    ) -> None:
        world = self.depot.world
        try:
            await world.master.reschedule(world.cluster_id, job_id, delay, withdrawn)
        except InvalidTransitionError:
            assert withdrawn, "a job that nobody can have in hand could not be moved"

    # Owners

    async def pull(self) -> None:
        """Let an owner read its bucket."""
        await self._pull(self._one(self.owners))

    async def _pull(self, owner: Owner) -> None:
        page = await self.depot.agent.pull(owner.bucket, Cursor(), self._one([1, 3, PLENTY]))
        in_hand = {(claim.job.id, claim.attempt) for claim in owner.in_hand}
        for claim in page.claims:
            if (claim.job.id, claim.attempt) in owner.done:
                owner.unacknowledged.append(claim)
            elif (claim.job.id, claim.attempt) not in in_hand:
                owner.in_hand.append(claim)

    async def report(self) -> None:
        """Let an owner report how a job went."""
        await self._report(self._one(self.owners))

    async def _report(self, owner: Owner) -> None:
        if not owner.in_hand:
            return
        claim = owner.in_hand.pop(self.random.randrange(len(owner.in_hand)))
        status = self._one([JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.HELD_ON_MASTER])
        if await self._write(claim, status, AttemptOutcome.FAILED) or await self._is_mine(owner.bucket):
            owner.unacknowledged.append(claim)
            owner.done.add((claim.job.id, claim.attempt))

    async def _write(self, claim: Claim, status: JobStatus, other: AttemptOutcome) -> bool:
        """Report about a claim; return whether that held. `other` is how a run ended that is not the last."""
        outcome = AttemptOutcome(status) if status.is_terminal else other
        report = make_report(claim, status, outcome=outcome, retries=claim.retries + 1)
        stale = await self.depot.world.master.report([report])
        if not stale and status.is_terminal:
            self.ended[claim.job.id] += 1
        return not stale

    async def _is_mine(self, bucket: Bucket) -> bool:
        """Whether a stale report was about a job that the master has elsewhere: the bucket is still ours."""
        try:
            await self.depot.world.master.mark(bucket, [])
        except LeaseLostError:
            return False
        return True

    async def acknowledge(self) -> None:
        """Let an owner remove what the master knows."""
        await self._acknowledge(self._one(self.owners))

    async def _acknowledge(self, owner: Owner) -> None:
        done, owner.unacknowledged = owner.unacknowledged, []
        await self.depot.agent.acknowledge(owner.bucket, [(c.job.id, c.attempt) for c in done])

    async def save(self) -> None:
        """Let an owner tell the master of jobs that wait."""
        await self._save(self._one(self.owners))

    async def _save(self, owner: Owner) -> None:
        found = await self.depot.agent.unsaved(owner.bucket, 0, None, 3)
        await self.depot.world.master.insert_jobs([message.new for message in found.messages])

    # Coordinators

    async def hand_over(self) -> None:
        """Mark held jobs, to be pushed later."""
        rooms = [room(owner.bucket, 2) for owner in self.owners]
        world = self.depot.world
        found = await world.master.hand_over(world.cluster_id, 1, rooms, new_id())
        self.carried += found.handovers

    async def carry(self) -> None:
        """Push what was marked a while ago; who gets no answer leaves the handover to others."""
        if not self.carried:
            return
        handover, fate = self.carried.pop(0), self._one([*Fate, None])
        if fate in (Fate.ARRIVES, Fate.ANSWER_IS_LOST):
            await self.depot.agent.push(handover.messages)
        if fate is Fate.ARRIVES:
            await self.depot.world.master.close_handovers([handover.id])
        if fate is Fate.NEVER_ARRIVES:
            await self.depot.world.master.take_back([handover.id])

    async def retake(self) -> None:
        """Take over what other coordinators left."""
        world = self.depot.world
        self.carried += await world.master.retake_handovers(world.cluster_id, 0, new_id(), 3)

    # Deaths and rescues

    async def die(self) -> None:
        """Let an owner be taken for dead; another one comes in its place."""
        owner = self.owners.pop(0)
        await self.depot.world.master.retire_worker(owner.bucket.worker_id)
        self.ghosts.append(owner)
        await self._new_owner()

    async def haunt(self) -> None:
        """Let somebody do something who does not know yet that others took over."""
        if not self.ghosts:
            return
        ghost = self._one(self.ghosts)
        todo: Callable[[Owner], Awaitable[None]] = self._one(
            [self._pull, self._report, self._acknowledge, self._save]
        )
        try:
            await todo(ghost)
        except LeaseLostError:
            self.ghosts.remove(ghost)

    async def rescue(self) -> None:
        """Let a rescuer begin with a lost bucket, and get so and so far."""
        await self._rescue(self._one(range(6)))

    async def _rescue(self, steps: int) -> bool:
        world = self.depot.world
        rescuer = await world.worker(name="Rescuer", agent=self.depot.agent.name)
        taken = await world.master.take_lost_buckets(world.cluster_id, rescuer.id, 1, [self.depot.agent.name])
        for bucket in taken:
            await self._empty(bucket, steps)
        await world.master.retire_worker(rescuer.id)
        return bool(taken)

    async def _empty(self, bucket: Bucket, steps: int) -> None:
        exposed = await self.depot.exposed(bucket)
        if steps > 0:
            for claim in exposed:
                await self._write(claim, JobStatus.HELD_ON_MASTER, AttemptOutcome.LOST)
        if steps > 1:
            await self.depot.agent.acknowledge(bucket, [(c.job.id, c.attempt) for c in exposed])
        if steps > 2:  # noqa: PLR2004 - how far a rescuer gets
            await self._bring_back(bucket)
        if steps > 3:  # noqa: PLR2004 - as above
            await self.depot.world.master.release_bucket(bucket)
        if steps > 4 and await self.depot.agent.drop_bucket(bucket.id):  # noqa: PLR2004 - as above
            await self.depot.world.master.set_bucket_status(bucket, BucketStatus.READY_TO_DELETE)

    async def _bring_back(self, bucket: Bucket) -> None:
        while messages := await self.depot.agent.drain(bucket.id, 3):
            held = [evolve(m.new, bucket_id=None) for m in messages if not m.saved]
            await self.depot.world.master.insert_jobs(held)
            await self.depot.agent.acknowledge(bucket, keys(messages))

    async def sweep(self) -> None:
        """Bring messages back that lie where nobody reads, and rows."""
        world = self.depot.world
        buckets = {b.id: b for b in await world.master.list_buckets(world.cluster_id)}
        for bucket_id in await self.depot.holdings():
            if buckets[bucket_id].status is BucketStatus.READY_TO_DELETE:
                await self._bring_back(buckets[bucket_id])
        await world.master.sweep_orphans(world.cluster_id)

    # The end

    async def settle(self) -> None:
        """Let all owners die, set right what is left, and run what is not finished."""
        for _ in range(len(self.owners)):
            await self.die()
        for _ in range(ROUNDS):
            while await self._rescue(5):
                pass
            await self.sweep()
            await self._push_all()
            await self._run_all()
        await self._check_the_end()

    async def _push_all(self) -> None:
        world = self.depot.world
        taken = await world.master.retake_handovers(world.cluster_id, 0, new_id(), PLENTY)
        for handover in [*self.carried, *taken]:
            await self.depot.agent.push(handover.messages)
            await world.master.close_handovers([handover.id])
        self.carried = []

    async def _run_all(self) -> None:
        """Run all that is held, due or not."""
        for record in await self.depot.world.all_jobs():
            if record.status is JobStatus.HELD_ON_MASTER:
                await self._give_another_time(record.id)
        await self.hand_over()
        await self._push_all()
        for owner in self.owners:
            await self._pull(owner)
            while owner.in_hand:
                await self._report(owner)
            await self._acknowledge(owner)

    async def _check_nothing_is_lost(self) -> None:
        if not self.depot.agent.capabilities.addressable:
            return
        known = {record.id for record in await self.depot.world.all_jobs()}
        missing = sorted(self.accepted - known)
        found = {message.new.job.id for message in await self.depot.agent.find(missing)}
        assert found == set(missing), f"jobs that were accepted are nowhere: {set(missing) - found}"

    async def _check_the_end(self) -> None:
        records = {record.id: record for record in await self.depot.world.all_jobs()}
        assert self.accepted <= records.keys()
        assert {i: r.status for i, r in records.items() if not r.status.is_terminal} == {}
        assert self.ended == Counter(records.keys())
        assert await self.depot.holdings() == {}
        assert dict(await self.depot.world.master.bucket_holdings(self.depot.world.cluster_id)) == {}
