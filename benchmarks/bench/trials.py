"""One system on one new database: filling it, draining it, and checking by counting that nothing is missing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from attrs import define, field, frozen

from bench.environments import Environment
from bench.scripts import Reply, Running, Script
from bench.stores import Database, Store
from bench.systems import System

Sample = Mapping[str, Any]
"""The result of one round of one measure."""


class VerificationError(Exception):
    """The store does not contain the expected jobs."""


@frozen(kw_only=True)
class Sizes:
    """The sizes of measurements."""

    calls: int = 1000
    """Calls of one caller, awaited one by one (A)."""
    concurrent_calls: int = 5000
    """Calls of 100 callers (A100)."""
    jobs: int = 20_000
    """Jobs of bulk calls and drains (B, C, D, F, G)."""
    batch: int = 1000
    """Jobs of one bulk call."""
    latency_seconds: int = 20
    """How long 50 jobs a second are sent (E)."""
    idle_seconds: int = 30
    """How long an idle worker is watched (F)."""
    history: int = 1_000_000
    """Finished jobs in the tables (G)."""
    recovery_seconds: int = 30
    """How long jobs are sent while a worker is killed (R)."""
    late_jobs: int = 100
    """Jobs of one second in a backlog that late workers join (S-late)."""
    mixed_jobs: int = 400
    """Jobs of mixed durations (S-mixed)."""
    long_seconds: int = 20
    """How long the long jobs take (S-long)."""
    kill_seconds: int = 30
    """How long jobs are sent while a worker is killed (S-kill)."""
    scale_seconds: int = 3
    """Seconds after which workers join a backlog, and after which they leave again (S-scale)."""
    steady_seconds: int = 300
    """How long the steady load lasts (H)."""
    steady_rate: int = 1000
    """Jobs a second of the steady load (H)."""


QUICK = Sizes(
    calls=100,
    concurrent_calls=500,
    jobs=500,
    latency_seconds=3,
    idle_seconds=5,
    history=5000,
    recovery_seconds=25,
    late_jobs=40,
    mixed_jobs=80,
    long_seconds=8,
    kill_seconds=10,
    scale_seconds=1,
    steady_seconds=10,
    steady_rate=200,
)
"""To check that everything works; the figures mean nothing."""


@frozen
class Bench:
    """The resources and settings of the measures."""

    stores: Mapping[str, Store]
    sizes: Sizes
    time_limit: float
    environments: dict[str, Environment] = field(factory=dict)
    notes: dict[str, Reply] = field(factory=dict)
    """Each system's description of itself: versions, settings, history."""

    def environment(self, system: System) -> Environment:
        """Return a system's environment, installed on first use."""
        if system.name not in self.environments:
            self.environments[system.name] = system.environment()
        return self.environments[system.name]

    @contextmanager
    def trial(self, system: System) -> Iterator[Trial]:
        """Set a system up on a new database."""
        environment = self.environment(system)
        with self.stores[system.store].fresh() as database:
            script = Script(system, environment, database.url, self.time_limit, database.options)
            about = script.run("setup")
            self.notes[system.name] = about
            yield Trial(script, database, self.sizes, has_bulk=bool(about["bulk"]))


@define
class Trial:
    """A system on its database."""

    script: Script
    database: Database
    sizes: Sizes
    has_bulk: bool
    finished: int = 0
    """Jobs that the store must hold as finished."""
    waiting: int = 0
    """Jobs that the store must hold as unfinished."""

    def schedule(self, mode: str, jobs: int, *options: str) -> Reply:
        """Schedule jobs, and check that the store holds them."""
        sizes = (f"--jobs={jobs}", f"--batch={self.sizes.batch}")
        reply = self.script.run("schedule", "--mode", mode, *sizes, *options)
        self.waiting += jobs
        self.verify()
        return reply

    def fill(self, jobs: int) -> None:
        """Fill the store with jobs in the fastest way, and let the database come to rest."""
        held = ("--held",) if self.script.system.has_agent else ()
        self.schedule("bulk" if self.has_bulk else "concurrent", jobs, *held)
        self.database.settle()

    def drain(self, workers: int = 1) -> Sample:
        """Drain the store with some worker processes that are started at the same moment."""
        jobs = self.waiting
        with ExitStack() as stack:
            running = [stack.enter_context(self._worker(number, workers)) for number in range(workers)]
            for one in running:
                one.wait_ready()
            for one in running:
                one.go()
            replies = [one.result() for one in running]
        self.drained(sum(reply["handled"] for reply in replies))
        return _drain_sample(jobs, replies)

    def _worker(self, number: int, workers: int) -> Any:
        which = (f"--worker={number}", f"--workers={workers}")
        return self.script.started("work", f"--jobs={self.waiting}", *which)

    def drained(self, handled: int) -> None:
        """Record that the waiting jobs were handled, and check it."""
        if handled != self.waiting:
            raise VerificationError(f"{handled} handlers ran for {self.waiting} jobs")
        self.emptied()

    def emptied(self) -> None:
        """Record that the waiting jobs have ended, and check it: for when the number of handler runs is unknown."""
        self.finished, self.waiting = self.finished + self.waiting, 0
        self.verify()

    @contextmanager
    def worker_waiting(self, command: str) -> Iterator[Running]:
        """Run a worker that waits for jobs; `Running.end` ends it."""
        with self.script.started(command) as running:
            running.wait_ready()
            yield running

    @contextmanager
    def producing(self, rate: int, jobs: int) -> Iterator[None]:
        """Send jobs at a steady rate from the beginning of the block; its end waits for the last one."""
        with self.script.started("latency-producer", f"--rate={rate}", f"--jobs={jobs}") as producer:
            yield
            producer.result()
        self.waiting += jobs

    def count(self) -> tuple[int | None, int]:
        """Return how many finished (None if the system deletes them) and unfinished jobs the store holds."""
        reply = self.script.run("count")
        return reply["finished"], reply["unfinished"]

    def await_empty(self) -> None:
        """Wait until the store holds no unfinished job."""
        started = time.monotonic()
        while (left := self.count()[1]) and time.monotonic() - started < self.script.time_limit:
            time.sleep(0.2)
        if left:
            raise VerificationError(f"{left} jobs were never run")

    def verify(self) -> None:
        """Compare the store with what was scheduled and drained."""
        finished, unfinished = self.count()
        if unfinished != self.waiting or finished not in (None, self.finished):
            held = f"{finished} finished and {unfinished} unfinished jobs"
            raise VerificationError(f"the store holds {held}, not {self.finished} and {self.waiting}")


def _drain_sample(jobs: int, replies: list[Reply]) -> Sample:
    first = min(reply["first"] for reply in replies if reply["first"] is not None)
    end = max(reply["end"] for reply in replies)
    seconds = end - first
    return {
        "rate": jobs / seconds,
        "rate_with_start": jobs / (end - min(reply["go"] for reply in replies)),
        "seconds": seconds,
        "shares": [reply["handled"] for reply in replies],
        "peak_mb": max(reply["peak_mb"] for reply in replies),
        "cpu_s": sum(reply["cpu_s"] for reply in replies),
    }
