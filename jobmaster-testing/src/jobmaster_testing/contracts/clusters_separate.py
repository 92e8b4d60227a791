"""Several clusters in one store never see one another."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

import pytest

from jobmaster.contracts import ClusterChange
from jobmaster.errors import JobNotFoundError
from jobmaster.models import JobQuery
from jobmaster.states import ClusterMode, JobStatus, WorkerRequest
from jobmaster_testing.contracts.provider import MasterTests, make_world
from jobmaster_testing.contracts.world import World, ids, room
from jobmaster_testing.factories import make_log_line, make_new_job


class SeparationContract(MasterTests, suite=True):
    """Actions of one cluster do not affect another."""

    @pytest.fixture
    async def other(self, world: World) -> World:
        """Return another cluster in the same store."""
        return await make_world(world.master)

    async def test_clusters_share_no_jobs(self, world: World, other: World) -> None:
        mine, theirs = await world.put_one(), await other.put_one()

        assert await world.master.jobs.get(world.cluster_id, theirs.id) is None
        assert ids(await world.all_jobs()) == [mine.id]
        assert dict(await world.master.jobs.count(world.cluster_id, JobQuery())) == {
            JobStatus.HELD_ON_MASTER: 1
        }

    async def test_clusters_share_no_keys(self, world: World, other: World) -> None:
        [mine] = await world.master.jobs.insert([make_new_job(cluster_id=world.cluster_id, key="k")])
        [theirs] = await world.master.jobs.insert([make_new_job(cluster_id=other.cluster_id, key="k")])

        assert mine.created
        assert theirs.created

    async def test_clusters_share_no_keys_of_several_clusters_in_one_call(
        self, world: World, other: World
    ) -> None:
        clusters = [world.cluster_id, other.cluster_id] * 2
        receipts = await world.master.jobs.insert([make_new_job(cluster_id=c, key="k") for c in clusters])

        assert [r.created for r in receipts] == [True, True, False, False]
        assert [r.job_id for r in receipts[2:]] == [r.job_id for r in receipts[:2]]

    async def test_clusters_share_no_assigning(self, world: World, other: World) -> None:
        bucket = await world.bucket()
        theirs = await other.put_one()

        found = await world.master.assignments.assign_due(world.cluster_id, 10, [room(bucket)])

        assert (dict(found.assigned), found.next_in) == ({}, None)
        assert await other.status(theirs) is JobStatus.HELD_ON_MASTER

    async def test_clusters_share_no_adopting(self, world: World, other: World) -> None:
        mine, theirs = await world.bucket(), await other.bucket()
        await other.parked(theirs)

        assert await world.master.assignments.adopt_parked([mine], ["TestJob"], 10) == 0
        assert await world.master.assignments.adopt_parked([mine, theirs], ["TestJob"], 10) == 1

    async def test_clusters_share_no_requests(self, world: World, other: World) -> None:
        bucket = await other.bucket()
        held, done = await other.put_one(), await other.finished(bucket)
        master = world.master

        with pytest.raises(JobNotFoundError):
            await master.requests.cancel(world.cluster_id, [held.id])
        with pytest.raises(JobNotFoundError):
            await master.requests.reschedule(world.cluster_id, held.id, 60)
        with pytest.raises(JobNotFoundError):
            await master.requests.retry(world.cluster_id, done.id)

        assert await other.status(held) is JobStatus.HELD_ON_MASTER
        assert await other.status(done) is JobStatus.SUCCEEDED

    async def test_clusters_share_no_workers_and_buckets(self, world: World, other: World) -> None:
        mine, theirs = await world.bucket(), await other.bucket()
        master = world.master

        assert [w.id for w in await master.workers.list_all(world.cluster_id)] == [mine.worker_id]
        assert [b.id for b in await master.buckets.list_all(world.cluster_id)] == [mine.id]
        assert [b.id for b in await master.buckets.list_active(world.cluster_id)] == [mine.id]
        await other.put_one(theirs)
        assert dict(await master.buckets.holdings(world.cluster_id)) == {}

    async def test_clusters_share_no_rescue(self, world: World, other: World) -> None:
        theirs = await other.bucket()
        await other.master.workers.retire(theirs.worker_id)
        rescuer = await world.worker()

        assert list(await world.master.rescue.take_lost_buckets(world.cluster_id, rescuer.id, 10)) == []
        assert [b.id for b in await other.rescue()] == [theirs.id]

    async def test_clusters_share_no_sweeping(self, world: World, other: World) -> None:
        closed = await other.bucket()
        await other.put(closed, 2)
        await other.close_bucket(closed)

        assert await world.master.rescue.sweep_orphans(world.cluster_id) == 0
        assert await other.master.rescue.sweep_orphans(other.cluster_id) == 2

    async def test_clusters_share_no_pruning(self, world: World, other: World) -> None:
        bucket = await other.bucket()
        job = await other.finished(bucket)
        await other.close_bucket(bucket)
        await other.master.workers.retire(bucket.worker_id)
        await world.tick()

        assert await world.master.jobs.prune(world.cluster_id, 0, 10) == 0
        await world.master.workers.prune(world.cluster_id, 0)

        assert await other.status(job) is JobStatus.SUCCEEDED
        assert len(await other.master.workers.list_all(other.cluster_id)) == 1
        assert len(await other.master.buckets.list_all(other.cluster_id)) == 1

    async def test_clusters_share_no_logs(self, world: World, other: World) -> None:
        line = make_log_line("x", subject="cluster", subject_id="same")
        await world.master.logs.add(other.cluster_id, [line])

        assert list(await world.master.logs.read(world.cluster_id, "cluster", "same", 10)) == []
        assert list(await world.master.logs.read(other.cluster_id, "cluster", "same", 10)) == [line]

    async def test_clusters_share_no_modes(self, world: World, other: World) -> None:
        change = ClusterChange(mode=ClusterMode.ARCHIVED, settings={"retention": 1}, pause=["lane"])
        await world.master.control.change_cluster(other.cluster_id, change)

        mine = await world.master.clusters.get(world.cluster_id)
        assert mine is not None
        assert (mine.mode, dict(mine.changes), mine.paused_lanes) == (ClusterMode.ACTIVE, {}, frozenset())

    async def test_clusters_share_no_requests_to_workers(self, world: World, other: World) -> None:
        mine, theirs = await world.worker(name="w"), await other.worker(name="w")

        assert list(await world.master.control.request_worker(world.cluster_id, "w", WorkerRequest.STOP)) == [
            mine.id
        ]

        assert (await other.stored_worker(theirs.id)).request is None
        orders = await world.master.control.read_orders(other.cluster_id, mine.process_id)
        assert orders is not None
        assert dict(orders.requests) == {}
