"""Requirements for `ScheduleStore`."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Unpack

import anyio
import pytest
from attrs import evolve

from jobmaster.contracts import MasterRepository
from jobmaster.errors import KeyTakenError
from jobmaster.ids import new_id
from jobmaster.models import JobQuery
from jobmaster.schedule_models import AT_ONCE, Firing, Misfire, ScheduleQuery, ScheduleRecord, ScheduleWrite
from jobmaster.states import JobStatus, Overlap, Priority, ScheduleStatus
from jobmaster_testing.contracts.provider import MasterTests, make_world
from jobmaster_testing.contracts.world import LONG, SHORT, World, ids, room
from jobmaster_testing.factories import ScheduleFields, make_job, make_schedule
from jobmaster_testing.probes import until

HOUR = timedelta(hours=1)
KINDS = ["interval", "cron"]


async def add(world: World, key: str | None = None, **fields: Unpack[ScheduleFields]) -> ScheduleRecord:
    """Store a schedule and return it as it is stored."""
    schedule = make_schedule(make_job(cluster_id=world.cluster_id, key=key), **fields)
    [receipt] = await world.master.schedules.add([schedule])
    assert receipt.created
    return await stored(world, schedule)


async def stored(world: World, schedule: ScheduleRecord) -> ScheduleRecord:
    """Return a schedule as the store has it."""
    [found] = await world.master.schedules.get(world.cluster_id, [schedule.id])
    return found


def firing(schedule: ScheduleRecord, nominal: datetime) -> Firing:
    """Return the job of a nominal time."""
    return Firing(job=schedule.job_at(nominal, nominal), nominal_at=nominal)


async def fire(world: World, schedule: ScheduleRecord, *nominal: datetime) -> ScheduleRecord:
    """Make the jobs of some nominal times; return the schedule afterwards."""
    firings = [firing(schedule, time) for time in nominal]
    moved = evolve(schedule, planned_to=nominal[-1], newest_job_id=firings[-1].job.id)
    assert await world.master.schedules.write([ScheduleWrite(record=moved, firings=firings)]) == {schedule.id}
    return await stored(world, schedule)


async def find(world: World, query: ScheduleQuery) -> list[ScheduleRecord]:
    """Return the results of a query."""
    return list(await world.master.schedules.query(world.cluster_id, query))


class ScheduleKeepingContract(MasterTests, suite=True):
    """Storing, finding, declaring and deleting schedules."""

    async def test_a_schedule_comes_back_as_it_went_in(self, world: World) -> None:
        moment = await world.master.now()
        template = make_job(
            cluster_id=world.cluster_id,
            lane="Other",
            priority=Priority.HIGH,
            timeout=None,
            max_retries=7,
            data={"name": "Zoë", "at": moment},
            metadata={"team": "billing"},
            key="nightly",
        )
        schedule = make_schedule(
            template,
            kind="cron",
            expression="*/5 * * * *",
            time_zone="Europe/Paris",
            name="Nightly",
            ends_before=moment + HOUR,
            overlap=Overlap.QUEUE,
            misfire=Misfire.run_all(5),
            next_at=moment,
            waiting=(moment, moment + HOUR),
        )

        await world.master.schedules.add([schedule])
        found = await stored(world, schedule)

        assert found.changed_at is not None
        assert found.read_at is not None
        assert found.changed_at <= found.read_at <= await world.master.now()
        assert evolve(found, changed_at=None, planned_to=schedule.planned_to) == schedule

    async def test_a_schedule_is_planned_from_the_stores_now_on(self, world: World) -> None:
        now = await world.master.now()
        past, future = await add(world, planned_to=now - HOUR), await add(world, planned_to=now + HOUR)

        assert now <= past.planned_to <= await world.master.now()
        assert future.planned_to == now + HOUR

    async def test_a_schedule_that_starts_now_counts_from_the_stores_now(self, world: World) -> None:
        now = await world.master.now()
        skewed = [make_job(cluster_id=world.cluster_id, scheduled_at=now + step) for step in (HOUR, -HOUR)]

        for template in skewed:
            schedule = make_schedule(template, planned_to=template.scheduled_at, starts_now=True)
            await world.master.schedules.add([schedule])
            found = await stored(world, schedule)

            assert now <= found.starts_after <= found.planned_to <= await world.master.now()

    async def test_a_schedule_is_added_once(self, world: World) -> None:
        schedule = await add(world)
        changed = evolve(schedule, expression="2m")

        [receipt] = await world.master.schedules.add([changed])

        assert receipt.created
        assert (await stored(world, schedule)).expression == "1m"

    async def test_nothing_to_add_or_write(self, world: World) -> None:
        assert list(await world.master.schedules.add([])) == []
        assert await world.master.schedules.write([]) == frozenset()

    async def test_a_schedules_key_in_use_gives_the_first_schedule(self, world: World) -> None:
        first = await add(world, key="k")
        other = make_schedule(make_job(cluster_id=world.cluster_id, key="k"))

        [receipt] = await world.master.schedules.add([other])

        assert (receipt.schedule_id, receipt.created) == (first.id, False)
        assert len(await find(world, ScheduleQuery())) == 1

    async def test_a_schedules_key_for_another_definition_is_refused_and_nothing_is_stored(
        self, world: World
    ) -> None:
        first = await add(world, key="k")
        other = make_schedule(make_job(cluster_id=world.cluster_id, key="k", definition_id="Other"))
        keyless = make_schedule(make_job(cluster_id=world.cluster_id))

        with pytest.raises(KeyTakenError) as caught:
            await world.master.schedules.add([keyless, other])

        assert (caught.value.holder, caught.value.held_by) == (first.id, first.definition_id)
        assert [schedule.id for schedule in await find(world, ScheduleQuery())] == [first.id]

    async def test_one_call_with_one_key_for_two_definitions_is_refused(self, world: World) -> None:
        pair = [
            make_schedule(make_job(cluster_id=world.cluster_id, key="k", definition_id=definition_id))
            for definition_id in ("Bill", "Ship")
        ]

        with pytest.raises(KeyTakenError):
            await world.master.schedules.add(pair)

        assert await find(world, ScheduleQuery()) == []

    async def test_one_call_with_one_key_twice_adds_one_schedule(self, world: World) -> None:
        pair = [make_schedule(make_job(cluster_id=world.cluster_id, key="k")) for _ in range(2)]

        receipts = await world.master.schedules.add(pair)

        assert [receipt.created for receipt in receipts] == [True, False]
        assert {receipt.schedule_id for receipt in receipts} == {pair[0].id}

    async def test_concurrent_calls_with_one_key_add_one_schedule(
        self, world: World, peer: MasterRepository
    ) -> None:
        found = set()

        async def call(master: MasterRepository) -> None:
            schedule = make_schedule(make_job(cluster_id=world.cluster_id, key="k"))
            [receipt] = await master.schedules.add([schedule])
            found.add(receipt.schedule_id)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call, world.master)
                group.start_soon(call, peer)

        assert len(found) == len(await find(world, ScheduleQuery())) == 1

    async def test_a_schedule_that_is_over_gives_its_key_up(self, world: World) -> None:
        first = await add(world, key="k")
        await world.master.schedules.write(
            [ScheduleWrite(record=evolve(first, status=ScheduleStatus.CANCELLED))]
        )

        second = await add(world, key="k")

        assert second.id != first.id

    async def test_schedules_are_found_by_what_they_are(self, world: World) -> None:
        plain, static = await add(world), await add(world, name="Nightly")
        paused = await add(world, status=ScheduleStatus.PAUSED)
        newest_first = sorted([plain.id, static.id, paused.id], reverse=True)

        async def found(query: ScheduleQuery) -> list[object]:
            return [schedule.id for schedule in await find(world, query)]

        assert await found(ScheduleQuery()) == newest_first
        assert await found(ScheduleQuery(limit=2)) == newest_first[:2]
        assert await found(ScheduleQuery(after=newest_first[1])) == newest_first[2:]
        assert await found(ScheduleQuery(static=True)) == [static.id]
        assert static.id not in await found(ScheduleQuery(static=False))
        assert await found(ScheduleQuery(statuses=frozenset({ScheduleStatus.PAUSED}))) == [paused.id]
        assert await found(ScheduleQuery(definition_id="TestJob")) == newest_first
        assert await found(ScheduleQuery(definition_id="Other")) == []

    async def test_clusters_share_no_schedules(self, world: World) -> None:
        schedule, other = await add(world, key="k"), await make_world(world.master)

        assert list(await world.master.schedules.get(other.cluster_id, [schedule.id])) == []
        assert await find(other, ScheduleQuery()) == []
        assert (await world.master.schedules.due(other.cluster_id, KINDS, 10)).next_in is None
        assert await world.master.schedules.renew(other.cluster_id, [schedule.id], LONG) == frozenset()
        assert (await add(other, key="k")).id != schedule.id

    async def test_a_declaration_lapses_unless_it_is_renewed(self, world: World) -> None:
        kept, left = [make_schedule(make_job(cluster_id=world.cluster_id), name=name) for name in ("A", "B")]
        await world.master.schedules.add([kept, left], SHORT)
        undeclared = await add(world)

        assert await world.master.schedules.renew(world.cluster_id, [kept.id], LONG) == {kept.id}

        async def expired() -> list[object]:
            return [s.id for s in await world.master.schedules.expired(world.cluster_id, 10)]

        await until(expired, what="a declaration to lapse")
        assert await expired() == [left.id]
        assert (await stored(world, undeclared)).alive_until is None

    async def test_only_a_declaration_that_has_lapsed_until_the_end_is_laid_to_rest(
        self, world: World
    ) -> None:
        back, gone = [make_schedule(make_job(cluster_id=world.cluster_id), name=name) for name in ("A", "B")]
        await world.master.schedules.add([back, gone], SHORT)

        async def expired() -> list[ScheduleRecord]:
            found = await world.master.schedules.expired(world.cluster_id, 10)
            return list(found) if len(found) == 2 else []

        lapsed = await until(expired, what="both declarations to lapse")
        await world.master.schedules.renew(world.cluster_id, [back.id], LONG)
        writes = [
            ScheduleWrite(record=evolve(one, status=ScheduleStatus.INACTIVE), lapsed=True) for one in lapsed
        ]

        assert await world.master.schedules.write(writes) == {gone.id}
        assert (await stored(world, back)).status is ScheduleStatus.ACTIVE

    async def test_only_what_stands_is_renewed(self, world: World) -> None:
        active, paused = await add(world), await add(world, status=ScheduleStatus.PAUSED)
        over = [await add(world, status=s) for s in (ScheduleStatus.INACTIVE, ScheduleStatus.CANCELLED)]
        everyone = [active.id, paused.id, *(schedule.id for schedule in over), new_id()]

        assert await world.master.schedules.renew(world.cluster_id, everyone, LONG) == {active.id, paused.id}

    async def test_schedules_that_are_over_are_forgotten(self, world: World) -> None:
        over = [await add(world, status=s) for s in (ScheduleStatus.ENDED, ScheduleStatus.CANCELLED)]
        paused = await add(world, status=ScheduleStatus.PAUSED)
        await world.tick()

        assert await world.master.schedules.prune(world.cluster_id, LONG, 10) == 0
        assert await world.master.schedules.prune(world.cluster_id, 0.0, 1) == 1
        assert await world.master.schedules.prune(world.cluster_id, 0.0, 10) == len(over) - 1
        assert [schedule.id for schedule in await find(world, ScheduleQuery())] == [paused.id]


class PlanningContract(MasterTests, suite=True):
    """Finding schedules that are due for planning, and making each job once."""

    async def test_what_is_to_be_looked_at_comes_with_the_stores_now(self, world: World) -> None:
        late, early = await add(world, look_at=AT_ONCE + HOUR), await add(world, look_at=AT_ONCE)
        await add(world, look_at=await world.master.now() + HOUR)
        await add(world, status=ScheduleStatus.PAUSED)
        before = await world.master.now()

        found = await world.master.schedules.due(world.cluster_id, KINDS, 10)

        assert [schedule.id for schedule in found.due] == [early.id, late.id]
        assert before <= found.now <= await world.master.now()
        assert len((await world.master.schedules.due(world.cluster_id, KINDS, 1)).due) == 1

    async def test_the_next_look_is_told(self, world: World) -> None:
        assert (await world.master.schedules.due(world.cluster_id, KINDS, 10)).next_in is None
        await add(world, look_at=await world.master.now() + HOUR)

        found = await world.master.schedules.due(world.cluster_id, KINDS, 10)

        assert (list(found.due), found.next_in is not None) == ([], True)
        assert 3500 < (found.next_in or 0) <= 3600

    async def test_schedules_of_unknown_kinds_are_left_to_others(self, world: World) -> None:
        schedule = await add(world, kind="moon", expression="full")

        assert (await world.master.schedules.due(world.cluster_id, KINDS, 10)).next_in is None
        assert [s.id for s in (await world.master.schedules.due(world.cluster_id, ["moon"], 10)).due] == [
            schedule.id
        ]

    async def test_schedules_that_the_caller_cannot_read_are_left_to_others(self, world: World) -> None:
        unreadable, also = await add(world), await add(world)
        without = [unreadable.id, also.id, new_id()]

        assert (await world.master.schedules.due(world.cluster_id, KINDS, 10, without)).next_in is None
        later = await add(world, look_at=AT_ONCE + HOUR)

        found = await world.master.schedules.due(world.cluster_id, KINDS, 1, without)

        assert [schedule.id for schedule in found.due] == [later.id]

    async def test_a_firing_makes_a_held_job_that_knows_its_schedule(self, world: World) -> None:
        schedule = await add(world)
        nominal = await world.master.now() + HOUR

        moved = await fire(world, schedule, nominal)

        [job] = await world.all_jobs()
        assert (job.schedule_id, job.nominal_at, job.ready_at) == (schedule.id, nominal, nominal)
        assert (job.status, job.scheduled_at, job.key) == (JobStatus.HELD_ON_MASTER, nominal, None)
        assert (await world.record(job.id)).schedule_id == schedule.id
        assert (moved.version, moved.planned_to, moved.next_at) == (2, nominal, nominal)

    async def test_a_firing_whose_time_has_passed_is_due_now(self, world: World) -> None:
        schedule, before = await add(world), await world.master.now()

        moved = await fire(world, schedule, before - HOUR)

        [job] = await world.all_jobs()
        assert job.ready_at is not None
        assert before <= job.ready_at <= await world.master.now()
        assert (job.nominal_at, moved.last_job_id, moved.busy) == (before - HOUR, job.id, True)

    async def test_a_firing_out_of_turn_has_no_nominal_time(self, world: World) -> None:
        schedule = await add(world)
        job = evolve(schedule.job, id=new_id(), key=None)

        for _ in range(2):
            write = ScheduleWrite(record=await stored(world, schedule), firings=[Firing(job=job)])
            assert await world.master.schedules.write([write])

        record = await world.record(job)
        assert (record.schedule_id, record.nominal_at) == (schedule.id, None)
        assert await world.assign(room(await world.bucket())) == 1

    async def test_jobs_of_a_schedule_are_found(self, world: World) -> None:
        schedule, now = await add(world), await world.master.now()
        await fire(world, schedule, now - HOUR, now + HOUR, now + 2 * HOUR)
        await world.put_one()
        query = JobQuery(schedule_id=schedule.id)

        found = await world.master.jobs.query(world.cluster_id, query)
        counts = await world.master.jobs.count(world.cluster_id, query)

        assert [job.nominal_at for job in found] == [now + 2 * HOUR, now + HOUR, now - HOUR]
        assert dict(counts) == {JobStatus.HELD_ON_MASTER: 3}
        assert list(await world.master.jobs.query(world.cluster_id, JobQuery(schedule_id=new_id()))) == []

    async def test_a_schedule_shows_its_last_and_its_next_time(self, world: World) -> None:
        schedule, now = await add(world), await world.master.now()
        times = [now - 2 * HOUR, now - HOUR, now + HOUR, now + 2 * HOUR]

        shown = await fire(world, schedule, *times)

        assert shown.next_at == now + HOUR
        assert shown.last_job_id == schedule.job_at(now - HOUR, now).id
        assert shown.newest_job_id == schedule.job_at(now + 2 * HOUR, now).id

    async def test_a_stale_write_changes_nothing(self, world: World) -> None:
        schedule, now = await add(world), await world.master.now()
        await fire(world, schedule, now - HOUR)
        stale = ScheduleWrite(record=schedule, firings=[firing(schedule, now)], restart=True, redefined=True)

        assert await world.master.schedules.write([stale]) == frozenset()

        assert len(await world.all_jobs()) == 1
        assert (await stored(world, schedule)).version == 2

    async def test_of_several_writes_each_stands_alone(self, world: World) -> None:
        one, other, now = await add(world), await add(world), await world.master.now()
        await fire(world, one, now - HOUR)
        writes = [ScheduleWrite(record=s, firings=[firing(s, now)]) for s in (one, other)]
        unknown = ScheduleWrite(record=make_schedule(make_job(cluster_id=world.cluster_id)))

        assert await world.master.schedules.write([*writes, unknown]) == {other.id}

        assert len(await world.all_jobs()) == 2

    async def test_of_several_planners_one_makes_the_job(self, world: World, peer: MasterRepository) -> None:
        schedules = [await add(world) for _ in range(3)]
        now = await world.master.now()
        won: list[object] = []

        async def plan(master: MasterRepository) -> None:
            writes = [ScheduleWrite(record=s, firings=[firing(s, now + HOUR)]) for s in schedules]
            won.extend(await master.schedules.write(writes))

        async with anyio.create_task_group() as group:
            for master in (world.master, peer) * 4:
                group.start_soon(plan, master)

        assert sorted(map(str, won)) == sorted(str(s.id) for s in schedules)
        assert len(await world.all_jobs()) == 3

    async def test_a_nominal_time_has_one_job_for_ever(self, world: World) -> None:
        schedule, bucket = await add(world), await world.bucket()
        nominal = await world.master.now() - HOUR
        moved = await fire(world, schedule, nominal)
        await world.assign(room(bucket))
        [claim] = await world.claims(bucket)
        await world.report(claim)

        again = await fire(world, moved, nominal, nominal + HOUR)

        assert again.version == 3
        assert await world.status(claim.job) is JobStatus.SUCCEEDED
        assert len(await world.all_jobs()) == 2

    async def test_a_schedule_is_busy_until_its_newest_job_has_ended(self, world: World) -> None:
        schedule, bucket = await add(world), await world.bucket()
        now = await world.master.now()

        async def busy() -> bool:
            [due] = (await world.master.schedules.due(world.cluster_id, KINDS, 10)).due
            return due.busy

        assert not await busy()
        moved = await fire(world, schedule, now - HOUR)
        assert await busy()
        await world.assign(room(bucket))
        [claim] = await world.claims(bucket)
        assert await busy()
        await world.report(claim)
        assert not await busy()
        await fire(world, moved, now + HOUR)
        assert await busy()

    async def test_a_restart_takes_back_what_nobody_can_have_in_hand(self, world: World) -> None:
        schedule, bucket, now = await add(world), await world.bucket(), await world.master.now()
        times = [now - HOUR, now + HOUR, now + 2 * HOUR]
        moved = await fire(world, schedule, *times)
        await world.master.assignments.assign_due(world.cluster_id, 5400, [room(bucket)])

        again = evolve(moved, planned_to=now)
        await world.master.schedules.write([ScheduleWrite(record=again, restart=True)])

        assert [job.nominal_at for job in await world.all_jobs()] == [now - HOUR]
        assert (await stored(world, schedule)).planned_to == now
        assert dict(await world.master.buckets.holdings(world.cluster_id)) == {bucket.id: 1}

    async def test_what_a_restart_took_back_can_be_made_anew(self, world: World) -> None:
        schedule, nominal = await add(world), await world.master.now() + HOUR
        moved = await fire(world, schedule, nominal)
        await world.master.schedules.write([ScheduleWrite(record=moved, restart=True)])
        assert list(await world.all_jobs()) == []

        await fire(world, await stored(world, schedule), nominal)

        [job] = await world.all_jobs()
        assert job.nominal_at == nominal

    async def test_a_restart_leaves_jobs_that_have_begun(self, world: World) -> None:
        schedule, bucket, now = await add(world), await world.bucket(), await world.master.now()
        moved = await fire(world, schedule, now - HOUR)
        await world.assign(room(bucket))
        [claim] = await world.claims(bucket)
        await world.report(claim, JobStatus.HELD_ON_MASTER, delay=60.0)

        await world.master.schedules.write([ScheduleWrite(record=moved, restart=True)])

        assert ids(await world.all_jobs()) == [claim.job.id]

    async def test_what_was_asked_for_changes_only_by_a_new_definition(self, world: World) -> None:
        schedule = await add(world)
        job = evolve(schedule.job, lane="Other", max_retries=9)
        wanted = evolve(schedule, job=job, expression="2m", overlap=Overlap.ALLOW, misfire=Misfire.skip())

        await world.master.schedules.write([ScheduleWrite(record=wanted)])
        kept = await stored(world, schedule)
        await world.master.schedules.write([ScheduleWrite(record=evolve(wanted, version=2), redefined=True)])
        changed = await stored(world, schedule)

        assert (kept.job, kept.expression, kept.version) == (schedule.job, "1m", 2)
        assert (changed.job, changed.expression, changed.version) == (job, "2m", 3)
        assert (changed.overlap, changed.misfire) == (Overlap.ALLOW, Misfire.skip())

    async def test_jobs_of_a_forgotten_schedule_stay(self, world: World) -> None:
        schedule = await add(world)
        moved = await fire(world, schedule, await world.master.now() - HOUR)
        over = evolve(moved, status=ScheduleStatus.CANCELLED)
        await world.master.schedules.write([ScheduleWrite(record=over)])
        await world.tick()

        assert await world.master.schedules.prune(world.cluster_id, 0.0, 10) == 1

        [job] = await world.all_jobs()
        assert job.schedule_id == schedule.id
