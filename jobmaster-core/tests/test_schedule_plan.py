"""What a schedule is given: misfires, overlap, looking ahead. All of it is decided by a pure function."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st

from jobmaster import Misfire, Overlap, ScheduleRecord
from jobmaster._policy.schedule_plan import LEAD, MOST_WAITING, WAITING_POLL, Plan, Times, plan
from jobmaster_testing.factories import make_job, make_schedule

START = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON, GRACE = timedelta(seconds=120), timedelta(seconds=10)
MINUTE = timedelta(minutes=1)
ONE_BY_ONE = [Overlap.SKIP, Overlap.QUEUE, Overlap.CANCEL_RUNNING]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def every(period: timedelta, end: datetime | None = None) -> Times:
    def following(after: datetime) -> datetime | None:
        found = START + max((after - START) // period + 1, 0) * period
        return None if end is not None and found >= end else found

    return following


def schedule(overlap: Overlap = Overlap.SKIP, misfire: str = "run_once", **fields: Any) -> ScheduleRecord:
    template = make_job(scheduled_at=START, created_at=START)
    made = make_schedule(template, overlap=overlap, misfire=Misfire.parse(misfire))
    return evolve(made, **{"planned_to": START, **fields})


def decide(
    record: ScheduleRecord, now: datetime, period: timedelta = MINUTE, end: datetime | None = None
) -> Plan:
    return plan(record, every(period, end), now, HORIZON, GRACE)


# Looking ahead


def test_a_free_schedule_gets_its_next_job_within_the_horizon() -> None:
    made = decide(schedule(), START)

    assert made.fire == (at(60),)
    assert (made.planned_to, made.next_at) == (at(60), at(120))
    assert made.look_at == at(120) - LEAD


def test_nothing_is_made_beyond_the_horizon() -> None:
    made = decide(schedule(), START, period=timedelta(hours=1))

    assert (made.fire, made.planned_to) == ((), START)
    assert made.look_at == at(3600) - HORIZON


def test_a_busy_schedule_waits_for_the_time_itself() -> None:
    busy = schedule(busy=True)

    early, late = decide(busy, at(1)), decide(busy, at(59.8))

    assert (early.fire, early.look_at) == ((), at(60) - LEAD)
    assert (late.fire, late.look_at) == ((), at(60))


def test_side_by_side_the_whole_horizon_is_made_ahead() -> None:
    made = decide(schedule(Overlap.ALLOW, busy=True), START, period=timedelta(seconds=30))

    assert made.fire == (at(30), at(60), at(90), at(120))
    assert made.look_at == at(150) - HORIZON / 2


# Overlap, when the time comes


@pytest.mark.parametrize("overlap", ONE_BY_ONE)
def test_a_free_schedule_runs_when_its_time_comes(overlap: Overlap) -> None:
    made = decide(schedule(overlap), at(60.01))

    assert (made.fire, made.cancel, made.waiting, made.skipped) == ((at(60),), False, (), 0)


def test_skip_leaves_the_time_out() -> None:
    made = decide(schedule(busy=True), at(60.01))

    assert (made.fire, made.skipped, made.planned_to) == ((), 1, at(60))


def test_queue_keeps_the_time_in_line() -> None:
    made = decide(schedule(Overlap.QUEUE, busy=True), at(60.01))

    assert (made.fire, made.waiting, made.planned_to) == ((), (at(60),), at(60))
    assert made.look_at == at(60.01) + WAITING_POLL


def test_those_in_line_have_their_turn_one_by_one() -> None:
    waiting = schedule(Overlap.QUEUE, waiting=(at(60), at(120)))

    made = decide(evolve(waiting, planned_to=at(120)), at(130))

    assert (made.fire, made.waiting) == ((at(60),), (at(120),))


def test_the_line_has_an_end() -> None:
    waiting = tuple(at(n - 5000) for n in range(MOST_WAITING))

    made = decide(schedule(Overlap.QUEUE, busy=True, waiting=waiting), at(60.01))

    assert (len(made.waiting), made.skipped) == (MOST_WAITING, 1)


def test_cancel_running_makes_way() -> None:
    made = decide(schedule(Overlap.CANCEL_RUNNING, busy=True), at(60.01))

    assert (made.fire, made.cancel) == ((at(60),), True)


def test_allow_runs_side_by_side() -> None:
    made = decide(schedule(Overlap.ALLOW, busy=True), at(60.01))

    assert made.fire[0] == at(60)
    assert not made.cancel


# Misfires

DAY = 86400.0


@pytest.mark.parametrize("overlap", ONE_BY_ONE)
def test_run_once_runs_the_newest_missed_time(overlap: Overlap) -> None:
    made = decide(schedule(overlap), at(DAY + 30))

    assert (made.fire, made.waiting, made.misfired) == ((at(DAY),), (), True)
    assert made.next_at == at(DAY + 60)


def test_skip_runs_no_missed_time() -> None:
    made = decide(schedule(misfire="skip"), at(DAY + 30), period=timedelta(hours=1))

    assert (made.fire, made.misfired) == ((), True)
    assert made.next_at == at(DAY + 3600)


def test_skip_runs_a_time_that_comes_just_when_somebody_is_there_again() -> None:
    made = decide(schedule(misfire="skip"), at(DAY + 3))

    assert made.fire == (at(DAY),)


@pytest.mark.parametrize("overlap", ONE_BY_ONE)
def test_run_all_runs_the_newest_ones_one_after_the_other(overlap: Overlap) -> None:
    made = decide(schedule(overlap, "run_all(3)"), at(DAY + 30))

    assert made.fire == (at(DAY - 120),)
    assert made.waiting == (at(DAY - 60), at(DAY))


def test_run_all_runs_them_at_once_where_jobs_may_overlap() -> None:
    made = decide(schedule(Overlap.ALLOW, "run_all(3)"), at(DAY + 30))

    assert made.fire[:3] == (at(DAY - 120), at(DAY - 60), at(DAY))


def test_a_little_late_is_not_missed() -> None:
    made = decide(schedule(misfire="skip"), at(69))

    assert (made.fire, made.misfired) == ((at(60),), False)


def test_years_of_seconds_are_not_counted_out() -> None:
    asked = 0

    def times(after: datetime) -> datetime | None:
        nonlocal asked
        asked += 1
        return every(timedelta(seconds=1))(after)

    made = plan(schedule(), times, at(10 * 365 * DAY), HORIZON, GRACE)

    assert made.misfired
    assert asked < 50


# The end


def test_a_schedule_ends_when_its_last_time_has_come() -> None:
    ahead = decide(schedule(), START, end=at(61))
    last = decide(schedule(planned_to=at(60)), at(60), end=at(61))

    assert (ahead.fire, ahead.ended, ahead.look_at) == ((at(60),), False, at(60))
    assert (last.fire, last.ended) == ((), True)


def test_a_schedule_does_not_end_before_those_in_line_had_their_turn() -> None:
    made = decide(
        schedule(Overlap.QUEUE, busy=True, waiting=(at(60),), planned_to=at(60)), at(90), end=at(61)
    )

    assert (made.ended, made.look_at) == (False, at(90) + WAITING_POLL)


# Whatever happens


@define
class Life:
    """A schedule and its jobs, as a store would keep them."""

    record: ScheduleRecord
    period: timedelta
    fired: list[datetime] = field(factory=list)

    def tick(self, now: datetime) -> Plan:
        made = decide(self.record, now, self.period)
        self.fired += made.fire
        busy = self.record.busy or bool(made.fire)
        self.record = evolve(
            self.record,
            planned_to=made.planned_to,
            waiting=made.waiting,
            look_at=made.look_at,
            busy=busy and self.record.overlap is not Overlap.ALLOW,
        )
        return made

    def end_job(self) -> None:
        self.record = evolve(self.record, busy=False)


OVERLAPS = st.sampled_from(list(Overlap))
MISFIRES = st.sampled_from(["run_once", "skip", "run_all(2)", "run_all(50)"])
PERIODS = st.sampled_from([1.0, 7.0, 60.0, 3600.0])
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 1.0, 9.0, 61.0, 4000.0, -3600.0, 3600.0]), st.booleans()),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(overlap=OVERLAPS, misfire=MISFIRES, period=PERIODS, steps=STEPS)
def test_no_time_is_run_twice_or_made_up_whatever_the_clock_does(
    overlap: Overlap, misfire: str, period: float, steps: list[tuple[float, bool]]
) -> None:
    life, now = Life(schedule(overlap, misfire), timedelta(seconds=period)), START
    for step, ends in steps:
        now = max(START, now + timedelta(seconds=step))
        before = life.record
        made = life.tick(now)
        assert made.planned_to >= before.planned_to
        assert all(time <= now + HORIZON or time in before.waiting for time in made.fire)
        if ends:
            life.end_job()

    assert len(life.fired) == len(set(life.fired))
    assert not set(life.fired) & set(life.record.waiting)
    assert all((time - START) % life.period == timedelta(0) and time > START for time in life.fired)


@settings(max_examples=200, deadline=None)
@given(overlap=OVERLAPS, misfire=MISFIRES, period=PERIODS, steps=STEPS)
def test_a_plan_leaves_nothing_to_do_at_the_same_moment(
    overlap: Overlap, misfire: str, period: float, steps: list[tuple[float, bool]]
) -> None:
    life, now = Life(schedule(overlap, misfire), timedelta(seconds=period)), START
    for step, _ in steps:
        now = max(START, now + timedelta(seconds=step))
        while life.tick(now).look_at is None or (life.record.look_at or now) <= now:
            pass

        again = decide(life.record, now, life.period)

        assert (again.fire, again.skipped, again.waiting) == ((), 0, life.record.waiting)
        assert again.look_at is not None
        assert again.look_at > now


@settings(max_examples=100, deadline=None)
@given(period=PERIODS, steps=st.lists(st.tuples(st.floats(0, 9), st.booleans()), max_size=60))
def test_queue_loses_no_time_and_keeps_their_order(period: float, steps: list[tuple[float, bool]]) -> None:
    life, now = Life(schedule(Overlap.QUEUE), timedelta(seconds=period)), START
    for step, ends in steps:
        now += timedelta(seconds=step)
        life.tick(now)
        if ends:
            life.end_job()

    seen = [*life.fired, *life.record.waiting]
    assert seen == [START + n * life.period for n in range(1, len(seen) + 1)]
    assert len(seen) >= (now - START) // life.period


@settings(max_examples=100, deadline=None)
@given(period=PERIODS, steps=st.lists(st.floats(0, 9), min_size=1, max_size=60))
def test_allow_runs_every_time(period: float, steps: list[float]) -> None:
    life, now = Life(schedule(Overlap.ALLOW), timedelta(seconds=period)), START
    for step in steps:
        now += timedelta(seconds=step)
        life.tick(now)

    assert life.fired == [START + n * life.period for n in range(1, len(life.fired) + 1)]
    assert len(life.fired) >= (now - START) // life.period


@settings(max_examples=100, deadline=None)
@given(period=PERIODS, steps=st.lists(st.tuples(st.floats(0, 9), st.booleans()), max_size=60))
def test_skip_never_runs_two_at_a_time(period: float, steps: list[tuple[float, bool]]) -> None:
    life, now = Life(schedule(Overlap.SKIP), timedelta(seconds=period)), START
    for step, ends in steps:
        now += timedelta(seconds=step)
        busy = life.record.busy
        made = life.tick(now)
        assert len(made.fire) <= (0 if busy else 1)
        if ends:
            life.end_job()
