"""Step 5: run the handlers. One long-lived runner per slot; one watch over all slots handles timeouts."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
from attrs import define, field

from jobmaster._flow.attemptlog import ended as log_end
from jobmaster._flow.ownership import NEVER, InFlight, OnReport, OwnedBucket, Slot, StopReason
from jobmaster._flow.poison_guard import PoisonGuard
from jobmaster._policy import outcome
from jobmaster._process.signals import Signal
from jobmaster._process.tasks import Contained, in_own_context, reraise_if_ending
from jobmaster.context import JobContext, captured_lines, claim_of, noting_its_thread, set_current
from jobmaster.forks import end_child, this_process
from jobmaster.models import Claim, Report
from jobmaster.states import AttemptOutcome

if TYPE_CHECKING:
    from jobmaster._policy.outcome import Verdict
    from jobmaster.clock import Clock
    from jobmaster.contracts import OutcomeStore
    from jobmaster.handlers import Builder, Handler
    from jobmaster.hookspecs import JobObserver, Middleware
    from jobmaster.retry import RetryPolicy

log = logging.getLogger("jobmaster.execute")

_INTERRUPTED, _SUCCEEDED = AttemptOutcome.INTERRUPTED, AttemptOutcome.SUCCEEDED
"""Looking up an enum's members is slow, so those that every job needs are looked up once."""

FAIRNESS = 0.005
"""Seconds for which a runner may go from job to job without yielding to the event loop."""

PATIENCE: Final[Mapping[str, float]] = {StopReason.TIMEOUT: 1.0, StopReason.CANCEL: 1.0}
"""Seconds that a handler has to end after it was told to stop, by reason."""
LONG_PATIENCE = 4.0
"""The same for every other reason: when a worker stops, the handler's cleanup may take longer."""

_STOPPED: Final = RuntimeError("the handler was stopped")
"""Stands for the error of a handler that was told to stop, and was stopped."""

UNLIMITED: Final = float("inf")
"""How many threads may run plain functions: one per slot, plus those whose functions do not end."""

Run = Callable[[JobContext], Any]


class DeadlineWatch:
    """Stops slots at their deadlines. It sleeps until the earliest deadline, however many jobs pass meanwhile.

    `on_overrun` is called with a slot whose handler was told to stop and has not ended in time.
    """

    def __init__(
        self,
        buckets: Sequence[OwnedBucket],
        clock: Clock,
        on_overrun: Callable[[OwnedBucket, Slot], None],
    ) -> None:
        self._buckets = buckets
        self._clock = clock
        self._on_overrun = on_overrun
        self._wake_at = NEVER
        self._earlier = Signal()

    def expect(self, deadline: float) -> None:
        """Make sure that the watch wakes in time for `deadline` (monotonic)."""
        if deadline < self._wake_at:
            self._wake_at = deadline
            self._earlier.set()

    def told(self, slot: Slot) -> None:
        """Give a handler that was told to stop a moment to end."""
        slot.deadline = self._clock.monotonic() + PATIENCE.get(slot.stop_reason or "", LONG_PATIENCE)
        self.expect(slot.deadline)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            wait = None if self._wake_at == NEVER else self._wake_at - self._clock.monotonic()
            if not await self._earlier.wait(wait):
                now = self._clock.monotonic()
                self._wake_at = now + LONG_PATIENCE  # if what follows fails
                async with Contained("stopping overdue attempts", log):
                    self._wake_at = self.stop_overdue(now)

    def stop_overdue(self, now: float) -> float:
        """Stop every slot whose deadline has passed; return the earliest deadline that has not."""
        earliest = NEVER
        for owned in self._buckets:
            for slot in list(owned.running()):
                if slot.deadline <= now:
                    self._overdue(owned, slot)
                if slot.job is not None and slot.deadline < earliest:
                    earliest = slot.deadline
        return earliest

    def _overdue(self, owned: OwnedBucket, slot: Slot) -> None:
        if slot.stop_reason is None:
            slot.stop(StopReason.TIMEOUT)
        else:
            self._on_overrun(owned, slot)


