"""Jobs from the scheduling call to their end, on a provider's store."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

import asyncio
import math
import threading
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
import sniffio

from jobmaster.context import JobContext
from jobmaster.errors import Discard, Retry, Snooze
from jobmaster.handlers import handler
from jobmaster.models import CancelResult, JobReceipt, JobRecord, MetadataFilter, Operator
from jobmaster.runtime import Runtime
from jobmaster.states import JobStatus, Priority
from jobmaster_testing.contracts.jobs_insert import EVERY_TYPE
from jobmaster_testing.contracts.running import Clusters, RunningTests, ended, outcomes
from jobmaster_testing.probes import Seen, until

RETRY = 0.01
"""Seconds between two attempts, so that a test need not wait."""


class RunningContract(RunningTests, suite=True):
    """The outcome of one job."""

    async def test_a_job_runs_to_success(self, clusters: Clusters) -> None:
        names: Seen[str] = Seen()

        @handler("Hello", metadata={"category": "demo"})
        async def hello(job: JobContext) -> None:
            names.add(job.data.get_str("name"))

        async with clusters.running(hello) as runtime:
            receipt = await runtime.scheduler.once_now(hello, {"name": "John Doe"})
            job = await ended(runtime, receipt.job_id)

        assert names.items == ["John Doe"]
        assert (job.status, job.attempt, job.retries, outcomes(job)) == (
            JobStatus.SUCCEEDED,
            1,
            0,
            ["succeeded"],
        )
        [attempt] = job.attempts
        assert attempt.worker == "Worker-01"
        assert attempt.host
        assert attempt.started_at is not None
        assert job.finished_at is not None
        assert attempt.started_at <= attempt.finished_at <= datetime.now(UTC)
        assert dict(job.metadata) == {"category": "demo"}

    async def test_a_plain_function_runs_in_a_thread(self, clusters: Clusters) -> None:
        called: list[tuple[str, int, bool]] = []

        @handler("Resize")
        def resize(job: JobContext, url: str, width: int = 640) -> int:  # noqa: ARG001 - as users write it
            called.append((url, width, threading.current_thread() is threading.main_thread()))
            return width

        async with clusters.running(resize) as runtime:
            receipt = await runtime.scheduler.once_now(resize, url="https://example.org", width=80)
            await ended(runtime, receipt.job_id)

        assert called == [("https://example.org", 80, False)]

    async def test_values_of_every_type_reach_the_handler(self, clusters: Clusters) -> None:
        seen: Seen[dict[str, Any]] = Seen()

        @handler("Values")
        async def values(job: JobContext) -> None:
            seen.add(dict(job.data))

        async with clusters.running(values) as runtime:
            await runtime.scheduler.once_now(values, EVERY_TYPE)
            [data] = await seen.count(1)

        assert data == EVERY_TYPE
        assert {name: type(value) for name, value in data.items()} == {
            name: type(value) for name, value in EVERY_TYPE.items()
        }

    async def test_a_failing_job_is_tried_again(self, clusters: Clusters) -> None:
        @handler("Flaky", max_retries=3, retry=RETRY)
        async def flaky(job: JobContext) -> None:
            if job.retries < 2:
                raise ValueError(f"not yet: {job.attempt}")

        async with clusters.running(flaky) as runtime:
            receipt = await runtime.scheduler.once_now(flaky)
            job = await ended(runtime, receipt.job_id)

        assert (job.status, outcomes(job)) == (JobStatus.SUCCEEDED, ["failed", "failed", "succeeded"])
        assert job.retries == 2
        errors = [attempt.error for attempt in job.attempts if attempt.error]
        assert [(e.type, e.message) for e in errors] == [
            ("ValueError", "not yet: 1"),
            ("ValueError", "not yet: 2"),
        ]
        assert "in flaky" in errors[0].traceback

    async def test_a_job_fails_for_good_when_its_retries_are_used_up(self, clusters: Clusters) -> None:
        @handler("Broken", max_retries=1, retry=RETRY)
        async def broken(job: JobContext) -> None:
            raise RuntimeError(str(job.id))

        async with clusters.running(broken) as runtime:
            receipt = await runtime.scheduler.once_now(broken)
            job = await ended(runtime, receipt.job_id)
            assert (job.status, outcomes(job)) == (JobStatus.FAILED, ["failed", "failed"])

            await runtime.scheduler.retry(job.id)
            again = await ended(runtime, receipt.job_id)

        assert outcomes(again) == ["failed"] * 4
        assert [attempt.number for attempt in again.attempts] == [1, 2, 3, 4]

    async def test_errors_in_any_text_are_recorded(self, clusters: Clusters) -> None:
        @handler("Odd", max_retries=0)
        async def odd(job: JobContext) -> None:
            job.logger.info("null \0 byte, half \ud83d a pair")
            raise ValueError("null \0 byte, half \ud83d a pair 🚀")

        async with clusters.running(odd) as runtime:
            receipt = await runtime.scheduler.once_now(odd)
            job = await ended(runtime, receipt.job_id)

        assert job.status is JobStatus.FAILED
        [attempt] = job.attempts
        assert attempt.error is not None
        assert attempt.error.message.endswith("a pair 🚀")

    async def test_a_handler_says_what_is_next(self, clusters: Clusters) -> None:
        @handler("Signals", max_retries=1)
        async def signals(job: JobContext) -> None:
            if job.attempt == 1:
                raise Snooze(0.01)
            if job.attempt == 2:
                raise Retry(after=0.01, reason="once more")
            raise Discard("never again")

        async with clusters.running(signals) as runtime:
            receipt = await runtime.scheduler.once_now(signals)
            job = await ended(runtime, receipt.job_id)

        assert (job.status, outcomes(job)) == (JobStatus.FAILED, ["snoozed", "failed", "discarded"])

    async def test_a_job_that_takes_too_long_is_stopped(self, clusters: Clusters) -> None:
        cleaned_up: Seen[int] = Seen()

        @handler("Slow", timeout=0.05, max_retries=1, retry=RETRY)
        async def slow(job: JobContext) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                cleaned_up.add(job.attempt)

        async with clusters.running(slow) as runtime:
            receipt = await runtime.scheduler.once_now(slow)
            job = await ended(runtime, receipt.job_id)

        assert (job.status, outcomes(job)) == (JobStatus.FAILED, ["timed_out", "timed_out"])
        assert cleaned_up.items == [1, 2]

    async def test_a_waiting_job_is_cancelled_at_once(self, clusters: Clusters) -> None:
        started: Seen[UUID] = Seen()

        @handler("Never")
        async def never(job: JobContext) -> None:
            started.add(job.id)

        async with clusters.running(never) as runtime:
            soon = await runtime.scheduler.once_after(never, 60)
            held = await runtime.scheduler.once_after(never, timedelta(hours=1))
            answers = [await runtime.scheduler.cancel(r.job_id) for r in (soon, held, held)]
            jobs = [await runtime.jobs.get(r.job_id) for r in (soon, held)]

        assert answers == [CancelResult.CANCELLED, CancelResult.CANCELLED, CancelResult.TOO_LATE]
        assert [job.status for job in jobs] == [JobStatus.CANCELLED] * 2
        assert started.items == []

    async def test_a_running_job_is_cancelled(self, clusters: Clusters) -> None:
        events: Seen[str] = Seen()

        @handler("Endless", timeout=None)
        async def endless(job: JobContext) -> None:  # noqa: ARG001 - as users write it
            events.add("started")
            try:
                await anyio.sleep_forever()
            finally:
                events.add("stopped")

        async with clusters.running(endless) as runtime:
            receipt = await runtime.scheduler.once_now(endless)
            await events.count(1)
            answer = await runtime.scheduler.cancel(receipt.job_id)
            job = await ended(runtime, receipt.job_id)

        assert answer is CancelResult.REQUESTED
        assert (job.status, outcomes(job)) == (JobStatus.CANCELLED, ["cancelled"])
        assert events.items == ["started", "stopped"]

    async def test_a_delayed_job_runs_when_it_is_due(self, clusters: Clusters) -> None:
        @handler("Later")
        async def later(job: JobContext) -> None:
            job.logger.info("attempt %d", job.attempt, extra={"number": 1})

        async with clusters.running(later) as runtime:
            before = await runtime.master.now()
            receipt = await runtime.scheduler.once_after(later, timedelta(seconds=0.3))
            job = await ended(runtime, receipt.job_id)
            after = await runtime.master.now()

        assert job.status is JobStatus.SUCCEEDED
        assert after - before >= timedelta(seconds=0.3)
        assert [(line.message, line.attempt, line.fields["number"]) for line in job.logs] == [
            ("attempt 1", 1, 1)
        ]

    async def test_a_held_job_is_moved_forward(self, clusters: Clusters) -> None:
        @handler("Moved")
        async def moved(job: JobContext) -> None: ...

        async with clusters.running(moved) as runtime:
            receipt = await runtime.scheduler.once_after(moved, timedelta(days=1))
            assert (await runtime.jobs.get(receipt.job_id)).status is JobStatus.HELD_ON_MASTER
            await runtime.scheduler.reschedule(receipt.job_id, 0.1)
            job = await ended(runtime, receipt.job_id)

        assert outcomes(job) == ["succeeded"]

    async def test_a_long_job_is_shown_as_processing(self, clusters: Clusters) -> None:
        finish = anyio.Event()

        @handler("Long", timeout=None)
        async def long(job: JobContext) -> None:  # noqa: ARG001 - as users write it
            await finish.wait()

        async with clusters.running(long) as runtime:
            receipt = await runtime.scheduler.once_now(long)

            async def shown() -> bool:
                return (await runtime.jobs.get(receipt.job_id)).status is JobStatus.PROCESSING

            await until(shown, what="the job to be shown as processing")
            finish.set()
            job = await ended(runtime, receipt.job_id)

        assert outcomes(job) == ["succeeded"]


class ManyJobsContract(RunningTests, suite=True):
    """The outcome of many jobs."""

    async def test_many_jobs_in_one_call_run_once_each(self, clusters: Clusters) -> None:
        runs: Seen[int] = Seen()

        @handler("Bulk")
        async def bulk(job: JobContext) -> None:
            runs.add(job.data.get_int("n"))

        async with clusters.running(bulk) as runtime:
            receipts = await runtime.scheduler.once_many([bulk.request({"n": n}) for n in range(300)])
            await runs.count(300)

            async def written() -> bool:
                return await runtime.jobs.count(status=JobStatus.SUCCEEDED) == 300

            await until(written, what="300 successes on record")

        assert len({receipt.job_id for receipt in receipts}) == 300
        assert sorted(runs.items) == list(range(300))

    async def test_concurrent_calls_each_get_their_own_receipt(self, clusters: Clusters) -> None:
        runs: Seen[int] = Seen()
        receipts: dict[int, UUID] = {}

        @handler("Concurrent")
        async def concurrent(job: JobContext) -> None:
            runs.add(job.data.get_int("n"))

        async with clusters.running(concurrent) as runtime:

            async def schedule(n: int) -> None:
                # Two calls in a row share a key: together they create one job.
                receipt = await runtime.scheduler.once_now(concurrent, {"n": n // 2}, key=f"key-{n // 2}")
                receipts[n] = receipt.job_id

            async with anyio.create_task_group() as group:
                for n in range(100):
                    group.start_soon(schedule, n)
            jobs = {n: await ended(runtime, job_id) for n, job_id in receipts.items()}

        assert sorted(runs.items) == list(range(50))
        assert all(job.data.get_int("n") == n // 2 for n, job in jobs.items())

    async def test_every_priority_is_served(self, clusters: Clusters) -> None:
        runs: Seen[Priority] = Seen()

        @handler("Urgent")
        async def urgent(job: JobContext) -> None:
            runs.add(job.priority)

        async with clusters.running(urgent) as runtime:
            for priority in Priority:
                await runtime.scheduler.once_now(urgent, priority=priority)
            await runs.count(len(Priority))

        assert sorted(runs.items) == sorted(Priority)

    async def test_a_lane_is_served_by_its_own_workers(self, clusters: Clusters) -> None:
        runs: Seen[tuple[str, str]] = Seen()

        @handler("Lane")
        async def lane(job: JobContext) -> None:
            runs.add((job.lane, job.worker))

        async with clusters.running(lane, name="Default-01") as runtime:
            other = await runtime.scheduler.once_now(lane, lane="Payroll")
            await ended(runtime, (await runtime.scheduler.once_now(lane)).job_id)
            assert (await runtime.jobs.get(other.job_id)).status is JobStatus.HELD_ON_MASTER
            async with clusters.running(lane, name="Payroll-01", lane="Payroll"):
                await ended(runtime, other.job_id)

        assert runs.items == [("default", "Default-01"), ("Payroll", "Payroll-01")]

    async def test_a_key_schedules_once(self, clusters: Clusters) -> None:
        runs: Seen[int] = Seen()

        @handler("Once")
        async def once(job: JobContext) -> None:
            runs.add(job.data.get_int("n"))

        async with clusters.running(once) as runtime:
            first = await runtime.scheduler.once_now(once, {"n": 1}, key="order-1")
            await ended(runtime, first.job_id)
            second = await runtime.scheduler.once_now(once, {"n": 2}, key="order-1")
            third = await runtime.scheduler.once_now(once, {"n": 3}, key="order-2")
            await ended(runtime, third.job_id)

        assert (second.job_id, second.created) == (first.job_id, False)
        assert runs.items == [1, 3]

    async def test_jobs_are_found_by_their_metadata(self, clusters: Clusters) -> None:
        @handler("Tagged", metadata={"team": "core"})
        async def tagged(job: JobContext) -> None: ...

        async with clusters.running(tagged) as runtime:
            receipts = [await runtime.scheduler.once_now(tagged, metadata={"size": n}) for n in range(4)]
            for receipt in receipts:
                await ended(runtime, receipt.job_id)
            large = [MetadataFilter("size", Operator.GTE, 2)]
            found = await runtime.jobs.query(metadata=large, handler=tagged, status="succeeded")
            count = await runtime.jobs.count(metadata={"team": "core"})

        assert {job.id for job in found} == {receipt.job_id for receipt in receipts[2:]}
        assert count == 4

    # Only the faulty job fails

    async def test_whatever_user_code_does_only_its_job_fails(self, clusters: Clusters) -> None:
        culprits = [_culprit(name) for name in _ODD]

        @handler("Bystander", max_retries=0)
        async def bystander(job: JobContext) -> None: ...

        async with clusters.running(bystander, *culprits) as runtime:
            requests = [one.request() for culprit in culprits for one in (culprit, bystander)]
            receipts = await runtime.scheduler.once_many(requests)
            innocent = [await ended(runtime, receipt.job_id) for receipt in receipts[1::2]]
            guilty = [await attempted(runtime, receipt.job_id) for receipt in receipts[::2]]
            listed = await runtime.jobs.query()

        assert [outcomes(job) for job in innocent] == [["succeeded"]] * len(culprits)
        assert {job.definition_id: outcomes(job)[0] for job in guilty} == _FATES
        assert len(listed) == len(requests)

    async def test_what_a_job_sets_in_its_context_is_its_own(self, clusters: Clusters) -> None:
        seen: Seen[str] = Seen()

        @handler("Tenant", priority=Priority.VERY_LOW)
        async def sets_tenant(job: JobContext) -> None:
            seen.add(_tenant.get())
            _tenant.set(str(job.id))

        async with clusters.running(sets_tenant) as runtime:
            receipts = await runtime.scheduler.once_many([sets_tenant.request() for _ in range(6)])
            for receipt in receipts:
                await ended(runtime, receipt.job_id)

        assert seen.items == ["nobody"] * 6

    async def test_a_caller_that_its_event_loop_cancels_leaves_no_one_waiting(
        self, clusters: Clusters
    ) -> None:
        """`asyncio.wait_for` ignores shields; trio has no equivalent."""

        @handler("Quick")
        async def quick(job: JobContext) -> None: ...

        async with clusters.scheduling() as runtime:
            if sniffio.current_async_library() == "asyncio":
                for turns in range(0, 60, 4):
                    await _cancel_some_of_many_calls(runtime, quick, turns)
            receipt = await runtime.scheduler.once_now(quick)
            assert (await runtime.jobs.get(receipt.job_id)).definition_id == "Quick"


async def attempted(runtime: Runtime, job_id: UUID) -> JobRecord:
    """Return a job once one of its attempts has ended."""

    async def have_ended() -> JobRecord | None:
        found = await runtime.jobs.get(job_id)
        return found if found.attempts else None

    found = await until(have_ended)
    assert found is not None
    return found


_tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class _Backoff:
    """A backoff that returns the given answer, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def delay(self, retry: int, random: object) -> Any:  # noqa: ARG002 - the protocol's signature
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


