"""A worker on a host whose clock is set: `python -m tests.e2e.clock_app URL`. Each line of its input is done in turn.

It stands for a whole host, so that what it schedules is scheduled by that clock, too.
"""

from __future__ import annotations

import sys
from typing import Final

import anyio
from anyio.to_thread import run_sync

from jobmaster import Cluster, JobContext, JobStatus, Runtime, handler
from jobmaster_testing.probes import until

CLUSTER_ID: Final = "Clock-1"
JOBS: Final = 201


@handler("Clock.Work")
async def work(job: JobContext) -> None: ...


@handler("Clock.Slow")
async def slow(_: JobContext) -> None:
    await anyio.sleep(0.01)


@handler("Clock.Tick", every="1 hour")
async def tick(job: JobContext) -> None: ...


def make_cluster(url: str) -> Cluster:
    return (
        Cluster.standalone(CLUSTER_ID, url)
        .configure(lease=3, heartbeat=0.3)
        .add_handlers(work, slow, tick)
        .add_worker(batch_size=5, parallelism=0.1)
    )


async def do(runtime: Runtime, command: str) -> str:
    """Do what a line of input says; return the answer."""
    scheduler, jobs = runtime.scheduler, runtime.jobs
    if command == "finish":
        receipts = await scheduler.once_many([work.request(key=f"key-{n}") for n in range(JOBS)])
        for receipt in receipts:
            await jobs.wait(receipt.job_id, timeout=30)
    if command == "many":
        await scheduler.once_many([slow.request() for _ in range(JOBS)])
    if command == "one":
        receipt = await scheduler.once_now(work)
        await jobs.wait(receipt.job_id, timeout=30)
    if command == "settle":
        await until(lambda: _are_done(runtime), timeout=30)
    return f"{command} {await jobs.count()}"


async def _are_done(runtime: Runtime) -> bool:
    return await runtime.jobs.count(handler="Clock.Slow", status=JobStatus.SUCCEEDED) == JOBS


async def main(url: str) -> None:
    async with make_cluster(url).running() as runtime:
        print("up", flush=True)  # noqa: T201 - its answers
        while line := await run_sync(sys.stdin.readline):
            print(await do(runtime, line.strip()), flush=True)  # noqa: T201 - its answers


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
