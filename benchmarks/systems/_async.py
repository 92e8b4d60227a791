"""The protocol for systems with an asynchronous API: a subclass implements the system's own calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from time import monotonic
from typing import Any, ClassVar

import _protocol as protocol
import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

OnJob = Callable[[Any], None]
Data = dict[str, Any]


async def nap(number: int, seconds: float, trace: protocol.Trace) -> None:
    """Do the work of a handler that takes a while, and record when."""
    trace.began(number)
    await anyio.sleep(seconds)
    trace.ended(number)


class AsyncSystem(ABC):
    """A system under test, and the commands of the protocol, built from its calls."""

    about: ClassVar[protocol.About]

    def __init__(self, options: protocol.Options) -> None:
        self.options = options
        self.url = options.url

    # Implemented by a system

    @abstractmethod
    async def setup(self) -> None:
        """Create the schema."""

    @abstractmethod
    def producing(self) -> AbstractAsyncContextManager[None]:
        """Open the resources that `schedule` needs."""

    @abstractmethod
    async def schedule(self, data: Data) -> None:
        """Schedule one job; return when it is durable."""

    async def schedule_many(self, batch: Sequence[Data]) -> None:
        """Schedule jobs with one call; return when they are durable."""
        raise NotImplementedError

    @abstractmethod
    async def work(self, on_job: OnJob) -> None:
        """Run a worker until cancelled. Its handler calls `on_job` and does nothing else."""

    @abstractmethod
    def sent(self, job: Any) -> int:
        """Return when a job was sent, from the value that its handler passed to `on_job`."""

    @abstractmethod
    async def drained(self) -> bool:
        """Return whether the store holds no unfinished job; called while the worker runs."""

    @abstractmethod
    async def count(self) -> tuple[int | None, int]:
        """Return how many finished (None if it keeps none) and unfinished jobs the store holds."""

    async def schedule_nap(self, data: Data) -> None:
        """Schedule one job that takes a while; return when it is durable."""
        del data
        protocol.unsupported("no job that takes a while")

    async def work_on_naps(self, slots: int, trace: protocol.Trace) -> None:
        """Run a worker with this many slots until cancelled; record when it has joined.

        Its handler calls `nap` with the job's values.
        """
        del slots, trace
        protocol.unsupported("no handler that takes a while")

    async def prepare(self) -> None:  # noqa: B027 - not every system has something to prepare
        """Do what can be done before the worker starts."""

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
            "nap-worker": self._nap_worker,
            "nap-producer": self._nap_producer,
        }
        chosen = commands[self.options.command]
        uvloop = {"use_uvloop": True} if self.about.uvloop else {}
        anyio.run(chosen, backend=self.options.backend, backend_options=uvloop)

    async def _setup(self) -> None:
        await self.setup()
        protocol.finish(**self.about.reply())

    async def _schedule(self) -> None:
        options = self.options
        modes = {"one": self._one_by_one, "concurrent": self._concurrently, "bulk": self._in_bulk}
        async with self.producing():
            started = monotonic()
            await modes[options.mode](options.jobs)
            protocol.finish(jobs=options.jobs, seconds=monotonic() - started)

    async def _one_by_one(self, jobs: int) -> None:
        data = protocol.payload()
        for _ in range(jobs):
            await self.schedule(data)

    async def _concurrently(self, jobs: int) -> None:
        async with anyio.create_task_group() as group:
            for number in range(self.options.callers):
                group.start_soon(self._one_by_one, len(range(number, jobs, self.options.callers)))

    async def _in_bulk(self, jobs: int) -> None:
        if not self.about.bulk:
            protocol.unsupported("no bulk call")
        for size in protocol.batches(jobs, self.options.batch):
            await self.schedule_many([protocol.payload() for _ in range(size)])

    async def _work(self) -> None:
        await self.prepare()
        await anyio.to_thread.run_sync(protocol.wait_for_go)
        drain = protocol.Drain(self.options.jobs)
        async with anyio.create_task_group() as group:
            group.start_soon(self.work, drain)
            while not (drain.may_be_over() and await self.drained()):  # noqa: ASYNC110 - the store has no event
                await anyio.sleep(0.005)
            self._end_worker(group, drain.result(monotonic()))

    async def _latency_worker(self) -> None:
        latencies = protocol.Latencies()
        await self._serve(lambda job: latencies.add(self.sent(job)), latencies.result)

    async def _idle(self) -> None:
        await self._serve(lambda _: None, dict)

    async def _serve(self, on_job: OnJob, result: Callable[[], Mapping[str, Any]]) -> None:
        await self.prepare()
        async with anyio.create_task_group() as group:
            group.start_soon(self.work, on_job)
            protocol.emit(ready=True)
            await anyio.to_thread.run_sync(protocol.wait_for_end)
            self._end_worker(group, {**result(), "peak_mb": protocol.peak_mb()})

    def _end_worker(self, group: TaskGroup, result: Mapping[str, Any]) -> None:
        """Report the result to the harness, and end: at once, or by cancelling the worker."""
        if not self.about.leaves:
            protocol.finish(**result)
        protocol.emit(**result)
        group.cancel_scope.cancel()

    async def _latency_producer(self) -> None:
        async with self.producing():
            pacer = protocol.Pacer(self.options.rate, self.options.jobs)
            started = monotonic()
            async with anyio.create_task_group() as group:
                while not pacer.over:
                    for _ in range(pacer.due()):
                        group.start_soon(self.schedule, protocol.stamped())
                    await anyio.sleep(pacer.pause())
            protocol.finish(jobs=self.options.jobs, seconds=monotonic() - started)

    async def _nap_worker(self) -> None:
        trace = protocol.Trace(self.options.trace)
        await anyio.to_thread.run_sync(protocol.wait_for_go)
        async with anyio.create_task_group() as group:
            group.start_soon(self.work_on_naps, self.options.slots, trace)
            await anyio.to_thread.run_sync(protocol.wait_for_end)
            self._end_worker(group, {})

    async def _nap_producer(self) -> None:
        plan = protocol.planned(self.options.plan)
        sent: dict[int, float] = {}
        async with self.producing():
            await anyio.to_thread.run_sync(protocol.wait_for_go)
            started = monotonic()
            async with anyio.create_task_group() as group:
                for number, (at, seconds) in enumerate(plan):
                    if (pause := started + at - monotonic()) > 0:
                        await anyio.sleep(pause)
                    sent[number] = monotonic()
                    group.start_soon(self.schedule_nap, protocol.nap_data(number, seconds))
            protocol.emit(sent=[sent[number] for number in range(len(plan))])
            await anyio.to_thread.run_sync(
                protocol.wait_for_end
            )  # processes that it notifies of its jobs must hear it

    async def _count(self) -> None:
        await self.prepare()
        finished, unfinished = await self.count()
        protocol.finish(finished=finished, unfinished=unfinished)
