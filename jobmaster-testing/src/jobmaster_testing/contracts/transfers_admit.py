"""Requirements for `TransferStore` at the target: it admits what departed, and loses nothing."""
# ruff: noqa: D102, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from attrs import evolve

from jobmaster.contracts import Moving, Rejection, RejectReason
from jobmaster.ids import new_id
from jobmaster.schedule_models import ScheduleRecord, ScheduleWrite
from jobmaster.states import JobStatus, ScheduleStatus
from jobmaster_testing.contracts.transfer_stage import (
    LATER,
    TransferTests,
    add_schedule,
    as_of,
    departed_from,
    failed_once,
    held,
    ids_of,
    leave,
    move,
    schedules,
)
from jobmaster_testing.contracts.world import World, ids, room


class AdmittingContract(TransferTests, suite=True):
    """The target admits what departed, once, and loses nothing that it cannot admit."""

    async def test_what_did_not_depart_is_not_admitted(self, world: World, target: World) -> None:
        await world.put(count=2)
        one, two = await held(world)
        nowhere = evolve(one, job=evolve(one.job, id=new_id()))
        consignment, departed = await leave(world, target, one, nowhere)

        await target.master.transfers.admit(target.cluster_id, consignment, list(departed))
        await target.master.transfers.admit(target.cluster_id, consignment, [one.id, two.id, nowhere.id])

        assert ids(await target.all_jobs()) == [one.id]
        assert ids_of(await held(world)) == [two.id]

    async def test_admitting_again_changes_nothing(self, world: World, target: World) -> None:
        job = await failed_once(world, await world.bucket())
        consignment, departed = await leave(world, target, *await held(world))

        for _ in range(2):
            assert (
                list(await target.master.transfers.admit(target.cluster_id, consignment, list(departed)))
                == []
            )

        record = await target.record(job)
        assert (len(record.attempts), len(record.logs)) == (1, 1)

    async def test_a_job_that_ran_after_it_was_admitted_is_not_admitted_again(
        self, world: World, target: World
    ) -> None:
        job, bucket = await world.put_one(), await target.bucket()
        consignment, departed = await leave(world, target, *await held(world))
        await target.master.transfers.admit(target.cluster_id, consignment, list(departed))
        await target.assign(room(bucket))
        await target.report((await target.claims(bucket))[0])
        await target.tick()
        await target.master.jobs.prune(target.cluster_id, 0, 10)

        await target.master.transfers.admit(target.cluster_id, consignment, list(departed))

        assert await target.master.jobs.get(target.cluster_id, job.id) is None

    async def test_staging_again_changes_nothing(self, world: World, target: World) -> None:
        await world.put_one()
        whole, consignment = await held(world), new_id()
        await target.master.transfers.stage(target.cluster_id, consignment, whole)

        _, departed = await leave(world, target, *whole, consignment=consignment)
        await target.master.transfers.admit(target.cluster_id, consignment, list(departed))

        assert len(await target.all_jobs()) == 1

    async def test_another_consignment_of_a_job_is_not_mixed_up(self, world: World, target: World) -> None:
        job = await world.put_one()
        stale = await held(world)
        abandoned = new_id()
        await target.master.transfers.stage(target.cluster_id, abandoned, stale)
        await world.master.requests.reschedule(world.cluster_id, job.id, LATER)
        before = await world.record(job)

        await move(world, target, *await held(world))

        assert await target.record(job) == as_of(target, before)
        await target.master.transfers.admit(target.cluster_id, abandoned, [])
        assert await target.record(job) == as_of(target, before)

    async def test_what_the_cluster_has_is_not_staged(self, world: World) -> None:
        job, schedule = await world.put_one(), await add_schedule(world)
        whole: list[Moving] = [*await held(world), schedule]

        found = await world.master.transfers.stage(world.cluster_id, new_id(), whole)

        assert sorted(found, key=lambda one: one.id) == sorted(
            (Rejection(id=id_, reason=RejectReason.KNOWN) for id_ in (job.id, schedule.id)),
            key=lambda one: one.id,
        )

    async def test_a_job_whose_key_is_taken_is_not_staged(self, world: World, target: World) -> None:
        job, free = await world.put_one(key="k"), await world.put_one()
        holder = await target.put_one(key="k")
        whole, consignment = await held(world), new_id()

        found = await target.master.transfers.stage(target.cluster_id, consignment, whole)
        departed = await world.master.transfers.release(
            world.cluster_id, target.cluster_id, consignment, [whole[-1]]
        )

        assert list(found) == [Rejection(id=job.id, reason=RejectReason.KEY_TAKEN, holder=holder.id, key="k")]
        assert departed == {free.id}
        assert await world.status(job) is JobStatus.HELD_ON_MASTER

    async def test_a_job_whose_key_was_taken_since_stays_staged(self, world: World, target: World) -> None:
        job = await world.put_one(key="k")
        consignment, departed = await leave(world, target, *await held(world))
        holder = await target.put_one(key="k")

        for _ in range(2):
            found = await target.master.transfers.admit(target.cluster_id, consignment, list(departed))
            assert list(found) == [
                Rejection(id=job.id, reason=RejectReason.KEY_TAKEN, holder=holder.id, key="k")
            ]
        assert ids(await target.all_jobs()) == [holder.id]

        assert list(await admit_without_keys(target, consignment, job.id)) == []
        assert (await target.record(job)).key is None

    async def test_a_job_may_come_without_its_key(self, world: World, target: World) -> None:
        taken, free = await world.put_one(key="k"), await world.put_one(key="free")
        await target.put_one(key="k")
        whole, consignment = await held(world), new_id()

        found = await target.master.transfers.stage(target.cluster_id, consignment, whole, keep_keys=False)
        await world.master.transfers.release(world.cluster_id, target.cluster_id, consignment, whole)
        await admit_without_keys(target, consignment, taken.id, free.id)

        assert list(found) == []
        assert [(await target.record(job)).key for job in (taken, free)] == [None, "free"]

    async def test_a_schedule_whose_key_is_taken_is_not_staged(self, world: World, target: World) -> None:
        schedule, holder = await add_schedule(world, key="k"), await add_schedule(target, key="k")
        over = await ended(world, await add_schedule(world, key="j"))
        await add_schedule(target, key="j")

        found = await target.master.transfers.stage(target.cluster_id, new_id(), [schedule, over])

        assert list(found) == [
            Rejection(id=schedule.id, reason=RejectReason.KEY_TAKEN, holder=holder.id, key="k")
        ]

    async def test_what_comes_back_has_not_departed(self, world: World, target: World) -> None:
        job = await world.put_one()
        consignment, departed = await leave(world, target, *await held(world))
        await target.master.transfers.admit(target.cluster_id, consignment, list(departed))

        await move(target, world, *await held(target))

        assert await departed_from(world) == []
        assert await world.status(job) is JobStatus.HELD_ON_MASTER


async def ended(world: World, schedule: ScheduleRecord) -> ScheduleRecord:
    """End a schedule, and return it afterwards."""
    over = evolve(schedule, status=ScheduleStatus.ENDED, look_at=None)
    assert await world.master.schedules.write([ScheduleWrite(record=over)]) == {schedule.id}
    return (await schedules(world, schedule.id))[0]


async def admit_without_keys(target: World, consignment: UUID, *things: UUID) -> Sequence[Rejection]:
    """Admit things, without keys that are taken."""
    return await target.master.transfers.admit(target.cluster_id, consignment, things, keep_keys=False)