_ODD: dict[str, tuple[BaseException, Any, str]] = {
    "Snooze.Ages": (Snooze(timedelta.max), None, "snoozed"),
    "Retry.Never": (Retry(math.inf), None, "failed"),
    "Backoff.Huge": (OSError(), _Backoff(2.0**1023), "failed"),
    "Backoff.Infinite": (OSError(), _Backoff(math.inf), "failed"),
    "Backoff.Nan": (OSError(), _Backoff(math.nan), "failed"),
    "Backoff.Negative": (OSError(), _Backoff(-1), "failed"),
    "Backoff.None": (OSError(), _Backoff(None), "failed"),
    "Backoff.Timedelta": (OSError(), _Backoff(timedelta.max), "failed"),
    "Backoff.Raises": (OSError(), _Backoff(GeneratorExit()), "failed"),
    "Text": (ValueError("\0 \ud800 \x1b[31m"), None, "failed"),
    "Syntax": (SyntaxError("no", (b"where", "", "", object())), None, "failed"),  # type: ignore[arg-type]
    "GeneratorExit": (GeneratorExit(), None, "failed"),
    "KeyboardInterrupt": (KeyboardInterrupt(), None, "failed"),
    "BaseException": (BaseException("odd"), None, "failed"),
    "Discard": (Discard("\udfff"), None, "discarded"),
}
"""What handlers raise, the backoff of their jobs, and the expected end of the first attempt."""
_FATES = {name: fate for name, (_, _, fate) in _ODD.items()}


def _culprit(name: str) -> Any:
    """Return a handler that raises as `_ODD` specifies: every second one in a thread."""
    error, backoff, _ = _ODD[name]

    def in_thread(job: JobContext) -> None:  # noqa: ARG001 - as users write it
        raise error

    async def in_loop(job: JobContext) -> None:  # noqa: ARG001 - as users write it
        raise error

    return handler(name, max_retries=3, retry=backoff)(in_thread if len(name) % 2 else in_loop)


async def _cancel_some_of_many_calls(runtime: Runtime, target: Any, turns: int) -> None:
    """Make many calls share flushes, and cancel some of them after some turns of the event loop."""
    calls = [asyncio.ensure_future(runtime.scheduler.once_now(target)) for _ in range(20)]
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    for call in calls[::5]:
        call.cancel()
    with anyio.fail_after(10):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, JobReceipt) for place, answer in enumerate(answers) if place % 5)
