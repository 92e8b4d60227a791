"""Requirements for `TransferStore`: everything that leaves arrives, whole and once."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from attrs import evolve

from jobmaster.contracts import Standing, WholeJob
from jobmaster.ids import new_id
from jobmaster.models import JobQuery, Position
from jobmaster.schedule_models import AT_ONCE, Misfire, ScheduleWrite
from jobmaster.states import AttemptOutcome, JobStatus, Overlap, Priority
from jobmaster_testing.contracts.transfer_stage import (
    HOUR,
    LATER,
    TransferTests,
    add_schedule,
    as_of,
    departed_from,
    failed_once,
    finished,
    fire,
    held,
    ids_of,
    move,
    schedules,
)
from jobmaster_testing.contracts.world import World, ids, room
from jobmaster_testing.factories import (
    make_job,
    make_new_job,
    make_schedule,
)


class MovingContract(TransferTests, suite=True):
    """Everything that leaves arrives, whole and once."""

    async def test_a_held_job_arrives_as_it_left(self, world: World, target: World) -> None:
        bucket = await world.bucket(priority=Priority.HIGH)
        job = await failed_once(
            world, bucket, data={"n": 1}, metadata={"team": "x"}, key="k", timeout=None, max_retries=7
        )
        before = await world.record(job)
        [whole] = await held(world)

        await move(world, target, whole)

        assert await world.master.jobs.get(world.cluster_id, job.id) is None
        assert await target.record(job) == as_of(target, before)
        assert whole.standing is not None
        assert await held(target) == [evolve(whole, job=evolve(whole.job, cluster_id=target.cluster_id))]

    async def test_a_held_job_that_arrived_runs_on(self, world: World, target: World) -> None:
        bucket, its_bucket = await world.bucket(), await target.bucket()
        job = await failed_once(world, bucket)
        await world.master.requests.reschedule(world.cluster_id, job.id, 0)

        await move(world, target, *await held(world))
        assert await target.assign(room(its_bucket)) == 1
        [claim] = await target.claims(its_bucket)

        assert (claim.attempt, claim.retries, claim.crashes, claim.suspect) == (2, 1, 2, True)
        assert claim.job == evolve(job, cluster_id=target.cluster_id, scheduled_at=claim.job.scheduled_at)
        await target.report(claim)
        assert [a.outcome for a in await target.attempts(job)] == ["failed", "succeeded"]

    async def test_a_job_that_was_tried_twice_keeps_both_attempts(self, world: World, target: World) -> None:
        bucket = await world.bucket()
        job = await failed_once(world, bucket)
        await world.master.requests.reschedule(world.cluster_id, job.id, 0)
        await world.assign(room(bucket))
        [claim] = await world.claims(bucket)
        await world.report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.SNOOZED)

        await move(world, target, *await held(world))

        attempts = await target.attempts(job)
        assert [(attempt.number, attempt.outcome) for attempt in attempts] == [(1, "failed"), (2, "snoozed")]

    async def test_a_parked_job_stays_parked(self, world: World, target: World) -> None:
        job = await world.parked(await world.bucket(), "no handler")

        await move(world, target, *await held(world))

        assert (await target.record(job)).reason == "no handler"
        assert await target.assign(room(await target.bucket())) == 0

    async def test_a_cancel_request_arrives(self, target: World) -> None:
        """The job is from a cluster of a version that could hold a job which was to be cancelled."""
        job, consignment = make_job(cluster_id=target.cluster_id), new_id()
        standing = Standing(ready_at=await target.master.now(), cancel_requested=True)
        whole = WholeJob(job=job, status=JobStatus.HELD_ON_MASTER, standing=standing)

        await target.master.transfers.stage(target.cluster_id, consignment, [whole])
        await target.master.transfers.admit(target.cluster_id, consignment, [job.id])

        assert (await target.record(job)).cancel_requested

    async def test_finished_jobs_arrive_with_their_history(self, world: World, target: World) -> None:
        bucket = await world.bucket()
        done = await world.finished(bucket)
        broken = await world.finished(bucket, JobStatus.FAILED, key="k")
        given_up = await world.put_one()
        await world.master.requests.cancel(world.cluster_id, [given_up.id])
        before = [await world.record(job) for job in (done, broken, given_up)]

        whole = await finished(world)
        await move(world, target, *whole)

        assert [job.status for job in whole] == ["succeeded", "failed", "cancelled"]
        assert [await target.record(job.id) for job in before] == [as_of(target, job) for job in before]
        assert len(await world.all_jobs()) == 0
        await target.master.requests.retry(target.cluster_id, broken.id)
        assert (await target.record(broken)).attempt == 2

    async def test_a_job_keeps_its_key(self, world: World, target: World) -> None:
        job = await world.put_one(key="k")

        await move(world, target, *await held(world))
        [there] = await target.master.jobs.insert([make_new_job(cluster_id=target.cluster_id, key="k")])
        [here] = await world.master.jobs.insert([make_new_job(cluster_id=world.cluster_id, key="k")])

        assert (there.job_id, there.created) == (job.id, False)
        assert here.created

    async def test_a_job_moves_there_and_back(self, world: World, target: World) -> None:
        job = await world.put_one(delay=LATER, key="k")
        before = await world.record(job)

        await move(world, target, *await held(world))
        await move(target, world, *await held(target))

        assert await world.record(job) == before
        assert await target.master.jobs.get(target.cluster_id, job.id) is None

    async def test_a_schedule_arrives_as_it_left(self, world: World, target: World) -> None:
        now = await world.master.now()
        schedule = await add_schedule(
            world,
            key="k",
            kind="cron",
            expression="*/5 * * * *",
            time_zone="Europe/Paris",
            ends_before=now + 2 * HOUR,
            overlap=Overlap.QUEUE,
            misfire=Misfire.run_all(5),
            planned_to=now + HOUR,
            look_at=now + HOUR,
            next_at=now + HOUR,
            waiting=(now, now + HOUR),
            newest_job_id=new_id(),
        )

        await move(world, target, schedule)
        [found] = await schedules(target, schedule.id)

        template = evolve(schedule.job, cluster_id=target.cluster_id)
        wanted = evolve(schedule, job=template, version=schedule.version + 1, changed_at=found.changed_at)
        assert found == wanted
        assert list(await schedules(world, schedule.id)) == []

    async def test_a_jobs_nominal_time_moves_along(self, world: World, target: World) -> None:
        schedule = await add_schedule(world)
        nominal = await world.master.now() + HOUR
        job = schedule.job_at(nominal, nominal)
        await fire(world, schedule, job, nominal)
        [planned] = await schedules(world, schedule.id)

        await move(world, target, *await held(world))
        await move(world, target, planned)
        [found] = await target.master.jobs.query(target.cluster_id, JobQuery(schedule_id=schedule.id))
        [moved] = await schedules(target, schedule.id)

        assert (found.id, found.nominal_at) == (job.id, nominal)
        assert (moved.busy, moved.next_at, moved.planned_to) == (True, nominal, nominal)

    async def test_a_planner_of_the_source_changes_nothing_at_the_target(
        self, world: World, target: World
    ) -> None:
        schedule = await add_schedule(world)

        await move(world, target, schedule)

        stale = ScheduleWrite(record=evolve(schedule, look_at=None))
        assert await world.master.schedules.write([stale]) == frozenset()
        assert (await schedules(target, schedule.id))[0].look_at == AT_ONCE

    async def test_a_declared_schedule_has_time_to_be_declared_there(
        self, world: World, target: World
    ) -> None:
        template = make_job(cluster_id=world.cluster_id)
        await world.master.schedules.add([make_schedule(template, name="Nightly")], 0.0)
        await world.tick()

        await move(world, target, *await schedules(world, template.id))

        assert list(await target.master.schedules.expired(target.cluster_id, 10)) == []
        [found] = await schedules(target, template.id)
        assert found.alive_until is not None

    async def test_moving_nothing(self, world: World, target: World) -> None:
        await move(world, target)

        assert await departed_from(world) == []
        assert await held(world) == await finished(world) == []


class ReadingToMoveContract(TransferTests, suite=True):
    """What the source shows of jobs that can move."""

    async def test_only_held_jobs_are_read_as_held(self, world: World, target: World) -> None:
        bucket = await world.bucket()
        waiting, later = await world.put_one(), await world.put_one(delay=LATER)
        await world.put_one(bucket)
        await world.finished(bucket)
        await target.put_one()

        assert ids_of(await held(world)) == [waiting.id, later.id]

    async def test_held_jobs_are_read_page_by_page(self, world: World) -> None:
        jobs = await world.put(count=5)
        first = await held(world, 2)

        rest = await world.master.transfers.read_held(world.cluster_id, first[-1].id, 10)

        assert ids_of(first) + ids_of(rest) == sorted(ids(jobs))

    async def test_only_jobs_past_an_age_are_read_as_finished(self, world: World, target: World) -> None:
        bucket = await world.bucket()
        await world.put_one(bucket)
        done = await world.finished(bucket)
        await target.finished(await target.bucket())
        await world.tick()

        assert ids_of(await finished(world, 0)) == [done.id]
        assert await finished(world, LATER) == []

    async def test_finished_jobs_are_read_page_by_page(self, world: World) -> None:
        bucket = await world.bucket()
        ends = [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SUCCEEDED]
        jobs = [await world.finished(bucket, status) for status in ends]
        await world.tick()

        pages: list[WholeJob] = []
        after: Position | None = None
        while page := await world.master.transfers.read_finished(world.cluster_id, 0, after, 3):
            pages += page
            after = page[-1].place

        assert ids_of(pages) == ids(jobs)
