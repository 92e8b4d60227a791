"""Requirements for stores when other callers take what a bucket's owner has not read."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import anyio
import anyio.lowlevel
import pytest

from jobmaster._flow.handover import aside_of, hold_unread, return_set_aside
from jobmaster.contracts import Message
from jobmaster.ids import new_id
from jobmaster.models import Bucket, BucketPage, Cursor, Load, NewJob, evolve
from jobmaster.states import JobStatus
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.depot import PLENTY, Depot, job_ids
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import LONG, World, ids, room
from jobmaster_testing.factories import make_job, make_message
from jobmaster_testing.probes import until

Take = Callable[[], Awaitable[int]]
Pull = Callable[[Cursor], Awaitable[BucketPage]]


async def _read_beside(pull: Pull, take: Take, count: int) -> tuple[list[UUID], int]:
    """Read a bucket to its end while another caller takes from it; return the ids that were read, and the number taken."""
    handed: list[UUID] = []
    taken = 0

    async def read() -> None:
        cursor = Cursor()
        while len(handed) + taken < count:
            page = await pull(cursor)
            handed.extend(claim.job.id for claim in page.claims if claim.job.id not in handed)
            cursor = page.cursor
            await anyio.lowlevel.checkpoint()

    async def take_some() -> None:
        nonlocal taken
        while len(handed) + taken < count:
            taken += await take()
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            group.start_soon(take_some)
    return handed, taken


async def _hand_over(world: World, bucket: Bucket) -> Sequence[Message]:
    """Hand held jobs over to a bucket; return the messages of the handover, which is closed."""
    result = await world.master.handovers.hand_over(world.cluster_id, 1.0, [room(bucket)], new_id())
    await world.master.handovers.close([one.id for one in result.handovers])
    return result.handovers[0].messages


class LoadContract(MasterTests, suite=True):
    """The loads that owners report for their buckets, and where older jobs wait."""

    async def test_loads_are_told_between_heartbeats(self, world: World) -> None:
        bucket, other = await world.bucket(), await world.bucket()

        await world.master.buckets.note_loads(
            {bucket.id: Load(in_flight=9, running=5, offered=12), new_id(): Load(free=1)}
        )

        told = await world.stored_bucket(bucket)
        assert (told.load, told.running, told.free, told.offered) == (9, 5, 0, 12)
        assert (await world.stored_bucket(other)).load == 0
        await world.master.buckets.note_loads({bucket.id: Load(free=5)})
        told = await world.stored_bucket(bucket)
        assert (told.load, told.running, told.free, told.offered) == (0, 0, 5, None)

    async def test_a_lost_worker_tells_nothing(self, world: World) -> None:
        bucket = await world.bucket()
        await world.master.workers.retire(bucket.worker_id)

        await world.master.buckets.note_loads({bucket.id: Load(free=5)})

        assert (await world.stored_bucket(bucket)).free == 0

    async def test_active_buckets_tell_for_how_long_their_owner_is_unheard_of(self, world: World) -> None:
        bucket = await world.bucket()

        async def unheard() -> float:
            return (await world.master.buckets.list_active(world.cluster_id))[0].unheard

        async def is_unheard() -> bool:
            return await unheard() > 0.01

        await until(is_unheard)
        before = await unheard()
        await world.master.workers.heartbeat([bucket.worker_id], {}, LONG)
        assert await unheard() < before + 0.5

    async def test_an_owner_is_silent_until_it_shows_a_sign_of_life(self, world: World) -> None:
        bucket, other = await world.bucket(), await world.bucket()

        async def silent() -> set[UUID]:
            return {one.id for one in await world.master.buckets.list_active(world.cluster_id) if one.silent}

        await world.tick()
        await world.master.buckets.mark_silent([bucket.id, other.id])
        assert await silent() == {bucket.id, other.id}

        await world.tick()
        await world.master.workers.heartbeat([bucket.worker_id], {}, LONG)
        assert await silent() == {other.id}
        await world.master.buckets.note_loads({other.id: Load(in_flight=1)})
        assert await silent() == set()

    async def test_due_places_can_be_asked_for_by_how_long_they_wait(self, world: World) -> None:
        job = await world.put_one()
        place = job.lane, job.priority

        assert await world.master.assignments.due_places(world.cluster_id, 60.0) == frozenset()

        async def has_waited() -> bool:
            return place in await world.master.assignments.due_places(world.cluster_id, 0.02)

        await until(has_waited)

    async def test_the_next_job_is_told_for_those_for_whom_there_is_room(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put_one(lane="elsewhere")
        await world.put_one(delay=30)

        assignment = await world.master.assignments.assign_due(world.cluster_id, 0.1, [room(bucket)])

        assert assignment.next_in == 0
        assert assignment.next_for_rooms is not None
        assert 20 < assignment.next_for_rooms < 30
        assert (await world.master.assignments.assign_due(world.cluster_id, 0.1, [])).next_for_rooms is None


class TakingContract(MasterTests, suite=True):
    """`buckets.hold_unread` and `claims.unread`: jobs whose rows are the bucket."""

    async def test_what_nobody_has_read_is_held_again(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = await world.put(bucket, 3)

        assert await world.master.claims.unread([bucket, evolve(bucket, id=new_id())], 0.0) == {bucket.id}
        assert await world.master.buckets.hold_unread(bucket, 0.0, 0, PLENTY) == 3

        assert {await world.status(job) for job in jobs} == {JobStatus.HELD_ON_MASTER}
        assert await world.master.claims.unread([bucket], 0.0) == frozenset()
        assert await world.claims(bucket) == []
        other = await world.bucket()
        assert await world.assign(room(other)) == 3
        assert ids(await world.claims(other)) == ids(jobs)

    async def test_what_is_in_hand_stays(self, world: World) -> None:
        bucket = await world.bucket()
        read = await world.put(bucket, 2)
        assert len(await world.claims(bucket)) == 2

        assert await world.master.buckets.hold_unread(bucket, 0.0, 0, PLENTY) == 0
        assert await world.master.claims.unread([bucket], 0.0) == frozenset()
        assert {await world.status(job) for job in read} == {JobStatus.ASSIGNED_TO_BUCKET}

    async def test_behind_a_page_everything_may_be_taken(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = await world.put(bucket, 5)
        page = await world.master.claims.pull(bucket, Cursor(), 2)
        in_hand = set(ids(page.claims))

        assert await world.master.buckets.hold_unread(bucket, 0.0, 0, PLENTY) == 3

        for job in jobs:
            expected = JobStatus.ASSIGNED_TO_BUCKET if job.id in in_hand else JobStatus.HELD_ON_MASTER
            assert await world.status(job) == expected
        assert list((await world.master.claims.pull(bucket, page.cursor, 10)).claims) == []

    async def test_the_first_ones_stay_and_no_more_go_than_are_wanted(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 6)
        rows = sorted(
            await world.all_jobs(), key=lambda one: (one.ready_at or one.job.scheduled_at, one.job.id)
        )
        in_order = ids(rows)

        assert await world.master.buckets.hold_unread(bucket, 0.0, 2, 3) == 3

        held = {one.job.id for one in await world.all_jobs() if one.status is JobStatus.HELD_ON_MASTER}
        assert held == set(in_order[2:5])
        assert await world.master.buckets.hold_unread(bucket, 0.0, 3, PLENTY) == 0

    async def test_what_is_not_due_or_has_not_waited_stays(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put_one(bucket, delay=30)
        await world.put_one(bucket)

        assert await world.master.claims.unread([bucket], 60.0) == frozenset()
        assert await world.master.buckets.hold_unread(bucket, 60.0, 0, PLENTY) == 0
        assert await world.master.buckets.hold_unread(bucket, 0.0, 0, PLENTY) == 1

    async def test_what_is_to_be_cancelled_stays(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket)
        await world.master.requests.cancel(world.cluster_id, [job.id])

        assert await world.master.claims.unread([bucket], 0.0) == frozenset()
        assert await world.master.buckets.hold_unread(bucket, 0.0, 0, PLENTY) == 0

    async def test_it_keeps_its_place_in_the_order(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket)
        before = (await world.record(job)).ready_at

        await world.master.buckets.hold_unread(bucket, 0.0, 0, PLENTY)

        assert (await world.record(job)).ready_at == before

    async def test_who_reads_beside_takers_is_handed_nothing_that_is_taken(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = [job for _ in range(4) for job in await world.put(bucket, 25)]

        handed, taken = await _read_beside(
            lambda cursor: world.master.claims.pull(bucket, cursor, 3),
            lambda: world.master.buckets.hold_unread(bucket, 0.0, 4, 2),
            len(jobs),
        )

        held = {one.job.id for one in await world.all_jobs() if one.status is JobStatus.HELD_ON_MASTER}
        assert len(held) == taken
        assert held.isdisjoint(handed)
        assert held | set(handed) == set(ids(jobs))

    async def test_nothing_is_taken_out_of_a_bucket_that_is_being_rescued(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 2)
        await world.master.workers.retire(bucket.worker_id)
        [rescued] = await world.rescue()

        await world.master.buckets.hold_unread(bucket, 0.0, 0, PLENTY)

        assert await world.master.buckets.release(rescued) <= 2
        assert {one.status for one in await world.all_jobs()} == {JobStatus.HELD_ON_MASTER}

    # Messages that were set aside

    async def test_jobs_whose_messages_were_set_aside_are_held_again(self, world: World) -> None:
        bucket = await world.bucket(agent="Somewhere")
        there, other, marked = [await world.put_one(bucket) for _ in range(3)]
        await world.master.requests.cancel(world.cluster_id, [marked.id])
        unknown = make_job(cluster_id=world.cluster_id)
        messages = [make_message(bucket, job) for job in (there, marked, unknown)]
        messages.append(make_message(bucket, other, attempt=2))

        for expected in (1, 0):
            assert await world.master.buckets.hold_messages(bucket.id, messages) == expected

        assert await world.status(there) is JobStatus.HELD_ON_MASTER
        assert await world.status(other) is JobStatus.ASSIGNED_TO_BUCKET
        assert await world.status(marked) is JobStatus.ASSIGNED_TO_BUCKET
        assert await world.master.buckets.hold_messages(new_id(), [make_message(bucket, other)]) == 0
        assert await world.master.buckets.hold_messages(bucket.id, []) == 0

    async def test_a_message_of_another_time_says_nothing_about_the_job_now(self, world: World) -> None:
        bucket = await world.bucket(agent="Somewhere")
        job = await world.put_one()
        handed = await _hand_over(world, bucket)
        assert [message.placed for message in handed] == [1]
        assert await world.master.buckets.hold_messages(bucket.id, handed) == 1

        [again] = await _hand_over(world, bucket)

        assert again.placed == 2
        assert await world.master.buckets.hold_messages(bucket.id, handed) == 0
        assert await world.status(job) is JobStatus.ASSIGNED_TO_BUCKET
        assert await world.master.buckets.hold_messages(bucket.id, [again]) == 1

    async def test_a_handover_that_is_retaken_tells_of_the_same_message(self, world: World) -> None:
        bucket = await world.bucket(agent="Somewhere")
        await world.put_one()
        result = await world.master.handovers.hand_over(world.cluster_id, 1.0, [room(bucket)], new_id())

        [retaken] = await world.master.handovers.take_over(world.cluster_id, 0.0, new_id(), 10)

        assert list(retaken.messages) == list(result.handovers[0].messages)
        assert await world.master.buckets.hold_messages(bucket.id, retaken.messages) == 1

    async def test_the_jobs_of_handovers_are_told(self, world: World) -> None:
        bucket, other = await world.bucket(agent="Somewhere"), await world.bucket(agent="Somewhere")
        first, second = [await world.put_one(bucket) for _ in range(2)]
        pusher, cluster = new_id(), world.cluster_id
        opened = await world.master.handovers.open(cluster, bucket.id, [first.id], pusher)
        await world.master.handovers.open(cluster, bucket.id, [second.id], pusher)

        assert await world.master.handovers.jobs_of(bucket.id) == {first.id, second.id}
        assert await world.master.handovers.jobs_of(other.id) == frozenset()
        await world.master.handovers.close([opened])
        assert await world.master.handovers.jobs_of(bucket.id) == {second.id}


class SettingAsideContract(AgentTests, suite=True):
    """`claims.unread` and `asides.set_aside`, and the way back to the master."""

    async def test_what_nobody_has_pulled_is_set_aside(self, depot: Depot) -> None:
        bucket, other = await depot.buckets(2)
        messages = await depot.push(bucket, 3)
        aside = aside_of(bucket.id)

        assert await depot.agent.claims.unread([bucket, other], 0.0) == {bucket.id}
        assert await depot.agent.asides.set_aside(bucket, aside, 0.0, 0, PLENTY) == 3

        assert await depot.agent.claims.unread([bucket, other], 0.0) == frozenset()
        assert await depot.pull(bucket) == []
        found = await depot.agent.messages.read_all(aside, 10)
        assert set(job_ids(found)) == set(job_ids(messages))
        assert {message.new.bucket_id for message in found} == {aside}

    async def test_what_is_in_hand_is_not_set_aside(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket, 5)
        page = await depot.agent.claims.pull(bucket, Cursor(), 2)

        assert await depot.agent.asides.set_aside(bucket, aside_of(bucket.id), 0.0, 0, PLENTY) == 3

        aside = job_ids(await depot.agent.messages.read_all(aside_of(bucket.id), 10))
        assert set(aside).isdisjoint(claim.job.id for claim in page.claims)
        assert list((await depot.agent.claims.pull(bucket, page.cursor, 10)).claims) == []

    async def test_some_stay_where_they_are(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push_one(bucket, delay=30)
        in_order = [await self._next(depot, bucket) for _ in range(5)]
        aside = aside_of(bucket.id)

        assert await depot.agent.claims.unread([bucket], 60.0) == frozenset()
        assert await depot.agent.asides.set_aside(bucket, aside, 60.0, 0, PLENTY) == 0
        but = [in_order[2].new.job.id]
        assert await depot.agent.asides.set_aside(bucket, aside, 0.0, 1, 2, but) == 2

        found = set(job_ids(await depot.agent.messages.read_all(aside, 10)))
        assert len(found) == 2
        assert found <= set(job_ids(in_order[1:])) - set(but)

    async def test_who_pulls_beside_takers_is_handed_nothing_that_is_set_aside(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        pushed = [message for _ in range(4) for message in await depot.push(bucket, 25)]
        aside = aside_of(bucket.id)

        handed, _ = await _read_beside(
            lambda cursor: depot.agent.claims.pull(bucket, cursor, 3),
            lambda: depot.agent.asides.set_aside(bucket, aside, 0.0, 4, 2),
            len(pushed),
        )

        found = set(job_ids(await depot.agent.messages.read_all(aside, PLENTY)))
        assert found.isdisjoint(handed)
        assert found | set(handed) == set(job_ids(pushed))

    # The way back

    async def test_unread_messages_come_back_to_the_master(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        master = depot.world.master
        new = await depot.push(bucket, 2)
        saved = await self._saved(depot, bucket)

        assert await hold_unread(master, depot.agent, bucket, 0.0, 0, PLENTY) == 3

        for job_id in [*job_ids(new), saved.new.job.id]:
            assert await depot.world.status(job_id) is JobStatus.HELD_ON_MASTER
        assert await depot.holdings() == {}
        assert await depot.agent.messages.read_all(aside_of(bucket.id), 1) == []

    @pytest.mark.parametrize("steps", range(4))
    async def test_whoever_is_cut_off_on_the_way_back_loses_nothing(self, depot: Depot, steps: int) -> None:
        bucket = await depot.bucket()
        master, aside = depot.world.master, aside_of(bucket.id)
        [new] = await depot.push(bucket)
        saved = await self._saved(depot, bucket)
        nobodys = evolve(bucket, id=aside)

        # The steps that a caller took before it was killed
        await depot.agent.asides.set_aside(bucket, aside, 0.0, 0, PLENTY)
        messages = await depot.agent.messages.read_all(aside, 10)
        if steps > 0:
            await master.jobs.insert([NewJob(job=new.new.job)])
        if steps > 1:
            await master.buckets.hold_messages(bucket.id, messages)
        if steps > 2:
            await depot.agent.asides.remove(aside, messages[:1])

        await return_set_aside(master, depot.agent, nobodys)

        for job_id in (new.new.job.id, saved.new.job.id):
            assert await depot.world.status(job_id) is JobStatus.HELD_ON_MASTER
        assert await depot.agent.messages.read_all(aside, 1) == []
        assert await depot.pull(bucket) == []

    async def test_a_message_that_may_be_pushed_again_stays(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        master = depot.world.master
        saved = await self._saved(depot, bucket)
        job_id = saved.new.job.id
        handover = await master.handovers.open(depot.world.cluster_id, bucket.id, [job_id], new_id())

        assert await hold_unread(master, depot.agent, bucket, 0.0, 0, PLENTY) == 0
        assert await depot.world.status(job_id) is JobStatus.ASSIGNED_TO_BUCKET

        await master.handovers.close([handover])
        assert await hold_unread(master, depot.agent, bucket, 0.0, 0, PLENTY) == 1

    async def test_what_an_owner_has_in_hand_it_puts_aside_itself(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        mine, other = await depot.push_one(bucket), await depot.push_one(bucket)
        await depot.pull(bucket)
        aside = aside_of(bucket.id)

        for _ in range(2):
            await depot.agent.asides.put(bucket, aside, [(mine.new.job.id, 1), (new_id(), 1)])

        assert job_ids(await depot.agent.messages.read_all(aside, 10)) == [mine.new.job.id]
        assert job_ids(await depot.agent.messages.read_all(bucket.id, 10)) == [other.new.job.id]
        await depot.agent.messages.push([mine])
        assert mine.new.job.id in [claim.job.id for claim in await depot.pull(bucket)]

    async def test_who_is_late_with_bringing_back_takes_nothing_that_came_since(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        master, aside = depot.world.master, aside_of(bucket.id)
        saved = await self._saved(depot, bucket)
        await depot.agent.asides.set_aside(bucket, aside, 0.0, 0, PLENTY)
        late = await depot.agent.messages.read_all(aside, 10)
        await return_set_aside(master, depot.agent, evolve(bucket, id=aside))

        # The job is handed over to the same bucket again, and set aside again
        [again] = await _hand_over(depot.world, bucket)
        await depot.agent.messages.push([again])
        assert await master.buckets.hold_messages(bucket.id, late) == 0
        await depot.agent.asides.set_aside(bucket, aside, 0.0, 0, PLENTY)
        await depot.agent.asides.remove(aside, late)

        assert [message.placed for message in await depot.agent.messages.read_all(aside, 10)] == [
            again.placed
        ]
        assert await depot.world.status(saved.new.job.id) is JobStatus.ASSIGNED_TO_BUCKET

    async def test_what_lies_aside_still_makes_way_for_what_came_since(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        master, aside = depot.world.master, aside_of(bucket.id)
        saved = await self._saved(depot, bucket)
        await depot.agent.asides.set_aside(bucket, aside, 0.0, 0, PLENTY)
        await master.buckets.hold_messages(bucket.id, await depot.agent.messages.read_all(aside, 10))
        [again] = await _hand_over(depot.world, bucket)
        await depot.agent.messages.push([again])

        await depot.agent.asides.put(bucket, aside, [(saved.new.job.id, 1)])

        assert [message.placed for message in await depot.agent.messages.read_all(aside, 10)] == [
            again.placed
        ]

    async def _next(self, depot: Depot, bucket: Bucket) -> Message:
        """Push a message that sorts after all earlier ones."""
        await depot.tick()
        return await depot.push_one(bucket)

    async def _saved(self, depot: Depot, bucket: Bucket) -> Message:
        """Put a job into a bucket as a coordinator does: the master records it as being there."""
        job = await depot.world.put_one(bucket)
        message = make_message(bucket, job, saved=True)
        await depot.agent.messages.push([message])
        return message
