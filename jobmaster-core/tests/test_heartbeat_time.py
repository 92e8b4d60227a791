"""What heartbeats tell besides leases, in virtual time: who needs a rescue, and what is to be cancelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import anyio
import pytest
from attrs import define, field

from jobmaster import Cluster, JobContext, JobStatus, Runtime, handler
from jobmaster._flow.ownership import OwnedBucket, WorkerLease
from jobmaster._upkeep.heartbeat import Heartbeat
from jobmaster.contracts import HeartbeatReply, WorkerStore
from jobmaster.ids import new_id
from jobmaster.memory import MemoryMaster
from jobmaster_testing.clock import VirtualClock
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.faults import MASTER, Faults
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

LEASE, HEARTBEAT = 15.0, 5.0


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


# The step


@define
class Answering:
    """Takes its time when it is to look for what needs a rescue, and breaks off when it is `broken`."""

    needs_rescue: bool = False
    takes: float = 0.0
    broken: bool = False
    cancelling: frozenset[UUID] = frozenset()
    asked: list[str | None] = field(factory=list)

    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, int],  # noqa: ARG002 - as the contract has it
        lease: float,  # noqa: ARG002 - as the contract has it
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        self.asked.append(rescuing)
        if rescuing is not None:
            await anyio.sleep(self.takes)
            if self.broken:
                raise OSError
        needed = self.needs_rescue and rescuing is not None
        return HeartbeatReply(alive=frozenset(worker_ids), needs_rescue=needed, cancelling=self.cancelling)


@define
class Holder:
    """A worker with a lease and no buckets, and what it hears."""

    lease: WorkerLease
    rescues: bool = True
    lost: list[WorkerLease] = field(factory=list)
    cancels: list[UUID] = field(factory=list)

    def leases(self) -> list[WorkerLease]:
        return [self.lease]

    def owned(self, _: UUID) -> Sequence[OwnedBucket]:
        return ()

    def rescuer(self) -> UUID | None:
        return self.lease.worker_id if self.rescues else None

    def fence(self, lease: WorkerLease) -> None:
        self.lost.append(lease)

    def look_for_cancels(self, worker_id: UUID) -> None:
        self.cancels.append(worker_id)


@define
class Beating:
    """A process with one worker."""

    workers: Answering
    clock: VirtualClock
    holder: Holder
    rescues: int = 0

    def step(self) -> Heartbeat:
        return Heartbeat(
            cluster_id="Test-1",
            workers=cast("WorkerStore", self.workers),
            holders=self.holder,
            duration=LEASE,
            clock=self.clock,
            on_rescue=self.on_rescue,
        )

    def on_rescue(self) -> None:
        self.rescues += 1


@pytest.fixture
async def beating(virtual_clock: VirtualClock) -> Beating:
    return Beating(
        Answering(), virtual_clock, Holder(WorkerLease(new_id(), LEASE, virtual_clock.monotonic()))
    )


async def beat(step: Heartbeat, times: int) -> None:
    for _ in range(times):
        await step.run_once()
        await anyio.sleep(HEARTBEAT)


@pytest.mark.parametrize("retiring", [False, True])
async def test_a_worker_that_retires_between_heartbeats_was_not_declared_lost(
    virtual_clock: VirtualClock, retiring: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A heartbeat that is on its way while a worker says that it has stopped finds no lease to renew."""
    world = await make_world(MemoryMaster("retiring"))
    worker = await world.worker()
    lease = WorkerLease(worker.id, LEASE, virtual_clock.monotonic())
    holder = Holder(lease)
    step = Heartbeat(
        cluster_id=world.cluster_id,
        workers=world.master.workers,
        holders=holder,
        duration=LEASE,
        clock=virtual_clock,
        on_rescue=lambda: None,
    )
    lease.retiring = retiring
    await world.master.workers.retire(worker.id)

    await step.run_once()

    assert holder.lost == ([] if retiring else [lease])
    assert ("was declared lost" in caplog.text) == (not retiring)


async def test_a_heartbeat_tells_of_what_it_hears(beating: Beating) -> None:
    step, worker = beating.step(), new_id()
    await beat(step, 2)
    assert (beating.rescues, beating.holder.cancels) == (0, [])

    beating.workers.needs_rescue, beating.workers.cancelling = True, frozenset({worker})
    await beat(step, 2)
    assert (beating.rescues, beating.holder.cancels) == (2, [worker, worker])
    assert beating.workers.asked == ["Test-1"] * 4


