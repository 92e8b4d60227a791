"""The planner: one job for each nominal time, whoever plans, whatever breaks and whatever the clock does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import anyio
import pytest
from attrs import define, evolve, field

from jobmaster import (
    JobRecord,
    JobStatus,
    Misfire,
    Overlap,
    ScheduleRecord,
    ScheduleStatus,
    StoreUnavailableError,
)
from jobmaster._flow.storeclock import StoreClock
from jobmaster._upkeep.keep_static_schedules import TRIES, Declaration, KeepStaticSchedules
from jobmaster._upkeep.plan_schedules import PlanSchedules
from jobmaster.contracts import MasterRepository, Room, ScheduleStore
from jobmaster.errors import InvalidExpressionError, StoreConflictError
from jobmaster.memory import MemoryMaster
from jobmaster.models import Bucket, Cursor, JobQuery
from jobmaster.plugins import Plugins
from jobmaster.recurrence import Kinds, Recurrence
from jobmaster.recurrence.interval import IntervalKind
from jobmaster.schedule_models import DueSchedules, ScheduleWrite
from jobmaster_testing.clock import HandMovedClock
from jobmaster_testing.factories import (
    CLUSTER,
    make_bucket,
    make_job,
    make_report,
    make_schedule,
    make_worker,
)
from jobmaster_testing.wrapping import Passing, intercepted, with_stores

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON, GRACE = timedelta(seconds=120), timedelta(seconds=10)
HOUR = 3600.0


def seconds(moment: datetime) -> float:
    """Return a moment in seconds from the start."""
    return (moment - START).total_seconds()


@define
class Stage:
    """A cluster in memory under a clock that is moved by hand, with a worker that runs jobs when it is told to."""

    master: MemoryMaster
    clock: HandMovedClock
    bucket: Bucket
    ran: list[UUID] = field(factory=list)

    def planner(self, master: MasterRepository | None = None) -> PlanSchedules:
        used = master or self.master
        return PlanSchedules(
            CLUSTER,
            used.schedules,
            used.requests,
            Plugins().kinds,
            HORIZON,
            GRACE,
            self.clock,
            StoreClock(CLUSTER, used, self.clock),
        )

    def with_schedules(self, schedules: object) -> MasterRepository:
        """Return this master with another store for schedules."""
        return with_stores(self.master, schedules=schedules)

    async def add(self, period: str = "1m", **fields: Any) -> ScheduleRecord:
        job = make_job(scheduled_at=self.clock.now(), created_at=self.clock.now())
        schedule = make_schedule(job, expression=period, **fields)
        await self.master.schedules.add([schedule])
        return schedule

    async def plan(self, planner: PlanSchedules | None = None) -> float | None:
        """Plan until there is nothing to do; return in how many seconds there will be."""
        step = planner or self.planner()
        while (wait := (await step.run_once()).wait) == 0:
            pass
        return wait

    async def run_due(self) -> None:
        """Run all jobs that are due, at once."""
        room = Room(bucket_id=self.bucket.id, lane="default", priority=self.bucket.priority, free=1000)
        await self.master.assignments.assign_due(CLUSTER, 0.0, [room])
        page = await self.master.claims.pull(self.bucket, Cursor(), 1000)
        self.ran += [claim.job.id for claim in page.claims]
        await self.master.outcomes.report([make_report(claim) for claim in page.claims])

    async def live(
        self, seconds: float, planners: list[PlanSchedules] | None = None, *, runs: bool = True
    ) -> None:
        """Let time pass as planners would: from one look to the next."""
        end, steps = self.clock.now() + timedelta(seconds=seconds), planners or [self.planner()]
        while True:
            waits = [await self.plan(step) for step in steps]
            if runs:
                await self.run_due()
            wait = min((w for w in waits if w is not None), default=seconds)
            if self.clock.now() + timedelta(seconds=wait) > end:
                break
            self.clock.move(max(wait, 0.001))
        self.clock.time = end
        if runs:
            await self.run_due()

    async def jobs(self) -> list[JobRecord]:
        found = await self.master.jobs.query(CLUSTER, JobQuery(limit=1000))
        return list(reversed(found))

    async def times(self) -> list[float]:
        """Return the nominal times of all jobs, in seconds from the start."""
        return [seconds(job.nominal_at) for job in await self.jobs() if job.nominal_at]

    async def stored(self, schedule: ScheduleRecord) -> ScheduleRecord:
        [found] = await self.master.schedules.get(CLUSTER, [schedule.id])
        return found


@pytest.fixture
async def stage() -> Stage:
    clock = HandMovedClock()
    master = MemoryMaster(uuid4().hex, clock)
    worker = make_worker()
    bucket = make_bucket(worker)
    await master.workers.register(worker, [bucket], 1e9)
    return Stage(master, clock, bucket)


# One job for each nominal time


async def test_each_time_has_its_job_in_good_time(stage: Stage) -> None:
    schedule = await stage.add()

    await stage.live(10 * 60 + 1)

    jobs = await stage.jobs()
    assert await stage.times() == [60.0 * n for n in range(1, 11)]
    assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}
    assert {job.schedule_id for job in jobs} == {schedule.id}
    assert all(job.scheduled_at == job.nominal_at for job in jobs)


async def test_a_job_is_there_before_its_time_and_due_to_the_microsecond(stage: Stage) -> None:
    await stage.add("1s")

    await stage.live(0.6)

    [job] = await stage.jobs()
    assert job.ready_at == job.nominal_at == START + timedelta(seconds=1)


async def test_several_planners_make_each_job_once(stage: Stage) -> None:
    schedules = [await stage.add(period) for period in ("1s", "7s", "1m")]
    planners = [stage.planner() for _ in range(4)]
    found: list[int] = []

    async def tick(planner: PlanSchedules) -> None:
        found.append(len((await planner.run_once()).made))

    for _ in range(400):
        async with anyio.create_task_group() as group:
            for planner in planners:
                group.start_soon(tick, planner)
        await stage.run_due()
        stage.clock.move(0.5)

    for schedule, period in zip(schedules, (1, 7, 60), strict=True):
        jobs = await stage.master.jobs.query(CLUSTER, JobQuery(schedule_id=schedule.id, limit=1000))
        nominal = sorted((job.nominal_at - START).total_seconds() for job in jobs if job.nominal_at)
        assert nominal == [float(n) for n in range(period, int(nominal[-1]) + 1, period)]
        assert nominal[-1] >= 199 - period
    assert sum(found) == len(await stage.jobs())


def breaking(master: MasterRepository, call: int, when: str) -> MasterRepository:
    """Return a master, a call of which breaks, before or after its work is done."""
    left = call

    async def around(_: str, act: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            raise StoreUnavailableError("the process died before the call")
        result = await act()
        if left == 0:
            raise StoreUnavailableError("the process died after the call")
        return result

    return intercepted(master, around)


async def plan_for_ever(planner: PlanSchedules) -> None:
    while True:
        await planner.run_once()


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", range(1, 7))
async def test_a_planner_that_dies_between_two_steps_costs_no_time_and_doubles_none(
    stage: Stage, overlap: Overlap, when: str, call: int
) -> None:
    await stage.add(overlap=overlap)
    await stage.live(70, runs=False)
    stage.clock.move(52.0)
    dying = stage.planner(breaking(stage.master, call, when))
    with pytest.raises(StoreUnavailableError):
        await plan_for_ever(dying)

    await stage.live(120)

    times = await stage.times()
    assert len(times) == len(set(times))
    skipped = {120.0} if overlap is Overlap.SKIP else set()
    assert {60.0, 120.0, 180.0, 240.0} - skipped <= set(times) | {240.0}


@pytest.mark.parametrize("step", [HOUR, -HOUR])
async def test_a_clock_that_steps_an_hour_doubles_no_time(stage: Stage, step: float) -> None:
    await stage.add(misfire=Misfire.run_all(1000), overlap=Overlap.ALLOW)
    await stage.live(600)

    stage.clock.move(step)
    await stage.live(2 * HOUR)

    times = await stage.times()
    assert times == [60.0 * n for n in range(1, len(times) + 1)]
    assert times[-1] >= 600 + step + 2 * HOUR


async def test_a_clock_that_steps_back_lets_the_schedule_wait_for_it(stage: Stage) -> None:
    await stage.add()
    await stage.live(2 * HOUR)
    before = await stage.times()

    stage.clock.move(-HOUR)
    await stage.live(HOUR - 120)
    during = await stage.times()
    await stage.live(HOUR)

    assert during == before
    assert len(await stage.times()) > len(before)


# Misfires


@pytest.mark.parametrize(
    ("misfire", "caught_up"),
    [
        ("run_once", [5 * HOUR]),
        ("skip", [5 * HOUR]),
        ("run_all(3)", [5 * HOUR - 120, 5 * HOUR - 60, 5 * HOUR]),
    ],
)
async def test_hours_of_downtime_are_made_up_for_as_told(
    stage: Stage, misfire: str, caught_up: list[float]
) -> None:
    await stage.add(misfire=Misfire.parse(misfire))
    await stage.live(90)
    stage.clock.move(5 * HOUR - 90 + 1)

    await stage.live(45)

    times = [time for time in await stage.times() if time > 120]
    assert [time for time in times if time <= 5 * HOUR] == caught_up
    await stage.live(60)
    assert 5 * HOUR + 60 in await stage.times()


async def test_what_was_missed_is_run_one_after_the_other(stage: Stage) -> None:
    schedule = await stage.add(misfire=Misfire.run_all(3))
    stage.clock.move(HOUR + 1)

    await stage.plan()
    first, waiting = await stage.times(), (await stage.stored(schedule)).waiting
    await stage.run_due()
    stage.clock.move(0.6)
    await stage.plan()

    assert (first, len(waiting)) == ([HOUR - 120], 2)
    assert await stage.times() == [HOUR - 120, HOUR - 60]


# Overlap


async def test_skip_leaves_times_out_while_a_job_lasts(stage: Stage) -> None:
    await stage.add()
    await stage.live(200, runs=False)
    await stage.run_due()
    await stage.live(60)

    assert await stage.times() == [60.0, 240.0]


async def test_queue_makes_up_for_them(stage: Stage) -> None:
    await stage.add(overlap=Overlap.QUEUE)
    await stage.live(200, runs=False)
    assert await stage.times() == [60.0]

    await stage.live(45)

    assert await stage.times() == [60.0, 120.0, 180.0, 240.0]


async def test_allow_runs_them_side_by_side(stage: Stage) -> None:
    await stage.add(overlap=Overlap.ALLOW)

    await stage.live(200, runs=False)

    assert await stage.times() == [60.0 * n for n in range(1, 5)]


async def test_cancel_running_tells_the_last_job_to_make_way(stage: Stage) -> None:
    await stage.add(overlap=Overlap.CANCEL_RUNNING)
    await stage.live(70, runs=False)
    room = Room(bucket_id=stage.bucket.id, lane="default", priority=stage.bucket.priority, free=10)
    await stage.master.assignments.assign_due(CLUSTER, 0.0, [room])
    stage.clock.move(50.0)

    result = await stage.planner().run_once()

    first, second = await stage.jobs()
    assert (len(result.made), set(result.cancelling)) == (1, {stage.bucket.id})
    assert first.cancel_requested
    assert not second.cancel_requested


class Forgetful(Passing[ScheduleStore]):
    """Forgets all jobs between a planner's look and what it does about it."""

    def __init__(self, master: MemoryMaster) -> None:
        super().__init__(master.schedules)
        self._master = master

    async def due(
        self, cluster_id: str, kinds: Sequence[str], limit: int, without: Collection[UUID] = ()
    ) -> DueSchedules:
        found = await self.inner.due(cluster_id, kinds, limit, without)
        tables = self._master.rows.tables
        for rows in (tables.live, tables.jobs, tables.firings):
            cast("dict[UUID, Any]", rows).clear()
        return found


