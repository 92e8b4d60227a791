"""Requirements for `AssignmentStore` when held jobs are assigned to buckets."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import anyio

from jobmaster.contracts import Assignment, MasterRepository
from jobmaster.models import Bucket, Cursor
from jobmaster.states import AttemptOutcome, JobStatus, Priority
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World, ids, room
from jobmaster_testing.probes import until


class AssigningContract(MasterTests, suite=True):
    """`assign_due`, `due_places`, `adopt_parked` and `jobs.waiting_by_lane`."""

    async def test_nothing_is_held(self, world: World) -> None:
        bucket = await world.bucket()

        found = await world.master.assignments.assign_due(world.cluster_id, 10, [room(bucket)])

        assert (dict(found.assigned), found.next_in) == ({}, None)

    async def test_due_jobs_go_to_a_bucket(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = await world.put(count=3)

        found = await world.master.assignments.assign_due(world.cluster_id, 10, [room(bucket)])

        assert found == Assignment(assigned={bucket.id: 3}, next_in=None)
        assert set(ids(await world.claims(bucket))) == set(ids(jobs))
        record = await world.record(jobs[0])
        assert (record.status, record.bucket_id) == (JobStatus.ASSIGNED_TO_BUCKET, bucket.id)

    async def test_jobs_within_the_look_ahead_wait_in_the_bucket(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(delay=30)
        due_at = (await world.record(job)).ready_at

        assert await world.assign(room(bucket), ahead=60) == 1

        page = await world.master.claims.pull(bucket, Cursor(), 10)
        assert not page.claims
        assert page.next_due_in is not None
        assert 20 < page.next_due_in <= 30
        assert (await world.record(job)).ready_at == due_at

    async def test_jobs_beyond_the_look_ahead_stay_held(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(delay=100)
        await world.put(delay=200)

        found = await world.master.assignments.assign_due(world.cluster_id, 10, [room(bucket)])

        assert not found.assigned
        assert found.next_in is not None
        assert 80 < found.next_in <= 90
        assert await world.status(job) is JobStatus.HELD_ON_MASTER

    async def test_the_next_one_is_the_earliest_of_all_lanes_and_priorities(self, world: World) -> None:
        places = [(lane, priority) for lane in ("a", "b") for priority in Priority]
        for lane, priority in places:
            await world.put(delay=500, lane=lane, priority=priority)
        for delay, (lane, priority) in enumerate(reversed(places), start=1):
            await world.put(delay=400 - 10 * delay, lane=lane, priority=priority)

            found = await world.master.assignments.assign_due(world.cluster_id, 0, [])

            assert found.next_in is not None
            assert 390 - 10 * delay < found.next_in <= 400 - 10 * delay

    async def test_lanes_and_priorities_are_kept_apart(self, world: World) -> None:
        bucket = await world.bucket(lane="a", priority=Priority.HIGH)
        right = await world.put_one(lane="a", priority=Priority.HIGH)
        others = [
            await world.put_one(lane="a", priority=Priority.LOW),
            await world.put_one(lane="b", priority=Priority.HIGH),
            await world.put_one(lane="A", priority=Priority.HIGH),
        ]

        found = await world.master.assignments.assign_due(world.cluster_id, 1, [room(bucket)])

        assert found == Assignment(assigned={bucket.id: 1}, next_in=0.0)
        assert ids(await world.claims(bucket)) == [right.id]
        assert {await world.status(job) for job in others} == {JobStatus.HELD_ON_MASTER}

    async def test_every_place_in_one_call(self, world: World) -> None:
        places = [(lane, priority) for lane in ("a", "b") for priority in Priority]
        buckets = {place: await world.bucket(lane=place[0], priority=place[1]) for place in places}
        jobs = {place: await world.put(count=2, lane=place[0], priority=place[1]) for place in places}

        found = await world.master.assignments.assign_due(
            world.cluster_id, 1, [room(b) for b in buckets.values()]
        )

        assert found == Assignment(assigned={b.id: 2 for b in buckets.values()}, next_in=None)
        for place, bucket in buckets.items():
            assert set(ids(await world.claims(bucket))) == set(ids(jobs[place]))

    async def test_the_earliest_go_first_and_the_rest_waits_for_room(self, world: World) -> None:
        bucket = await world.bucket()
        last, first, middle = [await world.put_one(delay=delay) for delay in (3, 1, 2)]

        found = await world.master.assignments.assign_due(world.cluster_id, 60, [room(bucket, 2)])

        assert found == Assignment(assigned={bucket.id: 2}, next_in=0.0, next_for_rooms=0.0)
        assert (await world.record(first)).bucket_id == bucket.id
        assert (await world.record(middle)).bucket_id == bucket.id
        assert (await world.record(last)).bucket_id is None

    async def test_several_buckets_of_one_place_share_the_jobs(self, world: World) -> None:
        first, second = await world.buckets(2)
        await world.put(count=10)

        found = await world.master.assignments.assign_due(
            world.cluster_id, 1, [room(first, 4), room(second, 3)]
        )

        assert found == Assignment(assigned={first.id: 4, second.id: 3}, next_in=0.0, next_for_rooms=0.0)
        assert dict(await world.master.buckets.holdings(world.cluster_id)) == found.assigned

    async def test_without_room_nothing_moves(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one()

        assert await world.assign() == 0
        assert await world.assign(room(bucket, 0)) == 0
        assert (await world.master.assignments.assign_due(world.cluster_id, 1, [])).next_in == 0.0

        assert await world.status(job) is JobStatus.HELD_ON_MASTER

    async def test_jobs_in_buckets_are_not_assigned_again(self, world: World) -> None:
        first, second = await world.buckets(2)
        await world.put(first, 2)
        await world.finished(first)

        found = await world.master.assignments.assign_due(world.cluster_id, 1, [room(second)])

        assert (dict(found.assigned), found.next_in) == ({}, None)

    async def test_a_job_in_retry_keeps_its_numbers(self, world: World) -> None:
        first, second = await world.buckets(2)
        claim = await world.claim(first)
        await world.report(
            claim,
            JobStatus.HELD_ON_MASTER,
            outcome=AttemptOutcome.FAILED,
            retries=2,
            crashes=1,
            suspect=True,
        )

        assert await world.assign(room(second)) == 1

        [again] = await world.claims(second)
        assert (again.attempt, again.retries, again.crashes, again.suspect) == (2, 2, 1, True)

    async def test_concurrent_callers_assign_each_job_once(
        self, world: World, peer: MasterRepository
    ) -> None:
        buckets = await world.buckets(6)
        jobs = await world.put(count=60)
        total: dict[UUID, int] = dict.fromkeys((b.id for b in buckets), 0)

        async def assign(master: MasterRepository, bucket: Bucket) -> None:
            for _ in range(3):
                found = await master.assignments.assign_due(world.cluster_id, 1, [room(bucket, 5)])
                _add(total, found.assigned)

        async with anyio.create_task_group() as group:
            for master, bucket in zip([world.master, peer] * 3, buckets, strict=True):
                group.start_soon(assign, master, bucket)
        await _assign_the_rest(world, buckets, total)

        found = [claim.job.id for bucket in buckets for claim in await world.claims(bucket)]
        assert sorted(found) == sorted(ids(jobs))
        given = {bucket_id: count for bucket_id, count in total.items() if count}
        assert dict(await world.master.buckets.holdings(world.cluster_id)) == given

    # Places

    async def test_due_places_are_those_of_held_jobs_that_are_due(self, world: World) -> None:
        bucket = await world.bucket(lane="busy")
        await world.put(bucket)
        await world.parked(bucket)
        await world.put(lane="later", delay=500)
        due = {("a", Priority.HIGH), ("a", Priority.LOW), ("b", Priority.VERY_LOW)}
        for lane, priority in due:
            await world.put(lane=lane, priority=priority, count=2)
            await world.put(lane=lane, priority=priority, delay=500)

        assert await world.master.assignments.due_places(world.cluster_id) == due

    async def test_without_held_jobs_no_place_is_due(self, world: World) -> None:
        assert await world.master.assignments.due_places(world.cluster_id) == frozenset()

    async def test_waiting_jobs_are_counted_by_lane(self, world: World) -> None:
        bucket, other = await world.bucket(lane="mail"), await world.bucket(lane="busy")
        await world.put(bucket, count=3)
        await world.put(bucket, delay=500)
        (running,) = await world.put(other)
        await world.put(lane="mail", priority=Priority.HIGH, count=2)
        await world.put(lane="mail", priority=Priority.LOW)
        await world.put(lane="mail", delay=500)
        await world.put(lane="later", delay=500)
        await world.put(lane="slow")
        await world.finished(bucket)
        await world.parked(bucket)
        assert dict(await world.master.jobs.waiting_by_lane(world.cluster_id)) == {
            "mail": 6,
            "busy": 1,
            "slow": 1,
        }

        await world.claims(other)
        await world.mark(other, running, JobStatus.PROCESSING)

        assert dict(await world.master.jobs.waiting_by_lane(world.cluster_id)) == {"mail": 6, "slow": 1}

    async def test_nothing_waits(self, world: World) -> None:
        assert dict(await world.master.jobs.waiting_by_lane(world.cluster_id)) == {}

    # Parked jobs

    async def test_parked_jobs_stay_where_they_are(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.parked(bucket, "no handler 'X'")

        found = await world.master.assignments.assign_due(world.cluster_id, 10, [room(bucket)])

        assert (dict(found.assigned), found.next_in) == ({}, None)
        record = await world.record(job)
        assert (record.status, record.reason) == (JobStatus.HELD_ON_MASTER, "no handler 'X'")

    async def test_parked_jobs_are_adopted_by_who_knows_them(self, world: World) -> None:
        bucket = await world.bucket()
        known = [await world.parked(bucket, definition_id=name) for name in ("A", "B")]
        unknown = await world.parked(bucket, definition_id="C")
        await world.put(definition_id="A")

        assert await world.master.assignments.adopt_parked([bucket], ["A", "B", "Z"], 10) == 2

        claims = await world.claims(bucket)
        assert sorted(ids(claims)) == sorted(ids(known))
        assert {(c.attempt, c.retries) for c in claims} == {(1, 0)}
        assert (await world.record(known[0])).reason is None
        assert (await world.record(unknown)).reason is not None

    async def test_parked_jobs_are_adopted_into_their_lane_and_priority(self, world: World) -> None:
        high, low = [await world.bucket(priority=p) for p in (Priority.HIGH, Priority.LOW)]
        other_lane = await world.bucket(lane="other", priority=Priority.HIGH)
        first, second = await world.parked(high), await world.parked(low)
        await world.parked(other_lane)

        assert await world.master.assignments.adopt_parked([high, low], ["TestJob"], 10) == 2
        assert ids(await world.claims(high)) == [first.id]
        assert ids(await world.claims(low)) == [second.id]

    async def test_not_more_than_the_limit_is_adopted(self, world: World) -> None:
        bucket = await world.bucket()
        for _ in range(3):
            await world.parked(bucket)

        assert [await world.master.assignments.adopt_parked([bucket], ["TestJob"], 2) for _ in range(3)] == [
            2,
            1,
            0,
        ]
        assert await world.master.assignments.adopt_parked([], ["TestJob"], 2) == 0
        assert await world.master.assignments.adopt_parked([bucket], [], 2) == 0

    async def test_concurrent_adopters_take_each_job_once(self, world: World, peer: MasterRepository) -> None:
        buckets = await world.buckets(4)
        jobs = [await world.parked(buckets[0]) for _ in range(8)]
        adopted: list[int] = []

        async def adopt(master: MasterRepository, bucket: Bucket) -> None:
            adopted.append(await master.assignments.adopt_parked([bucket], ["TestJob"], 3))

        async with anyio.create_task_group() as group:
            for master, bucket in zip([world.master, peer] * 2, buckets, strict=True):
                group.start_soon(adopt, master, bucket)

        found = [claim.job.id for bucket in buckets for claim in await world.claims(bucket)]
        assert len(found) == len(set(found)) == sum(adopted)
        assert set(found) <= set(ids(jobs))

    async def test_an_assigned_job_is_not_skipped_by_its_reader(self, world: World) -> None:
        bucket = await world.bucket()
        overdue = await world.put_one(lane=bucket.lane, priority=bucket.priority)
        await world.tick()
        await world.put(bucket, 4)
        page = await world.master.claims.pull(bucket, Cursor(), 2)
        assert page.more
        await world.assign(room(bucket))

        async def read() -> bool:
            nonlocal page
            page = await world.master.claims.pull(bucket, page.cursor, 2)
            return overdue.id in ids(page.claims)

        await until(read, what="the assigned job to be read")


def _add(total: dict[UUID, int], more: Mapping[UUID, int]) -> None:
    for bucket_id, count in more.items():
        total[bucket_id] += count


async def _assign_the_rest(world: World, buckets: list[Bucket], total: dict[UUID, int]) -> None:
    """Assign the jobs that concurrent callers skipped, since none of them waits for another."""
    while (
        found := await world.master.assignments.assign_due(world.cluster_id, 1, [room(buckets[0])])
    ).assigned:
        _add(total, found.assigned)
