"""Requirements for `ClusterStore`."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from attrs import evolve

from jobmaster.config import LONGEST_NAME
from jobmaster.contracts import HeartbeatReply, MasterRepository
from jobmaster.ids import new_id
from jobmaster.models import Load, WorkerRecord
from jobmaster.states import BucketStatus, ClusterMode, WorkerMode, WorkerRequest, WorkerStatus
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import LONG, SHORT, World
from jobmaster_testing.factories import (
    make_agent,
    make_bucket,
    make_cluster,
    make_host,
    make_new_job,
    make_worker,
)


class ClusterContract(MasterTests, suite=True):
    """Clusters and workers."""

    async def test_an_unknown_cluster_is_none(self, world: World) -> None:
        assert await world.master.clusters.get(f"{world.cluster_id}-other") is None

    async def test_a_cluster_comes_back_as_it_was_registered(
        self, master: MasterRepository, world: World
    ) -> None:
        name = f"{world.cluster_id} · 2"
        settings = {
            "time_zone": "Europe/Paris",
            "max_retries": 3,
            "ratio": 0.5,
            "nested": {"on": [True, None]},
        }
        cluster = make_cluster(name, ClusterMode.PASSIVE, **settings)

        stored = await master.clusters.register(cluster)

        assert stored.created_at is not None
        assert stored == evolve(cluster, created_at=stored.created_at)
        assert await master.clusters.get(name) == stored

    async def test_registering_again_updates_settings_but_not_the_mode(self, world: World) -> None:
        first = await world.master.clusters.get(world.cluster_id)
        assert first is not None

        again = make_cluster(world.cluster_id, ClusterMode.ARCHIVED, max_retries=9)
        stored = await world.master.clusters.register(again)

        assert stored == evolve(again, mode=ClusterMode.ACTIVE, created_at=first.created_at)
        assert await world.master.clusters.get(world.cluster_id) == stored

    async def test_a_worker_comes_back_with_its_lease(self, world: World) -> None:
        before = await world.master.now()
        worker = await world.worker(
            name="Päckchen",
            lane="Payroll",
            mode=WorkerMode.COORDINATOR,
            agent="Nats-1",
            version="1.2",
            lease=30,
        )
        after = await world.master.now()

        stored = await world.stored_worker(worker.id)

        assert stored == _with_times_of(worker, stored)
        assert stored.started_at is not None
        assert before <= stored.started_at <= after
        assert stored.lease_until is not None
        assert before <= stored.lease_until - timedelta(seconds=30) <= after

    async def test_the_longest_names_come_back_whole(self, world: World) -> None:
        cluster_id, agent, lane, name = (f"{kind}{new_id().hex}".ljust(LONGEST_NAME, "x") for kind in "calw")
        host = f"{name}-and-more"  # as its operating system names it
        master = world.master
        await master.clusters.register(make_cluster(cluster_id))
        await master.members.register_agents([make_agent(agent, cluster_id)])
        await master.members.register_host(make_host(host, cluster_id))
        worker = make_worker(cluster_id=cluster_id, name=name, agent=agent, lane=lane, host=host)
        bucket = make_bucket(worker)
        await master.workers.register(worker, [bucket], LONG)
        new = make_new_job(bucket, definition_id="d" * 200, key="k" * 200)
        await master.jobs.insert([new])

        [stored] = await master.workers.list_all(cluster_id)
        assert stored == _with_times_of(worker, stored)
        assert [found.name for found in await master.members.list_agents(cluster_id)] == [agent]
        assert [found.name for found in await master.members.list_hosts(cluster_id)] == [host]
        assert [(found.lane, found.agent) for found in await master.buckets.list_active(cluster_id)] == [
            (lane, agent)
        ]
        record = await master.jobs.get(cluster_id, new.job.id)
        assert record is not None
        assert record.job == new.job
        assert list(await master.control.request_worker(cluster_id, name, WorkerRequest.STOP)) == [worker.id]

    async def test_registering_a_worker_again_changes_nothing(self, world: World) -> None:
        worker = make_worker(cluster_id=world.cluster_id)
        bucket = make_bucket(worker)
        await world.master.workers.register(worker, [bucket], LONG)
        first = await world.stored_bucket(bucket)

        await world.master.workers.register(worker, [bucket], LONG)

        assert [w.id for w in await world.master.workers.list_all(world.cluster_id)] == [worker.id]
        assert list(await world.master.buckets.list_all(world.cluster_id)) == [first]

    async def test_registering_a_lost_worker_again_does_not_bring_it_back(self, world: World) -> None:
        worker = make_worker(cluster_id=world.cluster_id)
        bucket = make_bucket(worker)
        await world.master.workers.register(worker, [bucket], SHORT)
        [taken] = await world.rescue()

        await world.master.workers.register(worker, [bucket], LONG)

        stored = await world.stored_bucket(bucket)
        assert (stored.epoch, stored.worker_id, stored.status) == (
            taken.epoch,
            taken.worker_id,
            BucketStatus.DRAINING,
        )
        assert (await world.stored_worker(worker.id)).status is WorkerStatus.LOST

    async def test_workers_are_listed_newest_first(self, world: World) -> None:
        created = []
        for number in range(3):
            created.append((await world.worker(name=f"Worker-{number}")).id)
            await world.tick()

        assert [w.id for w in await world.master.workers.list_all(world.cluster_id)] == created[::-1]

    async def test_a_heartbeat_renews_leases_and_notes_loads(self, world: World) -> None:
        worker = make_worker(cluster_id=world.cluster_id)
        bucket = make_bucket(worker)
        await world.master.workers.register(worker, [bucket], 5)
        await world.tick()
        before = await world.master.now()

        reply = await world.master.workers.heartbeat(
            [worker.id],
            {bucket.id: Load(in_flight=7, running=5, free=1, offered=9), new_id(): Load(in_flight=9)},
            LONG,
        )

        stored = await world.stored_worker(worker.id)
        assert reply == HeartbeatReply(alive=frozenset({worker.id}))
        assert stored.heartbeat_at is not None
        assert stored.heartbeat_at >= before
        assert stored.lease_until is not None
        assert stored.lease_until >= before + timedelta(seconds=LONG)
        told = await world.stored_bucket(bucket)
        assert (told.load, told.running, told.free, told.offered) == (7, 5, 1, 9)

    async def test_a_heartbeat_answers_for_each_worker(self, world: World) -> None:
        alive = await world.worker()
        stopping = await world.worker()
        await world.master.workers.set_stopping(stopping.id)
        stopped = await world.worker()
        await world.master.workers.retire(stopped.id)
        lost = await _lost_worker(world)
        unknown = make_worker().id

        asked = [alive.id, stopping.id, stopped.id, lost, unknown]
        answer = await world.master.workers.heartbeat(asked, {}, LONG)

        assert answer == HeartbeatReply(alive=frozenset({alive.id, stopping.id}))
        assert await world.master.workers.heartbeat([], {}, LONG) == HeartbeatReply()

    async def test_a_lost_worker_is_not_renewed(self, world: World) -> None:
        worker = await _lost_worker(world)
        before = await world.stored_worker(worker)

        assert await world.master.workers.heartbeat([worker], {}, LONG, world.cluster_id) == HeartbeatReply()

        assert await world.stored_worker(worker) == before
        assert before.status is WorkerStatus.LOST

    async def test_a_lost_worker_does_not_note_loads(self, world: World) -> None:
        bucket = await world.bucket(lease=SHORT)
        await world.rescue()

        await world.master.workers.heartbeat([bucket.worker_id], {bucket.id: Load(in_flight=99)}, LONG)

        assert (await world.stored_bucket(bucket)).load == 0

    async def test_a_stopping_worker_completes_its_active_buckets(self, world: World) -> None:
        active, given_up = await world.buckets(2)
        other = await world.bucket()
        await world.close_bucket(given_up)

        await world.master.workers.set_stopping(active.worker_id)

        found = {b.id: b.status for b in await world.master.buckets.list_all(world.cluster_id)}
        assert found == {
            active.id: BucketStatus.COMPLETING,
            given_up.id: BucketStatus.READY_TO_DELETE,
            other.id: BucketStatus.ACTIVE,
        }
        assert (await world.stored_worker(active.worker_id)).status is WorkerStatus.STOPPING

    async def test_a_worker_that_stopped_by_itself_is_stopped(self, world: World) -> None:
        worker = await world.worker()
        await world.master.workers.set_stopping(worker.id)

        await world.master.workers.retire(worker.id)

        assert (await world.stored_worker(worker.id)).status is WorkerStatus.STOPPED

    async def test_a_lost_worker_stays_lost_when_it_says_goodbye(self, world: World) -> None:
        worker = await _lost_worker(world)

        await world.master.workers.set_stopping(worker)
        await world.master.workers.retire(worker)

        assert (await world.stored_worker(worker)).status is WorkerStatus.LOST

    async def test_pruning_deletes_old_stopped_and_lost_workers(self, world: World) -> None:
        running = await world.worker()
        stopped = await world.worker()
        await world.master.workers.retire(stopped.id)
        await _lost_worker(world)
        rescuers = {
            w.id for w in await world.master.workers.list_all(world.cluster_id) if w.name == "Rescuer"
        }
        await world.tick()

        assert await world.master.workers.prune(world.cluster_id, 3600) == 0
        assert len(await world.master.workers.list_all(world.cluster_id)) == 4
        assert await world.master.workers.prune(world.cluster_id, 0) > 0

        left = {w.id for w in await world.master.workers.list_all(world.cluster_id)}
        assert left == {running.id} | rescuers

    async def test_pruning_deletes_old_buckets_that_nobody_needs(self, world: World) -> None:
        done, active = await world.buckets(2)
        await world.close_bucket(done)
        await world.tick()

        await world.master.workers.prune(world.cluster_id, 3600)
        assert len(await world.master.buckets.list_all(world.cluster_id)) == 2
        await world.master.workers.prune(world.cluster_id, 0)

        assert [b.id for b in await world.master.buckets.list_all(world.cluster_id)] == [active.id]

    async def test_pruning_leaves_buckets_to_be_rescued(self, world: World) -> None:
        bucket = await world.bucket()
        await world.put(bucket, 2)
        await world.master.workers.retire(bucket.worker_id)
        await world.tick()

        await world.master.workers.prune(world.cluster_id, 0)

        assert [b.id for b in await world.rescue()] == [bucket.id]


async def _lost_worker(world: World) -> UUID:
    """Return a worker that was declared lost, and whose bucket was taken over and closed."""
    bucket = await world.bucket(lease=SHORT)
    [taken] = await world.rescue()
    await world.close_bucket(taken)
    return bucket.worker_id


def _with_times_of(worker: WorkerRecord, stored: WorkerRecord) -> WorkerRecord:
    return evolve(
        worker,
        started_at=stored.started_at,
        heartbeat_at=stored.heartbeat_at,
        lease_until=stored.lease_until,
    )
