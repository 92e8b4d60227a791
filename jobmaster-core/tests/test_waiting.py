"""How many jobs are due and wait, by lane."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from anyio import Event

from jobmaster import Cluster, JobContext, Priority, handler
from jobmaster_testing.faults import Faults
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio
Build = Callable[..., Cluster]


@handler("Waiting.Plain")
async def plain(_: JobContext) -> None: ...


async def test_due_jobs_are_counted_and_later_finished_and_running_ones_are_not(cluster: Build) -> None:
    begun, over = Seen[int](), Event()

    @handler("Waiting.Blocks")
    async def blocks(_: JobContext) -> None:
        begun.add(1)
        await over.wait()

    async with cluster(plain, blocks, worker={"buckets": {"medium": 1}}).running() as runtime:
        s = runtime.scheduler
        await runtime.jobs.wait((await s.once_now(plain)).job_id, 10)
        await s.once_many([blocks.request() for _ in range(9)])
        await s.once_many([plain.request(lane="mail", priority=Priority.LOW), plain.request(lane="mail")])
        await s.once_after(plain, 3600)
        await begun.count(5)

        async def counted() -> bool:
            return dict(await runtime.jobs.waiting_by_lane()) == {"default": 4, "mail": 2}

        await until(counted)
        over.set()


async def test_what_only_agents_know_counts(distributed: Build) -> None:
    over, faults = Event(), Faults()

    @handler("Waiting.OnAgents")
    async def blocks(_: JobContext) -> None:
        await over.wait()

    async with distributed(blocks, agents="AB", faults=faults, save_after=3600).running() as runtime:
        await runtime.workers_ready()
        receipts = await runtime.scheduler.once_many([blocks.request() for _ in range(20)])
        there = {name: sum(receipt.accepted_by == name for receipt in receipts) for name in "AB"}
        assert sum(there.values()) == 20

        assert dict(await runtime.jobs.waiting_by_lane()) == {"default": 20}
        faults.away.add("B")
        assert dict(await runtime.jobs.waiting_by_lane()) == {"default": there["A"]}
        faults.away.clear()
        over.set()
