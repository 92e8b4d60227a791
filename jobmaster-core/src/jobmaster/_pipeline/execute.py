"""Step 5: run the handlers. One long-lived runner a slot; timeouts by one watch over all slots."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import define, field

from jobmaster._policy import outcome
from jobmaster._policy.outcome import Verdict
from jobmaster._policy.retry import RetryPolicy
from jobmaster.context import JobContext, captured_lines, claim_of, set_current
from jobmaster.contracts import MasterRepository
from jobmaster.forks import end_child, this_process
from jobmaster.handlers import Builder, Handler
from jobmaster.hookspecs import JobObserver, Middleware
from jobmaster.models import Claim, Report
from jobmaster.ownership import NEVER, Held, OnReport, OwnedBucket, Slot, StopReason
from jobmaster.signals import Signal
from jobmaster.states import AttemptOutcome
from jobmaster.suspects import Suspects

_INTERRUPTED = AttemptOutcome.INTERRUPTED
"""An enum's members are looked up slowly, so those that each job needs are looked up once."""

FAIRNESS = 0.005
"""Seconds for which a runner may go from job to job without letting the event loop do anything else."""

Run = Callable[[JobContext], Any]


class DeadlineWatch:
    """Stops slots at their deadlines. It sleeps until the earliest one, however many jobs pass meanwhile."""

    def __init__(self, buckets: Callable[[], Sequence[OwnedBucket]], monotonic: Callable[[], float]) -> None:
        self._buckets = buckets
        self._monotonic = monotonic
        self._wake_at = NEVER
        self._earlier = Signal()

    def expect(self, deadline: float) -> None:
        """See that the watch wakes in time for `deadline` (monotonic)."""
        if deadline < self._wake_at:
            self._wake_at = deadline
            self._earlier.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            wait = None if self._wake_at == NEVER else self._wake_at - self._monotonic()
            if not await self._earlier.wait(wait):
                self._wake_at = self.stop_overdue(self._monotonic())

    def stop_overdue(self, now: float) -> float:
        """Stop every slot whose deadline has passed; return the earliest deadline that has not."""
        earliest = NEVER
        for owned in self._buckets():
            for slot in owned.running():
                if slot.deadline <= now:
                    slot.stop(StopReason.TIMEOUT)
                elif slot.deadline < earliest:
                    earliest = slot.deadline
        return earliest


