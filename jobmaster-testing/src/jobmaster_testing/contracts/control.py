"""Requirements for `ControlStore`."""
# ruff: noqa: D102, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from typing import Any
from uuid import UUID

import anyio
import pytest
from attrs import evolve

from jobmaster.contracts import ClusterChange, MasterRepository, Orders
from jobmaster.ids import new_id
from jobmaster.models import ClusterRecord, WorkerRecord
from jobmaster.states import ClusterMode, WorkerRequest, WorkerStatus
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import LONG, SHORT, World
from jobmaster_testing.factories import make_bucket, make_cluster, make_worker
from jobmaster_testing.probes import until


class ControlContract(MasterTests, suite=True):
    """Changing a running cluster, and asking its workers to leave."""

    # The cluster

    async def test_a_change_touches_what_it_names(self, world: World) -> None:
        before = await world.master.clusters.register(make_cluster(world.cluster_id, retention=9.5))
        steps: list[tuple[ClusterChange, dict[str, Any]]] = [
            (ClusterChange(mode=ClusterMode.PASSIVE), {"mode": ClusterMode.PASSIVE}),
            (ClusterChange(settings={"time_zone": None, "ratio": 0.5}), {"changes": _CHANGES}),
            (ClusterChange(pause=["a", "b"]), {"paused_lanes": frozenset("ab")}),
            (ClusterChange(settings={"ratio": 2}), {"changes": {**_CHANGES, "ratio": 2}}),
            (ClusterChange(reset=["ratio", "unknown"]), {"changes": {"time_zone": None}}),
            (ClusterChange(resume=["a", "unknown"]), {"paused_lanes": frozenset("b")}),
            (ClusterChange(), {}),
        ]
        for change, after in steps:
            expected = evolve(before, **after)
            before = await _changed(world, change)
            assert before == expected
            assert await world.master.clusters.get(world.cluster_id) == expected

    async def test_an_unknown_cluster_cannot_be_changed(self, world: World) -> None:
        change = ClusterChange(mode=ClusterMode.PASSIVE)

        assert await world.master.control.change_cluster(f"{world.cluster_id}-other", change) is None

    async def test_registering_again_leaves_changes_alone(self, world: World) -> None:
        change = ClusterChange(mode=ClusterMode.PASSIVE, settings={"retention": 1}, pause=["lane"])
        changed = await _changed(world, change)

        again = make_cluster(world.cluster_id, ClusterMode.ACTIVE, retention=2)
        assert await world.master.clusters.register(again) == evolve(changed, settings={"retention": 2})

    async def test_changes_at_the_same_time_do_not_undo_one_another(
        self, world: World, peer: MasterRepository
    ) -> None:
        changes = [ClusterChange(pause=[f"lane-{n}"]) for n in range(10)]
        changes += [ClusterChange(settings={f"setting-{n}": n}) for n in range(10)]
        changes.append(ClusterChange(mode=ClusterMode.MIGRATING))

        async with anyio.create_task_group() as group:
            for number, change in enumerate(changes):
                master = (world.master, peer)[number % 2]
                group.start_soon(master.control.change_cluster, world.cluster_id, change)

        stored = await world.master.clusters.get(world.cluster_id)
        assert stored is not None
        assert stored.mode is ClusterMode.MIGRATING
        assert stored.paused_lanes == {f"lane-{n}" for n in range(10)}
        assert dict(stored.changes) == {f"setting-{n}": n for n in range(10)}

    # Workers

    async def test_a_request_is_shown_on_the_workers_of_that_name_that_run(self, world: World) -> None:
        active, stopping, stopped, other = [
            await world.worker(name=name) for name in ("w", "w", "w", "other")
        ]
        await world.master.workers.set_stopping(stopping.id)
        await world.master.workers.retire(stopped.id)

        asked = await world.master.control.request_worker(world.cluster_id, "w", WorkerRequest.DRAIN)

        assert set(asked) == {active.id, stopping.id}
        requests = {w.id: w.request for w in await world.master.workers.list_all(world.cluster_id)}
        assert requests == {
            active.id: WorkerRequest.DRAIN,
            stopping.id: WorkerRequest.DRAIN,
            stopped.id: None,
            other.id: None,
        }

    @pytest.mark.parametrize("request_", list(WorkerRequest), ids=str)
    async def test_a_lost_worker_is_asked_and_its_process_hears_of_it_when_it_is_back(
        self, world: World, request_: WorkerRequest
    ) -> None:
        lost = await _lost(world, "w")

        assert list(await world.master.control.request_worker(world.cluster_id, "w", request_)) == [lost.id]

        assert (await world.stored_worker(lost.id)).request is request_
        assert await _asked(world, lost.process_id) == {"w": request_}
        await world.worker(name="w", process_id=lost.process_id)
        assert await _asked(world, lost.process_id) == {"w": request_}

    async def test_a_process_that_is_started_after_a_request_hears_nothing_of_it(self, world: World) -> None:
        await _lost(world, "w")
        await world.master.control.request_worker(world.cluster_id, "w", WorkerRequest.STOP)

        later = await world.worker(name="w")

        assert await _asked(world, later.process_id) == {}
        assert (await world.stored_worker(later.id)).request is None

    async def test_lost_workers_are_not_named_beside_one_that_runs(self, world: World) -> None:
        """Lost workers are asked too: among workers of the same name, it is unknown which one is meant."""
        lost, running = await _lost(world, "w"), await world.worker(name="w")

        asked = await world.master.control.request_worker(world.cluster_id, "w", WorkerRequest.STOP)

        assert list(asked) == [running.id]
        assert (await world.stored_worker(lost.id)).request is WorkerRequest.STOP

    async def test_a_request_that_a_lost_worker_has_not_heard_is_kept(self, world: World) -> None:
        lost, other = await _lost(world, "w"), await _lost(world, "other")
        await world.master.control.request_worker(world.cluster_id, "w", WorkerRequest.STOP)
        await world.tick()

        await world.master.workers.prune(world.cluster_id, 0)

        ids = {worker.id for worker in await world.master.workers.list_all(world.cluster_id)}
        assert lost.id in ids
        assert other.id not in ids

    async def test_nobody_of_that_name_is_asked(self, world: World) -> None:
        assert (
            list(await world.master.control.request_worker(world.cluster_id, "w", WorkerRequest.STOP)) == []
        )

    async def test_a_stop_stays_a_stop(self, world: World) -> None:
        worker = await world.worker(name="w")
        for request, result in (
            (WorkerRequest.DRAIN, WorkerRequest.DRAIN),
            (WorkerRequest.STOP, WorkerRequest.STOP),
            (WorkerRequest.DRAIN, WorkerRequest.STOP),
        ):
            assert list(await world.master.control.request_worker(world.cluster_id, "w", request)) == [
                worker.id
            ]
            assert (await world.stored_worker(worker.id)).request is result

    async def test_a_heartbeat_leaves_a_request_alone(self, world: World) -> None:
        worker = await world.worker(name="w")
        await world.master.control.request_worker(world.cluster_id, "w", WorkerRequest.STOP)

        assert (await world.master.workers.heartbeat([worker.id], {}, LONG)).alive == {worker.id}

        stored = await world.stored_worker(worker.id)
        assert (stored.status, stored.request) == (WorkerStatus.ACTIVE, WorkerRequest.STOP)

    # Orders

    async def test_orders_are_the_cluster_and_the_requests_to_a_process(self, world: World) -> None:
        process = new_id()
        for name in ("first", "second", "third"):
            await world.worker(name=name, process_id=process)
        await world.worker(name="elsewhere")
        cluster = await _changed(world, ClusterChange(mode=ClusterMode.PASSIVE, settings={"retention": 1}))
        for name, request in (
            ("second", WorkerRequest.STOP),
            ("third", WorkerRequest.DRAIN),
            ("elsewhere", WorkerRequest.STOP),
        ):
            await world.master.control.request_worker(world.cluster_id, name, request)

        orders = await world.master.control.read_orders(world.cluster_id, process)

        requests = {"second": WorkerRequest.STOP, "third": WorkerRequest.DRAIN}
        assert orders == Orders(cluster=cluster, requests=requests)

    async def test_a_process_without_workers_has_orders(self, world: World) -> None:
        cluster = await world.master.clusters.get(world.cluster_id)
        assert cluster is not None

        assert await world.master.control.read_orders(world.cluster_id, new_id()) == Orders(cluster=cluster)
        assert await world.master.control.read_orders(f"{world.cluster_id}-other", new_id()) is None

    async def test_a_worker_that_registers_anew_finds_what_it_was_asked_before(self, world: World) -> None:
        worker = make_worker(cluster_id=world.cluster_id, name="w")
        await world.master.workers.register(worker, [], SHORT)
        await world.master.control.request_worker(world.cluster_id, "w", WorkerRequest.STOP)
        await world.master.workers.retire(worker.id)
        await world.worker(name="w", process_id=worker.process_id)
        await world.master.control.request_worker(world.cluster_id, "w", WorkerRequest.DRAIN)

        orders = await world.master.control.read_orders(world.cluster_id, worker.process_id)

        assert orders is not None
        assert dict(orders.requests) == {"w": WorkerRequest.STOP}


async def _lost(world: World, name: str) -> WorkerRecord:
    """Return a worker that was declared lost, and whose buckets are gone."""
    rescuer = await world.worker(name="Rescuer")
    worker = make_worker(cluster_id=world.cluster_id, name=name)
    await world.master.workers.register(worker, [make_bucket(worker)], SHORT)

    async def take() -> bool:
        taken = await world.master.rescue.take_lost_buckets(world.cluster_id, rescuer.id, 10)
        for bucket in taken:
            await world.close_bucket(bucket)
        return bool(taken)

    await until(take, what="the lease to run out")
    return worker


async def _asked(world: World, process_id: UUID) -> dict[str, WorkerRequest]:
    orders = await world.master.control.read_orders(world.cluster_id, process_id)
    assert orders is not None
    return dict(orders.requests)


_CHANGES = {"time_zone": None, "ratio": 0.5}


async def _changed(world: World, change: ClusterChange) -> ClusterRecord:
    changed = await world.master.control.change_cluster(world.cluster_id, change)
    assert changed is not None
    return changed