async def test_a_job_that_is_gone_makes_way(stage: Stage) -> None:
    await stage.add(overlap=Overlap.CANCEL_RUNNING)
    await stage.live(70, runs=False)
    stage.clock.move(50.0)

    await stage.planner(stage.with_schedules(Forgetful(stage.master))).run_once()

    assert await stage.times() == [120.0]


async def test_many_jobs_at_once_are_made_in_several_writes(stage: Stage) -> None:
    sizes: list[int] = []

    class Counting(Passing[ScheduleStore]):
        async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
            sizes.append(sum(len(one.firings) for one in writes))
            return await self.inner.write(writes)

    counting = stage.with_schedules(Counting(stage.master.schedules))
    for _ in range(20):
        await stage.add("1s", overlap=Overlap.ALLOW)

    await stage.plan(stage.planner(counting))

    assert (sum(sizes), max(sizes)) == (20 * 120, 8 * 120)


# The end


async def test_a_schedule_ends_before_its_end(stage: Stage) -> None:
    schedule = await stage.add(ends_before=START + timedelta(minutes=3))

    await stage.live(10 * 60)

    stored = await stage.stored(schedule)
    assert await stage.times() == [60.0, 120.0]
    assert (stored.status, stored.next_at) == (ScheduleStatus.ENDED, None)


