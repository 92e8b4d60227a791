"""Only the guilty fails: whatever user code raises or ignores, its neighbours, its worker and its process go on."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from jobmaster import (
    AttemptOutcome,
    Cluster,
    JobContext,
    JobRecord,
    JobStatus,
    Priority,
    RetryPolicy,
    Runtime,
    handler,
    hookimpl,
)
from jobmaster.errors import StoreError
from jobmaster_testing.faults import Faults
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

ONE_SLOT = {"parallelism": 0.2, "buckets": {one: 0 for one in Priority if one is not Priority.MEDIUM}}
"""A worker in which one job runs after the other, in one runner."""


@handler("Bystander", max_retries=0)
async def bystander(_: JobContext) -> None: ...


async def outcomes_of(runtime: Runtime, target: Any) -> list[AttemptOutcome]:
    """Run a job; return how its attempts ended, after the one of a bystander that follows it in the same slot."""
    culprit = await runtime.scheduler.once_now(target)
    innocent = await runtime.scheduler.once_now(bystander)
    job = await runtime.jobs.wait(culprit.job_id, 15)
    neighbour = await runtime.jobs.wait(innocent.job_id, 15)
    assert (neighbour.status, len(neighbour.attempts)) == (JobStatus.SUCCEEDED, 1)
    return [attempt.outcome for attempt in job.attempts]


# Whatever a handler raises


class NamelessError(Exception):
    """Has no text, no name and no type that would bear to be asked."""

    __module__ = None  # type: ignore[assignment]  # on purpose

    def __str__(self) -> str:
        raise GeneratorExit

    def __repr__(self) -> str:
        raise SystemExit


class MasqueradeError(Exception):
    """Whoever asks what it is, gets an error."""

    @property
    def __class__(self) -> Any:
        raise ZeroDivisionError

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


RAISED: dict[str, Callable[[], BaseException]] = {
    "GeneratorExit": GeneratorExit,
    "StopIteration": lambda: StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration,
    "SystemExit": lambda: SystemExit(0),
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": asyncio.CancelledError,
    "BaseException": lambda: BaseException("odd"),
    "group": lambda: BaseExceptionGroup("both", [KeyboardInterrupt(), GeneratorExit()]),
    "nameless": NamelessError,
    "masquerade": MasqueradeError,
    "bad syntax": lambda: SyntaxError("no", (b"where", "", "", object())),  # type: ignore[arg-type]
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
}


@pytest.mark.parametrize("form", ["async", "plain", "after a thread", "middleware"])
@pytest.mark.parametrize("raised", RAISED)
async def test_what_a_handler_raises_fails_its_job_alone(cluster: Build, raised: str, form: str) -> None:
    if (raised, form) == ("masquerade", "after a thread"):
        pytest.skip("event loops ask what an error is before they hand it over")
    target = failing(form, RAISED[raised])
    around = Around(RAISED[raised] if form == "middleware" else lambda: None)
    async with cluster(target, bystander, worker=ONE_SLOT).use(around).running() as runtime:
        ended = await outcomes_of(runtime, target)

    assert ended == [AttemptOutcome.FAILED, AttemptOutcome.SUCCEEDED]


def failing(form: str, make: Callable[[], BaseException]) -> Any:
    """Return a handler whose first attempt raises what `make` returns."""

    def fail() -> None:
        made = make()
        raise made

    @handler("Raises", max_retries=1)
    async def in_loop(job: JobContext) -> None:
        if job.attempt == 1 and form == "async":
            fail()
        if job.attempt == 1 and form == "after a thread":
            await anyio.to_thread.run_sync(fail)

    @handler("Raises", max_retries=1)
    def in_thread(job: JobContext) -> None:
        if job.attempt == 1:
            fail()

    return in_thread if form == "plain" else in_loop


class Around:
    """Middleware that raises after the first attempt of the job called "Raises"."""

    def __init__(self, make: Callable[[], BaseException | None]) -> None:
        self.make = make

    @hookimpl
    def jobmaster_middleware(self) -> Any:
        async def around(job: JobContext, call: Any) -> None:
            await call(job)
            if job.attempt == 1 and job.definition_id == "Raises" and (error := self.make()):
                raise error

        return around


class BrokenPolicy(RetryPolicy):
    """Breaks where it is asked."""

    def next_delay(self, *_: Any, **__: Any) -> float | None:
        raise GeneratorExit


@pytest.mark.parametrize("ends", ["raises", "times out"])
async def test_a_policy_that_raises_leaves_it_to_the_default_one(cluster: Build, ends: str) -> None:
    @handler("Fails", max_retries=1, timeout=0.05, retry=BrokenPolicy())
    async def fails(job: JobContext) -> None:
        if job.attempt == 1 and ends == "raises":
            raise ValueError
        if job.attempt == 1:
            await anyio.sleep_forever()

    async with cluster(fails, bystander, worker=ONE_SLOT).running() as runtime:
        ended = await outcomes_of(runtime, fails)

    first = AttemptOutcome.FAILED if ends == "raises" else AttemptOutcome.TIMED_OUT
    assert ended == [first, AttemptOutcome.SUCCEEDED]


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, KeyboardInterrupt, ValueError])
async def test_an_observer_that_raises_disturbs_nobody(cluster: Build, error: type[BaseException]) -> None:
    class Observer:
        def on_scheduled(self, *_: Any) -> None:
            raise error

        on_started = on_reported = on_scheduled

    class Watching:
        @hookimpl
        def jobmaster_observer(self) -> Any:
            return Observer()

    async with cluster(bystander, worker=ONE_SLOT).use(Watching()).running() as runtime:
        assert await outcomes_of(runtime, bystander) == [AttemptOutcome.SUCCEEDED]


# Contexts

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


async def test_each_attempt_has_a_context_of_its_own(cluster: Build) -> None:
    seen = Seen[str]()

    def bill(job: JobContext) -> None:
        seen.add(tenant.get())
        tenant.set(str(job.id))

    @handler("Bill", max_retries=1)
    async def in_loop(job: JobContext) -> None:
        bill(job)
        await anyio.lowlevel.checkpoint()
        assert tenant.get() == str(job.id)  # across suspensions
        async with anyio.create_task_group() as group:
            group.start_soon(inherits, str(job.id))
        if job.attempt == 1:
            raise ValueError

    async def inherits(expected: str) -> None:
        assert tenant.get() == expected

    @handler("Export")
    def in_thread(job: JobContext) -> None:
        anyio.from_thread.run_sync(seen.add, tenant.get())
        tenant.set(str(job.id))

    token = tenant.set("the application")
    async with cluster(in_loop, in_thread, worker=ONE_SLOT).running() as runtime:
        tenant.reset(token)
        for target in (in_loop, in_thread, in_loop, in_thread):
            job = await runtime.jobs.wait((await runtime.scheduler.once_now(target)).job_id, 15)
            assert job.status is JobStatus.SUCCEEDED

    assert seen.items == ["the application"] * 6


# Handlers that do not end


def deaf(kind: str, release: anyio.Event) -> Callable[[], Any]:
    """Return what a handler does that takes no notice of its cancellation."""

    async def swallows() -> None:
        while not release.is_set():
            with suppress(BaseException):
                await anyio.sleep(0.01)

    async def is_shielded() -> None:
        with anyio.CancelScope(shield=True):
            await release.wait()

    return {"swallows": swallows, "is shielded": is_shielded}[kind]


DEAF = pytest.mark.parametrize("kind", ["swallows", "is shielded"])


async def ended_attempts(runtime: Runtime, job: Any, count: int = 1) -> JobRecord:
    async def have_ended() -> JobRecord | None:
        found = await runtime.jobs.get(job.job_id)
        return found if len(found.attempts) == count else None

    found = await until(have_ended)
    assert found is not None
    return found


@DEAF
async def test_the_timeout_of_a_deaf_handler_is_recorded_and_its_slot_goes_on(
    cluster: Build, kind: str
) -> None:
    release, started = anyio.Event(), Seen[int]()
    ignore = deaf(kind, release)

    @handler("Deaf", max_retries=1, timeout=0.05)
    async def is_deaf(job: JobContext) -> None:
        started.add(job.attempt)
        if job.attempt == 1:
            await ignore()

    async with cluster(is_deaf, bystander, worker=ONE_SLOT).running() as runtime:
        ended = await outcomes_of(runtime, is_deaf)
        release.set()  # comes to its end at last, which nobody reports again
        again = await outcomes_of(runtime, bystander)

    assert ended == [AttemptOutcome.TIMED_OUT, AttemptOutcome.SUCCEEDED]
    assert (again, started.items) == ([AttemptOutcome.SUCCEEDED], [1, 2])


@DEAF
async def test_a_deaf_handler_is_cancelled_all_the_same(cluster: Build, kind: str) -> None:
    release, started = anyio.Event(), Seen[int]()
    ignore = deaf(kind, release)

    @handler("Deaf")
    async def is_deaf(job: JobContext) -> None:
        started.add(job.attempt)
        await ignore()

    async with cluster(is_deaf, bystander, worker=ONE_SLOT).running() as runtime:
        receipt = await runtime.scheduler.once_now(is_deaf)
        await started.count(1)
        await runtime.scheduler.cancel(receipt.job_id)
        job = await runtime.jobs.wait(receipt.job_id, 15)
        release.set()
        assert await outcomes_of(runtime, bystander) == [AttemptOutcome.SUCCEEDED]

    assert (job.status, [a.outcome for a in job.attempts]) == (
        JobStatus.CANCELLED,
        [AttemptOutcome.CANCELLED],
    )


@pytest.mark.slow
@DEAF
async def test_a_stop_ends_although_a_handler_does_not(cluster: Build, producer: Build, kind: str) -> None:
    release, started = anyio.Event(), Seen[int]()
    ignore = deaf(kind, release)

    @handler("Deaf", max_retries=0)
    async def is_deaf(job: JobContext) -> None:
        started.add(job.attempt)
        await ignore()

    async with producer(is_deaf).running() as watcher:
        with anyio.fail_after(20):
            async with cluster(is_deaf, stop_grace=0.1).running() as runtime:
                receipt = await runtime.scheduler.once_now(is_deaf)
                await started.count(1)
        job = await watcher.jobs.get(receipt.job_id)
        holdings = await watcher.master.buckets.holdings(watcher.id)
    release.set()  # under trio, one that is shielded keeps the event loop from ending

    assert (job.status, [a.outcome for a in job.attempts]) == (
        JobStatus.HELD_ON_MASTER,
        [AttemptOutcome.INTERRUPTED],
    )
    assert holdings == {}


async def test_threads_that_never_return_take_no_slot_from_plain_functions(cluster: Build) -> None:
    release = threading.Event()

    @handler("Hangs", max_retries=0, timeout=0.02)
    def hangs(_: JobContext) -> None:
        release.wait(30)

    @handler("Plain", max_retries=0, timeout=5)
    def plain(_: JobContext) -> None: ...

    async with cluster(hangs, plain, bystander, worker=ONE_SLOT).running() as runtime:
        for _ in range(3):
            assert await outcomes_of(runtime, hangs) == [AttemptOutcome.TIMED_OUT]
        ended = await outcomes_of(runtime, plain)
        release.set()

    assert ended == [AttemptOutcome.SUCCEEDED]


# Reports that cannot be written


class Refusing(Faults):
    """A store that chokes on some reports."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.error = error
        self.refuses: Callable[[Any], bool] = lambda _: False

    async def call(self, store: str, method: str, act: Any, args: tuple[Any, ...]) -> Any:
        if method == "outcomes.report" and any(self.refuses(report) for report in args[0]):
            raise self.error("cannot be written")
        return await super().call(store, method, act, args)


