"""Requirements for `RequestStore` when users cancel, reschedule or retry a job."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import anyio
import pytest

from jobmaster.contracts import CancelAnswer, HeartbeatReply, Mark, MasterRepository
from jobmaster.errors import InvalidTransitionError, JobNotFoundError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, CancelResult, Cursor, JobQuery
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import LONG, SHORT, World, ids, room
from jobmaster_testing.factories import make_new_job, make_report

DELAYS = [0.001, 0.002, 0.004, 0.006, 0.01, 30.0]
"""Seconds: due before, during and after another caller takes a job away."""


class CancelContract(MasterTests, suite=True):
    """`cancel` and `read_cancels`."""

    async def test_nothing_to_cancel(self, world: World) -> None:
        assert list(await world.master.requests.cancel(world.cluster_id, [])) == []
        assert list(await world.master.requests.read_cancels([])) == []

    async def test_a_held_job_is_cancelled_at_once(self, world: World) -> None:
        job = await world.put_one()
        before = await world.master.now()

        answers = await world.master.requests.cancel(world.cluster_id, [job.id], "Admin")

        assert list(answers) == [CancelAnswer(job_id=job.id, result=CancelResult.CANCELLED)]
        record = await world.record(job)
        assert (record.status, record.ready_at, record.bucket_id) == (JobStatus.CANCELLED, None, None)
        assert record.finished_at is not None
        assert before <= record.finished_at <= await world.master.now()
        assert list(record.attempts) == []
        assert await world.assign(room(await world.bucket())) == 0

    async def test_a_job_in_a_bucket_but_not_due_is_cancelled_at_once(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket, delay=30)

        [answer] = await world.master.requests.cancel(world.cluster_id, [job.id])

        assert answer == CancelAnswer(job_id=job.id, result=CancelResult.CANCELLED)
        assert await world.status(job) is JobStatus.CANCELLED
        assert dict(await world.master.buckets.holdings(world.cluster_id)) == {}

    async def test_a_parked_job_is_cancelled_at_once(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.parked(bucket)

        [answer] = await world.master.requests.cancel(world.cluster_id, [job.id])

        assert answer.result is CancelResult.CANCELLED
        assert await world.master.assignments.adopt_parked([bucket], ["TestJob"], 10) == 0

    async def test_a_job_between_two_tries_is_cancelled_with_its_attempts(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        await world.report(
            claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.FAILED, delay=30, retries=1
        )

        await world.master.requests.cancel(world.cluster_id, [claim.job.id])

        record = await world.record(claim.job)
        assert record.status is JobStatus.CANCELLED
        assert [a.outcome for a in record.attempts] == [AttemptOutcome.FAILED]

    async def test_a_due_job_in_a_bucket_is_asked_to_end(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket)

        [answer] = await world.master.requests.cancel(world.cluster_id, [job.id])

        expected = CancelAnswer(job_id=job.id, result=CancelResult.REQUESTED, bucket_id=bucket.id)
        assert answer == expected
        record = await world.record(job)
        assert (record.status, record.cancel_requested) == (JobStatus.ASSIGNED_TO_BUCKET, True)
        assert list(await world.master.requests.read_cancels([bucket.id])) == [(bucket.id, job.id, 1)]
        assert [claim.cancel_requested for claim in await world.claims(bucket)] == [True]

    async def test_a_running_job_is_asked_to_end(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        mark = Mark(
            job_id=claim.job.id, attempt=1, status=JobStatus.PROCESSING, started_at=await world.master.now()
        )
        await world.master.outcomes.mark(bucket, [mark])

        [answer] = await world.master.requests.cancel(world.cluster_id, [claim.job.id])

        assert answer.result is CancelResult.REQUESTED
        assert await world.status(claim.job) is JobStatus.PROCESSING

    async def test_a_request_may_be_repeated(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket)

        answers = [await world.master.requests.cancel(world.cluster_id, [job.id]) for _ in range(2)]

        assert answers[0] == answers[1]
        assert len(await world.master.requests.read_cancels([bucket.id])) == 1

    @pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
    async def test_a_finished_job_is_too_late(self, world: World, status: JobStatus) -> None:
        job = await world.finished(await world.bucket(), status)
        before = await world.record(job)

        answers = await world.master.requests.cancel(world.cluster_id, [job.id])

        assert list(answers) == [CancelAnswer(job_id=job.id, result=CancelResult.TOO_LATE)]
        assert await world.record(job) == before

    async def test_answers_come_in_order(self, world: World) -> None:
        bucket = await world.bucket()
        done = await world.finished(bucket)
        held, due = await world.put_one(), await world.put_one(bucket)

        answers = await world.master.requests.cancel(world.cluster_id, [due.id, done.id, held.id])

        assert [(a.job_id, a.result) for a in answers] == [
            (due.id, CancelResult.REQUESTED),
            (done.id, CancelResult.TOO_LATE),
            (held.id, CancelResult.CANCELLED),
        ]

    async def test_a_job_named_twice_is_answered_twice(self, world: World) -> None:
        job = await world.put_one()

        answers = await world.master.requests.cancel(world.cluster_id, [job.id, job.id])

        assert [answer.job_id for answer in answers] == [job.id, job.id]
        assert answers[0].result is CancelResult.CANCELLED
        assert await world.status(job) is JobStatus.CANCELLED

    async def test_an_unknown_job_leaves_the_others_alone(self, world: World) -> None:
        job = await world.put_one()

        with pytest.raises(JobNotFoundError):
            await world.master.requests.cancel(world.cluster_id, [job.id, new_id()])

        assert await world.status(job) is JobStatus.HELD_ON_MASTER

    async def test_requests_are_found_by_bucket(self, world: World) -> None:
        first, second, third = await world.buckets(3)
        jobs = [await world.put_one(bucket) for bucket in (first, second, third)]
        await world.put_one(first)
        await world.master.requests.cancel(world.cluster_id, ids(jobs))

        found = await world.master.requests.read_cancels([first.id, second.id, new_id()])

        assert sorted(found) == sorted([(first.id, jobs[0].id, 1), (second.id, jobs[1].id, 1)])

    async def test_a_heartbeat_tells_of_requests_in_the_buckets_of_each_worker(self, world: World) -> None:
        asked, other, held_again = await world.bucket(), await world.bucket(), await world.bucket()
        claim, freed = await world.claim(asked), await world.claim(held_again)
        await world.put_one(other)
        workers = [bucket.worker_id for bucket in (asked, other, held_again)]
        await world.report(freed, JobStatus.HELD_ON_MASTER)
        await world.master.requests.cancel(world.cluster_id, [claim.job.id, freed.job.id])

        reply = await world.master.workers.heartbeat(workers, {}, LONG)
        assert reply == HeartbeatReply(alive=frozenset(workers), cancelling=frozenset([asked.worker_id]))
        assert (await world.master.workers.heartbeat(workers[1:], {}, LONG)).cancelling == frozenset()

        await world.report(claim, JobStatus.CANCELLED)
        assert (await world.master.workers.heartbeat(workers, {}, LONG)).cancelling == frozenset()

    async def test_a_heartbeat_of_a_lost_worker_tells_of_no_requests(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket)
        await world.master.requests.cancel(world.cluster_id, [job.id])
        await world.master.workers.retire(bucket.worker_id)

        assert await world.master.workers.heartbeat([bucket.worker_id], {}, LONG) == HeartbeatReply()

    async def test_a_request_ends_with_the_job(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        await world.master.requests.cancel(world.cluster_id, [claim.job.id])

        await world.report(claim, JobStatus.CANCELLED)

        assert list(await world.master.requests.read_cancels([bucket.id])) == []
        assert await world.status(claim.job) is JobStatus.CANCELLED

    async def test_a_job_that_just_succeeded_stays_succeeded(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        await world.master.requests.cancel(world.cluster_id, [claim.job.id])

        await world.report(claim, JobStatus.SUCCEEDED)

        assert await world.status(claim.job) is JobStatus.SUCCEEDED

    @pytest.mark.parametrize("status", [JobStatus.HELD_ON_MASTER, JobStatus.ASSIGNED_TO_BUCKET])
    async def test_a_request_wins_over_another_try(self, world: World, status: JobStatus) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        await world.master.requests.cancel(world.cluster_id, [claim.job.id])

        await world.report(claim, status, outcome=AttemptOutcome.FAILED, retries=1, delay=5)

        record = await world.record(claim.job)
        assert (record.status, record.ready_at) == (JobStatus.CANCELLED, None)
        assert record.finished_at is not None
        assert [a.outcome for a in record.attempts] == [AttemptOutcome.FAILED]

    @pytest.mark.parametrize("parked", [None, "no handler"])
    async def test_a_request_wins_over_a_release(self, world: World, parked: str | None) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        await world.master.requests.cancel(world.cluster_id, [claim.job.id])

        await world.report(claim, JobStatus.HELD_ON_MASTER, parked=parked)

        record = await world.record(claim.job)
        assert record.status is JobStatus.CANCELLED
        assert list(record.attempts) == []

    async def test_a_request_survives_the_owner(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        job = await world.put_one(bucket)
        await world.claims(bucket)
        await world.master.requests.cancel(world.cluster_id, [job.id])
        [taken] = await world.rescue()

        [claim] = (await world.master.claims.exposed(taken, 10)).claims
        assert claim.cancel_requested
        await world.report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.LOST)

        assert await world.status(job) is JobStatus.CANCELLED

    async def test_what_is_cancelled_at_once_is_never_handed_out(
        self, world: World, peer: MasterRepository
    ) -> None:
        race = Race(world, peer, await world.bucket())

        async def cancel(job_id: UUID) -> None:
            [answer] = await peer.requests.cancel(world.cluster_id, [job_id])
            if answer.result is CancelResult.CANCELLED:
                race.taken.add(job_id)

        await race.run(cancel)

        assert race.taken.isdisjoint(race.handed_out)
        assert race.taken

    async def test_cancel_and_report_at_once_end_the_job_once(
        self, world: World, peer: MasterRepository
    ) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 10)
        claims = await world.claims(bucket)
        again = [
            make_report(c, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.FAILED, retries=1) for c in claims
        ]

        async def cancel(job_ids: Sequence[UUID]) -> None:
            await peer.requests.cancel(world.cluster_id, job_ids)

        async with anyio.create_task_group() as group:
            group.start_soon(cancel, ids(claims)[::-1])
            group.start_soon(world.master.outcomes.report, again)

        counts = await world.master.jobs.count(world.cluster_id, JobQuery())
        assert dict(counts) == {JobStatus.CANCELLED: len(claims)}


class RescheduleContract(MasterTests, suite=True):
    """`reschedule` and `retry`."""

    async def test_a_held_job_is_moved(self, world: World) -> None:
        job = await world.put_one(delay=600)
        before = await world.master.now()

        await world.master.requests.reschedule(world.cluster_id, job.id, 60)

        after = await world.master.now()
        record = await world.record(job)
        assert record.ready_at is not None
        assert before <= record.ready_at - timedelta(seconds=60) <= after
        assert before <= record.scheduled_at - timedelta(seconds=60) <= after
        assert (record.status, record.attempt) == (JobStatus.HELD_ON_MASTER, 1)

    async def test_a_rescheduled_job_runs_when_it_is_due(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(delay=600)

        await world.master.requests.reschedule(world.cluster_id, job.id, 0)

        assert await world.assign(room(bucket), ahead=0) == 1
        [claim] = await world.claims(bucket)
        assert claim.job == (await world.record(job)).job

    async def test_a_job_in_a_bucket_but_not_due_is_held_again(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket, delay=30)

        await world.master.requests.reschedule(world.cluster_id, job.id, 600)

        record = await world.record(job)
        assert (record.status, record.bucket_id) == (JobStatus.HELD_ON_MASTER, None)
        assert (await world.master.claims.pull(bucket, Cursor(), 10)).next_due_in is None

    async def test_a_job_that_may_be_in_hand_is_not_moved(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one(bucket)
        before = await world.record(job)

        with pytest.raises(InvalidTransitionError):
            await world.master.requests.reschedule(world.cluster_id, job.id, 60)

        assert await world.record(job) == before

    async def test_what_is_moved_is_never_handed_out(self, world: World, peer: MasterRepository) -> None:
        race = Race(world, peer, await world.bucket())

        async def move(job_id: UUID) -> None:
            with suppress(InvalidTransitionError):
                await peer.requests.reschedule(world.cluster_id, job_id, 600)
                race.taken.add(job_id)

        await race.run(move)

        assert race.taken.isdisjoint(race.handed_out)
        assert race.taken

    @pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
    async def test_a_finished_job_is_not_moved(self, world: World, status: JobStatus) -> None:
        job = await world.finished(await world.bucket(), status)
        before = await world.record(job)

        with pytest.raises(InvalidTransitionError):
            await world.master.requests.reschedule(world.cluster_id, job.id, 60)

        assert await world.record(job) == before

    async def test_an_unknown_job_is_not_moved(self, world: World) -> None:
        with pytest.raises(JobNotFoundError):
            await world.master.requests.reschedule(world.cluster_id, new_id(), 60)

    @pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
    async def test_a_finished_job_is_run_again(self, world: World, status: JobStatus) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        await world.report(claim, status, retries=3, crashes=2, suspect=True)
        first = await world.attempts(claim.job)

        await world.master.requests.retry(world.cluster_id, claim.job.id)

        record = await world.record(claim.job)
        assert (record.status, record.finished_at, record.retries) == (JobStatus.HELD_ON_MASTER, None, 0)
        assert record.ready_at is not None
        assert record.ready_at <= await world.master.now()
        assert list(record.attempts) == list(first)
        assert await world.assign(room(bucket), ahead=0) == 1
        [again] = await world.claims(bucket)
        assert (again.attempt, again.retries, again.crashes, again.suspect) == (2, 0, 0, False)

    async def test_a_job_run_again_ends_once_more(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        await world.report(claim, JobStatus.FAILED)
        await world.master.requests.retry(world.cluster_id, claim.job.id)
        assert await world.master.outcomes.report([make_report(claim)]) == {claim.job.id}
        await world.assign(room(bucket))
        [again] = await world.claims(bucket)

        await world.report(again)

        record = await world.record(claim.job)
        assert record.status is JobStatus.SUCCEEDED
        assert [a.outcome for a in record.attempts] == [AttemptOutcome.FAILED, AttemptOutcome.SUCCEEDED]
        counts = await world.master.jobs.count(world.cluster_id, JobQuery())
        assert dict(counts) == {JobStatus.SUCCEEDED: 1}

    async def test_a_job_cancelled_before_it_ran_is_run_again(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.put_one()
        await world.master.requests.cancel(world.cluster_id, [job.id])

        await world.master.requests.retry(world.cluster_id, job.id)

        await world.assign(room(bucket))
        [claim] = await world.claims(bucket)
        assert not claim.cancel_requested
        await world.report(claim)
        assert [a.outcome for a in await world.attempts(job)] == [AttemptOutcome.SUCCEEDED]

    async def test_a_job_ended_by_a_request_is_run_again_without_it(self, world: World) -> None:
        bucket = await world.bucket()
        claim = await world.claim(bucket)
        await world.master.requests.cancel(world.cluster_id, [claim.job.id])
        await world.report(claim, JobStatus.CANCELLED)

        await world.master.requests.retry(world.cluster_id, claim.job.id)

        await world.assign(room(bucket))
        assert [c.cancel_requested for c in await world.claims(bucket)] == [False]

    async def test_a_job_that_is_not_finished_is_not_run_again(self, world: World) -> None:
        bucket = await world.bucket()
        jobs = [await world.put_one(), await world.put_one(bucket), await world.parked(bucket)]

        for job in jobs:
            before = await world.record(job)
            with pytest.raises(InvalidTransitionError):
                await world.master.requests.retry(world.cluster_id, job.id)
            assert await world.record(job) == before

    async def test_an_unknown_job_is_not_run_again(self, world: World) -> None:
        with pytest.raises(JobNotFoundError):
            await world.master.requests.retry(world.cluster_id, new_id())

    async def test_a_job_run_again_keeps_its_key(self, world: World) -> None:
        bucket = await world.bucket()
        job = await world.finished(bucket, key="k")
        await world.master.requests.retry(world.cluster_id, job.id)

        [receipt] = await world.master.jobs.insert([make_new_job(bucket, key="k")])

        assert (receipt.job_id, receipt.created) == (job.id, False)

    async def test_of_concurrent_retries_one_succeeds(self, world: World, peer: MasterRepository) -> None:
        job = await world.finished(await world.bucket())
        done: list[bool] = []

        async def retry(master: MasterRepository) -> None:
            try:
                await master.requests.retry(world.cluster_id, job.id)
            except InvalidTransitionError:
                done.append(False)
            else:
                done.append(True)

        async with anyio.create_task_group() as group:
            for master in [world.master, peer] * 2:
                group.start_soon(retry, master)

        assert sorted(done) == [False, False, False, True]
        assert await world.status(job) is JobStatus.HELD_ON_MASTER


class Race:
    """Another caller takes jobs away while their bucket's owner reads it, just when they become due."""

    def __init__(self, world: World, other: MasterRepository, bucket: Bucket) -> None:
        self._world, self._other, self._bucket = world, other, bucket
        self._over = False
        self.taken: set[UUID] = set()
        self.handed_out: set[UUID] = set()

    async def run(self, take: Callable[[UUID], Awaitable[None]]) -> None:
        """Take one job at a time; at the end `taken` contains those that could be taken."""
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(self._read)
                for delay in DELAYS * 8:
                    await take((await self._world.put_one(self._bucket, delay=delay)).id)
                self._over = True

    async def _read(self) -> None:
        while not self._over:
            page = await self._world.master.claims.pull(self._bucket, Cursor(), 1000)
            self.handed_out.update(claim.job.id for claim in page.claims if not claim.cancel_requested)
