"""A worker whose registration is not answered: what it then owns, the master says it owns."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from jobmaster import Cluster, StoreUnavailableError, hookimpl
from jobmaster.contracts import MasterRepository, WorkerStore
from jobmaster.memory import MemoryMaster
from jobmaster.models import Bucket, WorkerRecord
from jobmaster.states import WorkerStatus
from jobmaster_testing import VirtualClock
from jobmaster_testing.faults import MASTER, Faults, Gate
from jobmaster_testing.wrapping import Passing, with_stores

pytestmark = pytest.mark.anyio

CLUSTER = "Test-1"
LEASE = 2.0


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


class Unheard(Passing[WorkerStore]):
    """Registrations whose answers get lost until a moment; only the first of them is heard at all."""

    def __init__(self, until: float) -> None:
        self.clock, self.until = VirtualClock(), until
        self.master = MemoryMaster("", self.clock)
        self.asked: list[UUID] = []
        super().__init__(self.master.workers)

    async def register(self, worker: WorkerRecord, buckets: Sequence[Bucket], lease: float) -> None:
        self.asked.append(worker.id)
        if len(self.asked) == 1 or self.clock.monotonic() >= self.until:
            await self.inner.register(worker, buckets, lease)
        if self.clock.monotonic() < self.until:
            raise StoreUnavailableError("the answer got lost")

    @hookimpl
    def jobmaster_schemes(self) -> dict[str, str]:
        return {"unheard": "for tests"}

    @hookimpl
    def jobmaster_master(self, url: str) -> MasterRepository | None:
        return with_stores(self.master, workers=self) if url.startswith("unheard://") else None


def served_by(unheard: Unheard) -> Cluster:
    cluster = Cluster(CLUSTER, "unheard://", clock=unheard.clock).use(unheard)
    return cluster.configure(lease=LEASE, heartbeat=LEASE / 4).add_worker(name="Worker-01", parallelism=0.2)


async def test_a_life_that_may_be_over_is_not_registered_again() -> None:
    unheard = Unheard(until=2 * LEASE)
    async with served_by(unheard).running() as runtime:
        await unheard.master.rescue.take_lost_buckets(CLUSTER, UUID(int=1), 100)
        [worker] = [w for w in await runtime.list_workers() if w.status is WorkerStatus.ACTIVE]

        assert worker.id == unheard.asked[-1] != unheard.asked[0]
        assert {b.worker_id for b in await unheard.master.buckets.list_active(CLUSTER)} == {worker.id}


async def test_the_lease_counts_from_the_first_try() -> None:
    """The master counts from the first call that it hears, whichever it answers."""
    unheard = Unheard(until=LEASE / 4)
    async with served_by(unheard).running() as runtime:
        with anyio.fail_after(LEASE):
            await runtime.workers_ready()
        [worker] = await runtime.list_workers()
        [running] = runtime._supervisor.workers

        assert len(set(unheard.asked)) == 1 < len(unheard.asked)
        assert running.lease is not None
        assert worker.lease_until is not None
        left = (worker.lease_until - await unheard.master.now()).total_seconds()
        assert running.lease.safe_until - unheard.clock.monotonic() < left


async def test_who_stops_while_a_new_life_is_being_registered_leaves_nothing_behind() -> None:
    """Its buckets would be active until its lease had run out, though nobody looks after them."""
    clock, faults, store = VirtualClock(), Faults(), f"stopping-{uuid4().hex}"
    cluster = Cluster(CLUSTER, f"faulty+memory://{store}", clock=clock).use(faults)
    cluster.configure(store_options={"clock": clock}).add_worker(name="Worker-01", lane="Resting")
    with ExitStack() as stack:
        async with anyio.create_task_group() as group, cluster.running() as runtime:
            gate = stack.enter_context(faults.held_up(MASTER, "workers.register"))
            await runtime.pause_lane("Resting")  # ends the life with buckets, and begins one without
            await gate.reached.wait()
            group.start_soon(_open_in_a_second, gate)

    workers = await MemoryMaster(store, clock).workers.list_all(CLUSTER)
    assert [worker.status for worker in workers] == [WorkerStatus.STOPPED] * 2


async def _open_in_a_second(gate: Gate) -> None:
    await anyio.sleep(1)
    gate.opened.set()