async def test_who_does_not_rescue_does_not_ask(beating: Beating) -> None:
    beating.holder.rescues, beating.workers.needs_rescue, beating.workers.takes = False, True, 10.0
    await beat(beating.step(), 3)
    assert (beating.rescues, beating.workers.asked) == (0, [None] * 3)


@pytest.mark.parametrize("broken", [False, True])
async def test_after_a_look_that_took_long_or_failed_heartbeats_go_without_for_a_while(
    beating: Beating, broken: bool
) -> None:
    """Leases hang on them. Meanwhile rescuers are to ask by themselves."""
    step, workers = beating.step(), beating.workers
    workers.takes, workers.broken = (0.0, True) if broken else (2.0, False)
    if broken:
        with pytest.raises(OSError):
            await step.run_once()
    else:
        await step.run_once()
    assert beating.rescues == 0

    await beat(step, 11)
    assert (workers.asked, beating.rescues) == (["Test-1"] + [None] * 11, 11)

    workers.takes, workers.broken = 0.0, False
    await beat(step, 3)
    assert (workers.asked[-2:], beating.rescues) == (["Test-1"] * 2, 12)


# Whole processes


class Waiting:
    """A handler that waits until it is told to stop, and notes when."""

    def __init__(self) -> None:
        self.started, self.stopped = Seen[float](), Seen[float]()
        self.handler = handler("Heartbeat.Waiting", max_retries=0)(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def waiting(_: JobContext) -> None:
            self.started.add(anyio.current_time())
            try:
                await anyio.sleep_forever()
            finally:
                self.stopped.add(anyio.current_time())

        return waiting


@pytest.fixture
def made(store_url: str, virtual_clock: VirtualClock) -> Build:
    """Return what builds a cluster with default settings on one and the same store."""

    def build(*handlers: Any, faults: Faults | None = None, **settings: Any) -> Cluster:
        url = f"faulty+{store_url}"
        found = Cluster.standalone("Test-1", url, clock=virtual_clock).add_handlers(*handlers)
        return found.configure(store_options={"clock": virtual_clock}, **settings).use(faults or Faults())

    return build


async def test_a_request_to_cancel_whose_notifications_got_lost_is_found_by_the_next_heartbeat(
    made: Build,
) -> None:
    waiting = Waiting()
    async with made(waiting.handler, default_job_timeout=None).add_worker().running() as runtime:
        receipt = await runtime.scheduler.once_now(waiting.handler)
        await waiting.started.count(1)
        await anyio.sleep(60)
        asked_at = anyio.current_time()
        await runtime.master.requests.cancel(runtime.id, [receipt.job_id])
        await waiting.stopped.count(1)
        assert (await runtime.jobs.wait(receipt.job_id, 5)).status is JobStatus.CANCELLED
    assert waiting.stopped.items[0] - asked_at <= HEARTBEAT


async def test_heartbeats_that_are_rarer_than_polls_do_not_take_their_place(made: Build) -> None:
    waiting = Waiting()
    rare = made(waiting.handler, heartbeat=600, lease=3600, poll_interval=1)
    async with rare.add_worker().running() as runtime:
        receipt = await runtime.scheduler.once_now(waiting.handler)
        await waiting.started.count(1)
        asked_at = anyio.current_time()
        await runtime.master.requests.cancel(runtime.id, [receipt.job_id])
        await waiting.stopped.count(1)
    assert waiting.stopped.items[0] - asked_at <= 5


async def test_leases_are_renewed_while_a_rescue_takes_long(made: Build) -> None:
    waiting, dying, rescuing = Waiting(), Faults(), Faults()
    async with (
        made(waiting.handler, faults=dying).add_worker().running() as mortal,
        made(faults=rescuing).add_worker(name="R", mode="drain").running() as runtime,
    ):
        await mortal.scheduler.once_now(waiting.handler)
        await waiting.started.count(1)
        with rescuing.held_up(MASTER, "claims.exposed") as gate:
            dying.away.add(MASTER)
            with anyio.fail_after(LEASE + 2 * HEARTBEAT):
                await gate.reached.wait()
            before = await status(runtime, "R")
            rescuing.calls.clear()
            await anyio.sleep(4 * LEASE)
            assert len(rescuing.made(MASTER, "workers.heartbeat")) >= 4 * LEASE / HEARTBEAT - 1
            assert await status(runtime, "R") == before
        await until(lambda: is_held(runtime), timeout=HEARTBEAT)


async def status(runtime: Runtime, name: str) -> list[Any]:
    return [(worker.id, worker.status) for worker in await runtime.list_workers() if worker.name == name]


async def is_held(runtime: Runtime) -> bool:
    return await runtime.jobs.count(status=JobStatus.HELD_ON_MASTER) == 1
