"""What a handler sees of its job: context, arguments, logs; and how handlers are built and wrapped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import anyio
import anyio.to_thread
import pytest

from jobmaster import (
    Attempt,
    AttemptOutcome,
    Cluster,
    JobContext,
    JobHandler,
    JobReceipt,
    JobRecord,
    JobStatus,
    Priority,
    current_job,
    handler,
    hookimpl,
)
from jobmaster.models import NewJob, Report
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Call = Callable[[JobContext], Awaitable[None]]


class Size(Enum):
    SMALL = 1
    LARGE = 2


async def run_one(
    cluster: Cluster, target: Any, data: dict[str, object] | None = None, **options: Any
) -> JobRecord:
    async with cluster.running() as runtime:
        receipt = await runtime.scheduler.once_now(target, data, **options)
        return await runtime.jobs.wait(receipt.job_id, 15)


def error_of(job: JobRecord) -> str:
    return (job.attempts[0].error or pytest.fail("no error")).message


# Context and arguments


async def test_the_context_tells_all_about_the_attempt(cluster: Build) -> None:
    seen = Seen[dict[str, Any]]()
    names = (
        "id cluster_id definition_id attempt retries max_retries priority lane key scheduled_at created_at"
    )
    names += " worker host deadline started_at cancelled"

    @handler("Curious", timeout=30)
    async def curious(job: JobContext) -> None:
        facts = {name: getattr(job, name) for name in names.split()}
        seen.add(facts | {"data": dict(job.data), "metadata": dict(job.metadata), "left": job.time_left})

    made = cluster(curious, worker={"name": "Payroll-01", "lane": "Payroll"})
    job = await run_one(
        made, curious, {"n": 1}, lane="Payroll", key="k", metadata={"m": 2}, priority=Priority.HIGH
    )

    [facts] = seen.items
    shared = {n: getattr(job, n) for n in ("id", "definition_id", "lane", "key", "priority", "max_retries")}
    assert shared.items() <= facts.items()
    assert (facts["data"], facts["metadata"], facts["cluster_id"]) == ({"n": 1}, {"m": 2}, "Test-1")
    assert (facts["attempt"], facts["retries"], facts["worker"]) == (1, 0, "Payroll-01")
    assert (facts["scheduled_at"], facts["created_at"]) == (job.scheduled_at, job.created_at)
    assert facts["started_at"] == job.attempts[0].started_at
    assert (facts["deadline"] - facts["started_at"]).total_seconds() == 30
    assert 25 < facts["left"] <= 30
    assert facts["cancelled"] is False


async def test_without_a_timeout_there_is_no_deadline(cluster: Build) -> None:
    seen = Seen[tuple[object, object]]()

    @handler("Free", timeout=None)
    async def free(job: JobContext) -> None:
        seen.add((job.deadline, job.time_left))

    await run_one(cluster(free), free)
    assert seen.items == [(None, None)]


async def test_arguments_come_back_as_they_went_in(cluster: Build) -> None:
    seen = Seen[object]()

    @handler("Typed")
    async def typed(
        _: JobContext, url: str, width: int = 640, *, size: Size = Size.SMALL, moment: datetime | None = None
    ) -> None:
        seen.add((url, width, size, moment))

    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    async with cluster(typed).running() as runtime:
        for values in ({"url": "a"}, {"url": "b", "width": 80, "size": Size.LARGE, "moment": moment}):
            await runtime.scheduler.once_now(typed, **values)
        await seen.count(2)
    assert set(seen.items) == {("a", 640, Size.SMALL, None), ("b", 80, Size.LARGE, moment)}


async def test_data_that_no_longer_fits_the_signature_fails_the_attempt(
    cluster: Build, producer: Build
) -> None:
    @handler("Changed", max_retries=0)
    async def old(_: JobContext, name: str) -> None: ...

    @handler("Changed", max_retries=0)
    async def new(_: JobContext, full_name: str) -> None: ...

    async with producer(old).running() as runtime:
        receipt = await runtime.scheduler.once_now(old, name="Ann")
    async with cluster(new).running() as runtime:
        job = await runtime.jobs.wait(receipt.job_id, 10)
    assert job.status is JobStatus.FAILED
    assert "'name'" in error_of(job)


async def test_the_current_job_is_known_in_tasks_and_threads(cluster: Build) -> None:
    seen = Seen[tuple[str, bool]]()

    async def child(job: JobContext) -> None:
        seen.add(("task", current_job() is job))

    @handler("Async")
    async def asynchronous(job: JobContext) -> None:
        seen.add(("async", current_job() is job))
        async with anyio.create_task_group() as group:
            group.start_soon(child, job)
        seen.add(("thread", await anyio.to_thread.run_sync(current_job) is job))

    @handler("Sync")
    def sync(job: JobContext) -> None:
        anyio.from_thread.run_sync(seen.add, ("sync", current_job() is job))

    async with cluster(asynchronous, sync).running() as runtime:
        await runtime.scheduler.once_now(asynchronous)
        await runtime.scheduler.once_now(sync)
        await seen.count(4)
    assert dict(seen.items) == {"async": True, "task": True, "thread": True, "sync": True}


async def test_outside_of_a_handler_there_is_no_current_job() -> None:
    with pytest.raises(LookupError):
        current_job()


# Logs


async def test_log_lines_stay_with_the_attempt(cluster: Build, caplog: pytest.LogCaptureFixture) -> None:
    @handler("Logs")
    async def logs(job: JobContext) -> None:
        job.logger.debug("not kept")
        job.logger.info("reading %s of %d", "rows", 3, extra={"table": "t", "when": datetime.now(UTC)})
        job.logger.warning("slow")
        if job.attempt == 1:
            raise ValueError("once more")

    with caplog.at_level(logging.INFO, "jobmaster.job"):
        job = await run_one(cluster(logs), logs)

    assert [(line.attempt, line.level, line.message) for line in job.logs] == [
        (1, "INFO", "reading rows of 3"),
        (1, "WARNING", "slow"),
        (2, "INFO", "reading rows of 3"),
        (2, "WARNING", "slow"),
    ]
    assert job.logs[0].fields["table"] == "t"
    assert isinstance(job.logs[0].fields["when"], str)
    [record, *_] = [r for r in caplog.records if r.name == "jobmaster.job"]
    assert (record.getMessage(), vars(record)["job_id"]) == ("reading rows of 3", str(job.id))
    assert record.funcName == "logs"


async def test_a_job_that_logs_without_end_keeps_the_first_lines(cluster: Build) -> None:
    @handler("Chatty")
    def chatty(job: JobContext) -> None:
        for number in range(1500):
            job.logger.info("line %d", number)

    job = await run_one(cluster(chatty), chatty)
    assert [line.message for line in job.logs] == [
        *(f"line {number}" for number in range(1000)),
        "500 more lines were not kept: an attempt keeps its first 1000",
    ]


@pytest.mark.parametrize("call", [("100% of %s", ()), ("%d rows", ("many",)), ("%s %s", ("one",))])
async def test_a_log_line_that_cannot_be_formatted_fails_no_job(
    cluster: Build, call: tuple[str, tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    text, arguments = call

    @handler("BadLog", max_retries=0)
    async def bad_log(job: JobContext) -> None:
        job.logger.info(text, *arguments)

    job = await run_one(cluster(bad_log), bad_log)
    assert job.status is JobStatus.SUCCEEDED
    assert len(job.logs) == 1
    assert text in job.logs[0].message


async def test_log_arguments_may_be_one_mapping(cluster: Build) -> None:
    @handler("MapLog", max_retries=0)
    async def map_log(job: JobContext) -> None:
        job.logger.info("%(done)d of %(all)d", {"done": 1, "all": 2})

    job = await run_one(cluster(map_log), map_log)
    assert (job.status, [line.message for line in job.logs]) == (JobStatus.SUCCEEDED, ["1 of 2"])


# The class form


class Mailer:
    def __init__(self) -> None:
        self.sent: list[str] = []


@handler("SendMail")
class SendMail(JobHandler):
    def __init__(self, mailer: Mailer) -> None:
        self.mailer = mailer

    async def handle(self, _: JobContext, to: str) -> None:
        self.mailer.sent.append(to)


@handler("PlainClass")
class PlainClass(JobHandler):
    built = 0

    def __init__(self) -> None:
        type(self).built += 1

    def handle(self, job: JobContext) -> None:
        job.logger.info("in thread %d", threading.get_ident())
        if job.attempt == 1:
            raise ValueError("once more")


async def test_a_class_gets_its_services_through_the_hook(cluster: Build) -> None:
    mailer = Mailer()
    made = cluster(SendMail).build_handlers_with(lambda cls: cls(mailer) if cls is SendMail else None)
    async with made.running() as runtime:
        await runtime.scheduler.once_now(SendMail, to="ann@example.org")
        await runtime.scheduler.once_many([SendMail.request({"to": "bob@example.org"})])
        await until(lambda: len(mailer.sent) == 2)
    assert sorted(mailer.sent) == ["ann@example.org", "bob@example.org"]


async def test_a_class_is_built_for_every_attempt(cluster: Build) -> None:
    PlainClass.built = 0
    job = await run_one(cluster(PlainClass), PlainClass)
    assert (job.status, PlainClass.built) == (JobStatus.SUCCEEDED, 2)
    assert job.logs[0].message != f"in thread {threading.get_ident()}"


async def test_a_class_that_cannot_be_built_fails_the_attempt(cluster: Build) -> None:
    job = await run_one(cluster(SendMail), SendMail, to="ann@example.org", max_retries=0)
    assert job.status is JobStatus.FAILED
    assert "mailer" in error_of(job)


# Middleware and observers


class Wrapper:
    """A plug-in whose middleware notes its name on the way in and out."""

    def __init__(self, name: str, seen: Seen[str]) -> None:
        self.name, self.seen = name, seen

    @hookimpl
    def jobmaster_middleware(self) -> Callable[[JobContext, Call], Awaitable[None]]:
        return self.wrap

    async def wrap(self, job: JobContext, call: Call) -> None:
        self.seen.add(f"{self.name} in")
        try:
            await call(job)
        finally:
            self.seen.add(f"{self.name} out")


@pytest.mark.parametrize("form", ["async", "sync"])
async def test_the_middleware_of_the_first_plug_in_is_outermost(cluster: Build, form: str) -> None:
    seen = Seen[str]()

    @handler("async")
    async def asynchronous(_: JobContext) -> None:
        seen.add("handler")

    @handler("sync")
    def sync(_: JobContext) -> None:
        anyio.from_thread.run_sync(seen.add, "handler")

    target = {"async": asynchronous, "sync": sync}[form]
    await run_one(cluster(target).use(Wrapper("a", seen), Wrapper("b", seen)), target)
    assert seen.items == ["a in", "b in", "handler", "b out", "a out"]


async def test_middleware_sees_the_handlers_error_and_may_replace_it(cluster: Build) -> None:
    class Translator:
        @hookimpl
        def jobmaster_middleware(self) -> Callable[[JobContext, Call], Awaitable[None]]:
            async def translate(job: JobContext, call: Call) -> None:
                try:
                    await call(job)
                except ValueError as error:
                    raise RuntimeError(f"translated {error}") from error

            return translate

    @handler("Fails", max_retries=0)
    async def fails(_: JobContext) -> None:
        raise ValueError("this")

    job = await run_one(cluster(fails).use(Translator()), fails)
    assert (job.status, error_of(job)) == (JobStatus.FAILED, "translated this")


async def test_middleware_that_does_not_call_keeps_the_handler_from_running(cluster: Build) -> None:
    class Closed:
        @hookimpl
        def jobmaster_middleware(self) -> Callable[[JobContext, Call], Awaitable[None]]:
            async def refuse(_: JobContext, __: Call) -> None: ...

            return refuse

    ran = Seen[str]()

    @handler("Kept")
    async def kept(_: JobContext) -> None:
        ran.add("ran")

    job = await run_one(cluster(kept).use(Closed()), kept)
    assert (job.status, ran.items) == (JobStatus.SUCCEEDED, [])


class Observer:
    """A plug-in that notes what it is told, and may break while it is told."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.scheduled: list[tuple[NewJob, JobReceipt]] = []
        self.started: list[JobContext] = []
        self.reported: list[tuple[Report, bool]] = []

    @hookimpl
    def jobmaster_observer(self) -> Observer:
        return self

    def on_scheduled(self, new: NewJob, receipt: JobReceipt) -> None:
        self.scheduled.append((new, receipt))
        self._break()

    def on_started(self, job: JobContext) -> None:
        self.started.append(job)
        self._break()

    def on_reported(self, report: Report, stale: bool) -> None:
        self.reported.append((report, stale))
        self._break()

    def _break(self) -> None:
        if self.broken:
            raise ValueError("a broken observer")


