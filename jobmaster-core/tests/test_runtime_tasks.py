"""A cluster that is started in one task and stopped in another: hooks, fixtures, notebooks, and loops that end first."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from uuid import UUID

import anyio
import pytest

from jobmaster import (
    AttemptOutcome,
    Cluster,
    ConfigurationError,
    JobContext,
    JobStatus,
    NotRunningError,
    Runtime,
    StoreUnavailableError,
    WorkerStatus,
    handler,
    hookimpl,
)
from jobmaster.contracts import MasterRepository
from jobmaster.models import JobReceipt, NewJob, Report
from jobmaster.plugins import Plugins
from jobmaster_testing.probes import Seen, until
from jobmaster_testing.wrapping import Passing

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]


async def in_another_task(work: Callable[[], Awaitable[Any]]) -> Any:
    """Await a coroutine function in a task that is over when it returns."""
    results: list[Any] = []

    async def run() -> None:
        results.append(await work())

    async with anyio.create_task_group() as group:
        group.start_soon(run)
    return results[0]


class Held:
    """A job that goes on until it is released, or stopped."""

    def __init__(self) -> None:
        self.started, self.ended = Seen[UUID](), Seen[UUID]()
        self.release = anyio.Event()

        @handler("Held", max_retries=0)
        async def held(job: JobContext) -> None:
            self.started.add(job.id)
            if job.attempt == 1:
                await self.release.wait()
            self.ended.add(job.id)

        self.handler = held

    async def run_one(self, runtime: Runtime) -> UUID:
        job_id = (await runtime.scheduler.once_now(self.handler)).job_id
        await self.started.count(1)
        return job_id


@pytest.fixture
def held() -> Held:
    return Held()


# In different tasks


async def test_a_block_is_entered_in_one_task_and_left_in_another(
    cluster: Build, producer: Build, held: Held
) -> None:
    context = cluster(held.handler, stop_grace=30).running()
    runtime = await in_another_task(context.__aenter__)
    job_id = await in_another_task(lambda: held.run_one(runtime))

    async with producer().running() as watcher, anyio.create_task_group() as group:
        group.start_soon(context.__aexit__, None, None, None)
        await until(lambda: _is_stopping(watcher))
        held.release.set()
    async with producer().running() as watcher:
        assert (await watcher.jobs.get(job_id)).status is JobStatus.SUCCEEDED


async def _is_stopping(watcher: Runtime) -> bool:
    return [worker.status for worker in await watcher.list_workers()] == [WorkerStatus.STOPPING]


@asynccontextmanager
async def started_by_hooks(made: Cluster) -> AsyncIterator[Runtime]:
    """Run a cluster as ASGI startup and shutdown events do, each in a task of its own."""
    runtime = await in_another_task(made.start)
    yield runtime
    await in_another_task(made.stop)


async def test_a_cluster_is_started_and_stopped_by_hooks(cluster: Build, held: Held) -> None:
    made = cluster(held.handler)
    held.release.set()
    for number in (1, 2):
        async with started_by_hooks(made) as runtime:
            job_id = (await runtime.scheduler.once_now(held.handler)).job_id
            assert (await runtime.jobs.wait(job_id, 10)).status is JobStatus.SUCCEEDED
        with pytest.raises(NotRunningError, match="not running any more"):
            await runtime.jobs.count()
        assert len(held.ended.items) == number


async def test_a_second_start_is_refused_and_a_stop_of_nothing_is_none(cluster: Build) -> None:
    made = cluster()
    await made.stop()
    runtime = await made.start(workers=False)
    with pytest.raises(ConfigurationError, match=r"started already; await stop\(\) first"):
        await made.start()
    with pytest.raises(ConfigurationError, match="is running"):
        made.configure(stop_grace=1)
    async with made.running(workers=False) as beside:
        assert beside is not runtime
    assert await runtime.jobs.count() == 0
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(made.stop)
    await made.stop()
    made.configure(stop_grace=1)


async def test_it_is_not_stopped_from_another_loop(cluster: Build) -> None:
    made = cluster()

    def elsewhere() -> None:
        with pytest.raises(NotRunningError, match="another event loop"):
            asyncio.run(made.stop())

    runtime = await made.start()
    await anyio.to_thread.run_sync(elsewhere)
    assert await runtime.jobs.count() == 0
    await made.stop()
    await anyio.to_thread.run_sync(lambda: asyncio.run(made.stop()))


# Starts that fail


class Refusing:
    """Serves `refusing://name`: a `memory://name` that does not open, in the way it is told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.opening, self.closed = Seen[str](), Seen[str]()

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"refusing": "for tests"}

    @hookimpl
    def jobmaster_master(self, url: str, options: Any) -> MasterRepository | None:
        scheme, _, name = url.partition("://")
        inner = Plugins().master(f"memory://{name}", options)
        return cast("MasterRepository", RefusingMaster(self, inner)) if scheme == "refusing" else None


