"""Requirements for every call: it is one unit of work, for any caller, cancelled or not."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

import anyio

from jobmaster.models import Cursor, JobQuery, NewJob
from jobmaster.states import JobStatus
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World, ids, room
from jobmaster_testing.factories import make_new_job, make_report


class UnitContract(MasterTests, suite=True):
    """Concurrent calls, and calls whose callers are cancelled."""

    async def test_many_calls_at_once_all_come_back(self, world: World) -> None:
        bucket = await world.bucket()
        new = [make_new_job(bucket) for _ in range(60)]

        async def use_the_store(one: NewJob) -> None:
            await world.master.jobs.insert([one])
            await world.master.assignments.assign_due(world.cluster_id, 1, [room(bucket)])
            claims = await world.claims(bucket)
            mine = next(claim for claim in claims if claim.job.id == one.job.id)
            assert await world.master.outcomes.report([make_report(mine)]) == frozenset()
            await world.record(one.job)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for one in new:
                    group.start_soon(use_the_store, one)

        counts = await world.master.jobs.count(world.cluster_id, JobQuery())
        assert dict(counts) == {JobStatus.SUCCEEDED: len(new)}

    async def test_a_cancelled_insert_happened_or_did_not(self, world: World) -> None:
        bucket = await world.bucket()
        batches = [[make_new_job(bucket) for _ in range(3)] for _ in range(40)]

        for number, batch in enumerate(batches):
            with anyio.move_on_after(number * 0.00025):
                await world.master.jobs.insert(batch)

        stored = set(ids(await world.all_jobs()))
        whole = [batch for batch in batches if {new.job.id for new in batch} <= stored]
        assert len(stored) == 3 * len(whole)
        await _check_usable(world)

    async def test_a_cancelled_report_happened_or_did_not(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 120)
        claims = await world.claims(bucket)
        batches = [claims[first : first + 3] for first in range(0, 120, 3)]

        for number, batch in enumerate(batches):
            with anyio.move_on_after(number * 0.00025):
                await world.master.outcomes.report([make_report(claim) for claim in batch])

        done = {job.id for job in await world.all_jobs() if job.status.is_terminal}
        assert sum(3 for batch in batches if set(ids(batch)) <= done) == len(done)
        for claim in claims:
            assert len(await world.attempts(claim.job)) == (claim.job.id in done)
        await _check_usable(world)

    async def test_cancelled_readers_leave_the_store_usable(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 50)

        for number in range(40):
            with anyio.move_on_after(number * 0.0002):
                async with anyio.create_task_group() as group:
                    group.start_soon(world.all_jobs)
                    group.start_soon(world.claims, bucket)
                    group.start_soon(world.master.buckets.list_active, world.cluster_id)

        await _check_usable(world)

    async def test_a_large_message_is_carried(self, world: World) -> None:
        bucket = await world.bucket()
        data = {"text": "ä" * 500_000, "bytes": b"\0" * 500_000}

        job = await world.put_one(bucket, data=data)

        assert dict((await world.claims(bucket))[0].job.data) == data
        assert dict((await world.record(job)).data) == data


async def _check_usable(world: World) -> None:
    """Check that jobs can still be inserted and finished: no connection, lock or transaction is left over."""
    with anyio.fail_after(20):
        bucket = await world.bucket()
        jobs = await world.put(bucket, 5)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(world.master.claims.pull, bucket, Cursor(), 10)
        for claim in await world.claims(bucket):
            await world.report(claim)
        assert {await world.status(job) for job in jobs} == {JobStatus.SUCCEEDED}
