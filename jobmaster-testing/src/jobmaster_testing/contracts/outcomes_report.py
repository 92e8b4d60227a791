"""Requirements for `OutcomeStore` when owners report the outcomes of jobs."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import anyio
import pytest
from attrs import evolve

from jobmaster.contracts import MasterRepository
from jobmaster.ids import new_id
from jobmaster.models import Attempt, AttemptError, Cursor, JobQuery
from jobmaster.states import OUTCOME_STATUSES, AttemptOutcome, JobStatus
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import SHORT, World, ids, room
from jobmaster_testing.factories import ReportFields, make_log_line, make_report

ENDINGS = sorted((outcome, status) for outcome, statuses in OUTCOME_STATUSES.items() for status in statuses)
TERMINAL_ENDINGS = [(outcome, status) for outcome, status in ENDINGS if status.is_terminal]
WAITING_ENDINGS = [(outcome, status) for outcome, status in ENDINGS if not status.is_terminal]


ENDINGS_OF = {
    JobStatus.SUCCEEDED: AttemptOutcome.SUCCEEDED,
    JobStatus.FAILED: AttemptOutcome.FAILED,
    JobStatus.CANCELLED: AttemptOutcome.CANCELLED,
}


class ReportingContract(MasterTests, suite=True):
    """Outcomes."""

    async def test_nothing_to_report(self, world: World) -> None:
        assert await world.master.outcomes.report([]) == frozenset()

    @pytest.mark.parametrize(("outcome", "status"), TERMINAL_ENDINGS)
    async def test_a_terminal_report_ends_the_job(
        self, world: World, outcome: AttemptOutcome, status: JobStatus
    ) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)

        report = await world.report(claim, status, outcome=outcome)

        record = await world.record(claim.job)
        assert (record.status, record.ready_at, record.bucket_id) == (status, None, None)
        assert record.finished_at == report.finished_at
        assert [attempt.outcome for attempt in record.attempts] == [outcome]
        assert await world.claims(bucket) == []
        assert dict(await world.master.buckets.holdings(world.cluster_id)) == {}

    @pytest.mark.parametrize(("outcome", "status"), WAITING_ENDINGS)
    async def test_another_report_lets_the_job_wait(
        self, world: World, outcome: AttemptOutcome, status: JobStatus
    ) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        before = await world.master.now()

        await world.report(claim, status, outcome=outcome, delay=30, retries=1)

        after = await world.master.now()
        record = await world.record(claim.job)
        in_bucket = status is JobStatus.ASSIGNED_TO_BUCKET
        assert (record.status, record.attempt, record.retries) == (status, 2, 1)
        assert record.bucket_id == (bucket.id if in_bucket else None)
        assert record.ready_at is not None
        assert before <= record.ready_at - timedelta(seconds=30) <= after
        assert [attempt.outcome for attempt in record.attempts] == [outcome]

    @pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
    async def test_a_job_that_has_finished_knows_its_retries(self, world: World, status: JobStatus) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket)
        outcomes = [
            AttemptOutcome.FAILED,
            AttemptOutcome.SNOOZED,
            AttemptOutcome.TIMED_OUT,
            AttemptOutcome.LOST,
        ]
        for retries, outcome in zip([1, 1, 2, 2], outcomes, strict=True):
            [claim] = await world.claims(bucket)
            await world.report(claim, JobStatus.ASSIGNED_TO_BUCKET, outcome=outcome, retries=retries)
        assert (await world.record(job)).retries == 2

        [last] = await world.claims(bucket)
        await world.report(last, status, outcome=ENDINGS_OF[status], retries=2)

        record, [listed] = await world.record(job), await world.all_jobs()
        assert (record.status, record.attempt, record.retries) == (status, 5, 2)
        assert listed.retries == 2

    async def test_an_attempt_keeps_all_that_was_reported(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        error = AttemptError(
            type="app.errors.Böse",
            message='it\'s "wrong" 🚀 %s \\',
            traceback="Traceback:\n" + "  line\n" * 5000,
        )
        start = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        end = start + timedelta(microseconds=1)

        await world.report(
            claim,
            JobStatus.FAILED,
            started_at=start,
            finished_at=end,
            worker="Payroll-01",
            host="höst",
            error=error,
        )

        [attempt] = await world.attempts(claim.job)
        assert attempt == Attempt(
            number=1,
            outcome=AttemptOutcome.FAILED,
            started_at=start,
            finished_at=end,
            worker="Payroll-01",
            host="höst",
            bucket_id=bucket.id,
            error=error,
        )

    async def test_an_attempt_whose_start_nobody_knows(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)

        await world.report(
            claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.LOST, started_at=None, finished_at=None
        )

        [attempt] = await world.attempts(claim.job)
        assert (attempt.started_at, attempt.outcome) == (None, AttemptOutcome.LOST)

    async def test_text_that_databases_dislike_does_not_stop_a_report(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)

        error = AttemptError(type="ValueError", message="null \0 byte", traceback="half \ud83d a pair")
        await world.report(claim, JobStatus.FAILED, error=error)

        [attempt] = await world.attempts(claim.job)
        assert attempt.error is not None
        assert attempt.error.type == "ValueError"
        assert "byte" in attempt.error.message
        assert "pair" in attempt.error.traceback

    async def test_logs_of_an_attempt_are_kept(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        lines = [
            make_log_line(f"step {n}", subject_id=str(claim.job.id), attempt=1, done=n, ok=True)
            for n in range(3)
        ]

        await world.report(claim, JobStatus.SUCCEEDED, logs=lines)

        assert list((await world.record(claim.job)).logs) == lines

    async def test_attempts_are_appended(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket)
        for number in (1, 2, 3):
            [claim] = await world.claims(bucket)
            assert claim.attempt == number
            await world.report(
                claim, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED, retries=number
            )
        [claim] = await world.claims(bucket)
        await world.report(claim)

        record = await world.record(job)

        assert [a.number for a in record.attempts] == [1, 2, 3, 4]
        assert [a.outcome for a in record.attempts] == [AttemptOutcome.FAILED] * 3 + [
            AttemptOutcome.SUCCEEDED
        ]
        assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 4)

    async def test_a_released_job_loses_nothing(self, world: World) -> None:
        bucket, other = await world.buckets(2)
        claim = await world.claim(bucket)

        await world.report(claim, JobStatus.HELD_ON_MASTER)

        record = await world.record(claim.job)
        assert (record.status, record.attempt, record.retries) == (JobStatus.HELD_ON_MASTER, 1, 0)
        assert list(record.attempts) == []
        assert await world.assign(room(other)) == 1
        [again] = await world.claims(other)
        assert (again.job, again.attempt, again.retries) == (claim.job, 1, 0)

    async def test_a_job_put_back_is_read_again_when_it_is_due(self, world: World) -> None:
        bucket = await world.bucket()
        now, later = await world.claim(bucket), await world.claim(bucket)

        await world.report(now, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED, retries=1)
        await world.report(later, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.SNOOZED, delay=30)

        page = await world.master.claims.pull(bucket, Cursor(), 10)
        [claim] = page.claims
        assert (claim.job.id, claim.attempt, claim.retries) == (now.job.id, 2, 1)
        assert page.next_due_in is not None
        assert 20 < page.next_due_in <= 30

    async def test_a_job_is_parked_with_its_reason(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)

        await world.report(claim, JobStatus.HELD_ON_MASTER, parked="no handler 'X' 🚀")

        record = await world.record(claim.job)
        assert (record.status, record.reason) == (JobStatus.HELD_ON_MASTER, "no handler 'X' 🚀")
        assert (record.attempt, list(record.attempts)) == (1, [])

    async def test_many_reports_in_one_call(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = await world.put(bucket, 1500)
        claims = await world.claims(bucket, 2000)
        reports = [make_report(claim, logs=[make_log_line("x")]) for claim in claims]

        assert await world.master.outcomes.report(reports) == frozenset()

        counts = await world.master.jobs.count(world.cluster_id, JobQuery())
        assert dict(counts) == {JobStatus.SUCCEEDED: len(jobs)}

    # Stale reports

    @pytest.mark.parametrize(
        "wrong",
        [{"epoch": 2}, {"epoch": 0}, {"attempt": 2}, {"attempt": 0}, {"bucket_id": UUID(int=1)}],
        ids=str,
    )
    async def test_a_report_that_does_not_fit_changes_nothing(
        self, world: World, wrong: ReportFields
    ) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        before = await world.record(claim.job)

        stale = await world.master.outcomes.report([make_report(claim, **wrong)])

        assert stale == {claim.job.id}
        assert await world.record(claim.job) == before

    async def test_a_report_from_another_bucket_changes_nothing(self, world: World) -> None:
        bucket, other = await world.buckets(2)
        claim = await world.claim(bucket)

        assert await world.master.outcomes.report([make_report(claim, bucket_id=other.id)]) == {claim.job.id}

        assert await world.status(claim.job) is JobStatus.ASSIGNED_TO_BUCKET

    async def test_a_report_of_a_former_owner_changes_nothing(self, world: World) -> None:
        former = await world.bucket(lease=SHORT)
        claim = await world.claim(former)
        [taken] = await world.rescue()

        assert await world.master.outcomes.report([make_report(claim)]) == {claim.job.id}

        assert await world.status(claim.job) is JobStatus.ASSIGNED_TO_BUCKET
        [mine] = await world.claims(taken)
        await world.report(mine)

    async def test_a_report_after_the_job_moved_changes_nothing(self, world: World) -> None:
        bucket, other = await world.buckets(2)
        claim = await world.claim(bucket)
        await world.master.buckets.release(bucket)
        await world.assign(room(other))

        assert await world.master.outcomes.report([make_report(claim)]) == {claim.job.id}

        assert ids(await world.claims(other)) == [claim.job.id]

    async def test_a_report_of_an_unknown_job_is_stale(self, world: World) -> None:
        claim = await world.claim(await world.bucket())
        unknown = new_id()
        report = make_report(claim)

        assert await world.master.outcomes.report([evolve(report, job_id=unknown)]) == {unknown}

    async def test_a_second_report_changes_nothing(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        first = await world.report(claim)
        before = await world.record(claim.job)

        assert await world.master.outcomes.report([first]) == {claim.job.id}
        assert await world.master.outcomes.report([make_report(claim, JobStatus.FAILED)]) == {claim.job.id}

        assert await world.record(claim.job) == before

    async def test_a_repeated_retry_counts_once(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        report = await world.report(
            claim, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED, retries=1
        )

        assert await world.master.outcomes.report([report]) == {claim.job.id}

        record = await world.record(claim.job)
        assert (record.attempt, record.retries, len(record.attempts)) == (2, 1, 1)

    async def test_contradicting_reports_in_one_call_end_a_job_once(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        reports = [make_report(claim), make_report(claim, JobStatus.FAILED), make_report(claim)]

        assert await world.master.outcomes.report(reports) == {claim.job.id}

        record = await world.record(claim.job)
        assert [attempt.outcome for attempt in record.attempts] == [AttemptOutcome(record.status)]
        assert dict(await world.master.buckets.holdings(world.cluster_id)) == {}

    async def test_stale_and_good_reports_in_one_call(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 4)
        claims = await world.claims(bucket)
        reports = [make_report(c, epoch=9 if n % 2 else 1) for n, c in enumerate(claims)]

        stale = await world.master.outcomes.report(reports)

        assert stale == set(ids(claims[1::2]))
        assert {await world.status(c.job) for c in claims[::2]} == {JobStatus.SUCCEEDED}
        assert {await world.status(c.job) for c in claims[1::2]} == {JobStatus.ASSIGNED_TO_BUCKET}

    async def test_every_ending_in_one_call(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, len(ENDINGS) + 2)
        *ran, released, parked = await world.claims(bucket)
        reports = [make_report(c, status, outcome=o) for c, (o, status) in zip(ran, ENDINGS, strict=True)]
        reports.append(make_report(released, JobStatus.HELD_ON_MASTER))
        reports.append(make_report(parked, JobStatus.HELD_ON_MASTER, parked="unknown"))

        assert await world.master.outcomes.report(reports) == frozenset()

        expected = [status for _, status in ENDINGS] + [JobStatus.HELD_ON_MASTER] * 2
        assert [await world.status(c.job) for c in [*ran, released, parked]] == expected

    async def test_of_concurrent_reports_one_holds(self, world: World, peer: MasterRepository) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 10)
        claims = await world.claims(bucket)
        stale: list[int] = []

        async def report(master: MasterRepository, status: JobStatus) -> None:
            stale.append(len(await master.outcomes.report([make_report(c, status) for c in claims])))

        async with anyio.create_task_group() as group:
            for master, status in _contenders(world.master, peer):
                group.start_soon(report, master, status)

        assert sum(stale) == 3 * len(claims)
        for claim in claims:
            record = await world.record(claim.job)
            assert [a.outcome for a in record.attempts] == [AttemptOutcome(record.status)]

    # Jobs that have ended

    async def test_only_attempts_with_an_end_on_record_have_ended(self, world: World) -> None:
        bucket, other = await world.bucket(), await world.bucket()
        done, failed = await world.claim(bucket), await world.claim(bucket)
        await world.report(done)
        await world.report(
            failed, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.FAILED, retries=1, delay=60
        )
        released, waiting = await world.claim(other), await world.put_one(other)
        await world.report(released, JobStatus.HELD_ON_MASTER)
        jobs = [done.job.id, failed.job.id, released.job.id, waiting.id, new_id()]

        ended = await world.master.outcomes.ended_attempts(
            [(job_id, number) for job_id in jobs for number in (1, 2)]
        )

        assert ended == {(done.job.id, 1), (failed.job.id, 1)}
        assert await world.master.outcomes.ended_attempts([]) == frozenset()

    async def test_an_attempt_that_was_cancelled_has_ended_and_the_next_one_has_not(
        self, world: World
    ) -> None:
        held = await world.put_one(delay=60)
        claim = await world.claim(await world.bucket())
        await world.master.requests.cancel(world.cluster_id, [held.id, claim.job.id])
        await world.report(claim, JobStatus.HELD_ON_MASTER)
        await world.master.requests.retry(world.cluster_id, claim.job.id)

        asked = [(job_id, number) for job_id in (held.id, claim.job.id) for number in (1, 2)]

        assert await world.master.outcomes.ended_attempts(asked) == {(held.id, 1), (claim.job.id, 1)}


def _contenders(master: MasterRepository, peer: MasterRepository) -> list[tuple[MasterRepository, JobStatus]]:
    """Return four contradicting reporters."""
    statuses = [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SUCCEEDED]
    return list(zip([master, peer] * 2, statuses, strict=True))