class RefusingMaster(Passing[MasterRepository]):
    def __init__(self, state: Refusing, inner: MasterRepository) -> None:
        super().__init__(inner)
        self._state = state

    async def open(self) -> None:
        self._state.opening.add("")
        if self._state.error is None:
            await anyio.sleep_forever()
        else:
            raise self._state.error

    async def close(self) -> None:
        self._state.closed.add("")
        await self.inner.close()


@pytest.fixture
def refusing() -> Refusing:
    return Refusing()


@pytest.fixture
def refused(cluster: Build, store_url: str, refusing: Refusing) -> Cluster:
    return cluster(url=store_url.replace("memory", "refusing")).use(refusing)


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), ConfigurationError("wrong")])
async def test_what_a_start_raises_comes_out_as_it_is(
    refused: Cluster, refusing: Refusing, error: Exception
) -> None:
    refusing.error = error
    starts: list[Callable[[], Awaitable[Runtime]]] = [refused.start, refused.running().__aenter__]
    for start in starts:
        with pytest.raises(type(error)) as caught:
            await start()
        assert caught.value is error
    assert len(refusing.closed.items) == 2
    await refused.stop()


async def test_a_cancelled_start_ends_before_its_caller_goes_on(refused: Cluster, refusing: Refusing) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(refused.start)
        await refusing.opening.count(1)
        group.cancel_scope.cancel()
    assert len(refusing.closed.items) == 1
    refused.configure(stop_grace=1)


# Ends that are not asked for


