"""What an attempt's end leads to: retries, backoff, and the signals a handler may raise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from jobmaster import (
    AttemptOutcome,
    Cluster,
    Discard,
    FixedBackoff,
    Handler,
    JobContext,
    JobRecord,
    JobStatus,
    Retry,
    RetryPolicy,
    Snooze,
    handler,
)
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Fails = Callable[[JobContext], None]


def raising(error: Callable[[JobContext], BaseException | None], **settings: Any) -> Handler[[], None]:
    """Return a handler that raises what `error` makes of its context."""

    @handler("Raising", **settings)
    async def run(job: JobContext) -> None:
        if (made := error(job)) is not None:
            raise made

    return run


async def finished(cluster: Cluster, target: Any, **options: Any) -> JobRecord:
    async with cluster.running() as runtime:
        receipt = await runtime.scheduler.once_now(target, **options)
        return await runtime.jobs.wait(receipt.job_id, 15)


def outcomes(job: JobRecord) -> list[AttemptOutcome]:
    return [attempt.outcome for attempt in job.attempts]


def pauses(job: JobRecord) -> list[float]:
    """Return the seconds between each attempt's end and the start of the next."""
    return [
        (after.started_at - before.finished_at).total_seconds()
        for before, after in zip(job.attempts, job.attempts[1:], strict=False)
        if after.started_at
    ]


async def test_a_failed_job_is_tried_again_until_it_succeeds(cluster: Build) -> None:
    target = raising(lambda job: ValueError(f"try {job.attempt}") if job.attempt < 3 else None)

    job = await finished(cluster(target), target)

    assert job.status is JobStatus.SUCCEEDED
    assert outcomes(job) == [AttemptOutcome.FAILED, AttemptOutcome.FAILED, AttemptOutcome.SUCCEEDED]
    assert [a.number for a in job.attempts] == [1, 2, 3]
    assert [a.error.message for a in job.attempts if a.error] == ["try 1", "try 2"]


async def test_a_job_out_of_retries_has_failed(cluster: Build) -> None:
    target = raising(lambda job: ValueError(f"used {job.retries} of {job.max_retries}"), max_retries=2)

    job = await finished(cluster(target), target)

    assert (job.status, outcomes(job)) == (JobStatus.FAILED, [AttemptOutcome.FAILED] * 3)
    assert [a.error.message for a in job.attempts if a.error] == ["used 0 of 2", "used 1 of 2", "used 2 of 2"]


async def test_an_attempt_keeps_its_error_with_the_traceback(cluster: Build) -> None:
    class StrangeError(Exception):
        pass

    target = raising(lambda _: StrangeError("no \0 in \ud800 texts"), max_retries=0)

    job = await finished(cluster(target), target)

    error = job.attempts[0].error
    assert error is not None
    assert error.type.endswith("StrangeError")
    assert error.message == "no \\0 in \\ud800 texts"
    assert error.traceback.startswith("Traceback (most recent call last)")
    assert "raise made" in error.traceback


async def test_an_error_that_cannot_be_printed_is_a_failure_all_the_same(cluster: Build) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    target = raising(lambda _: MuteError(), max_retries=0)

    job = await finished(cluster(target), target)

    assert (job.status, outcomes(job)) == (JobStatus.FAILED, [AttemptOutcome.FAILED])
    assert "message unavailable" in (job.attempts[0].error or pytest.fail("no error")).message


async def test_the_backoff_is_waited_out(cluster: Build) -> None:
    target = raising(lambda _: ValueError(), max_retries=2, retry=0.3)

    job = await finished(cluster(target, poll_interval=60), target)

    assert len(job.attempts) == 3
    assert all(0.3 <= pause < 2.3 for pause in pauses(job))


async def test_the_backoff_depends_on_the_error(cluster: Build) -> None:
    policy = RetryPolicy(
        default=FixedBackoff(0), by_error={OSError: FixedBackoff(0.4)}, give_up_on=(LookupError,)
    )
    errors = [ValueError(), ConnectionError(), KeyError("never again"), None]
    target = raising(lambda job: errors[job.attempt - 1], retry=policy)

    job = await finished(cluster(target), target)

    assert (job.status, len(job.attempts)) == (JobStatus.FAILED, 3)
    quick, slow = pauses(job)
    assert slow >= 0.4 > quick


