"""Failures are seen: what is logged about attempts that did not succeed, and how it is turned down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import anyio
import pytest
from attrs import evolve

from jobmaster import AttemptOutcome, Cluster, Discard, JobContext, JobRecord, JobStatus, Snooze, handler
from jobmaster._flow import attemptlog as attempt_log
from jobmaster._policy.outcome import Verdict
from jobmaster.models import AttemptError, Claim
from jobmaster_testing import make_context
from jobmaster_testing.factories import make_job, make_report
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
IDS = ("job_id", "definition_id", "attempt", "lane", "cluster_id")


async def run_one(cluster: Cluster, target: Any, **options: Any) -> JobRecord:
    async with cluster.running() as runtime:
        receipt = await runtime.scheduler.once_now(target, **options)
        return await runtime.jobs.wait(receipt.job_id, 15)


class Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """What is logged about attempts, whatever the levels of handlers."""
    keeper = Keeper()
    attempt_log.attempts.addHandler(keeper)
    yield keeper.found
    attempt_log.attempts.removeHandler(keeper)


def told(records: list[logging.LogRecord]) -> list[tuple[str, str, str]]:
    """Return level, logger and text of each line, without the part that names the job."""
    return [(r.levelname, r.name, r.getMessage().partition(": ")[2]) for r in records]


async def test_a_failure_is_a_warning_and_the_last_one_an_error_with_its_traceback(
    cluster: Build, records: list[logging.LogRecord]
) -> None:
    @handler("Boom", max_retries=1)
    async def boom(_: JobContext) -> None:
        raise RuntimeError("kaboom\n  in line 2")

    job = await run_one(cluster(boom), boom)

    assert told(records) == [
        (
            "WARNING",
            "jobmaster.attempts",
            "attempt 1 failed: RuntimeError: kaboom in line 2; next try in 0.01 s (retry 1 of 1)",
        ),
        (
            "ERROR",
            "jobmaster.attempts.final",
            "attempt 2 failed: RuntimeError: kaboom in line 2; it has failed for good (1 of 1 retries used)",
        ),
    ]
    warning, error = records
    assert [r.getMessage().startswith(f"Boom job {job.id}: ") for r in records] == [True, True]
    assert [vars(warning)[name] for name in IDS] == [str(job.id), "Boom", 1, "default", "Test-1"]
    assert warning.exc_info is None
    assert error.exc_info
    assert error.exc_info[2] is not None
    assert "in boom" in logging.Formatter().format(error)


async def test_what_is_given_up_has_failed_and_what_snoozes_or_succeeds_has_not(
    cluster: Build, records: list[logging.LogRecord]
) -> None:
    @handler("Choosy")
    async def choosy(job: JobContext) -> None:
        if job.attempt == 1:
            raise Snooze(0)
        if job.data.get("bad"):
            raise Discard("no such customer")

    async with cluster(choosy).running() as runtime:
        for bad in (False, True):
            receipt = await runtime.scheduler.once_now(choosy, {"bad": bad})
            await runtime.jobs.wait(receipt.job_id, 15)

    assert told(records) == [
        (
            "ERROR",
            "jobmaster.attempts.final",
            "attempt 2 discarded the job: jobmaster.errors.Discard: no such customer; it has failed for good",
        )
    ]


async def test_a_timeout_is_told_without_a_traceback(
    cluster: Build, records: list[logging.LogRecord]
) -> None:
    @handler("Slow", timeout=0.05, max_retries=1)
    async def slow(_: JobContext) -> None:
        await anyio.sleep(60)

    await run_one(cluster(slow), slow)

    text = "timed out: TimeoutError: the attempt took longer than its timeout of 0.05 s"
    assert [(level, line.partition(";")[0]) for level, _, line in told(records)] == [
        ("WARNING", f"attempt 1 {text}"),
        ("ERROR", f"attempt 2 {text}"),
    ]
    assert [record.exc_info for record in records] == [None, None]


@pytest.mark.parametrize("end", ["timeout", "cancel", "stop"])
async def test_a_plain_function_that_is_left_behind_is_told_of(
    cluster: Build, records: list[logging.LogRecord], end: str
) -> None:
    started, release = threading.Event(), threading.Event()

    @handler("Stuck", timeout=0.05 if end == "timeout" else None, max_retries=0)
    def stuck(_: JobContext) -> None:
        started.set()
        release.wait(30)

    try:
        async with cluster(stuck, stop_grace=0).running() as runtime:
            receipt = await runtime.scheduler.once_now(stuck)
            await until(started.is_set)
            if end == "cancel":
                await runtime.scheduler.cancel(receipt.job_id)
            if end != "stop":
                await runtime.jobs.wait(receipt.job_id, 15)
    finally:
        release.set()

    [(level, _, line)] = told(records)
    assert "; its thread still runs" in line
    assert level == ("ERROR" if end == "timeout" else "WARNING")


async def test_an_attempt_that_is_interrupted_or_cancelled_is_no_failure(
    cluster: Build, records: list[logging.LogRecord]
) -> None:
    started = Seen[UUID]()

    @handler("Waits", timeout=None)
    async def waits(job: JobContext) -> None:
        started.add(job.id)
        await anyio.sleep_forever()

    async with cluster(waits, stop_grace=0).running() as runtime:
        receipts = [await runtime.scheduler.once_now(waits) for _ in range(2)]
        await started.count(2)
        await runtime.scheduler.cancel(receipts[0].job_id)
        await runtime.jobs.wait(receipts[0].job_id, 15)

    assert records == []


# Turning it down


def failure(status: JobStatus) -> Verdict:
    error = AttemptError(type="ValueError", message="no")
    return Verdict(outcome=AttemptOutcome.FAILED, status=status, retries=0, error=error)


@handler("Unit")
async def unit(_: JobContext) -> None: ...


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("jobmaster.attempts", "ERROR", ["ERROR"]),
        ("jobmaster.attempts", "CRITICAL", []),
        ("jobmaster.attempts.final", "CRITICAL", ["WARNING"]),
    ],
)
async def test_each_can_be_turned_down_by_its_logger(
    records: list[logging.LogRecord],
    caplog: pytest.LogCaptureFixture,
    name: str,
    level: str,
    expected: list[str],
) -> None:
    with caplog.at_level(level, name):
        for status in (JobStatus.HELD_ON_MASTER, JobStatus.FAILED):
            attempt_log.ended(make_context(unit), failure(status))
    assert [record.levelname for record in records] == expected


async def test_nothing_is_made_up_for_a_level_that_is_off(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("CRITICAL", "jobmaster.attempts"):
        attempt_log.ended(None, failure(JobStatus.FAILED))  # type: ignore[arg-type]  # not even looked at


async def test_a_long_error_is_cut_to_one_line(records: list[logging.LogRecord]) -> None:
    error = AttemptError(type="ValueError", message="long\n" * 10_000)
    attempt_log.ended(make_context(unit), evolve(failure(JobStatus.FAILED), error=error))

    [record] = records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 800
    assert "… (cut, " in record.getMessage()


class Odd(BaseException):
    """What a logging handler should not raise either."""


class Broken(logging.Handler):
    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def emit(self, _: logging.LogRecord) -> None:
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError, Odd, SystemExit, GeneratorExit, RecursionError])
async def test_a_logging_handler_that_raises_costs_the_line_and_nothing_else(
    cluster: Build, error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    @handler("Talks", max_retries=1)
    async def talks(job: JobContext) -> None:
        job.logger.warning("attempt %d", job.attempt)
        raise ValueError("no")

    broken = Broken(error)
    loggers = [logging.getLogger(name) for name in ("jobmaster.job", "jobmaster.attempts")]
    try:
        for logger in loggers:
            logger.addHandler(broken)
        job = await run_one(cluster(talks), talks)
    finally:
        for logger in loggers:
            logger.removeHandler(broken)

    assert [(a.outcome, a.error and a.error.message) for a in job.attempts] == [("failed", "no")] * 2
    assert [line.message for line in job.logs] == ["attempt 1", "attempt 2"]
    assert f"a logging handler raised {error.__name__}" in capsys.readouterr().err


# What rescuers put on record


async def test_attempts_that_died_with_their_worker_are_told_of(records: list[logging.LogRecord]) -> None:
    claim = Claim(
        make_job(definition_id="Deadly"), UUID(int=1), epoch=1, attempt=3, ready_at=datetime.now(UTC)
    )
    lost = make_report(claim, JobStatus.HELD_ON_MASTER, outcome=AttemptOutcome.LOST, worker="w", host="h")
    error = AttemptError(type="jobmaster.Poison", message="mend its handler")
    poison = evolve(lost, status=JobStatus.FAILED, outcome=AttemptOutcome.POISONED, error=error)

    for report in (lost, poison):
        attempt_log.rescued(claim, report)

    start = "attempt 3 was lost with its worker (w on h); it"
    assert told(records) == [
        ("WARNING", "jobmaster.attempts", f"{start} may have been running, and will be run again"),
        (
            "ERROR",
            "jobmaster.attempts.final",
            f"{start} has failed for good: jobmaster.Poison: mend its handler",
        ),
    ]
    assert {vars(record)["job_id"] for record in records} == {str(claim.job.id)}