async def test_a_caller_that_asyncio_cancels_still_waits_for_the_stop(
    cluster: Build, producer: Build, held: Held, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("trio has no cancellation that gets through a shield")
    made, stopping = cluster(held.handler, stop_grace=30), anyio.Event()

    async def application() -> None:
        async with made.running() as runtime:
            await held.run_one(runtime)
            stopping.set()

    async with producer().running() as watcher:
        task = asyncio.create_task(application())
        await stopping.wait()
        await until(lambda: _is_stopping(watcher))
        task.cancel()
        await asyncio.sleep(0)
        held.release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        [job] = await watcher.jobs.query()
    assert job.status is JobStatus.SUCCEEDED


async def test_a_runtime_whose_machinery_fails_closes_and_says_so(
    cluster: Build, producer: Build, held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    made = cluster(held.handler, stop_grace=3600)
    runtime = await made.start()
    job_id = await held.run_one(runtime)
    with caplog.at_level(logging.CRITICAL, "jobmaster"):
        runtime._in_background(fail)
        with pytest.raises(NotRunningError, match="it failed") as refused:
            await runtime.workers_stopped()
    assert "has failed and no longer runs" in caplog.text
    assert isinstance(refused.value.__cause__, ExceptionGroup)
    with pytest.raises(NotRunningError, match="it failed"):
        await runtime.scheduler.once_now(held.handler)
    with pytest.raises(ExceptionGroup) as raised:
        await made.stop()
    assert raised.group_contains(ZeroDivisionError)
    await made.stop()
    async with producer().running() as watcher:
        job, [worker] = await watcher.jobs.get(job_id), await watcher.list_workers()
    assert worker.status is WorkerStatus.STOPPED
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.INTERRUPTED]
    assert job.status is JobStatus.HELD_ON_MASTER


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cluster_leaves_with_the_loop_that_ends_first(
    cluster: Build, producer: Build, backend: str
) -> None:
    started: list[UUID] = []

    @handler("Long", max_retries=0)
    async def long(job: JobContext) -> None:
        started.append(job.id)
        await anyio.sleep(0.3 if backend == "trio" else 3600)

    async def application() -> None:
        runtime = await cluster(long, stop_grace=3600).start()
        await runtime.scheduler.once_many([long.request() for _ in range(5)])
        await until(lambda: len(started) == 5)

    async def look() -> tuple[set[JobStatus], set[AttemptOutcome], list[WorkerStatus]]:
        async with producer().running() as watcher:
            jobs = [await watcher.jobs.get(job.id) for job in await watcher.jobs.query()]
            outcomes = {attempt.outcome for job in jobs for attempt in job.attempts}
            return (
                {job.status for job in jobs},
                outcomes,
                [w.status for w in await watcher.list_workers()],
            )

    anyio.run(application, backend=backend)
    status = JobStatus.SUCCEEDED if backend == "trio" else JobStatus.HELD_ON_MASTER
    outcome = AttemptOutcome.SUCCEEDED if backend == "trio" else AttemptOutcome.INTERRUPTED
    assert anyio.run(look, backend=backend) == ({status}, {outcome}, [WorkerStatus.STOPPED])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_ctrl_c_cuts_the_grace_short(cluster: Build, producer: Build, backend: str) -> None:
    @handler("Long", max_retries=0)
    async def long(_: JobContext) -> None:
        started.set()
        await anyio.sleep_forever()

    async def application() -> None:
        async with cluster(long, stop_grace=3600).running() as runtime:
            await runtime.scheduler.once_now(long)
            await anyio.to_thread.run_sync(started.wait)
            watching.start()
            await anyio.sleep_forever()

    async def interrupt_twice() -> None:
        async with producer().running() as watcher:
            os.kill(os.getpid(), signal.SIGINT)
            await until(lambda: _is_stopping(watcher))
            os.kill(os.getpid(), signal.SIGINT)

    async def outcomes() -> list[AttemptOutcome]:
        async with producer().running() as watcher:
            [job] = [await watcher.jobs.get(job.id) for job in await watcher.jobs.query()]
            return [attempt.outcome for attempt in job.attempts]

    started = threading.Event()
    watching = threading.Thread(target=lambda: anyio.run(interrupt_twice))
    with pytest.raises(KeyboardInterrupt):
        anyio.run(application, backend=backend)
    watching.join()
    assert anyio.run(outcomes) == [AttemptOutcome.INTERRUPTED]


class PressesCtrlC:
    """An observer during whose call, in a task of the run, somebody presses Ctrl-C."""

    def __init__(self) -> None:
        self.pressed = False

    def on_scheduled(self, new: NewJob, receipt: JobReceipt) -> None: ...

    def on_started(self, job: JobContext) -> None: ...

    def on_reported(self, report: Report, stale: bool) -> None:  # noqa: ARG002 - any report will do
        if not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)

    @hookimpl
    def jobmaster_observer(self) -> PressesCtrlC:
        return self


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_never_hits_a_task_of_the_run(
    cluster: Build, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Trio raises it in whatever task runs; a reporter that it ended would leave the stop to wait for ever."""

    @handler("Short")
    async def short(_: JobContext) -> None: ...

    async def application() -> None:
        async with cluster(short).use(PressesCtrlC()).running() as runtime:
            await runtime.scheduler.once_now(short)
            await anyio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        anyio.run(application, backend=backend)

    assert "has failed" not in caplog.text
    assert "unexpected failure" not in caplog.text


async def test_a_handler_that_will_not_end_is_left_behind(cluster: Build, held: Held) -> None:
    """What would not end is let go of here, so that the event loop can end after the test."""
    over = anyio.Event()

    @handler("Deaf", max_retries=0)
    async def deaf(job: JobContext) -> None:
        held.started.add(job.id)
        while not over.is_set():
            with suppress(BaseException):
                await anyio.sleep(0.05)

    made = cluster(deaf, stop_grace=0)
    runtime = await made.start()
    await runtime.scheduler.once_now(deaf)
    await held.started.count(1)
    with anyio.fail_after(30):
        await made.stop()
    with pytest.raises(NotRunningError):
        await runtime.jobs.count()
    over.set()