async def test_an_observer_is_told_what_happens_to_each_job(cluster: Build) -> None:
    observer = Observer()

    @handler("Watched")
    async def watched(job: JobContext) -> None:
        if job.attempt == 1:
            raise ValueError("once more")

    job = await run_one(cluster(watched).use(observer), watched, key="k")

    [(new, receipt)] = observer.scheduled
    assert (new.job.key, receipt.job_id) == ("k", job.id)
    assert [context.attempt for context in observer.started] == [1, 2]
    assert [(report.outcome, stale) for report, stale in observer.reported] == [
        (AttemptOutcome.FAILED, False),
        (AttemptOutcome.SUCCEEDED, False),
    ]


async def test_a_broken_observer_breaks_nothing_else(
    cluster: Build, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = Observer(broken=True), Observer()

    @handler("Watched")
    async def watched(_: JobContext) -> None: ...

    with caplog.at_level(logging.ERROR, "jobmaster"):
        job = await run_one(cluster(watched).use(broken, sound), watched)

    attempts: list[Attempt] = list(job.attempts)
    assert (job.status, len(attempts)) == (JobStatus.SUCCEEDED, 1)
    assert (len(broken.scheduled), len(broken.started), len(broken.reported)) == (1, 1, 1)
    assert (len(sound.scheduled), len(sound.started), len(sound.reported)) == (1, 1, 1)
    assert "a broken observer" in caplog.text
