"""Requirements for `OutcomeStore` when owners write lasting states."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobmaster.contracts import Mark
from jobmaster.errors import LeaseLostError
from jobmaster.ids import new_id
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import SHORT, World


class MarkingContract(MasterTests, suite=True):
    """States that last."""

    async def test_lasting_states_are_shown(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 3)
        queued, running, other = await world.claims(bucket)
        started = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

        await world.master.outcomes.mark(
            bucket,
            [
                Mark(job_id=queued.job.id, attempt=1, status=JobStatus.QUEUED),
                Mark(job_id=running.job.id, attempt=1, status=JobStatus.PROCESSING, started_at=started),
            ],
        )

        assert await world.status(queued.job) is JobStatus.QUEUED
        assert await world.status(running.job) is JobStatus.PROCESSING
        assert await world.status(other.job) is JobStatus.ASSIGNED_TO_BUCKET
        marked = {claim.job.id: claim.started_at for claim in await world.claims(bucket)}
        assert marked == {queued.job.id: None, running.job.id: started, other.job.id: None}

    async def test_a_start_on_record_reaches_the_next_owner(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        claim = await world.claim(bucket)
        started = await world.master.now()
        mark = Mark(job_id=claim.job.id, attempt=1, status=JobStatus.PROCESSING, started_at=started)
        await world.master.outcomes.mark(bucket, [mark])

        [taken] = await world.rescue()

        [exposed] = (await world.master.claims.exposed(taken, 10)).claims
        assert exposed.started_at == started

    async def test_a_late_mark_takes_no_start_off_the_record(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        started = await world.master.now()
        processing = Mark(job_id=claim.job.id, attempt=1, status=JobStatus.PROCESSING, started_at=started)
        queued = Mark(job_id=claim.job.id, attempt=1, status=JobStatus.QUEUED)

        await world.master.outcomes.mark(bucket, [processing])
        await world.master.outcomes.mark(bucket, [queued])

        [again] = await world.claims(bucket)
        assert again.started_at == started
        assert await world.status(claim.job) is JobStatus.PROCESSING

    async def test_a_next_attempt_has_not_started(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        mark = Mark(job_id=claim.job.id, attempt=1, status=JobStatus.PROCESSING, started_at=datetime.now(UTC))
        await world.master.outcomes.mark(bucket, [mark])
        await world.report(claim, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED, retries=1)

        [again] = await world.claims(bucket)

        assert again.started_at is None
        assert await world.status(claim.job) is JobStatus.ASSIGNED_TO_BUCKET

    async def test_marks_of_other_jobs_are_left_alone(self, world: World) -> None:
        bucket, other = await world.buckets(2)
        elsewhere, held = await world.put_one(other), await world.put_one()
        done = await world.finished(bucket)
        retried = await world.claim(bucket)
        await world.report(retried, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED)
        before = [await world.record(job) for job in (elsewhere, held, done, retried.job)]

        marks = [Mark(job_id=r.id, attempt=1, status=JobStatus.QUEUED) for r in before]
        marks.append(Mark(job_id=new_id(), attempt=1, status=JobStatus.QUEUED))
        await world.master.outcomes.mark(bucket, marks)

        assert [await world.record(record.job) for record in before] == before

    async def test_a_former_owner_cannot_mark(self, world: World) -> None:
        former = await world.bucket(lease=SHORT)
        claim = await world.claim(former)
        await world.rescue()

        with pytest.raises(LeaseLostError):
            await world.master.outcomes.mark(
                former, [Mark(job_id=claim.job.id, attempt=1, status=JobStatus.QUEUED)]
            )

        assert await world.status(claim.job) is JobStatus.ASSIGNED_TO_BUCKET

    async def test_nothing_to_mark(self, world: World) -> None:
        bucket = await world.bucket()
        before = await world.put_one(bucket)

        await world.master.outcomes.mark(bucket, [])

        assert await world.status(before) is JobStatus.ASSIGNED_TO_BUCKET
