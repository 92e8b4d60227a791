"""The master was away for longer than a lease: what its workers do when it is back, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster import BucketStatus, Cluster, JobContext, JobStatus, Runtime, WorkerStatus, handler
from jobmaster.errors import StoreError
from jobmaster.states import WorkerRequest
from jobmaster_testing.clock import VirtualClock
from jobmaster_testing.faults import MASTER, Fault, Faults
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

LEASE, HEARTBEAT = 15.0, 5.0
Build = Callable[..., Cluster]


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def made(store_url: str, virtual_clock: VirtualClock, faults: Faults) -> Build:
    """Return what builds a process of one standalone cluster with default settings."""

    def build(*handlers: Any, **settings: Any) -> Cluster:
        found = Cluster.standalone("Test-1", f"faulty+{store_url}", clock=virtual_clock)
        return (
            found.configure(store_options={"clock": virtual_clock}, **settings)
            .add_handlers(*handlers)
            .use(faults)
        )

    return build


class Working:
    """A handler that takes as long as its job says, and notes its starts and its ends."""

    def __init__(self) -> None:
        self.starts, self.ends = Seen[UUID](), Seen[UUID]()
        self.handler = handler("Recovering.Working", max_retries=0)(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def working(job: JobContext) -> None:
            self.starts.add(job.id)
            await anyio.sleep(job.data.get("seconds", 0.0))
            self.ends.add(job.id)

        return working


@pytest.fixture
def working() -> Working:
    return Working()


@contextmanager
def away(faults: Faults) -> Iterator[None]:
    faults.away.add(MASTER)
    try:
        yield
    finally:
        faults.away.clear()


async def no_bucket_is_without_a_reader(runtime: Runtime) -> bool:
    """Whether every bucket that may get jobs has an owner that lives."""
    living = {w.id for w in await runtime.list_workers() if w.status is WorkerStatus.ACTIVE}
    left = [b for b in await runtime.list_buckets() if b.status is not BucketStatus.READY_TO_DELETE]
    return {b.worker_id for b in left} == living


@pytest.mark.parametrize("seconds", [LEASE, 10 * LEASE])
async def test_after_an_outage_all_is_run_within_a_lease_and_a_heartbeat_and_workers_start_anew_once(
    made: Build, working: Working, faults: Faults, seconds: float
) -> None:
    async with (
        made(working.handler).add_worker(name="A").running() as runtime,
        made(working.handler).add_worker(name="B").running(),
    ):
        slow = [await runtime.scheduler.once_now(working.handler, {"seconds": 1.0}) for _ in range(60)]
        await working.starts.count(20)
        with away(faults):
            await anyio.sleep(seconds)
        with anyio.fail_after(LEASE + HEARTBEAT):
            await until(lambda: accepts(runtime, working), timeout=LEASE)
            new = [await runtime.scheduler.once_now(working.handler) for _ in range(50)]
            for receipt in [*slow, *new]:
                job = await runtime.jobs.wait(receipt.job_id, 60)
                assert {str(attempt.outcome) for attempt in job.attempts} <= {"interrupted", "succeeded"}
                assert job.status is JobStatus.SUCCEEDED
        await until(lambda: no_bucket_is_without_a_reader(runtime), timeout=LEASE)
        await anyio.sleep(4 * LEASE)
        assert sorted(w.name for w in await runtime.list_workers()) == ["A", "A", "B", "B"]


async def accepts(runtime: Runtime, working: Working) -> bool:
    try:
        await runtime.scheduler.once_now(working.handler)
    except StoreError:
        return False
    return True


async def test_a_try_to_register_that_was_refused_is_none_of_a_lease(
    made: Build, working: Working, faults: Faults
) -> None:
    """Nobody heard it. A lease that counted from there would be over before it began."""
    async with made(working.handler).add_worker(name="A").running() as runtime:
        with away(faults):
            await anyio.sleep(2 * LEASE)
            faults.add(Fault("workers.heartbeat", count=2))
        await until(lambda: has_workers(runtime, 2), timeout=HEARTBEAT)
        [running] = runtime._supervisor.workers
        await running.ready.wait()
        assert running.lease is not None
        assert running.lease.safe_until - anyio.current_time() > 0.8 * LEASE - 2 * HEARTBEAT / 5
        await anyio.sleep(2 * LEASE)
        assert len(await runtime.list_workers()) == 2


async def has_gone(runtime: Runtime) -> bool:
    """Whether the last life is the only one that is there."""
    _, *former = await runtime.list_workers()
    return bool(former) and {w.status for w in former} == {WorkerStatus.STOPPED}


async def has_workers(runtime: Runtime, count: int) -> bool:
    return len(await runtime.list_workers()) == count


async def test_a_lease_is_renewed_right_after_registering(
    made: Build, working: Working, faults: Faults
) -> None:
    """It may count from a try that was long ago, since that may have been heard."""
    faults.add(Fault("workers.register", "after", count=1))
    async with made(working.handler).add_worker(name="A").running() as runtime:
        await runtime.workers_ready()
        await until(lambda: bool(faults.made(MASTER, "workers.heartbeat")), timeout=0.1)


async def test_what_ended_while_the_master_was_away_is_on_record_when_it_is_back(
    made: Build, working: Working, faults: Faults
) -> None:
    """However long that took. No other life of its worker, and no rescue, has to guess what became of it."""
    lonely = made(working.handler, default_job_timeout=None).add_worker(name="A", mode="execution")
    async with lonely.running() as runtime:
        done = await runtime.scheduler.once_now(working.handler, {"seconds": 2.0})
        stopped = await runtime.scheduler.once_now(working.handler, {"seconds": 10 * LEASE})
        await working.starts.count(2)
        others = [
            await runtime.scheduler.once_now(working.handler, {"seconds": 10 * LEASE}) for _ in range(40)
        ]
        with away(faults):
            await anyio.sleep(4 * LEASE)
        with anyio.fail_after(HEARTBEAT):
            job = await runtime.jobs.wait(done.job_id, LEASE)
            await until(lambda: no_bucket_is_without_a_reader(runtime), timeout=HEARTBEAT)
        other = await runtime.jobs.get(stopped.job_id)
        assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)
        assert [str(attempt.outcome) for attempt in other.attempts] == ["interrupted"]
        waited = [r.job_id for r in others if r.job_id not in working.starts.items]
        assert waited
        assert [list((await runtime.jobs.get(job_id)).attempts) for job_id in waited] == [[]] * len(waited)


@pytest.mark.usefixtures("bound_early")
async def test_jobs_that_lay_in_a_former_lifes_buckets_are_run_at_once(made: Build, working: Working) -> None:
    """Nobody has to wait until that life's lease has run out: its process knows that it is over."""
    async with made(working.handler).add_worker(name="A").running() as runtime:
        later = [await runtime.scheduler.once_after(working.handler, 20) for _ in range(20)]
        [life] = [running.current for running in runtime._supervisor.workers]
        assert life is not None
        life.fence("of a test")
        asked_at = anyio.current_time()
        await until(lambda: no_bucket_is_without_a_reader(runtime), timeout=HEARTBEAT)
        assert anyio.current_time() - asked_at < 0.2 * LEASE
        for receipt in later:
            job = await runtime.jobs.wait(receipt.job_id, 2 * LEASE)
            assert [str(attempt.outcome) for attempt in job.attempts] == ["succeeded"]
        statuses = {worker.status for worker in await runtime.list_workers()}
        assert statuses == {WorkerStatus.ACTIVE, WorkerStatus.STOPPED}


