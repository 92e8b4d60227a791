"""Requirements for `BucketStore` and `RescueStore` when buckets change owners."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from uuid import UUID

import anyio
import pytest
from attrs import evolve

from jobmaster.contracts import HeartbeatReply, MasterRepository
from jobmaster.errors import LeaseLostError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Claim, Load
from jobmaster.states import AttemptOutcome, BucketStatus, JobStatus, Priority, WorkerStatus
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import LONG, SHORT, World, room
from jobmaster_testing.factories import make_bucket, make_new_job, make_worker
from jobmaster_testing.probes import until


class OwningContract(MasterTests, suite=True):
    """Registering, losing, taking over and giving up buckets."""

    async def test_a_bucket_comes_back_as_it_was_registered(self, world: World) -> None:
        worker = make_worker(cluster_id=world.cluster_id, agent="Nats-1", lane="Pay · roll")
        bucket = make_bucket(worker, priority=Priority.CRITICAL)

        await world.master.workers.register(worker, [bucket], LONG)

        [stored] = await world.master.buckets.list_all(world.cluster_id)
        assert stored.created_at is not None
        assert stored == evolve(
            bucket, created_at=stored.created_at, status_changed_at=stored.status_changed_at
        )

    async def test_new_buckets_take_jobs_at_once(self, world: World) -> None:
        buckets = await world.buckets(3)

        active = await world.master.buckets.list_active(world.cluster_id)

        assert {b.id for b in active} == {b.id for b in buckets}

    async def test_only_active_buckets_with_a_lease_take_jobs(self, world: World) -> None:
        active, completing, closed = await world.buckets(3)
        await world.master.buckets.set_status(completing, BucketStatus.COMPLETING)
        await world.close_bucket(closed)
        stopping, stopped, lost = await world.bucket(), await world.bucket(), await world.bucket(lease=SHORT)
        await world.master.workers.set_stopping(stopping.worker_id)
        await world.master.workers.retire(stopped.worker_id)
        await world.rescue(2)

        found = await world.master.buckets.list_active(world.cluster_id)

        assert [b.id for b in found] == [active.id]
        assert len(await world.master.buckets.list_all(world.cluster_id)) == 6
        assert lost.id not in {b.id for b in found}

    async def test_a_bucket_whose_lease_ran_out_takes_no_jobs(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        until = (await world.stored_worker(bucket.worker_id)).lease_until
        assert until is not None
        while await world.master.now() <= until:
            await world.tick()

        assert list(await world.master.buckets.list_active(world.cluster_id)) == []

    async def test_the_owner_changes_the_status(self, world: World) -> None:
        bucket = await world.bucket()

        assert await world.master.buckets.set_status(bucket, BucketStatus.COMPLETING)

        assert (await world.stored_bucket(bucket)).status is BucketStatus.COMPLETING

    async def test_nobody_else_changes_the_status(self, world: World) -> None:
        former = await world.bucket(lease=SHORT)
        [taken] = await world.rescue()

        assert not await world.master.buckets.set_status(former, BucketStatus.READY_TO_DELETE)
        assert not await world.master.buckets.set_status(make_bucket(), BucketStatus.READY_TO_DELETE)

        assert (await world.stored_bucket(taken)).status is BucketStatus.DRAINING

    # Taking over

    async def test_buckets_with_a_running_owner_are_not_taken(self, world: World) -> None:
        await world.buckets(2)
        stopping = await world.bucket()
        await world.master.workers.set_stopping(stopping.worker_id)
        rescuer = await world.worker()

        assert list(await world.master.rescue.take_lost_buckets(world.cluster_id, rescuer.id, 10)) == []

    async def test_a_bucket_is_taken_only_after_the_lease_ran_out(self, world: World) -> None:
        bucket = await world.bucket(lease=0.3)
        until = (await world.stored_worker(bucket.worker_id)).lease_until
        assert until is not None

        await world.rescue()

        assert await world.master.now() >= until

    async def test_a_heartbeat_keeps_rescuers_away(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        first_end = (await world.stored_worker(bucket.worker_id)).lease_until
        assert first_end is not None
        assert (await world.master.workers.heartbeat([bucket.worker_id], {}, LONG)).alive == {
            bucket.worker_id
        }
        while await world.master.now() <= first_end:
            await world.tick()

        rescuer = await world.worker()

        assert list(await world.master.rescue.take_lost_buckets(world.cluster_id, rescuer.id, 10)) == []

    async def test_a_taken_bucket_has_a_new_owner_and_epoch(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        rescuer = await world.worker()

        [taken] = await world.rescue(rescuer=rescuer)

        assert (taken.id, taken.epoch, taken.worker_id, taken.status) == (
            bucket.id,
            bucket.epoch + 1,
            rescuer.id,
            BucketStatus.DRAINING,
        )
        assert (taken.lane, taken.priority, taken.agent) == (bucket.lane, bucket.priority, bucket.agent)
        assert taken.former_owner == bucket.worker_id
        assert await world.stored_bucket(bucket) == evolve(taken, former_owner=None)
        assert (await world.stored_worker(bucket.worker_id)).status is WorkerStatus.LOST

    async def test_buckets_that_a_stopped_worker_left_are_taken(self, world: World) -> None:
        kept, closed = await world.buckets(2)
        await world.close_bucket(closed)
        await world.master.workers.set_stopping(kept.worker_id)
        await world.master.workers.retire(kept.worker_id)

        assert [b.id for b in await world.rescue()] == [kept.id]
        assert (await world.stored_worker(kept.worker_id)).status is WorkerStatus.STOPPED

    async def test_a_bucket_that_was_given_away_is_taken_though_its_owner_lives(self, world: World) -> None:
        bucket = await world.bucket()
        await world.master.buckets.set_status(bucket, BucketStatus.LOST)

        assert await world.master.rescue.is_needed(world.cluster_id)
        [taken] = await world.master.rescue.take_lost_buckets(world.cluster_id, new_id(), 10)

        assert (taken.id, taken.epoch, taken.status) == (bucket.id, 2, BucketStatus.DRAINING)

    async def test_not_more_than_the_limit_is_taken(self, world: World) -> None:
        buckets = await world.buckets(3)
        await world.master.workers.retire(buckets[0].worker_id)
        rescuer = await world.worker()

        taken = [
            [b.id for b in await world.master.rescue.take_lost_buckets(world.cluster_id, rescuer.id, 2)]
            for _ in range(3)
        ]

        assert [len(page) for page in taken] == [2, 1, 0]
        assert {bucket_id for page in taken for bucket_id in page} == {b.id for b in buckets}

    async def test_a_bucket_of_a_lost_rescuer_is_taken_again(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        [first] = await world.rescue(rescuer=await world.worker(lease=SHORT))

        [second] = await world.rescue()

        assert (second.id, second.epoch) == (bucket.id, first.epoch + 1)

    async def test_of_several_rescuers_one_gets_a_bucket(self, world: World, peer: MasterRepository) -> None:
        buckets = await world.buckets(8)
        await world.master.workers.retire(buckets[0].worker_id)
        rescuers = [await world.worker() for _ in range(4)]
        taken: list[Bucket] = []

        async def rescue(master: MasterRepository, rescuer: UUID) -> None:
            while found := await master.rescue.take_lost_buckets(world.cluster_id, rescuer, 3):
                taken.extend(found)

        async with anyio.create_task_group() as group:
            for master, rescuer in zip([world.master, peer] * 2, rescuers, strict=True):
                group.start_soon(rescue, master, rescuer.id)

        assert sorted(b.id for b in taken) == sorted(b.id for b in buckets)
        assert {b.epoch for b in taken} == {2}
        assert {b.id: b.worker_id for b in taken} == {
            b.id: b.worker_id for b in await world.master.buckets.list_all(world.cluster_id)
        }

    # Checking whether a rescue is needed

    async def test_a_quiet_cluster_needs_no_rescue(self, world: World) -> None:
        active, stopping, gone = await world.buckets(3)
        await world.put(active, 2)
        await world.master.workers.set_stopping(stopping.worker_id)
        await world.close_bucket(gone)

        assert not await _needs_rescue(world)

    async def test_a_lease_that_ran_out_needs_a_rescue(self, world: World) -> None:
        await world.worker(lease=SHORT)

        await until(lambda: world.master.rescue.is_needed(world.cluster_id), what="the lease to run out")

        assert await _needs_rescue(world)
        assert (
            await world.master.rescue.take_lost_buckets(world.cluster_id, (await world.worker()).id, 9) == []
        )
        assert not await _needs_rescue(world)

    async def test_a_bucket_left_behind_needs_a_rescue(self, world: World) -> None:
        bucket = await world.bucket()
        await world.master.workers.retire(bucket.worker_id)

        assert await _needs_rescue(world)

        await world.rescue()
        assert not await _needs_rescue(world)

    async def test_jobs_where_nobody_reads_need_a_rescue(self, world: World) -> None:
        await world.insert(make_new_job(new_id(), cluster_id=world.cluster_id))

        assert await _needs_rescue(world)

        await world.master.rescue.sweep_orphans(world.cluster_id)
        assert not await _needs_rescue(world)

    async def test_a_heartbeat_tells_of_a_rescue_only_who_asks_and_only_of_that_cluster(
        self, world: World
    ) -> None:
        bucket = await world.bucket()
        await world.master.workers.retire(bucket.worker_id)
        alive = [(await world.worker()).id for _ in range(2)]

        for asked in (None, f"{world.cluster_id}-other"):
            assert await world.master.workers.heartbeat(alive, {}, LONG, asked) == HeartbeatReply(
                alive=frozenset(alive)
            )
        told = await world.master.workers.heartbeat(
            alive, {bucket.id: Load(in_flight=1)}, LONG, world.cluster_id
        )
        assert told == HeartbeatReply(alive=frozenset(alive), needs_rescue=True)

    async def test_a_lost_worker_hears_of_no_rescue(self, world: World) -> None:
        left = await world.bucket()
        await world.master.workers.retire(left.worker_id)

        assert (
            await world.master.workers.heartbeat([left.worker_id], {}, LONG, world.cluster_id)
            == HeartbeatReply()
        )

    # Giving up

    async def test_releasing_holds_all_jobs_as_they_are(self, world: World) -> None:
        bucket, other = await world.buckets(2)
        retried = await world.claim(bucket)
        await world.report(
            retried, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED, retries=1, crashes=2
        )
        waiting = await world.put(bucket, 2)
        [future] = await world.put(bucket, delay=30)
        elsewhere = await world.put_one(other)
        before = await world.record(future)

        assert await world.master.buckets.release(bucket) == 4
        assert await world.master.buckets.release(bucket) == 0

        for job in (retried.job, *waiting, future):
            record = await world.record(job)
            assert (record.status, record.bucket_id) == (JobStatus.HELD_ON_MASTER, None)
        assert (await world.record(future)).ready_at == before.ready_at
        assert await world.status(elsewhere) is JobStatus.ASSIGNED_TO_BUCKET
        [again] = [c for c in await _reassigned(world, other) if c.job.id == retried.job.id]
        assert (again.attempt, again.retries, again.crashes) == (2, 1, 2)

    async def test_orphans_are_held_again(self, world: World) -> None:
        active, closed = await world.buckets(2)
        kept = await world.put_one(active)
        late = await world.put(closed, 2)
        await world.close_bucket(closed)
        lost = await world.insert(make_new_job(new_id(), cluster_id=world.cluster_id))

        assert await world.master.rescue.sweep_orphans(world.cluster_id) == 3
        assert await world.master.rescue.sweep_orphans(world.cluster_id) == 0

        assert await world.status(kept) is JobStatus.ASSIGNED_TO_BUCKET
        assert {await world.status(job) for job in [*late, *lost]} == {JobStatus.HELD_ON_MASTER}
        assert await world.assign(room(active)) == 3

    async def test_jobs_in_lost_and_completing_buckets_are_no_orphans(self, world: World) -> None:
        completing, lost = await world.bucket(), await world.bucket(lease=SHORT)
        jobs = [await world.put_one(completing), await world.put_one(lost)]
        await world.master.buckets.set_status(completing, BucketStatus.COMPLETING)
        await world.rescue()

        assert await world.master.rescue.sweep_orphans(world.cluster_id) == 0

        assert {await world.status(job) for job in jobs} == {JobStatus.ASSIGNED_TO_BUCKET}

    async def test_releasing_a_bucket_of_somebody_else_changes_nothing(self, world: World) -> None:
        former = await world.bucket(lease=SHORT)
        job = await world.put_one(former)
        await world.rescue()

        with pytest.raises(LeaseLostError):
            await world.master.buckets.release(former)

        assert await world.status(job) is JobStatus.ASSIGNED_TO_BUCKET


async def _needs_rescue(world: World) -> bool:
    """Return whether a rescue is needed, checking that heartbeats of rescuers and direct calls agree."""
    rescuer = await world.worker(name="Asking")
    reply = await world.master.workers.heartbeat([rescuer.id], {}, LONG, world.cluster_id)
    assert reply.alive == {rescuer.id}
    assert reply.needs_rescue is await world.master.rescue.is_needed(world.cluster_id)
    return reply.needs_rescue


async def _reassigned(world: World, bucket: Bucket) -> list[Claim]:
    await world.assign(room(bucket))
    return await world.claims(bucket)
