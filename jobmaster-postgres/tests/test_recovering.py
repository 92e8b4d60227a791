"""A server that refuses connections for longer than a lease: its cluster recovers once, and loses nothing."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

import anyio
import pytest

from jobmaster import BucketStatus, Cluster, JobContext, JobStatus, Runtime, WorkerStatus, handler
from jobmaster_testing.probes import Seen, until
from jobmaster_testing.servers import Wire

pytestmark = [pytest.mark.anyio, pytest.mark.postgres, pytest.mark.slow]

LEASE, HEARTBEAT = 4.0, 2.0


async def test_after_a_restart_each_worker_starts_anew_once_and_leaves_no_bucket_behind(
    wired: str, wire: Wire
) -> None:
    name, starts = f"Recovering-{uuid4().hex[:8]}", Seen[int]()

    @handler("Recovering.Work", max_retries=0)
    async def work(_: JobContext, number: int) -> None:
        starts.add(number)
        await anyio.sleep(0.05)  # work takes its time

    def process(worker: str) -> Cluster:
        made = Cluster.standalone(name, wired).configure(lease=LEASE, heartbeat=HEARTBEAT, stop_grace=1)
        return made.add_worker(name=worker, parallelism=1).add_handlers(work)

    async with process("A").running() as runtime, process("B").running():
        requests = [work.request(number=number) for number in range(400)]
        receipts = await runtime.scheduler.once_many(requests)
        await starts.count(20)
        wire.cut()
        await anyio.sleep(1.5 * LEASE)  # a server keeps real time
        wire.connect()
        jobs = [await runtime.jobs.wait(receipt.job_id, 30) for receipt in receipts]
        await until(lambda: is_in_order(runtime), timeout=30)
        workers = Counter(worker.name for worker in await runtime.list_workers())

    assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}
    assert workers == {"A": 2, "B": 2}, "a second outage would be of its own making"
    assert {str(attempt.outcome) for job in jobs for attempt in job.attempts} <= {"interrupted", "succeeded"}


async def is_in_order(runtime: Runtime) -> bool:
    """Whether every bucket that may get jobs has an owner that lives."""
    living = {w.id for w in await runtime.list_workers() if w.status is WorkerStatus.ACTIVE}
    left = [b for b in await runtime.list_buckets() if b.status is not BucketStatus.READY_TO_DELETE]
    return {b.worker_id for b in left} == living