@define(eq=False)
class Execute:
    """Runs the claims of one worker's buckets, and reports each.

    `threshold` is the longest delay in seconds with which a job that runs again stays in its bucket.
    """

    outcomes: OutcomeStore
    handlers: Mapping[str, Handler]
    retry: RetryPolicy
    threshold: float
    worker: str
    host: str
    on_report: OnReport
    watch: DeadlineWatch
    clock: Clock
    threads: anyio.CapacityLimiter
    build: Builder
    middleware: Sequence[Middleware] = ()
    observers: Sequence[JobObserver] = ()
    random: Callable[[], float] = random.random
    _runs: dict[str, Run] = field(factory=dict, init=False)
    _process: object = field(factory=this_process, init=False)
    poison_guard: PoisonGuard = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Build the parts that depend on the fields."""
        self.poison_guard = PoisonGuard(self.outcomes, self.on_report, self.clock)

    async def runner(self, owned: OwnedBucket, slot: Slot) -> None:
        """Run jobs of a bucket in one slot, until the bucket is closed or the slot was left."""
        slot.on_stop = self.watch.told
        while not (owned.closed or slot.left):
            try:
                error = await self._serve_until_stopped(owned, slot)
            except BaseException:  # the task must end, and interrupts its job
                slot.stop_reason = slot.stop_reason or StopReason.SHUTDOWN
                self._finish(owned, slot, _STOPPED)
                raise
            self._finish(owned, slot, error)

    async def _serve_until_stopped(self, owned: OwnedBucket, slot: Slot) -> BaseException:
        """Serve until the running job is stopped or raises something unexpected, which is returned.

        Whatever that is, it concerns only that job: nothing but the end of the task itself ends a runner.
        """
        try:
            with anyio.CancelScope() as slot.scope:
                await self._serve(owned, slot)
        except BaseException as error:
            await reraise_if_ending(error)
            if slot.job is None:
                log.exception("unexpected failure between two jobs")
            return error
        return _STOPPED

    async def _serve(self, owned: OwnedBucket, slot: Slot) -> None:
        """Run job after job in the slot's scope; return when the bucket is closed or the scope is spent."""
        yielded = self.clock.monotonic()
        while (entry := owned.next_in_line() or await owned.next_job()) is not None:
            now = self.clock.monotonic()
            if now - yielded > FAIRNESS:
                await anyio.lowlevel.checkpoint()
                yielded = now = self.clock.monotonic()
            if not owned.lease.is_safe(now):
                entry.ended = True
                return
            await self._run(owned, slot, entry, now)
            if slot.left or slot.scope is None or slot.scope.cancel_called:
                return

    async def _run(self, owned: OwnedBucket, slot: Slot, entry: InFlight, now: float) -> None:
        claim = entry.claim
        if claim.suspect:
            if not await self.poison_guard.admit(owned, entry):
                return
            now = self.clock.monotonic()
        job = JobContext(claim, self.worker, self.host, self.clock.now())
        slot.begin(entry, job, now)
        self.watch.expect(slot.deadline)
        error = await in_own_context(self._call(slot, job))
        self._finish(owned, slot, error)

    async def _call(self, slot: Slot, job: JobContext) -> BaseException | None:
        """Run the handler, in a context of its own; return what it raised."""
        set_current(job)
        for observer in self.observers:
            observer.on_started(job)
        try:
            await self._run_of(job.definition_id)(job)
        except Exception as error:  # noqa: BLE001 - any end of a handler is an outcome
            self._end_if_child(error)
            return error
        except BaseException as error:
            # The cancellation that we sent is for the slot's scope. Any other one, a group that holds one, or any
            # other BaseException is this job's failure.
            if isinstance(error, anyio.get_cancelled_exc_class()) and _is_told(slot):
                raise
            self._end_if_child(error)
            await reraise_if_ending(error)
            return error
        return None

    def _end_if_child(self, error: BaseException) -> None:
        """End this process if it is a child that the handler forked and that returned from the handler."""
        if self._process is not this_process():
            end_child(error)

    # Judging how it ended

    def _judged(self, slot: Slot, job: JobContext, error: BaseException | None) -> Verdict:
        """Judge the end of an attempt. This calls users' code: whatever that raises costs no other job."""
        claim = claim_of(job)
        reason = slot.stop_reason
        if reason is None and error is None:
            return outcome.succeeded(claim)
        late = outcome.overdue(claim) if reason == StopReason.TIMEOUT else None
        try:
            return self._verdict(claim, reason, late, error)
        except BaseException as broken:
            log.exception("job %s: its outcome could not be determined; the default policy decides", job.id)
            kind = AttemptOutcome.FAILED if late is None else AttemptOutcome.TIMED_OUT
            return outcome.unjudged(claim, kind, late or error or broken, self.random, self.threshold)

    def _verdict(
        self, claim: Claim, reason: str | None, late: TimeoutError | None, error: BaseException | None
    ) -> Verdict:
        if late is not None:
            return outcome.timed_out(claim, late, self._policy(claim), self.random, self.threshold)
        if error is None:
            return outcome.succeeded(claim)
        if reason == StopReason.CANCEL:
            return outcome.cancelled(claim)
        if reason is not None:
            return outcome.interrupted(claim)
        return outcome.raised(claim, error, self._policy(claim), self.random, self.threshold)

    def _policy(self, claim: Claim) -> RetryPolicy:
        own = self.handlers[claim.job.definition_id].definition.retry
        return own or self.retry

    def leave(self, owned: OwnedBucket, slot: Slot) -> None:
        """Record the end of an attempt whose handler keeps running although it was told to stop."""
        if slot.job is not None:
            log.error(
                "job %s of %s keeps running although it was told to stop (%s); its attempt is over, and it is abandoned",
                *(slot.job.id, slot.job.definition_id, slot.stop_reason),
            )
        self._finish(owned, slot, _STOPPED)

    def abandon(self, buckets: Iterable[OwnedBucket]) -> None:
        """Report the jobs that still run in these buckets as stopped: they will not run to their end."""
        for owned in buckets:
            for slot in list(owned.running()):
                slot.note_stop(StopReason.SHUTDOWN)
                self._finish(owned, slot, _STOPPED)

    def _finish(self, owned: OwnedBucket, slot: Slot, error: BaseException | None) -> None:
        """Report the end of the job that runs in a slot, if there is one: a handler that was left comes too late."""
        job = slot.job
        if job is None:
            return
        verdict, raised = self._judged(slot, job, error), error if slot.stop_reason is None else None
        slot.end()
        finished_at = self.clock.now()
        owned.pace.ran((finished_at - job.started_at).total_seconds())
        self.on_report(owned, _report(job, claim_of(job), verdict, finished_at))
        if verdict.outcome is not _SUCCEEDED:
            log_end(job, verdict, raised)

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
        call = noting_its_thread(call)

        async def run(job: JobContext) -> None:
            result, error = await anyio.to_thread.run_sync(
                _tried, call, job, abandon_on_cancel=True, limiter=self.threads
            )
            if error is not None:
                raise error
            if isinstance(result, Awaitable):
                await result

        return run


def _tried(call: Callable[[JobContext], Any], job: JobContext) -> tuple[Any, BaseException | None]:
    """Return what a plain function returned, and what it raised. A child that it forks and that returns ends here.

    The exception is returned as a value: raised across threads, some would have a meaning to the event loop.
    """
    process, failure = this_process(), None
    try:
        return call(job), None
    except BaseException as error:  # noqa: BLE001 - see above
        failure = error
        return None, error
    finally:
        if process is not this_process():
            end_child(failure)


def _is_told(slot: Slot) -> bool:
    return slot.scope is None or slot.scope.cancel_called


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
        # A job that ended by itself, with its end recorded, is cleared; an interrupted one is not.
        claim.crashes if interrupted else 0,
        claim.suspect and interrupted,
        logs=captured_lines(job),
        job=None if claim.saved else claim.job,
    )
