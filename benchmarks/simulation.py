"""The cost of a job as a cluster grows: `.venv/bin/python benchmarks/simulation.py`.

Whole clusters in one process, on the memory provider and in virtual time: from 10 workers with 5 buckets each to 1,000, with
the same number of jobs for each worker in the same virtual time. Prints the CPU time of a job, including upkeep and stores;
the aim is close to flat. `--profile` shows the share of the memory provider itself.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import logging
import pstats
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Final
from uuid import uuid4

import anyio
from attrs import frozen

from jobmaster import Cluster, JobContext, Priority, Runtime, WorkerMode, handler
from jobmaster_testing import VirtualClock
from jobmaster_testing.simulation.order import run_in_order

BUCKETS: Final = 5
PER_PROCESS: Final = 10
"""Workers in one process."""
COORDINATORS: Final = 10
"""One process out of this many coordinates and rescues."""
SECONDS: Final = 30.0
"""Virtual seconds in which the jobs arrive."""


@frozen
class Size:
    """The size of the simulated cluster."""

    workers: int
    agents: int
    jobs: int


@frozen
class Cost:
    """The cost of a simulated cluster, in seconds of CPU time."""

    start: float
    run: float


@handler("SimulatedNoop")
async def noop(job: JobContext) -> None:
    """Do nothing."""


def main() -> None:
    """Run the simulations chosen on the command line."""
    options = parse_options()
    logging.disable(logging.CRITICAL)
    print(f"{'workers x buckets':>18} {'agents':>7} {'jobs':>7} {'start s':>8} {'run s':>8} {'ms a job':>9}")
    for agents in options.agents:
        for workers in options.workers:
            size = Size(workers, agents, workers * options.jobs)
            with profiled(on=options.profile):
                cost = measure(size)
            print(
                f"{f'{workers:,} x {BUCKETS}':>18} {agents or 'inline':>7} {size.jobs:>7,} {cost.start:>8.2f} "
                f"{cost.run:>8.2f} {1000 * cost.run / size.jobs:>9.3f}"
            )


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="The cost of a job in simulated clusters of growing size.")
    add = parser.add_argument
    add("--workers", type=int, nargs="+", default=[10, 100, 1000], help="default: 10 100 1000")
    add(
        "--agents",
        type=int,
        nargs="+",
        default=[0, 4],
        help="agents; 0 is a standalone cluster (default: 0 4)",
    )
    add("--jobs", type=int, default=30, help="jobs for each worker (default: 30)")
    add("--profile", action="store_true", help="print where the time goes")
    return parser.parse_args()


@contextmanager
def profiled(*, on: bool) -> Iterator[None]:
    """Within the block, profile the code, and print the result at the end."""
    if not on:
        yield
        return
    with cProfile.Profile() as profile:
        yield
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def measure(size: Size) -> Cost:
    """Simulate a cluster, and return its costs."""

    async def play(clock: VirtualClock) -> Cost:
        clock.now()
        started = time.process_time()
        store = f"memory://{uuid4().hex}"
        async with AsyncExitStack() as stack:
            number = -(-size.workers // PER_PROCESS)
            clusters = [cluster(store, size, clock, place) for place in range(number)]
            runtimes = [await stack.enter_async_context(one.running()) for one in clusters]
            gc.freeze()  # as `jobmaster worker` does; here a hundred of them share one heap
            up = time.process_time()
            await produce(runtimes, size.jobs)
            await until_done(runtimes[0], size.jobs)
            done = time.process_time()
        return Cost(up - started, done - up)

    return run_in_order(play, seed=1, shuffled=False)


def cluster(store: str, size: Size, clock: VirtualClock, place: int) -> Cluster:
    """Return one process of the cluster."""
    made = (
        Cluster("Simulated", store, clock=clock).configure(store_options={"clock": clock}).add_handlers(noop)
    )
    for agent in range(size.agents):
        made.add_agent(f"Agent-{agent}", f"{store}-{agent}")
    mode = WorkerMode.EXECUTION if place % COORDINATORS else WorkerMode.FULL
    for number in range(min(PER_PROCESS, size.workers - place * PER_PROCESS)):
        at = {"agent": f"Agent-{(place + number) % size.agents}"} if size.agents else {}
        made.add_worker(name=f"Worker-{place}-{number}", mode=mode, parallelism=0.05, **at)
    return made


async def produce(runtimes: Sequence[Runtime], jobs: int) -> None:
    """Schedule jobs one by one, spread over time, priorities and processes."""
    chance = random.Random(1)
    for number in range(jobs):
        await anyio.sleep(chance.expovariate(jobs / SECONDS))
        runtime = runtimes[number % len(runtimes)]
        await runtime.scheduler.once_now(noop, priority=chance.choice(list(Priority)))


async def until_done(runtime: Runtime, jobs: int) -> None:
    """Wait until the last job has ended."""
    while sum((await runtime.jobs.count_by_status()).values()) < jobs or not await is_idle(runtime):  # noqa: ASYNC110
        await anyio.sleep(0.5)


async def is_idle(runtime: Runtime) -> bool:
    """Return whether every job that the master knows has ended."""
    return all(status.is_terminal for status in await runtime.jobs.count_by_status())


if __name__ == "__main__":
    main()
