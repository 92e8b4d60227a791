"""Requirements for `TransferStore` at the source: it decides, once."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from uuid import UUID

import anyio
from attrs import evolve

from jobmaster.contracts import Moving
from jobmaster.ids import new_id
from jobmaster.schedule_models import ScheduleWrite
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_testing.contracts.transfer_stage import (
    LATER,
    TransferTests,
    add_schedule,
    departed_from,
    departure,
    find_schedules,
    finished,
    held,
    ids_of,
    leave,
    schedules,
)
from jobmaster_testing.contracts.world import World, room


class GivingUpContract(TransferTests, suite=True):
    """The source decides, once."""

    async def test_what_is_staged_is_no_part_of_the_cluster(self, world: World, target: World) -> None:
        job = await world.put_one(key="k")
        schedule = await add_schedule(world)

        await target.master.transfers.stage(target.cluster_id, new_id(), [*await held(world), schedule])

        assert await target.master.jobs.get(target.cluster_id, job.id) is None
        assert await target.assign(room(await target.bucket())) == 0
        assert list(await find_schedules(target)) == []
        assert await world.status(job) is JobStatus.HELD_ON_MASTER

    async def test_what_departed_is_in_neither_cluster_until_it_is_admitted(
        self, world: World, target: World
    ) -> None:
        job = await world.put_one()
        consignment, departed = await leave(world, target, *await held(world))

        assert departed == {job.id}
        assert await departed_from(world) == [departure(target, consignment, job.id)]
        assert len(await world.all_jobs()) == len(await target.all_jobs()) == 0

    async def test_a_job_that_was_assigned_meanwhile_stays(self, world: World, target: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one()
        whole = await held(world)
        await world.assign(room(bucket))

        assert (await leave(world, target, *whole))[1] == frozenset()
        assert await world.status(job) is JobStatus.ASSIGNED_TO_BUCKET

    async def test_a_job_that_ran_meanwhile_stays(self, world: World, target: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one()
        whole = await held(world)
        await world.assign(room(bucket))
        [claim] = await world.claims(bucket)
        await world.report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.SNOOZED)

        assert (await leave(world, target, *whole))[1] == frozenset()
        assert (await world.record(job)).attempt == 2

    async def test_a_job_that_was_rescheduled_meanwhile_stays(self, world: World, target: World) -> None:
        job = await world.put_one()
        whole = await held(world)
        await world.master.requests.reschedule(world.cluster_id, job.id, LATER)

        assert (await leave(world, target, *whole))[1] == frozenset()
        assert await world.status(job) is JobStatus.HELD_ON_MASTER

    async def test_a_job_that_was_parked_meanwhile_stays(self, world: World, target: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one()
        whole = await held(world)
        await world.assign(room(bucket))
        [claim] = await world.claims(bucket)
        await world.report(claim, JobStatus.HELD_ON_MASTER, parked="no handler")

        assert (await leave(world, target, *whole))[1] == frozenset()
        assert (await world.record(job)).reason == "no handler"

    async def test_a_job_that_was_cancelled_meanwhile_stays(self, world: World, target: World) -> None:
        job = await world.put_one()
        whole = await held(world)
        await world.master.requests.cancel(world.cluster_id, [job.id])

        assert (await leave(world, target, *whole))[1] == frozenset()
        assert await world.status(job) is JobStatus.CANCELLED

    async def test_a_job_that_was_to_be_cancelled_when_its_bucket_was_released_stays(
        self, world: World, target: World
    ) -> None:
        bucket = await world.bucket()
        job = await world.put_one()
        whole = await held(world)
        await world.assign(room(bucket))
        await world.claims(bucket)
        await world.master.requests.cancel(world.cluster_id, [job.id])
        await world.master.buckets.release(bucket)

        assert (await leave(world, target, *whole))[1] == frozenset()
        assert await world.status(job) is JobStatus.CANCELLED

    async def test_a_finished_job_that_was_retried_meanwhile_stays(self, world: World, target: World) -> None:
        job = await world.finished(await world.bucket(), JobStatus.FAILED)
        whole = await finished(world)
        await world.master.requests.retry(world.cluster_id, job.id)

        assert (await leave(world, target, *whole))[1] == frozenset()
        assert await world.status(job) is JobStatus.HELD_ON_MASTER

    async def test_a_finished_job_that_was_run_again_meanwhile_stays(
        self, world: World, target: World
    ) -> None:
        bucket = await world.bucket()
        job = await world.finished(bucket, JobStatus.FAILED)
        whole = await finished(world)
        await world.master.requests.retry(world.cluster_id, job.id)
        await world.assign(room(bucket))
        [claim] = await world.claims(bucket)
        await world.report(claim)

        assert (await leave(world, target, *whole))[1] == frozenset()
        assert len(await world.attempts(job)) == 2

    async def test_a_schedule_that_was_planned_meanwhile_stays(self, world: World, target: World) -> None:
        schedule = await add_schedule(world)
        await world.master.schedules.write([ScheduleWrite(record=evolve(schedule, look_at=None))])

        assert (await leave(world, target, schedule))[1] == frozenset()
        assert len(await schedules(world, schedule.id)) == 1

    async def test_another_clusters_things_stay(self, world: World, target: World) -> None:
        job, schedule = await target.put_one(), await add_schedule(target)
        theirs: list[Moving] = [*await held(target), schedule]

        assert (
            await world.master.transfers.release(world.cluster_id, "Elsewhere", new_id(), theirs)
            == frozenset()
        )
        assert await target.status(job) is JobStatus.HELD_ON_MASTER
        assert len(await schedules(target, schedule.id)) == 1

    async def test_giving_up_again_says_the_same(self, world: World, target: World) -> None:
        await world.put(count=2)
        whole = await held(world)
        consignment, departed = await leave(world, target, *whole)

        again = await world.master.transfers.release(world.cluster_id, target.cluster_id, consignment, whole)

        assert again == departed == set(ids_of(whole))

    async def test_of_several_movers_one_gets_a_job(self, world: World, target: World) -> None:
        await world.put(count=20)
        whole = await held(world)
        departed: list[frozenset[UUID]] = []

        async def mover() -> None:
            departed.append((await leave(world, target, *whole))[1])

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(mover)

        assert sorted(job_id for part in departed for job_id in part) == ids_of(whole)

    async def test_departures_are_told_until_they_are_forgotten(self, world: World, target: World) -> None:
        await world.put(count=4)
        await target.put_one()
        one, two, three, four = await held(world)
        first, _ = await leave(world, target, one, two)
        second, _ = await leave(world, target, three)
        await leave(target, world, *await held(target))

        both = [departure(target, first, one.id, two.id), departure(target, second, three.id)]
        assert await departed_from(world) == both
        assert await departed_from(world, 1) == both[:1]
        for _ in range(2):
            await world.master.transfers.forget_departures(world.cluster_id, first, [one.id])
        assert await departed_from(world) == [departure(target, first, two.id), both[1]]
        assert ids_of(await held(world)) == [four.id]