async def test_a_registration_nobody_answered_leaves_no_bucket_behind(
    made: Build, working: Working, faults: Faults
) -> None:
    faults.add(Fault("workers.register", "after", count=12))
    """Nor does it need a rescue, of which this worker does none."""
    process = made(working.handler, lease=2.0, heartbeat=0.5).add_worker(name="A", mode="execution")
    async with process.running() as runtime:
        await runtime.workers_ready()
        await until(lambda: has_gone(runtime), timeout=2)
        assert await no_bucket_is_without_a_reader(runtime)


async def test_a_former_life_that_cannot_write_does_not_keep_its_worker_from_ending(
    made: Build, working: Working, faults: Faults
) -> None:
    async with made(working.handler).add_worker(name="A").running() as runtime:
        await runtime.scheduler.once_now(working.handler, {"seconds": LEASE})
        await working.starts.count(1)
        faults.add(Fault("outcomes.report", count=1_000_000))
        [running] = runtime._supervisor.workers
        assert running.current is not None
        running.current.fence("of a test")
        await until(lambda: has_workers(runtime, 2), timeout=HEARTBEAT)
        await anyio.sleep(LEASE)
        running.follow(WorkerRequest.STOP)
        with anyio.fail_after(LEASE):
            await running.stopped.wait()


