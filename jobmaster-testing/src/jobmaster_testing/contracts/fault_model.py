"""Owners and rescuers of the same cluster, each of which may die between any two calls; and the end of the run."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from attrs import define, evolve

from jobmaster.errors import LeaseLostError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Claim, Cursor
from jobmaster.states import AttemptOutcome, BucketStatus, JobStatus
from jobmaster_testing.contracts.actors import Actors, Owner
from jobmaster_testing.contracts.depot import PLENTY, keys
from jobmaster_testing.factories import make_report

ROUNDS = 20
"""Maximum number of rounds to set everything right at the end; after that, something must be wrong."""


@define(eq=False)
class FaultModel(Actors):
    """Takes one step after another, and sets everything right at the end."""

    async def start(self) -> None:
        """Start with two owners."""
        for _ in range(2):
            await self._new_owner()

    async def step(self) -> None:
        """Take one step, and check that nothing is lost."""
        often = [self.push, self.pull, self.report, self.acknowledge, self.hand_over, self.push_handover]
        now_and_then = [self.hold, self.save, self.reschedule, self.sweep]
        faults = [
            self.die,
            self.act_as_former_owner,
            self.act_as_former_owner,
            self.rescue,
            self.retake,
            self.give_up,
        ]
        todo = self._one([*often, *often, *now_and_then, *faults])
        self.steps.append(todo.__name__)
        await todo()
        await self._check_nothing_is_lost()

    async def _new_owner(self) -> None:
        self.owners.append(Owner(await self.depot.bucket()))

    # Owners

    async def pull(self) -> None:
        """Let an owner read its bucket."""
        await self._pull(self._one(self.owners))

    async def _pull(self, owner: Owner) -> None:
        page = await self.depot.agent.claims.pull(owner.bucket, Cursor(), self._one([1, 3, PLENTY]))
        in_hand = {(claim.job.id, claim.attempt) for claim in owner.in_hand}
        for claim in page.claims:
            if (claim.job.id, claim.attempt) in owner.done:
                owner.unacknowledged.append(claim)
            elif (claim.job.id, claim.attempt) not in in_hand:
                owner.in_hand.append(claim)

    async def report(self) -> None:
        """Let an owner report the outcome of a job."""
        await self._report(self._one(self.owners))

    async def _report(self, owner: Owner) -> None:
        if not owner.in_hand:
            return
        claim = owner.in_hand.pop(self.random.randrange(len(owner.in_hand)))
        status = self._one([JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.HELD_ON_MASTER])
        if await self._write(claim, status, AttemptOutcome.FAILED):
            owner.unacknowledged.append(claim)
            owner.done.add((claim.job.id, claim.attempt))
        else:
            assert not await self._is_mine(owner.bucket), (
                f"{claim.job.id} ran where the master does not have it"
            )

    async def _write(self, claim: Claim, status: JobStatus, other: AttemptOutcome) -> bool:
        """Report about a claim; return whether the report held. `other` is the outcome of a run that is not the last."""
        outcome = AttemptOutcome(status) if status.is_terminal else other
        report = make_report(claim, status, outcome=outcome, retries=claim.retries + 1)
        stale = await self.depot.world.master.outcomes.report([report])
        if not stale and status.is_terminal:
            self.ended[claim.job.id] += 1
        return not stale

    async def _is_mine(self, bucket: Bucket) -> bool:
        """Return whether the owner with this epoch still owns a bucket."""
        try:
            await self.depot.world.master.outcomes.mark(bucket, [])
        except LeaseLostError:
            return False
        return True

    async def acknowledge(self) -> None:
        """Let an owner remove messages whose jobs the master knows."""
        await self._acknowledge(self._one(self.owners))

    async def _acknowledge(self, owner: Owner) -> None:
        done, owner.unacknowledged = owner.unacknowledged, []
        await self.depot.agent.messages.acknowledge(owner.bucket, [(c.job.id, c.attempt) for c in done])

    async def save(self) -> None:
        """Let an owner store waiting jobs on the master."""
        await self._save(self._one(self.owners))

    async def _save(self, owner: Owner) -> None:
        found = await self.depot.agent.messages.read_unsaved(owner.bucket, 0, None, 3)
        await self.depot.world.master.jobs.insert([message.new for message in found.messages])
        if self._one([True, False]):
            await self.depot.agent.messages.note_saved(owner.bucket, keys(found.messages))

    # Deaths and rescues

    async def die(self) -> None:
        """Let an owner with jobs in flight be considered dead; another one takes its place."""
        owner = self._one(self.owners)
        await self._pull(owner)
        await self._kill(owner)

    async def _kill(self, owner: Owner) -> None:
        self.owners.remove(owner)
        await self.depot.world.master.workers.retire(owner.bucket.worker_id)
        self.ghosts = [*self.ghosts[-1:], owner]
        await self._new_owner()

    async def act_as_former_owner(self) -> None:
        """Let a former owner act that does not know yet that its bucket was taken over."""
        if not self.ghosts:
            return
        ghost = self._one(self.ghosts)
        todo: Callable[[Owner], Awaitable[None]] = self._one(
            [self._pull, self._save, self._finish, self._finish]
        )
        try:
            await todo(ghost)
        except LeaseLostError:
            self.ghosts.remove(ghost)

    async def _finish(self, owner: Owner) -> None:
        await self._report(owner)
        await self._acknowledge(owner)

    async def rescue(self) -> None:
        """Let a rescuer begin with a lost bucket, and complete some of the steps."""
        await self._rescue(self._one([0, 0, 0, 1, 2, 3, 4, 5]))

    async def _rescue(self, steps: int) -> bool:
        world = self.depot.world
        rescuer = await world.worker(name="Rescuer", agent=self.depot.agent.name)
        taken = await world.master.rescue.take_lost_buckets(
            world.cluster_id, rescuer.id, 1, [self.depot.agent.name]
        )
        for bucket in taken:
            await self._empty(bucket, steps)
        await world.master.workers.retire(rescuer.id)
        return bool(taken)

    async def _empty(self, bucket: Bucket, steps: int) -> None:
        exposed = await self.depot.exposed(bucket)
        if steps > 0:
            for claim in exposed:
                await self._write(claim, JobStatus.HELD_ON_MASTER, AttemptOutcome.LOST)
        if steps > 1:
            await self.depot.agent.messages.acknowledge(bucket, [(c.job.id, c.attempt) for c in exposed])
        if steps > 2:  # noqa: PLR2004 - how far a rescuer gets
            await self._bring_back(bucket)
        if steps > 3:  # noqa: PLR2004 - as above
            await self.depot.world.master.buckets.release(bucket)
        if not self.calm and self._one([True, False, False]):
            await self._push_to(bucket)
        if steps > 4 and await self.depot.agent.buckets.drop(bucket.id):  # noqa: PLR2004 - as above
            await self.depot.world.master.buckets.set_status(bucket, BucketStatus.READY_TO_DELETE)

    async def _bring_back(self, bucket: Bucket) -> None:
        while messages := await self.depot.agent.messages.read_all(bucket.id, 3):
            held = [evolve(m.new, bucket_id=None) for m in messages if not m.saved]
            await self.depot.world.master.jobs.insert(held)
            await self.depot.agent.messages.acknowledge(bucket, keys(messages))

    async def sweep(self) -> None:
        """Bring back messages and rows in buckets that no owner reads."""
        world = self.depot.world
        buckets = {b.id: b for b in await world.master.buckets.list_all(world.cluster_id)}
        for bucket_id in await self.depot.holdings():
            if buckets[bucket_id].status is BucketStatus.READY_TO_DELETE:
                await self._bring_back(buckets[bucket_id])
        await world.master.rescue.sweep_orphans(world.cluster_id)

    # The end

    async def settle(self) -> None:
        """Finish what others left, and let the owners run all jobs: this must not require a death."""
        self.calm = True
        for _ in range(ROUNDS):
            await self._finish_rescues()
            await self._push_all()
            await self._run_all()
        await self._check_all_have_ended()
        for owner in list(self.owners):
            await self._kill(owner)
        await self._finish_rescues()
        await self._check_nothing_is_left()

    async def _finish_rescues(self) -> None:
        while await self._rescue(5):
            pass
        await self.sweep()

    async def _push_all(self) -> None:
        world = self.depot.world
        taken = await world.master.handovers.take_over(world.cluster_id, 0, new_id(), PLENTY)
        for handover in taken:
            await self.depot.agent.messages.push(handover.messages)
            await world.master.handovers.close([handover.id])

    async def _run_all(self) -> None:
        """Make all jobs due, and run them."""
        unfinished = {r.id: r for r in await self.depot.world.all_jobs() if not r.status.is_terminal}
        for job_id in sorted(unfinished.keys() | self.accepted):
            await self._withdraw_one([job_id], [True])
        for job_id, record in unfinished.items():
            if record.status is JobStatus.HELD_ON_MASTER:
                await self._move(job_id)
        await self.hand_over()
        await self._push_all()
        for owner in self.owners:
            await self._run(owner)

    async def _run(self, owner: Owner) -> None:
        await self._pull(owner)
        while owner.in_hand:
            await self._report(owner)
        await self._acknowledge(owner)

    async def _check_nothing_is_lost(self) -> None:
        if not self.depot.agent.capabilities.addressable:
            return
        known = {record.id for record in await self.depot.world.all_jobs()}
        missing = sorted(self.accepted - known)
        found = {message.new.job.id for message in await self.depot.agent.messages.find(missing)}
        assert found == set(missing), f"accepted jobs are missing: {set(missing) - found}"

    async def _check_all_have_ended(self) -> None:
        records = {record.id: record for record in await self.depot.world.all_jobs()}
        assert self.accepted <= records.keys()
        assert {i: r.status for i, r in records.items() if not r.status.is_terminal} == {}
        assert self.ended == Counter(records.keys())

    async def _check_nothing_is_left(self) -> None:
        world = self.depot.world
        assert await self.depot.holdings() == {}
        assert dict(await world.master.buckets.holdings(world.cluster_id)) == {}
        assert await world.master.handovers.take_over(world.cluster_id, 0, new_id(), 1) == []
        statuses = Counter(bucket.status for bucket in await world.master.buckets.list_all(world.cluster_id))
        assert statuses.keys() == {BucketStatus.ACTIVE, BucketStatus.READY_TO_DELETE}
        assert statuses[BucketStatus.ACTIVE] == len(self.owners)
