"""The protocol for systems with a blocking API: a subclass implements the system's own calls."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, ClassVar

import _protocol as protocol

OnJob = Callable[[Any], None]
Data = dict[str, Any]


class SyncSystem(ABC):
    """A system under test, and the commands of the protocol, built from its calls."""

    about: ClassVar[protocol.About]

    def __init__(self, options: protocol.Options) -> None:
        self.options = options
        self.url = options.url

    # Implemented by a system

    @abstractmethod
    def setup(self) -> None:
        """Create the schema."""

    @abstractmethod
    def connect(self) -> None:
        """Open the resources that the other calls need."""

    @abstractmethod
    def schedule(self, data: Data) -> None:
        """Schedule one job; return when it is durable. Called by several threads."""

    def schedule_many(self, batch: Sequence[Data]) -> None:
        """Schedule jobs with one call; return when they are durable."""
        raise NotImplementedError

    @abstractmethod
    def drain(self, drain: protocol.Drain) -> None:
        """Run every job in the store, reporting each to `drain`, and return once that is recorded there."""

    def serve(self, on_job: OnJob) -> None:
        """Start a worker in its own threads. Its handler calls `on_job` and does nothing else."""
        del on_job
        protocol.unsupported("a loop over the driver, no worker that waits")

    def sent(self, job: Any) -> int:
        """Return when a job was sent, from the value that its handler passed to `on_job`."""
        raise NotImplementedError

    @abstractmethod
    def count(self) -> tuple[int | None, int]:
        """Return how many finished (None if it keeps none) and unfinished jobs the store holds."""

    # The protocol

    def main(self) -> None:
        """Run the requested command."""
        commands = {
            "setup": self._setup,
            "schedule": self._schedule,
            "work": self._work,
            "latency-worker": self._latency_worker,
            "latency-producer": self._latency_producer,
            "idle": self._idle,
            "count": self._count,
        }
        commands[self.options.command]()

    def _setup(self) -> None:
        self.setup()
        protocol.finish(**self.about.reply())

    def _schedule(self) -> None:
        options = self.options
        modes = {"one": self._one_by_one, "concurrent": self._concurrently, "bulk": self._in_bulk}
        self.connect()
        started = monotonic()
        modes[options.mode](options.jobs)
        protocol.finish(jobs=options.jobs, seconds=monotonic() - started)

    def _one_by_one(self, jobs: int) -> None:
        data = protocol.payload()
        for _ in range(jobs):
            self.schedule(data)

    def _concurrently(self, jobs: int) -> None:
        if not self.about.concurrent:
            protocol.unsupported("one connection, one caller")
        callers = self.options.callers
        shares = [len(range(number, jobs, callers)) for number in range(callers)]
        with ThreadPoolExecutor(callers) as threads:
            list(threads.map(self._one_by_one, shares))

    def _in_bulk(self, jobs: int) -> None:
        if not self.about.bulk:
            protocol.unsupported("no bulk call")
        for size in protocol.batches(jobs, self.options.batch):
            self.schedule_many([protocol.payload() for _ in range(size)])

    def _work(self) -> None:
        self.connect()
        protocol.wait_for_go()
        drain = protocol.Drain(self.options.jobs)
        self.drain(drain)
        protocol.finish(**drain.result(monotonic()))

    def _latency_worker(self) -> None:
        latencies = protocol.Latencies()
        self._serve(lambda job: latencies.add(self.sent(job)), latencies.result)

    def _idle(self) -> None:
        self._serve(lambda _: None, dict)

    def _serve(self, on_job: OnJob, result: Callable[[], Mapping[str, Any]]) -> None:
        self.connect()
        self.serve(on_job)
        protocol.emit(ready=True)
        protocol.wait_for_end()
        protocol.finish(**result(), peak_mb=protocol.peak_mb())

    def _latency_producer(self) -> None:
        self.connect()
        pacer = protocol.Pacer(self.options.rate, self.options.jobs)
        started = monotonic()
        while not pacer.over:
            for _ in range(pacer.due()):
                self.schedule(protocol.stamped())
            time.sleep(pacer.pause())
        protocol.finish(jobs=self.options.jobs, seconds=monotonic() - started)

    def _count(self) -> None:
        self.connect()
        finished, unfinished = self.count()
        protocol.finish(finished=finished, unfinished=unfinished)