async def test_a_worker_that_is_asked_to_stop_does_not_wait_for_ever_for_a_master_that_is_away(
    made: Build, working: Working, faults: Faults
) -> None:
    async with made(working.handler).add_worker(name="A").running() as runtime:
        await runtime.scheduler.once_now(working.handler, {"seconds": 10 * LEASE})
        await working.starts.count(1)
        faults.away.add(MASTER)
        await anyio.sleep(2 * LEASE)
        began = anyio.current_time()
    assert anyio.current_time() - began < 2 * LEASE


# What was asked of a worker while its lease was over


def elsewhere(store_url: str, clock: VirtualClock, name: str, *handlers: Any) -> Cluster:
    """Return a process of the same cluster, which reaches the master while `made` ones cannot."""
    found = Cluster.standalone("Test-1", store_url, clock=clock).configure(store_options={"clock": clock})
    return found.add_handlers(*handlers).add_worker(name=name)


async def is_lost(runtime: Runtime, name: str) -> bool:
    found = [worker.status for worker in await runtime.list_workers() if worker.name == name]
    return found == [WorkerStatus.LOST]


@pytest.mark.parametrize("ask", [Runtime.stop_worker, Runtime.drain_worker])
async def test_a_request_to_a_worker_whose_lease_is_over_takes_effect_when_it_is_back(
    made: Build, working: Working, faults: Faults, store_url: str, virtual_clock: VirtualClock, ask: Any
) -> None:
    async with (
        made(working.handler).add_worker(name="A").running() as runtime,
        elsewhere(store_url, virtual_clock, "B", working.handler).running() as other,
    ):
        job = await runtime.scheduler.once_now(working.handler, {"seconds": 2 * LEASE})
        await working.starts.count(1)
        with away(faults):
            await until(lambda: is_lost(other, "A"), timeout=2 * LEASE)
            assert await ask(other, "A") == 1
            await anyio.sleep(LEASE)

        with anyio.fail_after(HEARTBEAT):
            await runtime.workers_stopped()
        assert await is_lost(other, "A"), "it never lived again"

        async with made(working.handler).add_worker(name="A").running():
            await anyio.sleep(10 * LEASE)
            statuses = [worker.status for worker in await other.list_workers() if worker.name == "A"]
            assert statuses == [WorkerStatus.ACTIVE, WorkerStatus.LOST]
        assert (await other.jobs.wait(job.job_id, 10)).status is JobStatus.SUCCEEDED


async def test_what_a_cluster_became_meanwhile_counts_before_a_worker_lives_again(
    made: Build, working: Working, faults: Faults, store_url: str, virtual_clock: VirtualClock
) -> None:
    """Notifications of that may have been missed, and the next look may be half a minute away."""
    async with (
        made(working.handler).add_worker(name="A").running() as runtime,
        elsewhere(store_url, virtual_clock, "B", working.handler).running() as other,
    ):
        with away(faults):
            await until(lambda: is_lost(other, "A"), timeout=2 * LEASE)
            await other.set_mode("passive")
            job = await other.scheduler.once_now(working.handler)
        await until(lambda: has_two_lives(runtime), timeout=HEARTBEAT)

        newest = next(w for w in await other.list_workers() if w.name == "A")
        assert newest.id not in {bucket.worker_id for bucket in await other.list_buckets()}
        assert runtime.mode == "passive"
        assert not working.starts.items
        assert (await other.jobs.get(job.job_id)).status is JobStatus.HELD_ON_MASTER


async def has_two_lives(runtime: Runtime) -> bool:
    lives = [worker.status for worker in await runtime.list_workers() if worker.name == "A"]
    return lives == [WorkerStatus.ACTIVE, WorkerStatus.LOST]


@pytest.mark.parametrize("waits", [0, 2 * LEASE])
async def test_a_job_that_is_cancelled_while_the_lease_of_who_runs_it_is_over_does_not_run_again(
    made: Build, working: Working, faults: Faults, store_url: str, virtual_clock: VirtualClock, waits: float
) -> None:
    async with (
        made(working.handler).add_worker(name="A").running() as runtime,
        elsewhere(store_url, virtual_clock, "B").running() as other,
    ):
        job = await runtime.scheduler.once_now(working.handler, {"seconds": 3 * LEASE})
        await working.starts.count(1)
        with away(faults):
            await anyio.sleep(waits)
            await other.scheduler.cancel(job.job_id)
            await until(lambda: is_lost(other, "A"), timeout=2 * LEASE)
        assert (await other.jobs.wait(job.job_id, LEASE)).status is JobStatus.CANCELLED
        await anyio.sleep(4 * LEASE)
        assert len(working.starts.items) == 1
