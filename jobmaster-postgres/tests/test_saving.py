"""Reports that bring their jobs: the short way comes to the same as the long one, whoever else is at it."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import anyio
import psycopg
import pytest
from attrs import evolve

from jobmaster.models import Attempt, AttemptError, Bucket, Claim, JobRecord, NewJob, Report
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_postgres.master import PostgresMaster
from jobmaster_postgres.outcomes import PostgresOutcomeStore
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import make_log_line, make_new_job, make_report
from jobmaster_testing.options import open_master
from jobmaster_testing.probes import until

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ENDS = [
    *[(JobStatus.SUCCEEDED, AttemptOutcome.SUCCEEDED)] * 8,
    (JobStatus.FAILED, AttemptOutcome.FAILED),
    (JobStatus.CANCELLED, AttemptOutcome.CANCELLED),
    (JobStatus.CANCELLED, None),
    (JobStatus.HELD_ON_MASTER, AttemptOutcome.FAILED),
    (JobStatus.HELD_ON_MASTER, None),
]


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """Return a cluster of the test's own."""
    async with open_master(database) as master:
        yield await make_world(master)


async def test_the_short_way_comes_to_the_same_as_the_long_one(world: World) -> None:
    master = world.master
    assert isinstance(master, PostgresMaster)
    assert isinstance(master.outcomes, PostgresOutcomeStore)
    outcomes = master.outcomes
    for seed in range(20):
        short, long = await world.buckets(2)
        one, other = Random(seed), Random(seed)
        known, reports = await prepared(world, short, one)
        known_too, reports_too = await prepared(world, long, other)

        stale = await outcomes.report(reports)
        stale_too = await master._driver.run(lambda: outcomes.report_any(reports_too))  # noqa: B023 - runs at once

        assert [r.job_id in stale for r in reports] == [r.job_id in stale_too for r in reports_too], seed
        pairs = zip([*known, *reports], [*known_too, *reports_too], strict=True)
        for mine, theirs in pairs:
            assert await told(world, mine) == await told(world, theirs), seed


async def prepared(world: World, bucket: Bucket, random: Random) -> tuple[list[Report], list[Report]]:
    """Return reports about all sorts of jobs, after those about jobs that were stored before in some way."""
    reports = [any_report(bucket, random) for _ in range(random.choice([1, 2, 30]))]
    for report in reports:
        if report.job is not None and random.random() < 0.3:
            place = random.choice([bucket.id, bucket.id, None])
            await world.insert(NewJob(job=report.job, bucket_id=place))
    before = [report for report in reports if random.random() < 0.1]
    await world.master.outcomes.report(before)
    reports += random.sample(reports, len(reports) // 10)
    return before, reports


def any_report(bucket: Bucket, random: Random) -> Report:
    status, outcome = random.choice(ENDS)
    claim = new_claim(bucket, random.choice("AAAB"))
    ran = outcome is not None
    report = make_report(
        claim,
        status,
        outcome=outcome,
        epoch=random.choice([1] * 20 + [2]),
        started_at=NOW if ran else None,
        finished_at=NOW + timedelta(seconds=random.random()) if ran else None,
        error=AttemptError(type="E", message="\0") if outcome is AttemptOutcome.FAILED else None,
        delay=60.0,
        retries=random.randrange(3),
        logs=[make_log_line("line", subject_id=str(claim.job.id))] if ran and random.random() < 0.2 else (),
    )
    return evolve(report, job=None) if random.random() < 0.1 else report


def new_claim(bucket: Bucket, definition_id: str = "A") -> Claim:
    """Return what the owner of a bucket on an agent claims: the master does not know the job."""
    job = make_new_job(bucket, definition_id=definition_id).job
    return Claim(job=job, bucket_id=bucket.id, epoch=bucket.epoch, attempt=1, ready_at=NOW, saved=False)


async def told(world: World, report: Report) -> Any:
    """Return what the master knows of a job, but for what tells it from another one."""
    record = await world.master.jobs.get(world.cluster_id, report.job_id)
    return None if record is None else (_standing(record), [_run(attempt) for attempt in record.attempts])


def _standing(record: JobRecord) -> tuple[Any, ...]:
    held = record.bucket_id is None
    return record.status, held, record.attempt, record.retries, record.finished_at is None, len(record.logs)


def _run(attempt: Attempt) -> Attempt:
    return evolve(attempt, bucket_id=None)


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("committed", [True, False])
async def test_what_others_store_at_the_same_time_is_looked_at_again(
    world: World, observer: "psycopg.Connection[tuple[object, ...]]", count: int, committed: bool
) -> None:
    bucket = await world.bucket()
    reports = [make_report(new_claim(bucket)) for _ in range(count)]
    contested = reports[-1].job_id
    stale: list[frozenset[Any]] = []

    async def report() -> None:
        stale.append(await world.master.outcomes.report(reports))

    observer.execute("BEGIN")
    store(observer, world, reports[-1])
    async with anyio.create_task_group() as group:
        group.start_soon(report)
        await until(lambda: someone_waits(observer), what="the report to wait for the other")
        observer.execute("COMMIT" if committed else "ROLLBACK")

    assert stale == [frozenset({contested} if committed else ())]
    written = await attempts_of(world, reports)
    assert written == [1] * (count - committed) + [0] * committed


def store(observer: "psycopg.Connection[tuple[object, ...]]", world: World, report: Report) -> None:
    """Hold a job on the master, as who drains its bucket does."""
    job = {"id": report.job_id, "cluster": world.cluster_id}
    observer.execute(
        "INSERT INTO jm_job (id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, max_retries, "
        "data, metadata) VALUES (%(id)s, %(cluster)s, 'A', 'l', 3, 0, 0, 0, '{}', '{}')",
        job,
    )
    observer.execute(
        "INSERT INTO jm_live (job_id, cluster_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority, "
        "cancel_requested) VALUES (%(id)s, %(cluster)s, 2, 0, 1, 0, 0, 0, 'l', 3, 0)",
        job,
    )


async def someone_waits(observer: "psycopg.Connection[tuple[object, ...]]") -> bool:
    pid = observer.info.backend_pid
    found = observer.execute("SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [pid])
    return found.fetchone() is not None


async def attempts_of(world: World, reports: Sequence[Report]) -> list[int]:
    return [len(await world.attempts(report.job_id)) for report in reports]


async def test_a_job_whose_key_another_one_has_is_not_stored(world: World) -> None:
    bucket = await world.bucket()
    [holder] = await world.put(key="k")
    claim = new_claim(bucket)
    keyed = evolve(claim, job=evolve(claim.job, key="k"))
    free = evolve(claim := new_claim(bucket), job=evolve(claim.job, key="free"))

    stale = await world.master.outcomes.report(
        [make_report(keyed), make_report(free), make_report(new_claim(bucket))]
    )

    assert stale == {keyed.job.id}
    assert {job.id for job in await world.all_jobs()} >= {holder.id, free.job.id}
    assert await world.master.jobs.get(world.cluster_id, keyed.job.id) is None