@pytest.mark.parametrize("error", [StoreError, OverflowError, RuntimeError])
async def test_a_report_that_cannot_be_written_costs_its_texts_and_holds_up_nobody(
    cluster: Build, store_url: str, error: type[Exception]
) -> None:
    @handler("Fails", max_retries=0)
    async def fails(_: JobContext) -> None:
        raise ValueError("of which the store wants to know nothing")

    faults = Refusing(error)
    faults.refuses = lambda report: report.error is not None
    async with cluster(fails, bystander, url=f"faulty+{store_url}").use(faults).running() as runtime:
        receipts = await runtime.scheduler.once_many([one.request() for one in [fails, bystander] * 5])
        jobs = [await runtime.jobs.wait(r.job_id, 15) for r in receipts]

    assert [job.status for job in jobs] == [JobStatus.FAILED, JobStatus.SUCCEEDED] * 5
    assert all(job.attempts[0].error is None for job in jobs)


@pytest.mark.parametrize("error", [StoreError, OverflowError])
async def test_an_end_that_cannot_be_written_at_all_is_tried_again_and_holds_up_nobody(
    cluster: Build, store_url: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobmaster._pipeline.report.REFUSED_PAUSE", 0.2)
    faults = Refusing(error)
    async with cluster(bystander, url=f"faulty+{store_url}").use(faults).running() as runtime:
        first = (await runtime.scheduler.once_after(bystander, 0.05)).job_id
        faults.refuses = lambda report: report.job_id == first
        others = await runtime.scheduler.once_many([bystander.request() for _ in range(10)])
        for receipt in others:
            assert (await runtime.jobs.wait(receipt.job_id, 15)).status is JobStatus.SUCCEEDED
        assert not (await runtime.jobs.get(first)).status.is_terminal
        faults.refuses = lambda _: False
        job = await runtime.jobs.wait(first, 15)

    assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)


# BucketLoops


@pytest.mark.parametrize("error", [GeneratorExit, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_nothing_that_a_store_raises_ends_a_loop(
    cluster: Build, store_url: str, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """What is no outage either: a fault of a provider, or of a library below it."""
    faults = Raising(error)
    with caplog.at_level(logging.CRITICAL):
        async with cluster(bystander, url=f"faulty+{store_url}").use(faults).running() as runtime:
            faults.raises = True
            await until(lambda: faults.raised >= {"workers.heartbeat", "claims.due"})
            faults.raises = False
            job = await runtime.jobs.wait((await runtime.scheduler.once_now(bystander)).job_id, 15)

    assert job.status is JobStatus.SUCCEEDED


class Raising(Faults):
    """A master whose every background call raises, once each is asked to."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error, self.raises, self.raised = error, False, set[str]()

    async def call(self, store: str, method: str, act: Any, args: tuple[Any, ...]) -> Any:
        if self.raises:
            self.raised.add(method)
            raise self.error
        return await super().call(store, method, act, args)