async def test_a_handler_asks_for_a_retry_at_a_time_of_its_choice(cluster: Build) -> None:
    target = raising(lambda job: Retry(after=0.3, reason="busy") if job.attempt == 1 else None, retry=60)

    job = await finished(cluster(target), target)

    assert (job.status, outcomes(job)) == (
        JobStatus.SUCCEEDED,
        [AttemptOutcome.FAILED, AttemptOutcome.SUCCEEDED],
    )
    assert 0.3 <= pauses(job)[0] < 2.3
    assert "busy" in (job.attempts[0].error or pytest.fail("no error")).message


async def test_asking_for_a_retry_uses_one_up(cluster: Build) -> None:
    target = raising(lambda _: Retry(after=timedelta(0)), max_retries=1)

    job = await finished(cluster(target), target)

    assert (job.status, outcomes(job)) == (JobStatus.FAILED, [AttemptOutcome.FAILED] * 2)


async def test_snoozing_uses_up_no_retry(cluster: Build) -> None:
    retries = Seen[int]()

    def snooze(job: JobContext) -> BaseException | None:
        retries.add(job.retries)
        return Snooze(0.05) if job.attempt < 4 else None

    target = raising(snooze, max_retries=0)

    job = await finished(cluster(target), target)

    assert (job.status, outcomes(job)) == (
        JobStatus.SUCCEEDED,
        [AttemptOutcome.SNOOZED] * 3 + [AttemptOutcome.SUCCEEDED],
    )
    assert retries.items == [0] * 4
    assert all(pause >= 0.05 for pause in pauses(job))


async def test_a_long_snooze_is_spent_on_the_master(cluster: Build) -> None:
    target = raising(lambda _: Snooze(timedelta(hours=1)))
    async with cluster(target).running() as runtime:
        receipt = await runtime.scheduler.once_now(target)

        async def snoozed() -> JobRecord | None:
            found = await runtime.jobs.get(receipt.job_id)
            return found if found.attempts else None

        job = await until(snoozed)
    assert job is not None

    assert (job.status, job.bucket_id, job.attempt) == (JobStatus.HELD_ON_MASTER, None, 2)
    assert job.ready_at is not None
    assert timedelta(minutes=59) < job.ready_at - job.created_at < timedelta(minutes=61)


async def test_a_discarded_job_has_failed_whatever_retries_are_left(cluster: Build) -> None:
    target = raising(lambda _: Discard("the customer has left"), max_retries=5)

    job = await finished(cluster(target), target)

    assert (job.status, outcomes(job)) == (JobStatus.FAILED, [AttemptOutcome.DISCARDED])
    assert (job.attempts[0].error or pytest.fail("no error")).message == "the customer has left"


async def test_leaving_the_process_is_a_failure_of_the_job_alone(cluster: Build) -> None:
    target = raising(lambda _: SystemExit(3), max_retries=1)

    job = await finished(cluster(target), target)

    assert (job.status, outcomes(job)) == (JobStatus.FAILED, [AttemptOutcome.FAILED] * 2)
    assert (job.attempts[0].error or pytest.fail("no error")).type == "SystemExit"


async def test_a_group_of_errors_is_a_failure(cluster: Build) -> None:
    target = raising(lambda _: ExceptionGroup("two", [ValueError("one"), KeyError("other")]), max_retries=0)

    job = await finished(cluster(target), target)

    assert (job.status, outcomes(job)) == (JobStatus.FAILED, [AttemptOutcome.FAILED])
    error = job.attempts[0].error or pytest.fail("no error")
    assert (error.type, "KeyError: 'other'" in error.traceback) == ("ExceptionGroup", True)


class Abort(BaseException):
    """What some libraries raise so that nobody catches it by accident."""


@pytest.mark.parametrize(
    "made", [Abort("all is lost"), BaseExceptionGroup("mixed", [ValueError("some"), SystemExit(1)])]
)
async def test_whatever_a_handler_raises_is_a_failure_of_the_job_alone(
    cluster: Build, made: BaseException
) -> None:
    target = raising(lambda job: made if job.attempt == 1 else None)

    job = await finished(cluster(target), target)

    assert outcomes(job) == [AttemptOutcome.FAILED, AttemptOutcome.SUCCEEDED]
    assert str(made) in (job.attempts[0].error or pytest.fail("no error")).message


async def test_a_retry_has_fresh_timeout_and_context(cluster: Build) -> None:
    seen = Seen[tuple[int, int, bool]]()

    def note(job: JobContext) -> BaseException | None:
        seen.add((job.attempt, job.retries, (job.time_left or 0) > 4))
        return ValueError() if job.attempt < 3 else None

    target = raising(note, timeout=5)
    await finished(cluster(target), target)

    assert seen.items == [(1, 0, True), (2, 1, True), (3, 2, True)]
