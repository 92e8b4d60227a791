"""Moving between clusters: whatever fails, and whoever else is at work, each job is in one cluster and runs once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any, cast
from uuid import UUID

import anyio
import pytest
from anyio.abc import TaskGroup
from attrs import define, evolve, field

from jobmaster import AttemptOutcome, JobStatus, StoreUnavailableError
from jobmaster._upkeep.archive import Archive
from jobmaster._upkeep.move_cluster import MoveCluster
from jobmaster._upkeep.transfer import AT_ONCE, Route
from jobmaster.contracts import MasterRepository, TransferStore
from jobmaster.ids import new_id
from jobmaster.memory import MemoryMaster
from jobmaster.models import Bucket, Job, JobQuery, JobRecord
from jobmaster.schedule_models import Firing, ScheduleQuery, ScheduleRecord, ScheduleWrite
from jobmaster.states import ScheduleStatus
from jobmaster.weighing import AT_ONCE as BYTES_AT_ONCE
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World, room
from jobmaster_testing.factories import ReportFields, make_job, make_log_line, make_new_job, make_schedule
from jobmaster_testing.wrapping import Passing, intercepted, with_stores

pytestmark = pytest.mark.anyio

LATER = 1000.0
MINUTE = timedelta(minutes=1)
SEEDS = 30
STEPS = 120
STORES = pytest.mark.parametrize("stores", [1, 2], ids=["one-store", "two-stores"])


async def worlds(stores: int) -> tuple[World, World]:
    """Return a source and a target, in one store or in two."""
    first = MemoryMaster()
    return await make_world(first), await make_world(first if stores == 1 else MemoryMaster())


def route(source: World, target: World, wrap: Callable[[Any], Any] = lambda one: one) -> Route:
    return Route(
        source_id=source.cluster_id,
        source=wrap(source.master),
        target_id=target.cluster_id,
        target=wrap(target.master),
        destination="there",
    )


async def move_all(source: World, target: World, *, history: bool = True) -> None:
    """Move until nothing is left to move."""
    while (await MoveCluster(route(source, target), history).run_once()).moved:
        pass


async def failed_once(world: World, bucket: Bucket, **fields: Any) -> Job:
    """Return a job that failed once, wrote a line, and is held again."""
    claim = await world.claim(bucket, **fields)
    line = make_log_line("tried", subject_id=str(claim.job.id), attempt=1)
    failed: ReportFields = {"outcome": AttemptOutcome.FAILED, "retries": 1, "logs": [line]}
    await world.report(claim, JobStatus.HELD_ON_MASTER, **failed)
    return claim.job


async def populate(world: World) -> dict[UUID, JobRecord]:
    """Give a cluster jobs of all sorts, and a schedule with a job made ahead; return its jobs by id."""
    bucket = await world.bucket()
    await world.put(count=3)
    await world.put(count=2, delay=LATER, key=None)
    await world.put_one(key="k")
    await failed_once(world, bucket)
    await world.parked(bucket)
    await world.finished(bucket)
    await world.finished(bucket, JobStatus.FAILED, key="over")
    await add_schedule(world)
    return {job.id: await world.record(job.id) for job in await world.all_jobs()}


async def add_schedule(world: World) -> ScheduleRecord:
    schedule = make_schedule(make_job(cluster_id=world.cluster_id))
    await world.master.schedules.add([schedule])
    await plan(world)
    return schedule


async def plan(world: World) -> None:
    """Make the next job of each schedule, as a planner would."""
    for schedule in await world.master.schedules.query(world.cluster_id, ScheduleQuery()):
        nominal = schedule.planned_to + MINUTE
        job = schedule.job_at(nominal, nominal)
        moved = evolve(schedule, planned_to=nominal, newest_job_id=job.id)
        write = ScheduleWrite(record=moved, firings=[Firing(job=job, nominal_at=nominal)])
        await world.master.schedules.write([write])


def as_of(world: World, record: JobRecord) -> JobRecord:
    return evolve(record, job=evolve(record.job, cluster_id=world.cluster_id))


# Failures


class Struck:
    """Hands calls on to a master, and lets the one of a number fail, before or after it happened."""

    def __init__(self, number: int, when: str) -> None:
        self.left, self.when = number, when

    def __call__(self, master: MasterRepository) -> MasterRepository:
        return intercepted(master, self._around)

    async def _around(self, _: str, call: Callable[[], Awaitable[Any]]) -> Any:
        self.left -= 1
        if self.left == 0 and self.when == "before":
            raise StoreUnavailableError("it broke before the call")
        result = await call()
        if self.left == 0:
            raise StoreUnavailableError("it broke before the answer")
        return result


@STORES
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_move_that_fails_anywhere_is_finished_by_the_next_one(stores: int, when: str) -> None:
    calls = 0
    while True:
        calls += 1
        source, target = await worlds(stores)
        before = await populate(source)
        fault = Struck(calls, when)
        try:
            await MoveCluster(route(source, target, fault), history=True).run_once()
        except StoreUnavailableError:
            await check_each_is_somewhere(source, target, before)
            await move_all(source, target)
            await check_all_arrived(source, target, before)
        else:
            break
    assert fault.left > 0
    assert calls > 15


async def check_each_is_somewhere(source: World, target: World, before: dict[UUID, JobRecord]) -> None:
    """Check that each job is in one cluster, or has departed and is staged where it departed to."""
    arrivals = cast("MemoryMaster", target.master).rows.tables.arrivals
    left = {
        id_
        for departure in await source.master.transfers.departures(source.cluster_id, 1000)
        for id_ in departure.ids
        if id_ in arrivals.get((target.cluster_id, departure.consignment), {})
    }
    for job_id in before:
        here = await source.master.jobs.get(source.cluster_id, job_id)
        there = await target.master.jobs.get(target.cluster_id, job_id)
        assert not (here and there), "a job is in both clusters"
        assert here or there or job_id in left, "a job is nowhere"


async def check_all_arrived(source: World, target: World, before: dict[UUID, JobRecord]) -> None:
    assert len(await source.all_jobs()) == 0
    assert list(await source.master.schedules.query(source.cluster_id, ScheduleQuery())) == []
    assert list(await source.master.transfers.departures(source.cluster_id, 10)) == []
    assert {j.id: await target.record(j.id) for j in await target.all_jobs()} == {
        job_id: as_of(target, record) for job_id, record in before.items()
    }
    [schedule] = await target.master.schedules.query(target.cluster_id, ScheduleQuery())
    assert schedule.busy


# Everybody at once


@define
class Mover:
    """A mover that stands still before and after each call of a store, until it is told to go on."""

    source: World
    target: World
    done: bool = field(default=False, init=False)
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _go: anyio.Event = field(factory=anyio.Event, init=False)
    _stands: anyio.Event = field(factory=anyio.Event, init=False)

    async def run(self) -> None:
        with self._scope:
            await self._gate()
            await MoveCluster(route(self.source, self.target, self._gated), history=True).run_once()
        self.done = True
        self._stands.set()

    def _gated(self, master: MasterRepository) -> MasterRepository:
        return intercepted(master, self._around)

    async def _around(self, _: str, call: Callable[[], Awaitable[Any]]) -> Any:
        await self._gate()
        result = await call()
        await self._gate()
        return result

    async def _gate(self) -> None:
        self._go = anyio.Event()
        self._stands.set()
        await self._go.wait()

    async def step(self) -> None:
        """Go on to the next gate, or to the end."""
        await self._stands.wait()
        if not self.done:
            self._stands = anyio.Event()
            self._go.set()
            await self._stands.wait()

    async def crash(self) -> None:
        """Vanish where it stands."""
        self._scope.cancel()
        while not self.done:
            await self._stands.wait()
            await anyio.lowlevel.checkpoint()


@define
class Turmoil:
    """Two clusters that work, and movers between them, in an order that a seed chooses."""

    source: World
    target: World
    group: TaskGroup
    random: Random
    movers: list[Mover] = field(factory=list)
    known: set[UUID] = field(factory=set)
    runs: list[tuple[UUID, int]] = field(factory=list)
    buckets: dict[str, Bucket] = field(factory=dict)

    async def begin(self) -> None:
        for world in (self.source, self.target):
            self.buckets[world.cluster_id] = await world.bucket()
        await populate(self.source)
        for _ in range(2):
            self.start()

    def start(self) -> None:
        mover = Mover(self.source, self.target)
        self.movers.append(mover)
        self.group.start_soon(mover.run)

    async def step(self) -> None:
        todo = self.random.choice(
            [*[self.go_on] * 30, *[self.crash] * 2, *[self.source_works] * 3, self.target_works]
        )
        await todo()
        self.known |= {job.id for world in (self.source, self.target) for job in await world.all_jobs()}
        await check_each_is_somewhere(self.source, self.target, dict.fromkeys(self.known))  # type: ignore[arg-type]

    async def go_on(self) -> None:
        mover = self.random.choice(self.movers)
        await mover.step()
        if mover.done:
            self.movers.remove(mover)
            self.start()

    async def crash(self) -> None:
        mover = self.random.choice(self.movers)
        await mover.crash()
        self.movers.remove(mover)
        self.start()

    async def source_works(self) -> None:
        await self._works(self.source)

    async def target_works(self) -> None:
        await self._works(self.target)

    async def _works(self, world: World) -> None:
        chances = [self.run_one, self.run_one, self.cancel, self.reschedule, self.retry, self.insert, plan]
        await self.random.choice(chances)(world)

    async def run_one(self, world: World) -> None:
        bucket = self.buckets[world.cluster_id]
        await world.assign(room(bucket, 1))
        for claim in await world.claims(bucket):
            self.runs.append((claim.job.id, claim.attempt))
            status = self.random.choice([JobStatus.SUCCEEDED, JobStatus.HELD_ON_MASTER])
            outcome = AttemptOutcome.SUCCEEDED if status.is_terminal else AttemptOutcome.SNOOZED
            await world.report(claim, status, outcome=outcome)

    async def _some(self, world: World, *statuses: JobStatus) -> list[JobRecord]:
        found = await world.master.jobs.query(world.cluster_id, JobQuery(statuses=frozenset(statuses)))
        return [self.random.choice(found)] if found else []

    async def cancel(self, world: World) -> None:
        for job in await self._some(world, JobStatus.HELD_ON_MASTER):
            await world.master.requests.cancel(world.cluster_id, [job.id])

    async def reschedule(self, world: World) -> None:
        for job in await self._some(world, JobStatus.HELD_ON_MASTER):
            await world.master.requests.reschedule(world.cluster_id, job.id, self.random.choice([0, LATER]))

    async def retry(self, world: World) -> None:
        for job in await self._some(world, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED):
            await world.master.requests.retry(world.cluster_id, job.id)

    async def insert(self, world: World) -> None:
        await world.master.jobs.insert([make_new_job(cluster_id=world.cluster_id)])

    async def end(self) -> None:
        """Let the movers vanish and a last one finish; check that all is at the target, with all its runs."""
        for mover in self.movers:
            await mover.crash()
        await move_all(self.source, self.target)
        assert len(await self.source.all_jobs()) == 0
        jobs = [await self.target.record(job.id) for job in await self.target.all_jobs()]
        assert {job.id for job in jobs} == self.known
        again = [run for run, times in Counter(self.runs).items() if times > 1]
        assert again == [], "an attempt ran twice"
        recorded = {(job.id, attempt.number) for job in jobs for attempt in job.attempts}
        assert set(self.runs) <= recorded, "a run is on no record"
        nominal = [job.nominal_at for job in jobs if job.nominal_at]
        assert len(nominal) == len(set(nominal)), "a nominal time has two jobs"


@STORES
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whoever_else_is_at_work_each_job_is_in_one_cluster_and_runs_once(
    stores: int, seed: int
) -> None:
    source, target = await worlds(stores)
    async with anyio.create_task_group() as group:
        turmoil = Turmoil(source, target, group, Random(seed))
        await turmoil.begin()
        for _ in range(STEPS):
            await turmoil.step()
        await turmoil.end()


# What stays


async def test_a_schedule_waits_until_its_last_job_has_ended() -> None:
    source, target = await worlds(2)
    bucket, schedule = await source.bucket(), await add_schedule(source)
    assert await source.assign(room(bucket), ahead=LATER) == 1

    first = await MoveCluster(route(source, target)).run_once()
    await source.master.buckets.release(bucket)
    second = await MoveCluster(route(source, target)).run_once()

    assert (first.jobs, first.schedules, first.waiting) == (0, 0, 1)
    assert (second.jobs, second.schedules, second.waiting) == (1, 1, 0)
    [moved] = await target.master.schedules.get(target.cluster_id, [schedule.id])
    assert moved.busy


async def test_a_static_schedule_moves_to_a_cluster_of_the_same_name_only() -> None:
    source, target = await worlds(2)
    template = make_job(cluster_id=source.cluster_id)
    await source.master.schedules.add([make_schedule(template, name="Nightly")])
    namesake = World(target.master, source.cluster_id)

    elsewhere = await MoveCluster(route(source, target)).run_once()
    here = await MoveCluster(route(source, namesake)).run_once()

    assert (elsewhere.schedules, here.schedules) == (0, 1)
    [left] = elsewhere.left
    assert (left.what, left.id) == ("schedule", template.id)
    assert "'Nightly' belongs to the code that declares it" in left.why


async def test_a_job_whose_key_is_taken_stays_and_says_why() -> None:
    source, target = await worlds(2)
    job, holder = await source.put_one(key="k"), await target.put_one(key="k")
    other = await source.put_one()

    result = await MoveCluster(route(source, target)).run_once()

    [left] = result.left
    assert (result.jobs, left.what, left.id) == (1, "job", job.id)
    assert f"its key 'k' belongs to {holder.id} there" in left.why
    assert await source.status(job) is JobStatus.HELD_ON_MASTER
    assert await target.status(other) is JobStatus.HELD_ON_MASTER


async def test_what_waits_at_the_target_for_its_key_is_told_of() -> None:
    source, target = await worlds(2)
    job = await source.put_one(key="k")
    [whole] = await source.master.transfers.read_held(source.cluster_id, None, 10)
    consignment = new_id()
    await target.master.transfers.stage(target.cluster_id, consignment, [whole])
    await source.master.transfers.release(source.cluster_id, "there", consignment, [whole])
    await target.put_one(key="k")

    stuck = await MoveCluster(route(source, target)).run_once()
    freed = await MoveCluster(evolve_route(route(source, target), keep_keys=False)).run_once()

    assert [one.id for one in stuck.left] == [job.id]
    assert "it has left, and waits at the target" in stuck.left[0].why
    assert (freed.jobs, (await target.record(job)).key) == (1, None)


def evolve_route(way: Route, **changes: Any) -> Route:
    for name, value in changes.items():
        setattr(way, name, value)
    return way


async def test_departures_to_another_place_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    source, target = await worlds(2)
    await source.put_one()
    whole = await source.master.transfers.read_held(source.cluster_id, None, 10)
    await source.master.transfers.release(source.cluster_id, "elsewhere", new_id(), whole)

    await move_all(source, target)

    assert len(await source.master.transfers.departures(source.cluster_id, 10)) == 1
    assert "an earlier move to elsewhere is not finished" in caplog.text


async def test_more_than_one_consignment_of_everything_moves() -> None:
    source, target = await worlds(2)
    await source.put(count=AT_ONCE + 5)
    bucket = await source.bucket()
    for _ in range(AT_ONCE + 5):
        await source.finished(bucket)
    schedules = [make_schedule(make_job(cluster_id=source.cluster_id)) for _ in range(AT_ONCE + 5)]
    await source.master.schedules.add(schedules)

    result = await MoveCluster(route(source, target), history=True).run_once()

    assert (result.jobs, result.schedules, result.left) == (2 * AT_ONCE + 10, AT_ONCE + 5, [])


# Archiving


async def over(world: World) -> ScheduleRecord:
    """Return a schedule that is over."""
    schedule = make_schedule(make_job(cluster_id=world.cluster_id))
    await world.master.schedules.add([schedule])
    [stored] = await world.master.schedules.get(world.cluster_id, [schedule.id])
    await world.master.schedules.write([ScheduleWrite(record=evolve(stored, status=ScheduleStatus.ENDED))])
    return schedule


async def archive_all(source: World, target: World, retention: float = 0.0) -> None:
    step = Archive(evolve_route(route(source, target), keep_keys=False))
    while (await step.run_once(retention)).more:
        pass


async def test_jobs_of_many_bytes_move_in_several_consignments() -> None:
    source, target = await worlds(2)
    jobs = await source.put(count=5, data={"text": "x" * (BYTES_AT_ONCE // 3)})
    staged: list[int] = []

    class Counting(Passing[TransferStore]):
        """Notes how much is staged at once."""

        async def stage(
            self, cluster_id: str, consignment: UUID, things: Sequence[Any], **options: Any
        ) -> Any:
            staged.append(len(things))
            return await self.inner.stage(cluster_id, consignment, things, **options)

    counting = with_stores(target.master, transfers=Counting(target.master.transfers))
    moving = evolve(route(source, target), target=counting)
    shipment = await moving.send(await source.master.transfers.read_held(source.cluster_id, None, 100))

    assert shipment.moved == {job.id for job in jobs}
    assert staged == [2, 2, 1]


async def test_what_is_past_its_retention_is_archived_and_nothing_else() -> None:
    source, target = await worlds(2)
    bucket = await source.bucket()
    waiting, done = await source.put_one(), await source.finished(bucket)
    ended, active = await over(source), make_schedule(make_job(cluster_id=source.cluster_id))
    await source.master.schedules.add([active])
    await source.tick()

    await archive_all(source, target, LATER)
    kept = await source.all_jobs()
    await archive_all(source, target)

    assert len(kept) == 2
    assert [job.id for job in await source.all_jobs()] == [waiting.id]
    assert await target.status(done) is JobStatus.SUCCEEDED
    found = await target.master.schedules.query(target.cluster_id, ScheduleQuery())
    assert [schedule.id for schedule in found] == [ended.id]
    left = await source.master.schedules.query(source.cluster_id, ScheduleQuery())
    assert [schedule.id for schedule in left] == [active.id]


async def test_a_key_that_was_used_again_does_not_keep_a_job_out_of_the_archive() -> None:
    source, target = await worlds(2)
    bucket = await source.bucket()
    jobs: list[Job] = []
    for _ in range(2):
        jobs.append(await source.finished(bucket, key="nightly"))
        await source.tick()
        await archive_all(source, target)

    assert [(await target.record(job)).key for job in jobs] == ["nightly", None]


async def test_what_cannot_be_archived_is_passed_over() -> None:
    source, target = await worlds(2)
    bucket = await source.bucket()
    jobs: Sequence[Job] = [await source.finished(bucket) for _ in range(AT_ONCE + 5)]
    known = [evolve(job, cluster_id=target.cluster_id) for job in jobs[:AT_ONCE]]
    await target.insert(*(make_new_job(id=job.id, cluster_id=target.cluster_id) for job in known))
    await source.tick()

    await archive_all(source, target)

    assert {job.id for job in await source.all_jobs()} == {job.id for job in known}
    assert all([await target.record(job) for job in jobs[AT_ONCE:]])


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_archive_that_fails_anywhere_loses_nothing(when: str) -> None:
    calls = 0
    while True:
        calls += 1
        source, target = await worlds(2)
        bucket = await source.bucket()
        jobs = [await source.finished(bucket) for _ in range(3)]
        await over(source)
        await source.tick()
        before = {job.id: await source.record(job) for job in jobs}
        fault = Struck(calls, when)
        try:
            await Archive(route(source, target, fault)).run_once(0.0)
        except StoreUnavailableError:
            await check_each_is_somewhere(source, target, before)
            await archive_all(source, target)
            assert {i: await target.record(i) for i in before} == {
                i: as_of(target, record) for i, record in before.items()
            }
        else:
            break
    assert calls > 10
