"""Requirements for `HandoverStore` once a handover is written: pushed, taken back or retaken."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import anyio
import pytest
from attrs import evolve

from jobmaster.contracts import AgentRepository, Handover, MasterRepository
from jobmaster.errors import InvalidTransitionError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Cursor, Job
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_testing.contracts.handovers_hand_over import AGENT, hand_over, messages, retake
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World, ids
from jobmaster_testing.factories import MessageFields, make_message, make_report
from jobmaster_testing.options import open_agent
from jobmaster_testing.probes import until


class CarryContract(MasterTests, suite=True):
    """`close`, `undo`, `open` and `take_over`."""

    @pytest.fixture
    async def bucket(self, world: World) -> Bucket:
        """Return a bucket on an agent."""
        return await world.bucket(agent=AGENT)

    # Closing

    async def test_a_closed_handover_is_forgotten(self, world: World, bucket: Bucket) -> None:
        job, handover = await _handed_over(world, bucket)

        await world.master.handovers.close([handover.id, new_id()])
        await world.master.handovers.close([handover.id])
        await world.master.handovers.close([])

        assert await retake(world) == []
        assert (await world.record(job)).bucket_id == bucket.id

    async def test_other_handovers_stay_open(self, world: World, bucket: Bucket) -> None:
        _, first = await _handed_over(world, bucket)
        second_job, _ = await _handed_over(world, bucket)

        await world.master.handovers.close([first.id])

        assert _job_ids(await retake(world)) == [second_job.id]

    async def test_a_handover_is_closed_if_none_of_its_jobs_lies_in_its_bucket(
        self, world: World, bucket: Bucket
    ) -> None:
        _, kept = await _handed_over(world, bucket)
        moved, empty = await _handed_over(world, bucket)
        [claim] = [c for c in await world.claims(bucket) if c.job.id == moved.id]
        await world.report(claim, JobStatus.HELD_ON_MASTER)
        await hand_over(world, await world.bucket(agent=AGENT))
        unknown = await world.master.handovers.open(world.cluster_id, bucket.id, [new_id()], new_id())

        await world.master.handovers.close([kept.id, empty.id, unknown, new_id()], if_empty=True)

        [first, second] = sorted(await retake(world), key=lambda one: one.bucket_id != bucket.id)
        assert (_job_ids([first]), first.bucket_id) == (_job_ids([kept]), bucket.id)
        assert (_job_ids([second]), second.bucket_id == bucket.id) == ([moved.id], False)

    # Taking back

    async def test_jobs_taken_back_are_held_as_they_are(self, world: World, bucket: Bucket) -> None:
        claim = await world.claim(await world.bucket())
        await world.report(
            claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.FAILED, retries=1, crashes=2
        )
        later = await world.put_one(delay=30)
        due_at = (await world.record(later)).ready_at
        [handover] = (await hand_over(world, bucket, ahead=60)).handovers

        assert await world.master.handovers.undo([handover.id]) == 2

        records = [await world.record(claim.job), await world.record(later)]
        assert {(r.status, r.bucket_id) for r in records} == {(JobStatus.HELD_ON_MASTER, None)}
        assert records[1].ready_at == due_at
        assert await retake(world) == []
        again = {m.new.job.id: m for m in messages(await hand_over(world, bucket, ahead=60))}
        assert again.keys() == {claim.job.id, later.id}
        first = again[claim.job.id]
        assert (first.attempt, first.retries, first.crashes) == (2, 1, 2)

    async def test_several_handovers_are_taken_back_in_one_call(self, world: World) -> None:
        buckets = await world.buckets(2, agent=AGENT)
        given = [await _handed_over(world, bucket) for bucket in buckets]
        kept, _ = await _handed_over(world, buckets[0])

        assert await world.master.handovers.undo([handover.id for _, handover in given]) == 2
        assert await world.master.handovers.undo([]) == 0

        assert {await world.status(job) for job, _ in given} == {JobStatus.HELD_ON_MASTER}
        assert await world.status(kept) is JobStatus.ASSIGNED_TO_BUCKET

    async def test_jobs_of_a_handover_that_is_gone_are_left_alone(self, world: World, bucket: Bucket) -> None:
        job, handover = await _handed_over(world, bucket)
        await world.master.handovers.close([handover.id])

        assert await world.master.handovers.undo([handover.id, new_id()]) == 0

        assert await world.status(job) is JobStatus.ASSIGNED_TO_BUCKET

    async def test_nothing_is_taken_back_twice(self, world: World, bucket: Bucket) -> None:
        job, handover = await _handed_over(world, bucket)
        assert await world.master.handovers.undo([handover.id]) == 1
        await _handed_over(world, bucket, job)

        assert await world.master.handovers.undo([handover.id]) == 0

        assert (await world.record(job)).bucket_id == bucket.id

    async def test_jobs_that_left_the_bucket_are_not_taken_back(self, world: World, bucket: Bucket) -> None:
        other = await world.bucket(agent=AGENT)
        jobs = await world.put(count=3)
        [handover] = (await hand_over(world, bucket)).handovers
        done, *_ = await world.claims(bucket)
        await world.report(done)
        await world.master.buckets.release(bucket)
        await hand_over(world, other)

        assert await world.master.handovers.undo([handover.id]) == 0

        places = {(await world.record(job)).bucket_id for job in jobs if job.id != done.job.id}
        assert places == {other.id}
        assert await world.status(done.job) is JobStatus.SUCCEEDED

    # Taking over

    async def test_a_handover_is_retaken_when_it_is_old(self, world: World, bucket: Bucket) -> None:
        job, _ = await _handed_over(world, bucket)

        assert await retake(world, age=30) == []

        [handover] = await until(lambda: retake(world, age=0.1), what="the handover to be old")
        assert (handover.bucket_id, _job_ids([handover])) == (bucket.id, [job.id])
        assert await retake(world, age=30) == []

    async def test_a_retaken_handover_is_new_to_others(self, world: World, bucket: Bucket) -> None:
        await _handed_over(world, bucket)
        written = await _a_while_ago(world)

        assert len(await _retake_from(world.master, world, written)) == 1
        assert await _retake_from(world.master, world, written) == []

    async def test_to_who_had_it_before_a_retaken_handover_is_gone(
        self, world: World, bucket: Bucket
    ) -> None:
        job, mine = await _handed_over(world, bucket)
        [theirs] = await retake(world)

        assert theirs.id != mine.id
        assert await world.master.handovers.undo([mine.id]) == 0
        await world.master.handovers.close([mine.id])

        assert (await world.record(job)).bucket_id == bucket.id
        [again] = await retake(world)
        assert again.messages == theirs.messages
        assert await world.master.handovers.undo([again.id]) == 1

    async def test_retaken_messages_are_as_the_jobs_are_now(self, world: World, bucket: Bucket) -> None:
        await world.put(count=2)
        await world.put(delay=30)
        await hand_over(world, bucket, ahead=60)
        done, again = await world.claims(bucket)
        await world.report(done)
        await world.report(
            again,
            JobStatus.ASSIGNED_TO_BUCKET,
            outcome=AttemptOutcome.FAILED,
            retries=1,
            crashes=1,
            suspect=True,
        )

        [handover] = await retake(world)

        found = {m.new.job.id: m for m in handover.messages}
        assert done.job.id not in found
        assert len(found) == 2
        [waiting] = [m for m in handover.messages if m.attempt == 1]
        said: MessageFields = {
            "attempt": 2,
            "saved": True,
            "retries": 1,
            "crashes": 1,
            "suspect": True,
            "placed": 1,
        }
        expected = make_message(bucket, again.job, **said)
        assert found[again.job.id] == expected
        assert 20 < waiting.new.delay <= 30

    async def test_of_a_handover_whose_jobs_are_gone_the_shell_is_left(
        self, world: World, bucket: Bucket
    ) -> None:
        await _handed_over(world, bucket)
        await world.master.buckets.release(bucket)

        [handover] = await retake(world)

        assert (handover.bucket_id, list(handover.messages)) == (bucket.id, [])

    async def test_the_oldest_are_retaken_first_and_not_more_than_the_limit(
        self, world: World, bucket: Bucket
    ) -> None:
        jobs = []
        for _ in range(3):
            job, _ = await _handed_over(world, bucket)
            jobs.append(job.id)
            await world.tick()

        first = await retake(world, limit=2)
        await world.tick()
        second = await retake(world, limit=2)

        assert sorted(_job_ids(first)) == sorted(jobs[:2])
        assert jobs[2] in _job_ids(second)

    async def test_of_several_callers_one_retakes_a_handover(
        self, world: World, peer: MasterRepository
    ) -> None:
        buckets = await world.buckets(8, agent=AGENT)
        jobs = [(await _handed_over(world, bucket))[0] for bucket in buckets]
        written = await _a_while_ago(world)
        taken: list[Handover] = []

        async def take(master: MasterRepository) -> None:
            while found := await _retake_from(master, world, written, limit=3):
                taken.extend(found)

        async with anyio.create_task_group() as group:
            for master in [world.master, peer] * 2:
                group.start_soon(take, master)

        assert sorted(_job_ids(taken)) == sorted(ids(jobs))

    # Opening one

    async def test_an_opened_handover_is_about_the_jobs_that_lie_in_its_bucket(
        self, world: World, bucket: Bucket
    ) -> None:
        other = await world.bucket(agent=AGENT)
        elsewhere, here = await world.put_one(other), await world.put_one(bucket)
        named = [here.id, elsewhere.id, (await world.put_one()).id, new_id()]

        await world.master.handovers.open(world.cluster_id, bucket.id, named, new_id())

        [handover] = await retake(world)
        assert (handover.bucket_id, _job_ids([handover])) == (bucket.id, [here.id])

    async def test_a_handover_may_be_opened_for_jobs_that_are_stored_later(
        self, world: World, bucket: Bucket
    ) -> None:
        new = make_message(bucket, delay=30).new
        new = evolve(new, job=evolve(new.job, cluster_id=world.cluster_id))
        await world.master.handovers.open(world.cluster_id, bucket.id, [new.job.id], new_id())

        await world.insert(new)

        [handover] = await retake(world)
        [message] = handover.messages
        assert (message.new.job, message.saved, message.attempt) == (new.job, True, 1)
        assert 20 < message.new.delay <= 30

    async def test_jobs_of_an_opened_handover_are_taken_back(self, world: World, bucket: Bucket) -> None:
        job = await world.put_one(bucket)
        opened = await world.master.handovers.open(world.cluster_id, bucket.id, [job.id], new_id())

        assert await world.master.handovers.undo([opened]) == 1

        assert await world.status(job) is JobStatus.HELD_ON_MASTER

    async def test_a_job_that_another_handover_has_gets_none_alone(
        self, world: World, bucket: Bucket
    ) -> None:
        job, handover = await _handed_over(world, bucket)
        free = await world.put_one(bucket)

        with pytest.raises(InvalidTransitionError):
            await _open_alone(world.master, bucket, free, job)
        [retaken] = await retake(world)
        with pytest.raises(InvalidTransitionError):
            await _open_alone(world.master, bucket, job)
        await world.master.handovers.close([handover.id, retaken.id])
        await _open_alone(world.master, bucket, job, free)

        [opened] = await retake(world)
        assert sorted(_job_ids([opened])) == sorted([job.id, free.id])

    async def test_handovers_of_other_buckets_and_jobs_are_in_nobodys_way(
        self, world: World, bucket: Bucket
    ) -> None:
        other = await world.bucket(agent=AGENT)
        job, neighbour = await world.put_one(bucket), await world.put_one(bucket)
        for where, which in ((other, job), (bucket, neighbour)):
            await world.master.handovers.open(world.cluster_id, where.id, [which.id], new_id())

        await _open_alone(world.master, bucket, job)

        assert sorted(_job_ids(await retake(world))) == sorted([job.id, neighbour.id])

    async def test_of_several_callers_one_opens_a_handover_alone(
        self, world: World, bucket: Bucket, peer: MasterRepository
    ) -> None:
        jobs = [await world.put_one(bucket) for _ in range(5)]
        refused: list[UUID] = []

        async def open_all(master: MasterRepository) -> None:
            for job in jobs:
                try:
                    await _open_alone(master, bucket, job)
                except InvalidTransitionError:
                    refused.append(job.id)

        async with anyio.create_task_group() as group:
            for master in [world.master, peer] * 2:
                group.start_soon(open_all, master)

        assert sorted(refused) == sorted(ids(jobs) * 3)
        assert sorted(_job_ids(await retake(world))) == sorted(ids(jobs))

    # The whole way

    @pytest.mark.parametrize("steps", [0, 1, 2])
    async def test_a_pusher_that_dies_after_any_step_loses_no_job(
        self, world: World, bucket: Bucket, steps: int
    ) -> None:
        async with open_agent(AGENT, "memory://") as agent:
            await agent.buckets.create([bucket])
            jobs = [*await world.put(count=3), *await world.put(delay=30)]
            handovers = list((await hand_over(world, bucket, ahead=60)).handovers)
            await _carry(world, agent, handovers, steps)

            await _carry(world, agent, await retake(world), steps=2)

            claims = (await agent.claims.pull(bucket, Cursor(), 10)).claims
            assert sorted(ids(claims)) == sorted(ids(jobs[:3]))
            assert dict(await agent.buckets.holdings()) == {bucket.id: 4}
            assert await world.master.outcomes.report([make_report(c) for c in claims]) == frozenset()
            assert [len(await world.attempts(c.job)) for c in claims] == [1, 1, 1]
            assert await retake(world) == []

    async def test_a_push_without_an_answer_is_made_good(self, world: World, bucket: Bucket) -> None:
        async with open_agent(AGENT, "memory://") as agent:
            await agent.buckets.create([bucket])
            arrived, lost = [make_message(bucket, _job_in(world, bucket)) for _ in range(2)]
            await agent.messages.push([arrived])
            await world.master.handovers.open(
                world.cluster_id, bucket.id, [arrived.new.job.id, lost.new.job.id], new_id()
            )
            await world.insert(arrived.new, lost.new)

            await _carry(world, agent, await retake(world), steps=2)

            claims = (await agent.claims.pull(bucket, Cursor(), 10)).claims
            assert sorted(ids(claims)) == sorted([arrived.new.job.id, lost.new.job.id])
            assert await world.master.outcomes.report([make_report(c) for c in claims]) == frozenset()
            assert len(await world.all_jobs()) == 2


async def _open_alone(master: MasterRepository, bucket: Bucket, *jobs: Job) -> UUID:
    return await master.handovers.open(bucket.cluster_id, bucket.id, ids(jobs), new_id(), alone=True)


async def _handed_over(world: World, bucket: Bucket, job: Job | None = None) -> tuple[Job, Handover]:
    """Hand one job over (a new one, or the given held one); return it and its handover."""
    one = job or await world.put_one(lane=bucket.lane, priority=bucket.priority)
    [handover] = (await hand_over(world, bucket)).handovers
    return one, handover


async def _carry(world: World, agent: AgentRepository, handovers: list[Handover], steps: int) -> None:
    """Do the first steps of a coordinator with handovers."""
    if steps > 0:
        await agent.messages.push([message for handover in handovers for message in handover.messages])
    if steps > 1:
        await world.master.handovers.close([handover.id for handover in handovers])


async def _a_while_ago(world: World) -> datetime:
    """Return the store's time, half a second after it was read."""
    then = await world.master.now()

    async def passed() -> bool:
        return await world.master.now() > then + timedelta(seconds=0.5)

    await until(passed, what="the store's clock to move on")
    return then


async def _retake_from(
    master: MasterRepository, world: World, moment: datetime, limit: int = 1000
) -> list[Handover]:
    """Take over handovers from before a moment, but not those that were retaken a while after it."""
    age = (await master.now() - moment).total_seconds()
    return list(await master.handovers.take_over(world.cluster_id, age, new_id(), limit))


def _job_in(world: World, bucket: Bucket) -> Job:
    return evolve(make_message(bucket).new.job, cluster_id=world.cluster_id)


def _job_ids(handovers: list[Handover]) -> list[UUID]:
    return [message.new.job.id for handover in handovers for message in handover.messages]
