"""Requirements for `OutcomeStore` when a report brings a job that came straight to an agent."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from datetime import timedelta
from typing import Unpack
from uuid import UUID

import anyio
import pytest
from attrs import evolve

from jobmaster.contracts import MasterRepository
from jobmaster.models import AttemptError, Bucket, Claim, JobQuery, NewJob
from jobmaster.states import OUTCOME_STATUSES, AttemptOutcome, JobStatus
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World, ids, room
from jobmaster_testing.factories import JobFields, ReportFields, make_job, make_log_line, make_report

AGENT = "Agent-1"

ENDINGS = sorted((outcome, status) for outcome, statuses in OUTCOME_STATUSES.items() for status in statuses)


class ArrivingContract(MasterTests, suite=True):
    """Reports about jobs that are unknown, or may be unknown, to the master."""

    @pytest.fixture
    async def bucket(self, world: World) -> Bucket:
        """Return a bucket on an agent."""
        return await world.bucket(agent=AGENT)

    # New jobs

    @pytest.mark.parametrize(("outcome", "status"), ENDINGS)
    async def test_a_new_job_comes_with_its_first_attempt(
        self, world: World, bucket: Bucket, outcome: AttemptOutcome, status: JobStatus
    ) -> None:
        claim = await _claim(world, bucket)

        report = await world.report(claim, status, outcome=outcome)

        record = await world.record(claim.job)
        assert (record.job, record.status) == (claim.job, status)
        assert [(a.number, a.outcome, a.bucket_id) for a in record.attempts] == [(1, outcome, bucket.id)]
        assert record.finished_at == (report.finished_at if status.is_terminal else None)
        assert [found.id for found in await world.all_jobs()] == [claim.job.id]

    async def test_a_new_job_is_stored_with_all_it_says(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(
            world, bucket, data={"text": "ä\\'%", "raw": b"\0"}, metadata={"n": 1.5}, timeout=None
        )
        error = AttemptError(type="app.Böse", message="🚀", traceback="line\n" * 100)
        lines = [make_log_line("step", subject_id=str(claim.job.id), attempt=1, done=n) for n in range(3)]

        await world.report(claim, JobStatus.FAILED, error=error, logs=lines, worker="Ä", host="höst")

        record = await world.record(claim.job)
        [attempt] = record.attempts
        assert record.job == claim.job
        assert (attempt.error, attempt.worker, attempt.host) == (error, "Ä", "höst")
        assert list(record.logs) == lines

    async def test_a_new_job_that_is_tried_again_is_held(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(world, bucket)
        before = await world.master.now()

        await world.report(
            claim,
            JobStatus.HELD_ON_MASTER,
            outcome=AttemptOutcome.FAILED,
            delay=30,
            retries=1,
            crashes=1,
            suspect=True,
        )

        after, record = await world.master.now(), await world.record(claim.job)
        assert (record.status, record.bucket_id) == (JobStatus.HELD_ON_MASTER, None)
        assert (record.attempt, record.retries) == (2, 1)
        assert record.ready_at is not None
        assert before <= record.ready_at - timedelta(seconds=30) <= after
        other = await world.bucket()
        assert await world.assign(room(other), ahead=60) == 1
        assert list(await world.master.buckets.holdings(world.cluster_id)) == [other.id]

    async def test_a_new_job_that_is_tried_again_runs_again(self, world: World, bucket: Bucket) -> None:
        claim, other = await _claim(world, bucket), await world.bucket()
        await world.report(
            claim,
            JobStatus.HELD_ON_MASTER,
            outcome=AttemptOutcome.FAILED,
            retries=1,
            crashes=2,
            suspect=True,
        )
        await world.assign(room(other))

        [again] = await world.claims(other)
        await world.report(again)

        assert (again.job, again.attempt) == (claim.job, 2)
        assert (again.retries, again.crashes, again.suspect) == (1, 2, True)
        outcomes = [a.outcome for a in await world.attempts(claim.job)]
        assert outcomes == [AttemptOutcome.FAILED, AttemptOutcome.SUCCEEDED]

    async def test_a_new_job_may_go_on_in_its_bucket(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(world, bucket)

        await world.report(
            claim, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED, retries=1, delay=5
        )

        record = await world.record(claim.job)
        assert (record.status, record.bucket_id) == (JobStatus.ASSIGNED_TO_BUCKET, bucket.id)
        assert (record.attempt, record.retries) == (2, 1)

    async def test_a_new_job_that_did_not_run_is_held_or_parked(self, world: World, bucket: Bucket) -> None:
        released, parked = await _claim(world, bucket), await _claim(world, bucket)

        await world.report(released, JobStatus.HELD_ON_MASTER)
        await world.report(parked, JobStatus.HELD_ON_MASTER, parked="no handler 'X' 🚀")

        for claim, reason in ((released, None), (parked, "no handler 'X' 🚀")):
            record = await world.record(claim.job)
            assert (record.status, record.reason, record.attempt) == (JobStatus.HELD_ON_MASTER, reason, 1)
            assert list(record.attempts) == []

    async def test_a_new_job_may_be_cancelled_before_it_ran(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(world, bucket)

        await world.report(claim, JobStatus.CANCELLED, outcome=None)

        record = await world.record(claim.job)
        assert (record.status, list(record.attempts)) == (JobStatus.CANCELLED, [])
        assert record.finished_at is not None

    async def test_a_later_attempt_of_a_new_job_keeps_its_number(self, world: World, bucket: Bucket) -> None:
        claim = evolve(await _claim(world, bucket), attempt=3)

        await world.report(claim)

        assert [a.number for a in await world.attempts(claim.job)] == [3]

    async def test_many_new_jobs_in_one_call(self, world: World, bucket: Bucket) -> None:
        claims = [await _claim(world, bucket) for _ in range(1500)]
        reports = [make_report(claim, logs=[make_log_line("x")]) for claim in claims]

        assert await world.master.outcomes.report(reports) == frozenset()

        counts = await world.master.jobs.count(world.cluster_id, JobQuery())
        assert dict(counts) == {JobStatus.SUCCEEDED: 1500}

    # Only once, and only under the right epoch

    async def test_a_new_job_ends_once(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(world, bucket)
        first = await world.report(claim)
        before = await world.record(claim.job)

        assert await world.master.outcomes.report([first]) == {claim.job.id}
        assert await world.master.outcomes.report([make_report(claim, JobStatus.FAILED)]) == {claim.job.id}

        assert await world.record(claim.job) == before

    async def test_a_repeated_report_of_another_try_counts_once(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(world, bucket)
        first = await world.report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.FAILED, retries=1)

        assert await world.master.outcomes.report([first]) == {claim.job.id}

        record = await world.record(claim.job)
        assert (record.attempt, record.retries, len(record.attempts)) == (2, 1, 1)

    async def test_contradicting_reports_of_a_new_job_end_it_once(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(world, bucket)
        reports = [make_report(claim), make_report(claim, JobStatus.FAILED), make_report(claim)]

        assert await world.master.outcomes.report(reports) == {claim.job.id}

        record = await world.record(claim.job)
        assert [attempt.outcome for attempt in record.attempts] == [AttemptOutcome(record.status)]

    @pytest.mark.parametrize("wrong", [{"epoch": 2}, {"epoch": 0}, {"bucket_id": UUID(int=1)}], ids=str)
    async def test_a_new_job_from_nobodys_bucket_is_not_stored(
        self, world: World, bucket: Bucket, wrong: ReportFields
    ) -> None:
        claim = await _claim(world, bucket)
        lines = [make_log_line("x", subject_id=str(claim.job.id))]
        report = evolve(make_report(claim, **wrong), logs=lines)

        assert await world.master.outcomes.report([report]) == {claim.job.id}

        await _check_unknown(world, claim)

    async def test_a_new_job_of_a_former_owner_is_not_stored(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(world, bucket)
        await world.master.workers.retire(bucket.worker_id)
        [taken] = await world.rescue()

        assert await world.master.outcomes.report([make_report(claim)]) == {claim.job.id}
        await _check_unknown(world, claim)

        await world.report(
            evolve(claim, epoch=taken.epoch), JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.LOST
        )
        assert await world.status(claim.job) is JobStatus.HELD_ON_MASTER

    async def test_of_concurrent_reports_of_new_jobs_one_holds(
        self, world: World, bucket: Bucket, peer: MasterRepository
    ) -> None:
        claims = [await _claim(world, bucket) for _ in range(10)]
        stale: list[int] = []

        async def report(master: MasterRepository, status: JobStatus, order: int) -> None:
            stale.append(len(await master.outcomes.report([make_report(c, status) for c in claims[::order]])))

        async with anyio.create_task_group() as group:
            group.start_soon(report, world.master, JobStatus.SUCCEEDED, 1)
            group.start_soon(report, peer, JobStatus.FAILED, -1)
            group.start_soon(report, world.master, JobStatus.CANCELLED, 1)

        assert sum(stale) == 20
        for claim in claims:
            record = await world.record(claim.job)
            assert [a.outcome for a in record.attempts] == [AttemptOutcome(record.status)]

    async def test_an_arrival_and_a_rescue_at_once_leave_one_story(
        self, world: World, peer: MasterRepository
    ) -> None:
        buckets = [await world.bucket(agent=AGENT) for _ in range(8)]
        claims = [await _claim(world, bucket) for bucket in buckets]
        for bucket in buckets:
            await world.master.workers.retire(bucket.worker_id)

        async with anyio.create_task_group() as group:
            group.start_soon(world.rescue, len(buckets))
            for claim in claims:
                group.start_soon(peer.outcomes.report, [make_report(claim)])

        again = [make_report(evolve(c, epoch=2), JobStatus.HELD_ON_MASTER) for c in claims]
        stale = await world.master.outcomes.report(again)
        for claim in claims:
            arrived = claim.job.id in stale
            assert await world.status(claim.job) is (
                JobStatus.SUCCEEDED if arrived else JobStatus.HELD_ON_MASTER
            )

    # Jobs that are already known

    async def test_a_job_that_was_saved_meanwhile_is_reported_like_any_other(
        self, world: World, bucket: Bucket
    ) -> None:
        claim = await _claim(world, bucket)
        await world.insert(NewJob(job=claim.job, bucket_id=bucket.id))

        await world.report(claim)

        assert await world.status(claim.job) is JobStatus.SUCCEEDED
        assert dict(await world.master.buckets.holdings(world.cluster_id)) == {}

    async def test_a_request_for_a_saved_job_is_heeded(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(world, bucket)
        await world.insert(NewJob(job=claim.job, bucket_id=bucket.id))
        await world.master.requests.cancel(world.cluster_id, [claim.job.id])

        await world.report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.FAILED, retries=1)

        assert await world.status(claim.job) is JobStatus.CANCELLED

    async def test_a_known_job_that_is_elsewhere_makes_the_report_stale(
        self, world: World, bucket: Bucket
    ) -> None:
        claims = [await _claim(world, bucket) for _ in range(3)]
        other = await world.bucket(agent=AGENT)
        held, elsewhere, later = claims
        await world.insert(
            NewJob(job=held.job),
            NewJob(job=elsewhere.job, bucket_id=other.id),
            NewJob(job=later.job, bucket_id=bucket.id),
        )
        before = [await world.record(claim.job) for claim in claims]

        reports = [make_report(held), make_report(elsewhere), make_report(later, attempt=2)]

        assert await world.master.outcomes.report(reports) == set(ids(claims))
        assert [await world.record(claim.job) for claim in claims] == before

    async def test_a_known_job_that_has_ended_stays_as_it_is(self, world: World, bucket: Bucket) -> None:
        claim = await _claim(world, bucket)
        await world.insert(NewJob(job=claim.job))
        await world.master.requests.cancel(world.cluster_id, [claim.job.id])

        assert await world.master.outcomes.report([make_report(claim)]) == {claim.job.id}

        assert await world.status(claim.job) is JobStatus.CANCELLED

    # Batches

    async def test_new_and_known_good_and_stale_reports_in_one_call(
        self, world: World, bucket: Bucket
    ) -> None:
        other = await world.bucket()
        ordinary, gone = await world.claim(other), await world.claim(other)
        await world.report(gone)
        new, saved, fenced = [await _claim(world, bucket) for _ in range(3)]
        await world.insert(NewJob(job=saved.job, bucket_id=bucket.id))
        reports = [
            make_report(ordinary),
            make_report(fenced, epoch=9),
            make_report(new, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.SNOOZED, delay=5),
            make_report(gone, JobStatus.FAILED),
            make_report(saved, JobStatus.FAILED),
        ]

        assert await world.master.outcomes.report(reports) == {fenced.job.id, gone.job.id}

        known = {record.id: record.status for record in await world.all_jobs()}
        assert known == {
            ordinary.job.id: JobStatus.SUCCEEDED,
            gone.job.id: JobStatus.SUCCEEDED,
            new.job.id: JobStatus.HELD_ON_MASTER,
            saved.job.id: JobStatus.FAILED,
        }

    async def test_every_ending_of_new_jobs_in_one_call(self, world: World, bucket: Bucket) -> None:
        claims = [await _claim(world, bucket) for _ in range(len(ENDINGS) + 2)]
        *ran, released, parked = claims
        reports = [make_report(c, status, outcome=o) for c, (o, status) in zip(ran, ENDINGS, strict=True)]
        reports.append(make_report(released, JobStatus.HELD_ON_MASTER))
        reports.append(make_report(parked, JobStatus.HELD_ON_MASTER, parked="unknown"))

        assert await world.master.outcomes.report(reports) == frozenset()

        expected = [status for _, status in ENDINGS] + [JobStatus.HELD_ON_MASTER] * 2
        assert [await world.status(c.job) for c in claims] == expected

    async def test_new_jobs_of_several_buckets_in_one_call(self, world: World) -> None:
        buckets = [await world.bucket(agent=f"Agent-{n}") for n in range(3)]
        claims = [await _claim(world, bucket) for bucket in buckets * 2]

        stale = await world.master.outcomes.report(
            [make_report(c, epoch=1 + (n == 4)) for n, c in enumerate(claims)]
        )

        assert stale == {claims[4].job.id}
        assert len(await world.all_jobs()) == 5

    async def test_a_cancelled_report_of_new_jobs_happened_or_did_not(
        self, world: World, bucket: Bucket
    ) -> None:
        claims = [await _claim(world, bucket) for _ in range(120)]
        batches = [claims[first : first + 3] for first in range(0, 120, 3)]

        for number, batch in enumerate(batches):
            with anyio.move_on_after(number * 0.00025):
                await world.master.outcomes.report([make_report(claim) for claim in batch])

        done = {job.id for job in await world.all_jobs() if job.status.is_terminal}
        assert {job.id for job in await world.all_jobs()} == done
        assert sum(3 for batch in batches if set(ids(batch)) <= done) == len(done)


async def _claim(world: World, bucket: Bucket, **fields: Unpack[JobFields]) -> Claim:
    """Return the claim that a bucket's owner has of a job that only its agent knows."""
    given: JobFields = {
        "cluster_id": world.cluster_id,
        "lane": bucket.lane,
        "priority": bucket.priority,
        **fields,
    }
    return Claim(
        job=make_job(**given),
        bucket_id=bucket.id,
        epoch=bucket.epoch,
        attempt=1,
        ready_at=await world.master.now(),
        saved=False,
    )


async def _check_unknown(world: World, claim: Claim) -> None:
    """Check that the store knows nothing about a job: no attempt and no log either."""
    assert await world.master.jobs.get(world.cluster_id, claim.job.id) is None
    assert list(await world.master.logs.read(world.cluster_id, "job", str(claim.job.id), 10)) == []
    assert dict(await world.master.jobs.count(world.cluster_id, JobQuery())) == {}