# What a process cannot plan


async def test_an_expression_that_cannot_be_read_stops_nobody_else(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = await stage.add("yearly, or so"), await stage.add()

    await stage.live(61)

    assert {job.schedule_id for job in await stage.jobs()} == {sound.id}
    assert caplog.text.count(f"schedule {broken.id}: its next time cannot be determined") == 1


class OlderInterval:
    """A kind of an earlier version, which lacks a word of today's."""

    name = "interval"

    def accepts(self, expression: Any) -> bool:
        return isinstance(expression, timedelta)

    def compile(self, expression: Any, zone: ZoneInfo) -> Recurrence:
        raise InvalidExpressionError(self.name, expression, f"what is that in {zone}?")


class StuckInterval(OlderInterval):
    """A kind with a fault: its times do not go on."""

    def compile(self, expression: Any, zone: ZoneInfo) -> Recurrence:
        return Stuck(IntervalKind().compile(expression, zone))


@define
class Stuck:
    inner: Recurrence
    kind: str = "interval"
    text: str = "1m"

    def next_after(self, after: datetime, start: datetime) -> datetime:
        return max(after, start)

    def describe(self) -> str:
        return self.inner.describe()


@pytest.mark.parametrize("older", [OlderInterval, StuckInterval])
@pytest.mark.parametrize("first", [True, False])
async def test_what_one_process_cannot_plan_is_planned_in_time_by_those_that_can(
    stage: Stage, older: type[OlderInterval], *, first: bool
) -> None:
    await stage.add(misfire=Misfire.skip())
    old, new = stage.planner(), stage.planner()
    old.kinds = Kinds([older()])

    await stage.live(600, [old, new] if first else [new, old])

    assert await stage.times() == [60.0 * minute for minute in range(1, 11)]


async def test_more_unreadable_schedules_than_one_look_finds_hide_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobmaster._upkeep.plan_schedules.SCHEDULES_AT_ONCE", 3)
    for _ in range(7):
        await stage.add("yearly, or so")
    sound = await stage.add(look_at=START)

    await stage.live(61)

    assert {job.schedule_id for job in await stage.jobs()} == {sound.id}


async def test_a_schedule_is_planned_soon_after_it_can_be_read(stage: Stage) -> None:
    broken, planner = await stage.add("yearly, or so"), stage.planner()
    await stage.live(30, [planner])
    mended = evolve(await stage.stored(broken), expression="1m")
    await stage.master.schedules.write([ScheduleWrite(record=mended, redefined=True)])

    await stage.live(31, [planner])

    assert await stage.times() == [60.0]


class Picky(Passing[ScheduleStore]):
    """Refuses to store the jobs of one schedule."""

    refused: UUID | None = None

    async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
        if any(write.record.id == self.refused and write.firings for write in writes):
            raise StoreConflictError("no such jobs here")
        return await self.inner.write(writes)


async def test_a_schedule_whose_jobs_the_store_refuses_stops_nobody_else(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    sound, refused = await stage.add(), await stage.add()
    picky = Picky(stage.master.schedules)
    picky.refused = refused.id

    await stage.live(61, [stage.planner(stage.with_schedules(picky))])

    assert {job.schedule_id for job in await stage.jobs()} == {sound.id}
    assert caplog.text.count(f"schedule {refused.id}: its jobs cannot be stored") == 1
    assert str(sound.id) not in caplog.text


async def test_a_job_that_is_gone_lets_those_of_other_schedules_make_way(stage: Stage) -> None:
    gone, other = [await stage.add(overlap=Overlap.CANCEL_RUNNING) for _ in range(2)]
    await stage.live(70, runs=False)
    [lost] = [job for job in await stage.jobs() if job.schedule_id == gone.id]
    tables = stage.master.rows.tables
    for rows in (tables.live, tables.jobs, tables.firings):
        del cast("dict[UUID, Any]", rows)[lost.id]
    records = [await stage.stored(schedule) for schedule in (gone, other)]

    await stage.planner()._cancel(records)

    assert [job.status for job in await stage.jobs()] == [JobStatus.CANCELLED]


async def test_a_time_is_not_missed_because_many_others_are_due(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobmaster._upkeep.plan_schedules.SCHEDULES_AT_ONCE", 1)
    for _ in range(4):
        await stage.add(misfire=Misfire.skip())
    stage.clock.move(60.0)
    planner = stage.planner()

    while (await planner.run_once()).wait == 0:
        stage.clock.move(8.0)  # the store is slow: the last of them is planned 24 s late

    assert await stage.times() == [60.0] * 4


async def test_times_that_pass_while_a_busy_planner_stands_still_were_missed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobmaster._upkeep.plan_schedules.SCHEDULES_AT_ONCE", 1)
    for _ in range(2):
        await stage.add(misfire=Misfire.skip())
    stage.clock.move(60.0)
    planner = stage.planner()
    await planner.run_once()

    stage.clock.move(1830.0)
    await stage.plan(planner)

    assert await stage.times() == [60.0]


# Static schedules


def declaration(period: str = "1m", name: str = "Nightly", **fields: Any) -> Declaration:
    job = make_job(id=UUID(int=7), scheduled_at=fields.pop("start", START), created_at=START)
    return Declaration(make_schedule(job, expression=period, name=name, **fields))


def declaring(stage: Stage, *declarations: Declaration, lease: float = 60.0) -> KeepStaticSchedules:
    return KeepStaticSchedules(
        cluster_id=CLUSTER,
        schedules=stage.master.schedules,
        kinds=Plugins().kinds,
        declarations=declarations,
        lease=lease,
        grace=GRACE,
        may_judge=lambda: True,
    )


async def test_a_declared_schedule_is_there_once_and_stays_as_it_is(stage: Stage) -> None:
    one, other = (
        declaring(stage, declaration()),
        declaring(stage, declaration(start=START + timedelta(seconds=30))),
    )

    changes = [await step.run_once() for step in (one, other, one, other)]
    await stage.live(61)

    assert changes == [1, 0, 0, 0]
    assert await stage.times() == [60.0]


async def test_what_nobody_declares_any_more_rests_with_its_jobs(stage: Stage) -> None:
    one, other = declaring(stage, declaration()), declaring(stage)
    await one.run_once()
    await stage.plan()
    stage.clock.move(30.0)
    assert await other.run_once() == 0
    stage.clock.move(29.0)
    await one.run_once()
    stage.clock.move(61.0)

    assert await other.run_once() == 1

    stored = await stage.stored(declaration().record)
    assert (stored.status, stored.next_at) == (ScheduleStatus.INACTIVE, None)
    assert await stage.times() == [60.0]


async def test_it_goes_on_when_somebody_declares_it_again(stage: Stage) -> None:
    one = declaring(stage, declaration())
    await one.run_once()
    stage.clock.move(HOUR)
    await declaring(stage).run_once()
    assert (await stage.stored(declaration().record)).status is ScheduleStatus.INACTIVE

    assert await one.run_once() == 1
    await stage.live(61)

    assert (await stage.stored(declaration().record)).status is ScheduleStatus.ACTIVE
    assert await stage.times() == [HOUR + 60]


async def test_a_declaration_that_is_renewed_at_the_last_moment_goes_on(stage: Stage) -> None:
    one, other = declaring(stage, declaration()), declaring(stage)
    await one.run_once()
    stage.clock.move(61.0)

    class Renewing(Passing[ScheduleStore]):
        async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
            await one.run_once()
            return await self.inner.write(writes)

    other.schedules = cast("ScheduleStore", Renewing(stage.master.schedules))

    assert await other.run_once() == 0
    assert (await stage.stored(declaration().record)).status is ScheduleStatus.ACTIVE


CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "its expression": {"period": "7m"},
    "its zone": {"time_zone": "Asia/Tokyo"},
    "its start": {"start": START + timedelta(days=1)},
    "its overlap": {"overlap": Overlap.ALLOW},
    "what its jobs are like": {"job": {"max_retries": 9}},
}
HAD = {
    "run_once": (Misfire.run_once(), [18000.0]),
    "skip": (Misfire.skip(), []),
    "run_all": (Misfire.run_all(3), [18000 - 120.0, 18000 - 60.0, 18000.0]),
}


@pytest.mark.parametrize("misfire", HAD)
@pytest.mark.parametrize("change", CHANGES)
async def test_times_that_passed_unseen_are_treated_by_the_misfire_policy_whatever_is_declared_next(
    stage: Stage, change: str, misfire: str
) -> None:
    """Hours of downtime, and then a process starts whose declaration is another one."""
    policy, due = HAD[misfire]
    await declaring(stage, declaration(misfire=policy)).run_once()
    await stage.live(61)
    stage.clock.move(5 * HOUR - 61 + 15)
    fields = dict(CHANGES[change])
    jobs_are, anchored = fields.pop("job", {}), "start" in fields
    wanted = declaration(misfire=policy, **fields).record
    wanted = evolve(wanted, job=evolve(wanted.job, **jobs_are))

    await declaring(stage, Declaration(wanted, anchored=anchored)).run_once()
    await stage.live(5)

    made = [job for job in await stage.jobs() if job.nominal_at and 61 < seconds(job.nominal_at) <= 5 * HOUR]
    assert [seconds(job.nominal_at) for job in made if job.nominal_at] == due
    assert {job.job.max_retries for job in made} <= {wanted.max_retries}


class Overtaken(Passing[ScheduleStore]):
    """Lets a planner at a schedule between the look at it and the write, as often as it is told."""

    def __init__(self, stage: Stage, times: int) -> None:
        super().__init__(stage.master.schedules)
        self.planner, self.clock, self.times = stage.planner(), stage.clock, times

    async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
        if self.times and writes:
            self.times -= 1
            while (await self.planner.run_once()).wait == 0:
                pass
            self.clock.move(60.0)
            while (await self.planner.run_once()).wait == 0:
                pass
        return await self.inner.write(writes)


@pytest.mark.parametrize("times", [1, 3, 25])
async def test_a_declaration_that_a_planner_overtakes_is_stored_all_the_same(
    stage: Stage, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    await declaring(stage, declaration()).run_once()
    await stage.live(61)
    stage.clock.move(HOUR)
    step = declaring(stage, declaration("7m"))
    step.schedules = cast("ScheduleStore", Overtaken(stage, times))

    await step.run_once()
    if times > TRIES:
        assert "schedules keep changing" in caplog.text
        await step.run_once()

    assert (await stage.stored(declaration().record)).expression == "7m"


async def test_the_policy_for_missed_times_is_the_one_that_is_declared_now(stage: Stage) -> None:
    await declaring(stage, declaration()).run_once()
    await stage.live(61)
    stage.clock.move(HOUR + 30)

    await declaring(stage, declaration("7m", misfire=Misfire.skip())).run_once()
    await stage.live(1)

    assert [time for time in await stage.times() if time > 61] == []


async def test_more_times_than_one_plan_takes_survive_a_new_declaration(stage: Stage) -> None:
    """In time, as the grace is long; but more than are decided at once."""
    before, after = [declaration(period, overlap=Overlap.QUEUE) for period in ("1s", "1h")]
    await declaring(stage, before).run_once()
    stage.clock.move(1500.5)

    step = declaring(stage, after)
    step.grace = timedelta(hours=1)
    await step.run_once()

    waiting = (await stage.stored(after.record)).waiting
    assert [seconds(time) for time in waiting] == [float(n) for n in range(1, 1001)]


async def test_a_time_that_passed_unseen_survives_a_change_of_an_expression_nobody_reads_any_more(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await declaring(stage, declaration("yearly, or so")).run_once()
    stage.clock.move(90.0)

    assert await declaring(stage, declaration()).run_once() == 1
    await stage.live(31)

    assert await stage.times() == [120.0]
    assert "its times before the change cannot be determined" in caplog.text


async def test_a_new_declaration_replaces_the_old_one(stage: Stage) -> None:
    await declaring(stage, declaration()).run_once()
    await stage.live(61)

    assert await declaring(stage, declaration("90s")).run_once() == 1
    await stage.live(60)

    stored = await stage.stored(declaration().record)
    assert (stored.expression, stored.starts_after) == ("90s", START)
    assert await stage.times() == [60.0, 90.0]


async def test_a_paused_schedule_stays_paused_when_it_is_declared(stage: Stage) -> None:
    await declaring(stage, declaration()).run_once()
    record = await stage.stored(declaration().record)
    paused = evolve(record, status=ScheduleStatus.PAUSED, look_at=None)
    await stage.master.schedules.write([ScheduleWrite(record=paused, restart=True)])

    await declaring(stage, declaration("90s")).run_once()
    await declaring(stage, declaration("90s")).run_once()

    assert (await stage.stored(record)).status is ScheduleStatus.PAUSED
    assert await stage.times() == []


async def test_a_declaration_whose_process_was_down_for_hours_has_missed_its_times(stage: Stage) -> None:
    await declaring(stage, declaration()).run_once()
    await stage.live(61)
    stage.clock.move(5 * HOUR)

    await declaring(stage, declaration()).run_once()
    await stage.live(30)

    assert await stage.times() == [60.0, 5 * HOUR + 60]
