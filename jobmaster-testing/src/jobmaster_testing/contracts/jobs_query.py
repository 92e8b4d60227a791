"""Requirements for `JobStore` when users query jobs."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from jobmaster.ids import new_id
from jobmaster.models import Job, JobQuery, JobRecord
from jobmaster.states import AttemptOutcome, JobStatus, Priority
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World, ids
from jobmaster_testing.factories import make_log_line

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class FindingContract(MasterTests, suite=True):
    """Finding and counting jobs, their logs, and deleting them."""

    async def test_an_unknown_job_is_not_found(self, world: World) -> None:
        assert await world.master.jobs.get(world.cluster_id, new_id()) is None

    async def test_nothing_is_found_in_an_empty_cluster(self, world: World) -> None:
        assert list(await world.all_jobs()) == []
        assert dict(await world.master.jobs.count(world.cluster_id, JobQuery())) == {}

    async def test_the_newest_come_first(self, world: World) -> None:
        jobs = await world.put(count=5)

        assert ids(await world.all_jobs()) == sorted(ids(jobs), reverse=True)

    async def test_found_pages_follow_one_another(self, world: World) -> None:
        jobs = sorted(ids(await world.put(count=5)), reverse=True)

        first = await world.master.jobs.query(world.cluster_id, JobQuery(limit=2))
        await world.put()
        second = await world.master.jobs.query(world.cluster_id, JobQuery(limit=2, after=first[-1].id))
        third = await world.master.jobs.query(world.cluster_id, JobQuery(limit=2, after=second[-1].id))

        assert [ids(page) for page in (first, second, third)] == [jobs[:2], jobs[2:4], jobs[4:]]

    async def test_a_found_job_is_the_stored_one(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, data={"name": "Ann"}, metadata={"n": 1}, key="k")
        await world.put(delay=30)
        await world.finished(bucket, JobStatus.FAILED)
        await world.parked(bucket)

        for found in await world.all_jobs():
            stored = await world.record(found.id)
            assert found == _without_history(stored)

    @pytest.mark.parametrize("status", [s for s in JobStatus if s is not JobStatus.SAVE_PENDING])
    async def test_by_status(self, world: World, status: JobStatus) -> None:
        jobs = await _one_of_each(world)

        await _expect(world, JobQuery(statuses=frozenset({status})), jobs[status])

    async def test_by_several_statuses(self, world: World) -> None:
        jobs = await _one_of_each(world)
        wanted = frozenset({JobStatus.HELD_ON_MASTER, JobStatus.QUEUED, JobStatus.FAILED})

        await _expect(world, JobQuery(statuses=wanted), *(jobs[status] for status in wanted))

    async def test_by_what_does_not_change(self, world: World) -> None:
        job = await world.put_one(definition_id="A", lane="a", priority=Priority.HIGH)
        lane = await world.put_one(definition_id="A", lane="b", priority=Priority.HIGH)
        await world.put_one(definition_id="B", lane="a", priority=Priority.LOW)

        await _expect(world, JobQuery(definition_id="A"), job, lane)
        await _expect(world, JobQuery(definition_id="a"))
        await _expect(world, JobQuery(lane="b"), lane)
        await _expect(world, JobQuery(priority=Priority.HIGH), job, lane)
        await _expect(world, JobQuery(definition_id="A", lane="a", priority=Priority.HIGH), job)
        await _expect(world, JobQuery(definition_id="B", lane="b"))

    async def test_finished_jobs_are_found_by_what_does_not_change(self, world: World) -> None:
        bucket = await world.bucket(lane="a", priority=Priority.HIGH)
        job = await world.finished(bucket, definition_id="A", scheduled_at=NOON, metadata={"n": 1})

        query = JobQuery(
            definition_id="A",
            lane="a",
            priority=Priority.HIGH,
            scheduled_from=NOON,
            scheduled_to=NOON + timedelta(seconds=1),
            statuses=frozenset({JobStatus.SUCCEEDED}),
            parked=False,
        )
        await _expect(world, query, job)

    async def test_by_time(self, world: World) -> None:
        micro = timedelta(microseconds=1)
        early, noon, late = [await world.put_one(scheduled_at=NOON + n * micro) for n in (-1, 0, 1)]

        await _expect(world, JobQuery(scheduled_from=NOON), noon, late)
        await _expect(world, JobQuery(scheduled_to=NOON), early)
        await _expect(world, JobQuery(scheduled_from=NOON, scheduled_to=NOON + micro), noon)
        await _expect(world, JobQuery(scheduled_from=NOON, scheduled_to=NOON))

    async def test_by_being_parked(self, world: World) -> None:
        bucket = await world.bucket()
        parked, held = await world.parked(bucket), await world.put_one()

        await _expect(world, JobQuery(parked=True), parked)
        await _expect(world, JobQuery(parked=False), held)

    async def test_counts_by_status_whatever_the_page(self, world: World) -> None:
        await _one_of_each(world)
        await world.put(count=3)
        query = JobQuery(limit=1, after=new_id())

        counts = dict(await world.master.jobs.count(world.cluster_id, query))

        assert counts == {status: 1 for status in JobStatus if status is not JobStatus.SAVE_PENDING} | {
            JobStatus.HELD_ON_MASTER: 4
        }

    async def test_a_retried_job_is_found_by_its_new_status_alone(self, world: World) -> None:
        job = await world.finished(await world.bucket())
        await world.master.requests.retry(world.cluster_id, job.id)

        await _expect(world, JobQuery(statuses=frozenset({JobStatus.SUCCEEDED})))
        await _expect(world, JobQuery(statuses=frozenset({JobStatus.HELD_ON_MASTER})), job)

    # Logs

    async def test_logs_are_listed_by_subject(self, world: World) -> None:
        lines = [make_log_line(f"m{n}", subject="worker", subject_id="w-1", n=n, ratio=0.5) for n in range(4)]
        other = make_log_line("other", subject="bucket", subject_id="w-1")

        await world.master.logs.add(world.cluster_id, [*lines[:2], other])
        await world.master.logs.add(world.cluster_id, lines[2:])
        await world.master.logs.add(world.cluster_id, [])

        assert list(await world.master.logs.read(world.cluster_id, "worker", "w-1", 10)) == lines
        assert list(await world.master.logs.read(world.cluster_id, "worker", "w-1", 2)) == lines[-2:]
        assert list(await world.master.logs.read(world.cluster_id, "bucket", "w-1", 10)) == [other]
        assert list(await world.master.logs.read(world.cluster_id, "worker", "w-2", 10)) == []

    # Pruning

    async def test_old_finished_jobs_are_pruned_with_all_they_had(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        await world.report(claim, logs=[make_log_line("x", subject_id=str(claim.job.id), attempt=1)])
        await world.tick()

        assert await world.master.jobs.prune(world.cluster_id, 0, 10) == 1
        assert await world.master.jobs.prune(world.cluster_id, 0, 10) == 0

        assert await world.master.jobs.get(world.cluster_id, claim.job.id) is None
        assert list(await world.all_jobs()) == []
        logs = await world.master.logs.read(world.cluster_id, "job", str(claim.job.id), 10)
        assert list(logs) == []

    async def test_young_finished_jobs_are_kept(self, world: World) -> None:
        job = await world.finished(await world.bucket())

        assert await world.master.jobs.prune(world.cluster_id, 3600, 10) == 0

        assert await world.status(job) is JobStatus.SUCCEEDED

    async def test_live_jobs_are_kept_however_old(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = [await world.put_one(), await world.put_one(bucket), await world.parked(bucket)]
        claim = await world.claim(bucket)
        await world.report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.FAILED, retries=1)
        retried = await world.finished(bucket)
        await world.master.requests.retry(world.cluster_id, retried.id)
        await world.tick()

        assert await world.master.jobs.prune(world.cluster_id, 0, 100) == 0

        assert set(ids(await world.all_jobs())) == set(ids([*jobs, claim.job, retried]))
        assert len(await world.attempts(claim.job)) == 1

    async def test_not_more_than_the_limit_is_pruned(self, world: World) -> None:
        bucket = await world.bucket()
        for _ in range(3):
            await world.finished(bucket)
        await world.put_one()
        await world.master.requests.cancel(world.cluster_id, ids(await world.put(count=2)))
        await world.tick()

        assert [await world.master.jobs.prune(world.cluster_id, 0, 3) for _ in range(3)] == [3, 2, 0]
        assert len(await world.all_jobs()) == 1


async def _one_of_each(world: World) -> dict[JobStatus, Job]:
    """Return a job in every status that a master stores."""
    bucket = await world.bucket()
    jobs = {
        status: await world.finished(bucket, status)
        for status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
    }
    for status in (JobStatus.QUEUED, JobStatus.PROCESSING):
        jobs[status] = await world.put_one(bucket)
        await world.mark(bucket, jobs[status], status)
    jobs[JobStatus.ASSIGNED_TO_BUCKET] = await world.put_one(bucket)
    jobs[JobStatus.HELD_ON_MASTER] = await world.put_one()
    return jobs


async def _expect(world: World, query: JobQuery, *jobs: Job) -> None:
    """Check that query and count agree on these jobs."""
    found = await world.master.jobs.query(world.cluster_id, query)
    counts = await world.master.jobs.count(world.cluster_id, query)
    assert ids(found) == sorted(ids(jobs), reverse=True)
    assert sum(counts.values()) == len(jobs)
    assert {record.status for record in found} == set(counts)


def _without_history(record: JobRecord) -> JobRecord:
    return evolve(record, attempts=(), logs=())
