"""Steering a cluster with agents while it runs: what lies in their buckets, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from jobmaster import Cluster, JobContext, JobStatus, Priority, handler
from jobmaster_testing.clock import virtual_backend

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)


@pytest.fixture
def release() -> anyio.Event:
    return anyio.Event()


@pytest.fixture
def job(release: anyio.Event) -> Any:
    @handler("Control.OnAgent", priority=Priority.VERY_LOW, timeout=None)
    async def wait(_: JobContext) -> None:
        await release.wait()

    return wait


@pytest.mark.usefixtures("bound_early")
async def test_a_passive_cluster_brings_back_what_agents_hold(
    distributed: Build, job: Any, release: anyio.Event, agent: Callable[[str], Any]
) -> None:
    async with distributed(job, agents="AB").running() as runtime:
        receipts = [await runtime.scheduler.once_now(job) for _ in range(20)]
        receipts += [await runtime.scheduler.once_after(job, 60) for _ in range(5)]
        assert {receipt.accepted_by for receipt in receipts} == {"A", "B"}
        await anyio.sleep(1)

        await runtime.set_mode("passive")
        await anyio.sleep(1)
        late = await runtime.scheduler.once_now(job)
        assert late.accepted_by == "master"
        await anyio.sleep(60)

        assert [await agent(name).buckets.holdings() for name in "AB"] == [{}, {}]
        assert dict(await runtime.jobs.count_by_status()) == {JobStatus.HELD_ON_MASTER: 26}
        release.set()
        await runtime.set_mode("active")
        jobs = [await runtime.jobs.wait(r.job_id, 60) for r in (*receipts, late)]

    assert {(job.status, job.retries) for job in jobs} == {(JobStatus.SUCCEEDED, 0)}
    assert {len(job.attempts) for job in jobs} == {1, 2}  # those that ran when it became passive


async def test_jobs_of_a_paused_lane_go_to_the_master(distributed: Build, job: Any) -> None:
    workers = [{"agent": "A"}, {"agent": "A", "lane": "slow"}]
    async with distributed(job, workers=workers).running() as runtime:
        await runtime.pause_lane("slow")
        await anyio.sleep(1)
        slow = await runtime.scheduler.once_now(job, lane="slow")
        other = await runtime.scheduler.once_now(job)
        assert (slow.accepted_by, other.accepted_by) == ("master", "A")


@pytest.mark.usefixtures("bound_early")
async def test_a_drain_finishes_what_the_agent_holds(
    distributed: Build, job: Any, release: anyio.Event, agent: Callable[[str], Any]
) -> None:
    async with distributed(job, workers=[{"agent": "A", "name": "a"}]).running() as runtime:
        receipts = [await runtime.scheduler.once_now(job) for _ in range(9)]
        receipts.append(await runtime.scheduler.once_after(job, 60))
        await runtime.drain_worker("a")
        await anyio.sleep(1)
        release.set()
        with anyio.fail_after(120):
            await runtime.workers_stopped()
        jobs = [await runtime.jobs.get(receipt.job_id) for receipt in receipts]

    assert {(job.status, len(job.attempts)) for job in jobs} == {(JobStatus.SUCCEEDED, 1)}
    assert await agent("A").buckets.holdings() == {}
