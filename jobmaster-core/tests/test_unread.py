"""Jobs that their owner leaves unread are somebody else's before its lease runs out, whatever those do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster import Cluster, JobContext, handler
from jobmaster._upkeep.unread import TAKEN_AT_ONCE
from jobmaster.memory import MemoryMaster
from jobmaster.models import Bucket
from jobmaster.states import Priority
from jobmaster_testing.factories import make_bucket, make_new_job, make_worker
from jobmaster_testing.probes import Seen

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

CLUSTER, DEFINITION = "Test-1", "Unread.Noting"
LEASE = 600.0


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


class Noting:
    """A handler that notes its starts, and runs for as long as its job says."""

    def __init__(self) -> None:
        self.starts = Seen[UUID]()
        self.handler = handler(DEFINITION, timeout=None)(self._function())

    def _function(self) -> Callable[[JobContext], Any]:
        async def noting(job: JobContext) -> None:
            self.starts.add(job.id)
            await anyio.sleep(job.data.get("seconds", 0))

        return noting


@pytest.fixture
def noting() -> Noting:
    return Noting()


async def leave_unread(master: MemoryMaster, count: int) -> Bucket:
    """Put jobs into the bucket of a worker that reads nothing, and is not heard of."""
    worker = make_worker(cluster_id=CLUSTER)
    bucket = make_bucket(worker, priority=Priority.MEDIUM)
    await master.workers.register(worker, [bucket], LEASE)
    await master.jobs.insert([make_new_job(bucket, definition_id=DEFINITION) for _ in range(count)])
    return bucket


def standalone(distributed: Build, noting: Noting) -> Cluster:
    return distributed(noting.handler, agents="", workers=[{}])


async def test_they_are_run_within_two_seconds(
    distributed: Build, master: MemoryMaster, noting: Noting
) -> None:
    async with standalone(distributed, noting).running():
        await anyio.sleep(60)
        bucket = await leave_unread(master, 20)
        await master.notifications.announce([f"b:{bucket.id}"])
        began = anyio.current_time()
        await noting.starts.count(20, timeout=LEASE / 2)
        assert anyio.current_time() - began < 2.5


async def test_who_was_busy_takes_them_when_it_has_free_slots(
    distributed: Build, master: MemoryMaster, noting: Noting
) -> None:
    async with standalone(distributed, noting).running() as runtime:
        await anyio.sleep(60)
        busy = [noting.handler.request({"seconds": 10}, priority=p) for p in Priority for _ in range(13)]
        await runtime.scheduler.once_many(busy)
        await anyio.sleep(1)
        bucket = await leave_unread(master, 20)
        await master.notifications.announce([f"b:{bucket.id}"])
        began = anyio.current_time()
        await noting.starts.count(len(busy) + 20, timeout=LEASE / 2)
        assert anyio.current_time() - began < 60


async def test_however_many_they_are_all_are_taken(
    distributed: Build, master: MemoryMaster, noting: Noting
) -> None:
    async with standalone(distributed, noting).running():
        await anyio.sleep(60)
        bucket = await leave_unread(master, 2 * TAKEN_AT_ONCE + 10)
        await master.notifications.announce([f"b:{bucket.id}"])
        began = anyio.current_time()
        await noting.starts.count(2 * TAKEN_AT_ONCE + 10, timeout=LEASE / 2)
        assert anyio.current_time() - began < 30
