"""A worker process: `python -m tests.e2e.worker_app`, told by its environment. SIGTERM stops it gracefully."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import anyio

from jobmaster import Cluster, JobContext, StoreUnavailableError, handler
from tests.e2e.config import Config
from tests.e2e.ledger import END, START, STOPPED, Ledger

log = logging.getLogger("e2e")

RECONNECT = 0.3
"""Seconds before a process that found no database tries again."""


@cache
def ledger() -> Ledger:
    return Ledger(Config.from_environment().ledger)


@contextmanager
def on_record(job: JobContext) -> Iterator[None]:
    """Write start and end of an attempt to the ledger."""
    ledger().write(START, job.id, job.attempt, job.worker)
    event = STOPPED
    try:
        yield
        event = END
    finally:
        ledger().write(event, job.id, job.attempt, job.worker)


@handler("Noop")
async def noop(job: JobContext) -> None:
    with on_record(job):
        pass


@handler("Nap")
async def nap(job: JobContext) -> None:
    with on_record(job):
        await anyio.sleep(job.data["seconds"])


@handler("Think")
def think(job: JobContext) -> None:
    with on_record(job):
        time.sleep(job.data["seconds"])


@handler("Compute")
async def compute(job: JobContext) -> None:
    with on_record(job):
        end = time.monotonic() + job.data["seconds"]
        while time.monotonic() < end:
            pass


@handler("Flaky")
async def flaky(job: JobContext) -> None:
    """Fail once. After a crash that used up a retry it would not, and the audit would miss the failure."""
    with on_record(job):
        await anyio.sleep(job.data.get("seconds", 0))
        if job.retries == 0:
            raise ValueError("the first time")


@handler("Deadly")
async def deadly(job: JobContext) -> None:
    with on_record(job):
        await anyio.sleep(job.data["seconds"])
        os.kill(os.getpid(), signal.SIGKILL)


HANDLERS = (noop, nap, think, compute, flaky, deadly)


def build(config: Config, cluster_id: str) -> Cluster:
    """Return a cluster of this process, with its workers."""
    made = config.producer(cluster_id).add_handlers(*HANDLERS)
    for settings in config.workers(cluster_id):
        made.add_worker(**settings)
    return made


async def serve(cluster: Cluster, stop: anyio.Event) -> None:
    """Run a cluster until asked to stop, waiting for its database."""
    while not stop.is_set():
        try:
            async with cluster.running():
                await stop.wait()
        except StoreUnavailableError as error:
            log.warning("waiting for the database: %s", error)
            await anyio.sleep(RECONNECT)


async def main(config: Config, make: Callable[[Config, str], Cluster] = build) -> None:
    """Run all clusters of this process until SIGTERM."""
    stop = anyio.Event()
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with anyio.create_task_group() as group:
            for cluster_id in config.clusters:
                group.start_soon(serve, make(config, cluster_id), stop)
            async for _ in signals:
                stop.set()
                return


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)8d %(name)s %(levelname)s %(message)s")
    told = Config.from_environment()
    anyio.run(main, told, backend=told.backend)
