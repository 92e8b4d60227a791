"""Requirements for a master whose jobs are on an agent, where it cannot reach their messages."""
# ruff: noqa: D102, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from jobmaster.contracts import CancelAnswer
from jobmaster.errors import InvalidTransitionError, JobNotFoundError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, CancelResult, Job
from jobmaster.schedule_models import ScheduleWrite
from jobmaster.states import BucketStatus, JobStatus
from jobmaster_testing.contracts.handovers_hand_over import AGENT, hand_over, retake
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.schedules import HOUR, add, fire
from jobmaster_testing.contracts.world import World, ids


class RemoteContract(MasterTests, suite=True):
    """Requests about jobs in buckets on agents, and the rescue of such buckets."""

    @pytest.fixture
    async def bucket(self, world: World) -> Bucket:
        """Return a bucket on an agent."""
        return await world.bucket(agent=AGENT)

    # Cancelling

    @pytest.mark.parametrize("delay", [0.0, 30.0])
    async def test_a_job_on_an_agent_is_asked_to_end_due_or_not(
        self, world: World, bucket: Bucket, delay: float
    ) -> None:
        job = await world.put_one(bucket, delay=delay)

        [answer] = await world.master.requests.cancel(world.cluster_id, [job.id])

        expected = CancelAnswer(job_id=job.id, result=CancelResult.REQUESTED, bucket_id=bucket.id)
        assert answer == expected
        record = await world.record(job)
        assert (record.status, record.cancel_requested) == (JobStatus.ASSIGNED_TO_BUCKET, True)
        assert list(await world.master.requests.read_cancels([bucket.id])) == [(bucket.id, job.id, 1)]

    async def test_of_jobs_here_and_there_those_on_agents_are_asked(
        self, world: World, bucket: Bucket
    ) -> None:
        here = await world.put_one(await world.bucket(), delay=30)
        there, held = await world.put_one(bucket, delay=30), await world.put_one()

        answers = await world.master.requests.cancel(world.cluster_id, ids([here, there, held]))

        results = [CancelResult.CANCELLED, CancelResult.REQUESTED, CancelResult.CANCELLED]
        assert [answer.result for answer in answers] == results

    # Rescheduling

    async def test_a_withdrawn_job_is_rescheduled(self, world: World, bucket: Bucket) -> None:
        job = await world.put_one(bucket, delay=30)
        withdrawn = await _opened(world, bucket, job)
        before = await world.master.now()

        await world.master.requests.reschedule(world.cluster_id, job.id, 600, withdrawn)

        after, record = await world.master.now(), await world.record(job)
        assert (record.status, record.bucket_id) == (JobStatus.HELD_ON_MASTER, None)
        assert record.ready_at is not None
        assert before <= record.ready_at - timedelta(seconds=600) <= after
        assert before <= record.scheduled_at - timedelta(seconds=600) <= after
        assert await retake(world) == []

    @pytest.mark.parametrize("delay", [0.0, 30.0])
    async def test_a_job_on_an_agent_is_not_moved_unless_it_is_withdrawn(
        self, world: World, bucket: Bucket, delay: float
    ) -> None:
        job = await world.put_one(bucket, delay=delay)
        before = await world.record(job)

        for withdrawn in (None, new_id()):
            with pytest.raises(InvalidTransitionError):
                await world.master.requests.reschedule(world.cluster_id, job.id, 60, withdrawn)

        assert await world.record(job) == before

    async def test_a_job_whose_withdrawal_somebody_undid_is_not_moved(
        self, world: World, bucket: Bucket
    ) -> None:
        job = await world.put_one(bucket, delay=30)
        withdrawn = await _opened(world, bucket, job)
        [retaken] = await retake(world)

        with pytest.raises(InvalidTransitionError):
            await world.master.requests.reschedule(world.cluster_id, job.id, 60, withdrawn)

        assert (await world.record(job)).bucket_id == bucket.id
        assert await world.master.handovers.undo([retaken.id]) == 1

    async def test_a_withdrawal_of_something_else_moves_no_job(self, world: World, bucket: Bucket) -> None:
        other = await world.bucket(agent=AGENT)
        job, another = await world.put_one(bucket, delay=30), await world.put_one(bucket, delay=30)

        for withdrawn in (await _opened(world, other, job), await _opened(world, bucket, another)):
            with pytest.raises(InvalidTransitionError):
                await world.master.requests.reschedule(world.cluster_id, job.id, 60, withdrawn)

        assert (await world.record(job)).bucket_id == bucket.id

    async def test_a_withdrawn_job_that_was_held_meanwhile_is_rescheduled(
        self, world: World, bucket: Bucket
    ) -> None:
        job = await world.put_one(bucket, delay=30)
        withdrawn = await _opened(world, bucket, job)
        await world.master.buckets.release(bucket)

        await world.master.requests.reschedule(world.cluster_id, job.id, 600, withdrawn)

        record, now = await world.record(job), await world.master.now()
        assert record.ready_at is not None
        assert record.ready_at > now + timedelta(seconds=500)
        assert await retake(world) == []

    async def test_a_withdrawn_job_that_ended_or_never_was_is_not_moved(
        self, world: World, bucket: Bucket
    ) -> None:
        done = await world.finished(bucket)
        withdrawn = await _opened(world, bucket, done)

        with pytest.raises(InvalidTransitionError):
            await world.master.requests.reschedule(world.cluster_id, done.id, 60, withdrawn)
        with pytest.raises(JobNotFoundError):
            await world.master.requests.reschedule(world.cluster_id, new_id(), 60, withdrawn)

        assert await world.status(done) is JobStatus.SUCCEEDED

    async def test_a_restarted_schedule_leaves_jobs_on_agents_alone(
        self, world: World, bucket: Bucket
    ) -> None:
        schedule, now = await add(world), await world.master.now()
        moved = await fire(world, schedule, now + HOUR, now + 2 * HOUR)
        await hand_over(world, bucket, ahead=5400)

        await world.master.schedules.write([ScheduleWrite(record=moved, restart=True)])

        assert [job.nominal_at for job in await world.all_jobs()] == [now + HOUR]

    # Rescuing

    async def test_buckets_of_the_agents_in_reach_are_taken(self, world: World) -> None:
        names = ["standalone", "Agent-1", "Agent-2"]
        buckets = {name: await world.bucket(agent=name) for name in names}
        for bucket in buckets.values():
            await world.master.workers.retire(bucket.worker_id)

        taken = {
            reach: await _taken(world, list(reach))
            for reach in [(), ("Agent-9",), ("Agent-1", "Agent-9"), ("Agent-2", "standalone")]
        }

        assert taken == {
            (): set(),
            ("Agent-9",): set(),
            ("Agent-1", "Agent-9"): {buckets["Agent-1"].id},
            ("Agent-2", "standalone"): {buckets["Agent-2"].id, buckets["standalone"].id},
        }

    async def test_without_names_buckets_of_all_agents_are_taken(self, world: World) -> None:
        buckets = [await world.bucket(agent=name) for name in ("Agent-1", "Agent-2")]
        for bucket in buckets:
            await world.master.workers.retire(bucket.worker_id)

        assert await _taken(world, None) == {bucket.id for bucket in buckets}

    async def test_the_limit_counts_buckets_in_reach(self, world: World) -> None:
        for name in ("Agent-1", "Agent-2", "Agent-1", "Agent-2"):
            await world.master.workers.retire((await world.bucket(agent=name)).worker_id)
        rescuer = await world.worker()

        taken = [
            await world.master.rescue.take_lost_buckets(world.cluster_id, rescuer.id, 1, ["Agent-2"])
            for _ in range(3)
        ]

        assert [[bucket.agent for bucket in page] for page in taken] == [["Agent-2"], ["Agent-2"], []]

    async def test_a_bucket_out_of_reach_still_needs_a_rescue(self, world: World, bucket: Bucket) -> None:
        await world.master.workers.retire(bucket.worker_id)

        assert await _taken(world, []) == set()

        assert await world.master.rescue.is_needed(world.cluster_id)
        assert (await world.stored_bucket(bucket)).status is BucketStatus.ACTIVE


async def _opened(world: World, bucket: Bucket, job: Job) -> UUID:
    """Record that a job's message is withdrawn from a bucket."""
    return await world.master.handovers.open(world.cluster_id, bucket.id, [job.id], new_id())


async def _taken(world: World, agents: list[str] | None) -> set[UUID]:
    rescuer = await world.worker()
    taken = await world.master.rescue.take_lost_buckets(world.cluster_id, rescuer.id, 10, agents)
    return {bucket.id for bucket in taken}