@define(eq=False)
class Execute:
    """Runs claims of one worker's buckets, each to a report."""

    master: MasterRepository
    handlers: Mapping[str, Handler]
    retry: RetryPolicy
    threshold: Callable[[], float]
    worker: str
    host: str
    on_report: OnReport
    watch: DeadlineWatch
    monotonic: Callable[[], float]
    now: Callable[[], datetime]
    threads: anyio.CapacityLimiter
    build: Builder
    middleware: Sequence[Middleware] = ()
    observers: Sequence[JobObserver] = ()
    random: Callable[[], float] = random.random
    _runs: dict[str, Run] = field(factory=dict, init=False)
    _process: object = field(factory=this_process, init=False)
    suspects: Suspects = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Build what depends on the fields."""
        self.suspects = Suspects(self.master, self.on_report, self.now)

    async def runner(self, owned: OwnedBucket, slot: Slot) -> None:
        """Run jobs of a bucket in one slot, until the bucket is closed."""
        while not owned.closed:
            await self._serve_until_stopped(owned, slot)
            if slot.job is not None:
                self._finish(owned, slot, self._stopped(slot))

    async def _serve_until_stopped(self, owned: OwnedBucket, slot: Slot) -> None:
        try:
            with anyio.CancelScope() as slot.scope:
                await self._serve(owned, slot)
        except Exception:
            # A handler's task group may raise other errors along with the cancellation we sent.
            if slot.stop_reason is None:
                raise

    async def _serve(self, owned: OwnedBucket, slot: Slot) -> None:
        """Run job after job in the slot's scope; return when the bucket is closed or the scope is spent."""
        yielded = self.monotonic()
        while (held := owned.next_in_line() or await owned.next_job()) is not None:
            now = self.monotonic()
            if now - yielded > FAIRNESS:
                await anyio.lowlevel.checkpoint()
                yielded = now = self.monotonic()
            if not owned.lease.is_safe(now):
                held.ended = True
                return
            await self._run(owned, slot, held, now)
            if slot.scope is None or slot.scope.cancel_called:
                return

    async def _run(self, owned: OwnedBucket, slot: Slot, held: Held, now: float) -> None:
        claim = held.claim
        if claim.suspect:
            if not await self.suspects.admit(owned, held):
                return
            now = self.monotonic()
        job = JobContext(claim, self.worker, self.host, self.now())
        slot.begin(held, job, now)
        self.watch.expect(slot.deadline)
        for observer in self.observers:
            observer.on_started(job)
        self._finish(owned, slot, await self._call(slot, job, claim))

    async def _call(self, slot: Slot, job: JobContext, claim: Claim) -> Verdict:
        set_current(job)
        try:
            await self._run_of(claim.job.definition_id)(job)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - any end of a handler is an outcome
            if self._process is not this_process():
                end_child(error)
            return self._ended(slot, claim, error)
        except anyio.get_cancelled_exc_class() as error:
            if slot.scope is None or slot.scope.cancel_called:
                raise
            await anyio.lowlevel.checkpoint_if_cancelled()
            return self._ended(slot, claim, error)
        except BaseException as error:
            # A group that holds a cancellation, or what a library derives from BaseException: this job's
            # failure, unless it was we who cancelled, or somebody wants the process to end.
            if _wants_the_process_to_end(error):
                raise
            await anyio.lowlevel.checkpoint_if_cancelled()
            return self._ended(slot, claim, error)
        return self._ended(slot, claim, None)

    def _ended(self, slot: Slot, claim: Claim, error: BaseException | None) -> Verdict:
        """Judge a handler that came to an end by itself, perhaps after it was told to stop."""
        if slot.stop_reason == StopReason.TIMEOUT:
            return self._stopped(slot)
        if error is None:
            return outcome.succeeded(claim)
        if slot.stop_reason is not None:
            return self._stopped(slot)
        return outcome.raised(claim, error, self._policy(claim), self.random, self.threshold())

    def _stopped(self, slot: Slot) -> Verdict:
        """Judge a handler that was stopped."""
        claim = claim_of(slot.job) if slot.job else None
        if claim is None:  # pragma: no cover - only called for a slot with a job
            raise AssertionError
        if slot.stop_reason == StopReason.TIMEOUT:
            return outcome.timed_out(claim, self._policy(claim), self.random, self.threshold())
        if slot.stop_reason == StopReason.CANCEL:
            return outcome.cancelled(claim)
        return outcome.interrupted(claim)

    def _policy(self, claim: Claim) -> RetryPolicy:
        own = self.handlers[claim.job.definition_id].definition.retry
        return own or self.retry

    def abandon(self, buckets: Iterable[OwnedBucket]) -> None:
        """Report what still runs in these buckets as interrupted: nobody runs it to its end."""
        for owned in buckets:
            for slot in list(owned.running()):
                self._finish(owned, slot, self._stopped(slot))

    def _finish(self, owned: OwnedBucket, slot: Slot, verdict: Verdict) -> None:
        job = slot.job
        if job is None:
            return
        slot.end()
        self.on_report(owned, _report(job, claim_of(job), verdict, self.now()))

    # Calling handlers

    def _run_of(self, definition_id: str) -> Run:
        run = self._runs.get(definition_id)
        if run is None:
            run = self._runs[definition_id] = self._compose(self.handlers[definition_id])
        return run

    def _compose(self, handler: Handler) -> Run:
        call = handler.bind(self.build)
        run: Run = call if handler.is_async else self._threaded(call)
        for middleware in reversed(self.middleware):
            run = _wrapped(middleware, run)
        return run

    def _threaded(self, call: Callable[[JobContext], Any]) -> Run:
        async def run(job: JobContext) -> None:
            result = await anyio.to_thread.run_sync(
                _in_this_process, call, job, abandon_on_cancel=True, limiter=self.threads
            )
            if isinstance(result, Awaitable):
                await result

        return run


def _in_this_process(call: Callable[[JobContext], Any], job: JobContext) -> Any:
    """Call a handler; a child that it forks and that comes back from it ends here."""
    process, failure = this_process(), None
    try:
        return call(job)
    except BaseException as error:
        failure = error
        raise
    finally:
        if process is not this_process():
            end_child(failure)


def _wants_the_process_to_end(error: BaseException) -> bool:
    inside = error.subgroup(KeyboardInterrupt) if isinstance(error, BaseExceptionGroup) else None
    return inside is not None or isinstance(error, KeyboardInterrupt)


def _wrapped(middleware: Middleware, inner: Run) -> Run:
    async def run(job: JobContext) -> None:
        await middleware(job, inner)

    return run


def _report(job: JobContext, claim: Claim, verdict: Verdict, finished_at: datetime) -> Report:
    interrupted = verdict.outcome is _INTERRUPTED
    return Report(  # by position, which takes a third of the time
        claim.job.id,
        claim.bucket_id,
        claim.epoch,
        claim.attempt,
        verdict.status,
        verdict.outcome,
        job.started_at,
        finished_at,
        job.worker,
        job.host,
        verdict.error,
        verdict.delay,
        verdict.retries,
        # Who came to an end by himself, on record, is cleared; who was interrupted is not.
        claim.crashes if interrupted else 0,
        claim.suspect and interrupted,
        logs=captured_lines(job),
        job=None if claim.saved else claim.job,
    )
