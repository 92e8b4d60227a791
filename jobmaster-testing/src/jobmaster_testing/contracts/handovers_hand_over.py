"""Requirements for `HandoverStore` when held jobs are handed over to agents."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import anyio

from jobmaster.contracts import Handover, HandoverResult, MasterRepository, Message, Room
from jobmaster.ids import new_id
from jobmaster.models import Bucket, NewJob
from jobmaster.states import AttemptOutcome, JobStatus, Priority
from jobmaster_testing.contracts.provider import MasterTests, make_world
from jobmaster_testing.contracts.world import World, ids, room

AGENT = "Agent-1"


class HandingOverContract(MasterTests, suite=True):
    """`hand_over` assigns as `assignments.assign_due` does, and returns the messages."""

    async def test_nothing_is_handed_over(self, world: World) -> None:
        bucket = await world.bucket(agent=AGENT)

        assert is_nothing(await hand_over(world, bucket, ahead=10))

    async def test_due_jobs_are_handed_over(self, world: World) -> None:
        bucket = await world.bucket(agent=AGENT)
        jobs = [await world.put_one(data={"n": n}, metadata={"m": 1.5}) for n in range(3)]

        found = await hand_over(world, bucket)

        [handover] = found.handovers
        assert (handover.bucket_id, found.next_in) == (bucket.id, None)
        expected = [Message(new=NewJob(job=job, bucket_id=bucket.id), saved=True, placed=1) for job in jobs]
        assert sorted(handover.messages, key=_job_id) == expected
        record = await world.record(jobs[0])
        assert (record.status, record.bucket_id) == (JobStatus.ASSIGNED_TO_BUCKET, bucket.id)

    async def test_delays_are_what_is_left(self, world: World) -> None:
        bucket = await world.bucket(agent=AGENT)
        overdue, soon = await world.put_one(), await world.put_one(delay=30)
        beyond = await world.put_one(delay=100)
        await world.tick()

        found = await hand_over(world, bucket, ahead=60)

        delays = {m.new.job.id: m.new.delay for m in messages(found)}
        assert delays.keys() == {overdue.id, soon.id}
        assert delays[overdue.id] == 0
        assert 20 < delays[soon.id] <= 30
        assert await world.status(beyond) is JobStatus.HELD_ON_MASTER
        assert found.next_in is not None
        assert 30 < found.next_in <= 40

    async def test_a_job_in_retry_is_handed_over_with_its_numbers(self, world: World) -> None:
        bucket = await world.bucket(agent=AGENT)
        claim = await world.claim(await world.bucket())
        await world.report(
            claim,
            JobStatus.HELD_ON_MASTER,
            outcome=AttemptOutcome.FAILED,
            retries=2,
            crashes=1,
            suspect=True,
        )

        [message] = messages(await hand_over(world, bucket))

        assert (message.new.job, message.attempt, message.saved) == (claim.job, 2, True)
        assert (message.retries, message.crashes, message.suspect) == (2, 1, True)

    async def test_the_earliest_are_handed_over_first(self, world: World) -> None:
        bucket = await world.bucket(agent=AGENT)
        last, first, middle = [await world.put_one(delay=delay) for delay in (3, 1, 2)]

        found = await hand_over(world, bucket, ahead=60, free=2)

        assert {m.new.job.id for m in messages(found)} == {first.id, middle.id}
        assert found.next_in == 0.0
        assert await world.status(last) is JobStatus.HELD_ON_MASTER

    async def test_every_place_gets_a_handover_of_its_own(self, world: World) -> None:
        places = [(lane, priority) for lane in ("a", "b") for priority in (Priority.LOW, Priority.HIGH)]
        buckets = {p: await world.bucket(lane=p[0], priority=p[1], agent=AGENT) for p in places}
        jobs = {p: await world.put(count=2, lane=p[0], priority=p[1]) for p in places}
        other = await world.put_one(lane="c")

        found = await _hand_over(world, [room(b) for b in buckets.values()])

        by_bucket = {h.bucket_id: {m.new.job.id for m in h.messages} for h in found.handovers}
        assert by_bucket == {bucket.id: set(ids(jobs[p])) for p, bucket in buckets.items()}
        assert len({handover.id for handover in found.handovers}) == len(buckets)
        assert await world.status(other) is JobStatus.HELD_ON_MASTER

    async def test_several_buckets_share_what_is_handed_over(self, world: World) -> None:
        first, second, third = await world.buckets(3, agent=AGENT)
        await world.put(count=10)

        found = await _hand_over(world, [room(first, 4), room(second, 3), room(third, 0)])

        assert {h.bucket_id: len(h.messages) for h in found.handovers} == {first.id: 4, second.id: 3}
        assert found.next_in == 0.0

    async def test_a_thousand_jobs_are_handed_over(self, world: World) -> None:
        bucket = await world.bucket(agent=AGENT)
        jobs = await world.put(count=1200)

        [handover] = (await hand_over(world, bucket, free=1200)).handovers

        assert {m.new.job.id for m in handover.messages} == set(ids(jobs))

    async def test_parked_jobs_are_not_handed_over(self, world: World) -> None:
        bucket = await world.bucket(agent=AGENT)
        job = await world.parked(await world.bucket())

        assert is_nothing(await hand_over(world, bucket))
        assert await world.status(job) is JobStatus.HELD_ON_MASTER

    async def test_parked_jobs_are_handed_over_to_who_knows_them(self, world: World) -> None:
        here, bucket = await world.bucket(), await world.bucket(agent=AGENT)
        known = [await world.parked(here, definition_id=name) for name in ("A", "B")]
        unknown = await world.parked(here, definition_id="C")
        await world.put(definition_id="A")

        [handover] = await _adopt(world, [bucket], ["A", "B", "Z"])

        expected = [Message(new=NewJob(job=job, bucket_id=bucket.id), saved=True, placed=1) for job in known]
        assert (handover.bucket_id, sorted(handover.messages, key=_job_id)) == (bucket.id, expected)
        record = await world.record(known[0])
        assert (record.status, record.bucket_id) == (JobStatus.ASSIGNED_TO_BUCKET, bucket.id)
        assert record.reason is None
        assert (await world.record(unknown)).reason is not None
        assert [h.messages for h in await retake(world)] == [handover.messages]

    async def test_parked_jobs_are_handed_over_into_their_lane_and_priority(self, world: World) -> None:
        places = [("a", Priority.HIGH), ("a", Priority.LOW), ("b", Priority.HIGH)]
        buckets = {p: await world.bucket(lane=p[0], priority=p[1], agent=AGENT) for p in places}
        jobs = {p: await world.parked(await world.bucket(lane=p[0], priority=p[1])) for p in places}
        reached = [buckets[p] for p in places[:2]]

        found = await _adopt(world, reached, ["TestJob"])

        by_bucket = {h.bucket_id: [m.new.job.id for m in h.messages] for h in found}
        assert by_bucket == {buckets[p].id: [jobs[p].id] for p in places[:2]}
        assert await world.status(jobs[places[2]]) is JobStatus.HELD_ON_MASTER

    async def test_not_more_parked_jobs_than_the_limit_are_handed_over(self, world: World) -> None:
        here, bucket = await world.bucket(), await world.bucket(agent=AGENT)
        for _ in range(3):
            await world.parked(here)

        pages = [await _adopt(world, [bucket], ["TestJob"], limit=2) for _ in range(3)]

        assert [sum(len(h.messages) for h in page) for page in pages] == [2, 1, 0]
        assert list(await _adopt(world, [], ["TestJob"])) == []
        assert list(await _adopt(world, [bucket], [])) == []

    async def test_concurrent_adopters_hand_each_parked_job_over_once(
        self, world: World, peer: MasterRepository
    ) -> None:
        here, buckets = await world.bucket(), await world.buckets(4, agent=AGENT)
        jobs = [await world.parked(here) for _ in range(8)]
        seen: list[UUID] = []

        async def adopt(master: MasterRepository, bucket: Bucket) -> None:
            found = await master.handovers.hand_over_parked([bucket], ["TestJob"], 3, new_id())
            seen.extend(m.new.job.id for handover in found for m in handover.messages)

        async with anyio.create_task_group() as group:
            for master, bucket in zip([world.master, peer] * 2, buckets, strict=True):
                group.start_soon(adopt, master, bucket)

        assert len(seen) == len(set(seen))
        assert set(seen) <= set(ids(jobs))
        assert {r.id for r in await world.all_jobs() if r.bucket_id} == set(seen)

    async def test_what_is_handed_over_is_not_assigned_again(self, world: World) -> None:
        here, there = await world.bucket(), await world.bucket(agent=AGENT)
        await world.put(count=4)

        assert len(messages(await hand_over(world, there, free=2))) == 2
        assert await world.assign(room(here)) == 2

        assert is_nothing(await hand_over(world, there))

    async def test_concurrent_callers_hand_each_job_over_once(
        self, world: World, peer: MasterRepository
    ) -> None:
        buckets = await world.buckets(6, agent=AGENT)
        jobs = await world.put(count=60)
        seen: list[UUID] = []

        async def hand(master: MasterRepository, bucket: Bucket) -> None:
            for _ in range(3):
                found = await master.handovers.hand_over(world.cluster_id, 1, [room(bucket, 5)], new_id())
                seen.extend(m.new.job.id for m in messages(found))

        async with anyio.create_task_group() as group:
            for master, bucket in zip([world.master, peer] * 3, buckets, strict=True):
                group.start_soon(hand, master, bucket)
        while left := messages(await hand_over(world, buckets[0])):
            seen.extend(message.new.job.id for message in left)

        assert sorted(seen) == sorted(ids(jobs))

    async def test_a_cancelled_hand_over_happened_or_did_not(self, world: World) -> None:
        bucket = await world.bucket(agent=AGENT)
        await world.put(count=80)

        for number in range(40):
            with anyio.move_on_after(number * 0.00025):
                await hand_over(world, bucket, free=2)

        marked = {r.id for r in await world.all_jobs() if r.bucket_id == bucket.id}
        carried = [m.new.job.id for h in await retake(world) for m in h.messages]
        assert sorted(carried) == sorted(marked)

    async def test_clusters_share_no_handovers(self, world: World) -> None:
        other = await make_world(world.master)
        bucket = await world.bucket(agent=AGENT)
        theirs = await other.put_one()

        assert is_nothing(await hand_over(world, bucket))
        await hand_over(other, await other.bucket(agent=AGENT))

        assert await retake(world) == []
        assert [m.new.job.id for h in await retake(other) for m in h.messages] == [theirs.id]


async def hand_over(world: World, bucket: Bucket, *, ahead: float = 1, free: int = 1000) -> HandoverResult:
    """Hand over held jobs to one bucket."""
    return await _hand_over(world, [room(bucket, free)], ahead)


async def _hand_over(world: World, rooms: Sequence[Room], ahead: float = 1) -> HandoverResult:
    return await world.master.handovers.hand_over(world.cluster_id, ahead, rooms, new_id())


async def _adopt(
    world: World, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int = 100
) -> Sequence[Handover]:
    return await world.master.handovers.hand_over_parked(buckets, definition_ids, limit, new_id())


async def retake(world: World, age: float = 0.0, limit: int = 1000) -> list[Handover]:
    """Take over old handovers for another coordinator."""
    return list(await world.master.handovers.take_over(world.cluster_id, age, new_id(), limit))


def is_nothing(found: HandoverResult) -> bool:
    """Whether nothing was handed over, and no more jobs are held."""
    return not found.handovers and found.next_in is None


def messages(found: HandoverResult) -> list[Message]:
    """Return all messages of a handover result."""
    return [message for handover in found.handovers for message in handover.messages]


def _job_id(message: Message) -> UUID:
    return message.new.job.id
