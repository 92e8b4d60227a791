"""Nothing irreversible on one reading of a clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st

from jobmaster._flow.inline import InlineAgent
from jobmaster._flow.storeclock import StoreClock
from jobmaster._policy.steadiness import (
    CONFIRMING,
    DOUBTFUL_GAP,
    SETTLING,
    TOLERANCE,
    Reading,
    Steadiness,
    newest_of,
)
from jobmaster._upkeep.archive import Archive
from jobmaster._upkeep.plan_schedules import PATIENCE, PlanSchedules
from jobmaster._upkeep.prune import WORKERS_KEPT, Prune
from jobmaster._upkeep.rescue import Rescue
from jobmaster._upkeep.transfer import Route
from jobmaster.contracts import ScheduleStore
from jobmaster.memory import MemoryMaster
from jobmaster.models import STANDALONE, Bucket, Cursor, JobQuery, NewJob
from jobmaster.plugins import Plugins
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.states import Overlap, WorkerStatus
from jobmaster_testing.factories import (
    CLUSTER,
    make_bucket,
    make_job,
    make_report,
    make_schedule,
    make_worker,
)
from jobmaster_testing.reach import Within
from jobmaster_testing.wrapping import Passing

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY, MONTH = 86_400.0, 30 * 86_400.0
AHEAD = 40 * DAY


@define
class Host:
    """A host whose wall clock a test sets, while its monotonic clock goes on."""

    seconds: float = 1000.0
    offset: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds + self.offset)


def reading(host: Host, took: float = 0.0) -> Reading:
    asked_at = host.seconds
    host.seconds += took
    return Reading(host.now(), asked_at, host.seconds)


# The policy


steps = st.tuples(
    st.floats(0.001, 2 * DAY), st.sampled_from([0.0, 0.0, 0.0, 3.0, 3600.0, DAY + 1, AHEAD]), st.booleans()
)


@given(st.lists(steps, max_size=30), st.sampled_from([0.0, 60.0, 3600.0, MONTH]))
def test_nothing_ends_before_the_clock_has_gone_steadily(
    events: list[tuple[float, float, bool]], age: float
) -> None:
    """By which moment things end is never later than the steadily going clock says, whatever it jumped to before."""
    host, steadiness = Host(), Steadiness()
    steadiness.begin(reading(host), None)
    since, doubt = host.seconds, False
    for passed, jump, back in events:
        host.seconds += passed
        host.offset += -jump if back else jump
        jumped = steadiness.note(reading(host))
        small = abs(jump) <= TOLERANCE + 0.001 * passed
        assert (jumped == 0.0) == small
        if not small:
            since, doubt = host.seconds, not back and jump > DOUBTFUL_GAP
        cutoff, needed = steadiness.cutoff(age), min(age, CONFIRMING if doubt else SETTLING)
        assert (cutoff is None) == (host.seconds - since < needed)
        assert cutoff in {None, host.now() - timedelta(seconds=age)}
        assert steadiness.wait(age) == max(0.0, needed - (host.seconds - since))


def test_a_clock_that_leaves_everybody_behind_is_in_doubt() -> None:
    """The weekend that all was off looks the same: it costs a day."""
    for gap, needed in ((DOUBTFUL_GAP, SETTLING), (DOUBTFUL_GAP + 1, CONFIRMING)):
        host, steadiness = Host(), Steadiness()
        steadiness.begin(reading(host), host.now() - timedelta(seconds=gap))
        assert steadiness.wait(MONTH) == needed
        host.seconds += needed
        steadiness.note(reading(host))
        assert steadiness.cutoff(MONTH) == host.now() - timedelta(seconds=MONTH)


@given(st.floats(0, 600), st.floats(0, 600))
def test_a_slow_answer_is_no_jump(first: float, second: float) -> None:
    host = Host()
    before = reading(host, first)
    host.seconds += 300

    assert reading(host, second).drift_since(before) == 0.0


def test_calm_is_the_time_since_the_last_jump_of_a_size() -> None:
    host, steadiness = Host(), Steadiness()
    steadiness.begin(reading(host), None)
    assert steadiness.is_calm(host.seconds, 60)
    host.seconds += 10
    host.offset -= 30
    steadiness.note(reading(host))
    assert not steadiness.is_calm(host.seconds + 59, 60)
    assert steadiness.is_calm(host.seconds + 59, 60, least=31)
    assert steadiness.is_calm(host.seconds + 60, 60)


def test_who_has_come_lately_tells_nothing_of_the_clock() -> None:
    """The other processes of a host began with the same wrong clock."""
    now = START + timedelta(days=40)
    worker = make_worker()
    late = evolve(worker, started_at=now - timedelta(seconds=5), heartbeat_at=now)
    long_gone = evolve(worker, started_at=START - timedelta(days=2), heartbeat_at=START)
    alive = evolve(worker, started_at=START, heartbeat_at=now)

    assert newest_of([late], now) is None
    assert newest_of([late, long_gone], now) == START
    assert newest_of([late, long_gone, alive], now) == now


# The steps that end something


@define
class Stage:
    """A cluster in memory whose host is set wrong: its jobs have finished, a schedule is over, workers are gone."""

    host: Host
    master: MemoryMaster
    clock: StoreClock
    bucket: Bucket

    @classmethod
    async def set_up(cls) -> Stage:
        host = Host()
        master = MemoryMaster(clock=host)
        worker = make_worker()
        bucket = make_bucket(worker)
        await master.workers.register(worker, [bucket], 1e9)
        stage = cls(host, master, StoreClock(CLUSTER, master, host), bucket)
        await stage.finish(5)
        gone = make_worker()
        await master.workers.register(gone, [], 1e9)
        await master.workers.retire(gone.id)
        return stage

    async def finish(self, count: int) -> None:
        jobs = [make_job() for _ in range(count)]
        await self.master.jobs.insert([NewJob(job=job, bucket_id=self.bucket.id) for job in jobs])
        page = await self.master.claims.pull(self.bucket, Cursor(), count)
        reports = [make_report(claim, finished_at=self.host.now()) for claim in page.claims]
        assert not await self.master.outcomes.report(reports)

    def prune(self, retention: float | None = MONTH) -> Prune:
        clock = StoreClock(CLUSTER, self.master, self.host)
        master = self.master
        return Prune(CLUSTER, master.jobs, master.schedules, master.workers, clock, retention)

    def schedule(self, period: str) -> ScheduleRecord:
        now = self.host.now()
        return make_schedule(
            make_job(scheduled_at=now, created_at=now), expression=period, overlap=Overlap.ALLOW
        )

    async def count(self) -> int:
        return len(await self.master.jobs.query(CLUSTER, JobQuery(limit=100)))

    async def workers(self) -> int:
        return len(await self.master.workers.list_all(CLUSTER))


pytestmark = pytest.mark.anyio


async def test_a_clock_that_is_ahead_at_the_start_deletes_nothing() -> None:
    """The host boots 40 days ahead, for three seconds or for hours."""
    stage = await Stage.set_up()
    stage.host.offset = AHEAD
    prune = stage.prune()
    for seconds in (0, 3, SETTLING, WORKERS_KEPT - SETTLING - 4, DAY / 2):
        assert await stage.workers() == 2
        stage.host.seconds += seconds
        assert await prune.run_once() == 0
        assert await stage.count() == 5

    stage.host.offset = 0.0
    for _ in range(5):
        assert await prune.run_once() == 0
        stage.host.seconds += SETTLING
    assert await stage.count() == 5


async def test_a_clock_that_jumps_between_look_and_statement_deletes_nothing() -> None:
    stage = await Stage.set_up()

    class Jumping(Passing[ScheduleStore]):
        async def prune(self, *args: Any) -> int:
            stage.host.offset = AHEAD
            return await self.inner.prune(*args)

    prune = stage.prune()
    prune.schedules = cast("ScheduleStore", Jumping(stage.master.schedules))
    await prune.run_once()
    stage.host.seconds += SETTLING

    assert await prune.run_once() == 0
    assert await stage.count() == 5


@pytest.mark.parametrize("jump", [AHEAD, DAY, 3600.0, -3600.0, -DAY])
async def test_deleting_stops_when_time_jumps(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = await Stage.set_up()
    monkeypatch.setattr("jobmaster._upkeep.prune.JOBS_AT_ONCE", 2)
    prune = stage.prune()
    await prune.run_once()
    stage.host.seconds += 31 * DAY
    assert await prune.run_once() == 2
    assert prune.wait(2) == 0.0

    stage.host.offset += jump

    assert await prune.run_once() == 0
    assert await stage.count() == 3
    stage.host.seconds += SETTLING if jump <= DAY else CONFIRMING
    assert await prune.run_once() == 2


async def test_what_is_past_its_retention_goes_as_soon_as_the_clock_is_believed() -> None:
    stage = await Stage.set_up()
    stage.host.seconds += DAY / 2  # the night
    prune = stage.prune(retention=3600.0)

    assert await prune.run_once() == 0
    assert prune.wait(0) == SETTLING
    stage.host.seconds += SETTLING
    assert await prune.run_once() == 5
    assert prune.wait(0) is None
    assert await stage.workers() == 1


async def test_a_short_retention_waits_no_longer_than_itself() -> None:
    stage = await Stage.set_up()
    prune = stage.prune(retention=5.0)

    assert await prune.run_once() == 0
    assert prune.wait(0) == 5.0
    stage.host.seconds += 5.0 + 1e-6
    assert await prune.run_once() == 5


async def test_an_archive_takes_nothing_that_the_confirmed_clock_would_leave() -> None:
    stage, other = await Stage.set_up(), await Stage.set_up()
    route = Route(
        source_id=CLUSTER,
        source=stage.master,
        target_id="Archive",
        target=other.master,
        destination="there",
        keep_keys=False,
    )
    before = stage.host.now() - timedelta(seconds=MONTH)
    stage.host.offset = AHEAD

    result = await Archive(route).run_once(MONTH, before)

    assert (result.moved, await stage.count()) == (0, 5)


async def _planner(stage: Stage, looks: Sequence[float]) -> list[int]:
    """Return how many jobs a planner makes at looks that are so many seconds apart."""
    planner = PlanSchedules(
        CLUSTER,
        stage.master.schedules,
        stage.master.requests,
        Plugins().kinds,
        timedelta(seconds=120),
        timedelta(seconds=10),
        stage.host,
        stage.clock,
    )
    made = []
    for passed in looks:
        stage.host.seconds += passed
        made.append(len((await planner.run_once()).made))
    return made


async def test_a_planner_misses_no_times_by_a_clock_that_is_ahead_at_the_start() -> None:
    """It would plan up to then, and the schedule would be silent for as long."""
    stage = await Stage.set_up()
    await stage.master.schedules.add([stage.schedule("1h")])
    assert await _planner(stage, [0]) == [0]

    stage.host.offset = AHEAD
    assert await _planner(stage, [1, 2]) == [0, 0]
    stage.host.offset = 0.0

    assert await _planner(stage, [3600.0]) == [1]


async def test_a_schedule_that_is_days_late_waits_for_a_minute() -> None:
    stage = await Stage.set_up()
    await stage.master.schedules.add([stage.schedule("1h")])
    assert await _planner(stage, [0]) == [0]
    stage.host.seconds += 40 * DAY

    made = await _planner(stage, [1, PATIENCE - 1, 1])

    assert (made[0], made[1], made[2] > 0) == (0, 0, True)


async def test_a_planner_that_sees_the_clock_jump_waits_for_a_minute() -> None:
    stage = await Stage.set_up()
    await stage.clock.look()
    await stage.master.schedules.add([stage.schedule("1m")])
    assert await _planner(stage, [0]) == [2]
    stage.host.offset = 3600.0

    made = await _planner(stage, [1, PATIENCE - 2, 3])

    assert (made[0], made[1], made[2] > 0) == (0, 0, True)


# Leases


async def test_a_heartbeat_of_the_future_is_no_lease() -> None:
    """A worker that beat by a clock 40 days ahead, and died, would have its buckets for as long."""
    stage = await Stage.set_up()
    worker = make_worker()
    stage.host.offset = AHEAD
    await stage.master.workers.register(worker, [make_bucket(worker)], 15.0)
    stage.host.offset = 0.0

    assert await stage.master.rescue.is_needed(CLUSTER)
    taken = await stage.master.rescue.take_lost_buckets(CLUSTER, stage.bucket.worker_id, 10, ["standalone"])

    assert [bucket.lane for bucket in taken] == ["default"]
    assert worker.id not in (await stage.master.workers.heartbeat([worker.id], {}, 15.0)).alive


async def test_a_jump_of_the_stores_clock_declares_nobody_dead() -> None:
    """All leases have run out at once, and whoever lives renews them."""
    stage = await Stage.set_up()
    dead, alive = make_worker(), make_worker()
    for worker in (dead, alive):
        await stage.master.workers.register(worker, [make_bucket(worker)], 15.0)
    await stage.clock.look()

    async def may_judge() -> bool:
        await stage.clock.look()
        return stage.clock.is_calm(15.0)

    agents = Within({STANDALONE: InlineAgent(stage.master, CLUSTER)})
    rescuer = stage.bucket.worker_id
    rescue = Rescue(CLUSTER, stage.master, agents, stage.host, may_judge=may_judge)
    stage.host.offset = 3600.0

    taken = []
    for seconds in (1, 5, 5, 5):
        stage.host.seconds += seconds
        taken.append((await rescue.run_once(rescuer)).buckets)
        await stage.master.workers.heartbeat([alive.id], {}, 15.0)

    assert taken == [0, 0, 0, 1]
    records = {worker.id: worker.status for worker in await stage.master.workers.list_all(CLUSTER)}
    assert (records[dead.id], records[alive.id]) == (WorkerStatus.LOST, WorkerStatus.ACTIVE)
