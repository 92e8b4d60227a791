"""Requirements when jobs leave a bucket while a caller cancels them: promises are kept."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeAlias
from uuid import UUID

import anyio
import pytest

from jobmaster.contracts import MasterRepository
from jobmaster.errors import InvalidTransitionError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, CancelResult, Job, JobQuery
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_testing.contracts.handovers_hand_over import AGENT, hand_over, retake
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World, ids, room

Let: TypeAlias = Callable[[], Coroutine[Any, Any, int]]
"""Makes jobs leave their bucket; returns how many are held again."""


async def _releasing(world: World, bucket: Bucket) -> Let:
    await world.assign(room(bucket))
    return lambda: world.master.buckets.release(bucket)


async def _sweeping(world: World, bucket: Bucket) -> Let:
    await world.assign(room(bucket))
    await world.close_bucket(bucket)
    return lambda: world.master.rescue.sweep_orphans(world.cluster_id)


async def _taking_back(world: World, bucket: Bucket) -> Let:
    [handover] = (await hand_over(world, bucket)).handovers
    return lambda: world.master.handovers.undo([handover.id])


WAYS: Mapping[str, Callable[[World, Bucket], Awaitable[Let]]] = {
    "released": _releasing,
    "swept up": _sweeping,
    "taken back": _taking_back,
}
every_way = pytest.mark.parametrize("way", WAYS)


class LettingGoContract(MasterTests, suite=True):
    """`buckets.release`, `rescue.sweep_orphans`, `handovers.undo` and `requests.reschedule` beside `requests.cancel`."""

    @pytest.fixture
    async def bucket(self, world: World) -> Bucket:
        """Return a bucket on an agent, where each cancellation goes through the owner."""
        return await world.bucket(agent=AGENT)

    @every_way
    async def test_a_job_to_be_cancelled_ends_instead_of_being_held(
        self, world: World, bucket: Bucket, way: str
    ) -> None:
        asked, other = await world.put_one(), await world.put_one()
        let_go = await WAYS[way](world, bucket)
        [answer] = await world.master.requests.cancel(world.cluster_id, [asked.id])
        assert answer.result is CancelResult.REQUESTED

        assert await let_go() == 1
        assert await let_go() == 0

        record = await world.record(asked)
        assert (record.status, record.bucket_id, record.ready_at) == (JobStatus.CANCELLED, None, None)
        assert record.finished_at is not None
        assert list(record.attempts) == []
        assert await world.status(other) is JobStatus.HELD_ON_MASTER
        assert list(await world.master.requests.read_cancels([bucket.id])) == []

    @every_way
    async def test_a_job_that_was_tried_ends_with_its_attempts(
        self, world: World, bucket: Bucket, way: str
    ) -> None:
        claim = await world.claim(await world.bucket())
        await world.report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.FAILED, retries=1)
        let_go = await WAYS[way](world, bucket)
        await world.master.requests.cancel(world.cluster_id, [claim.job.id])

        await let_go()

        record = await world.record(claim.job)
        assert record.status is JobStatus.CANCELLED
        assert [attempt.outcome for attempt in record.attempts] == [AttemptOutcome.FAILED]

    @every_way
    async def test_a_job_ended_like_that_can_be_retried(self, world: World, bucket: Bucket, way: str) -> None:
        job = await world.put_one()
        let_go = await WAYS[way](world, bucket)
        await world.master.requests.cancel(world.cluster_id, [job.id])
        await let_go()

        await world.master.requests.retry(world.cluster_id, job.id)

        home = await world.bucket()
        assert await world.assign(room(home)) == 1
        assert [claim.cancel_requested for claim in await world.claims(home)] == [False]

    async def test_only_what_the_handover_is_about_is_ended(self, world: World, bucket: Bucket) -> None:
        elsewhere = await world.put_one(bucket)
        named = await world.put_one()
        let_go = await _taking_back(world, bucket)
        await world.master.requests.cancel(world.cluster_id, [elsewhere.id, named.id])

        assert await let_go() == 0

        assert await world.status(named) is JobStatus.CANCELLED
        assert await world.status(elsewhere) is JobStatus.ASSIGNED_TO_BUCKET
        assert list(await world.master.requests.read_cancels([bucket.id])) == [(bucket.id, elsewhere.id, 1)]

    async def test_only_orphans_are_ended(self, world: World, bucket: Bucket) -> None:
        elsewhere = await world.put_one(await world.bucket(agent=AGENT))
        owned = await world.put_one(bucket)
        await world.master.requests.cancel(world.cluster_id, [elsewhere.id, owned.id])

        assert await world.master.rescue.sweep_orphans(world.cluster_id) == 0

        assert await world.status(owned) is JobStatus.ASSIGNED_TO_BUCKET
        assert await world.status(elsewhere) is JobStatus.ASSIGNED_TO_BUCKET

    @every_way
    async def test_a_cancellation_at_the_same_time_takes_effect(
        self, world: World, peer: MasterRepository, bucket: Bucket, way: str
    ) -> None:
        jobs = await world.put(count=12)
        let_go = await WAYS[way](world, bucket)

        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(peer.requests.cancel, world.cluster_id, [job.id])
            group.start_soon(let_go)

        await let_go()
        assert await _statuses(world) == {JobStatus.CANCELLED: len(jobs)}

    # Rescheduling

    async def test_a_job_to_be_cancelled_is_not_rescheduled(self, world: World, bucket: Bucket) -> None:
        job = await world.put_one(bucket, delay=30)
        withdrawn = await _withdrawn(world, bucket, job)
        await world.master.requests.cancel(world.cluster_id, [job.id])

        with pytest.raises(InvalidTransitionError):
            await world.master.requests.reschedule(world.cluster_id, job.id, 60, withdrawn)

        assert list(await world.master.requests.read_cancels([bucket.id])) == [(bucket.id, job.id, 1)]
        assert [handover.id for handover in await retake(world)] != []

    async def test_a_cancellation_while_a_job_is_rescheduled_takes_effect(
        self, world: World, peer: MasterRepository, bucket: Bucket
    ) -> None:
        jobs = await world.put(bucket, 8, delay=30)
        withdrawn = {job.id: await _withdrawn(world, bucket, job) for job in jobs}

        async def reschedule(job: Job) -> None:
            with suppress(InvalidTransitionError):  # it was already to be cancelled
                await world.master.requests.reschedule(world.cluster_id, job.id, 60, withdrawn[job.id])

        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(reschedule, job)
                group.start_soon(peer.requests.cancel, world.cluster_id, [job.id])

        marked = {job_id for _, job_id, _ in await world.master.requests.read_cancels([bucket.id])}
        ended = set(ids(await world.master.jobs.query(world.cluster_id, _CANCELLED)))
        assert marked | ended == set(ids(jobs))


_CANCELLED = JobQuery(statuses=frozenset({JobStatus.CANCELLED}))


async def _withdrawn(world: World, bucket: Bucket, job: Job) -> UUID:
    """Record that a job's message is withdrawn from a bucket."""
    return await world.master.handovers.open(world.cluster_id, bucket.id, [job.id], new_id())


async def _statuses(world: World) -> Mapping[JobStatus, int]:
    return dict(await world.master.jobs.count(world.cluster_id, JobQuery()))
