"""How an attempt's end becomes the job's next state."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from jobmaster._text.logtext import cut, cut_front, storable
from jobmaster._text.tracebacks import FRAMES_SHOWN, exception_text
from jobmaster._time.durations import to_delay, written
from jobmaster.errors import Discard, Retry, Snooze
from jobmaster.models import AttemptError, Claim, Report, record
from jobmaster.retry import DEFAULT_POLICY, Random, RetryPolicy
from jobmaster.states import AttemptOutcome, JobStatus

LONGEST_NAME = 500
LONGEST_MESSAGE = 4_000
LONGEST_TRACEBACK = 32_000


@record(kw_only=True)
class Verdict:
    """The consequence of an attempt's end. `delay` is in seconds, for statuses that are not terminal."""

    outcome: AttemptOutcome
    status: JobStatus
    retries: int
    delay: float = 0.0
    error: AttemptError | None = None


def succeeded(claim: Claim) -> Verdict:
    """The handler returned."""
    return _FIRST_TRY if claim.retries == 0 else _success(claim.retries)


def _success(retries: int) -> Verdict:
    return Verdict(outcome=AttemptOutcome.SUCCEEDED, status=JobStatus.SUCCEEDED, retries=retries)


_FIRST_TRY = _success(0)


def cancelled(claim: Claim) -> Verdict:
    """The handler was stopped because its job was cancelled."""
    return Verdict(outcome=AttemptOutcome.CANCELLED, status=JobStatus.CANCELLED, retries=claim.retries)


def interrupted(claim: Claim) -> Verdict:
    """The handler was stopped for our own reasons: its job runs again at once and uses up no retry."""
    return Verdict(outcome=AttemptOutcome.INTERRUPTED, status=JobStatus.HELD_ON_MASTER, retries=claim.retries)


def overdue(claim: Claim) -> TimeoutError:
    """Return the error of an attempt that was stopped at its deadline."""
    return TimeoutError(f"the attempt took longer than its timeout of {written(claim.job.timeout or 0)}")


def timed_out(
    claim: Claim, error: TimeoutError, policy: RetryPolicy, random: Random, threshold: float
) -> Verdict:
    """The handler was stopped at its deadline."""
    return _failure(claim, AttemptOutcome.TIMED_OUT, error, policy, random, threshold)


def raised(
    claim: Claim, error: BaseException, policy: RetryPolicy, random: Random, threshold: float
) -> Verdict:
    """The handler raised: a failure, or one of the three signals."""
    if isinstance(error, Snooze):
        return _snoozed(claim, error, threshold)
    if isinstance(error, Discard):
        return Verdict(
            outcome=AttemptOutcome.DISCARDED,
            status=JobStatus.FAILED,
            retries=claim.retries,
            error=describe(error),
        )
    return _failure(claim, AttemptOutcome.FAILED, error, policy, random, threshold)


def unjudged(
    claim: Claim, outcome: AttemptOutcome, error: BaseException, random: Random, threshold: float
) -> Verdict:
    """The attempt ended with `error`, and judging that raised as well: treat it as a failure. Raises nothing."""
    delay = DEFAULT_POLICY.next_delay(error, claim.retries, claim.job.max_retries, random)
    return _failed(claim, outcome, error, delay, threshold)


def _snoozed(claim: Claim, snooze: Snooze, threshold: float) -> Verdict:
    delay = to_delay(snooze.after)
    return Verdict(
        outcome=AttemptOutcome.SNOOZED,
        status=_waiting_status(delay, threshold),
        retries=claim.retries,
        delay=delay,
    )


def _failure(
    claim: Claim,
    outcome: AttemptOutcome,
    error: BaseException,
    policy: RetryPolicy,
    random: Random,
    threshold: float,
) -> Verdict:
    delay = policy.next_delay(error, claim.retries, claim.job.max_retries, random)
    if delay is not None and isinstance(error, Retry) and error.after is not None:
        delay = to_delay(error.after)
    return _failed(claim, outcome, error, delay, threshold)


def _failed(
    claim: Claim, outcome: AttemptOutcome, error: BaseException, delay: float | None, threshold: float
) -> Verdict:
    """Return the verdict on a failure; without a `delay` the job fails for good."""
    if delay is None:
        return Verdict(outcome=outcome, status=JobStatus.FAILED, retries=claim.retries, error=describe(error))
    return Verdict(
        outcome=outcome,
        status=_waiting_status(delay, threshold),
        retries=claim.retries + 1,
        delay=delay,
        error=describe(error),
    )


def _waiting_status(delay: float, threshold: float) -> JobStatus:
    """Jobs that are due within `threshold` seconds stay in their bucket, later ones go back to the master."""
    return JobStatus.ASSIGNED_TO_BUCKET if delay <= threshold else JobStatus.HELD_ON_MASTER


def cancelled_unstarted(claim: Claim) -> Report:
    """Return the report of a job that was cancelled while it waited."""
    return _unstarted(claim, JobStatus.CANCELLED)


def released(claim: Claim, waited: float = 0.0) -> Report:
    """Return the report of a job that goes back to the master unchanged, after it was in flight for `waited` seconds.

    There it keeps its place in the order. If the master does not know the job yet, `waited` determines that place.
    """
    return _unstarted(claim, JobStatus.HELD_ON_MASTER, delay=-waited)


def parked(claim: Claim) -> Report:
    """Return the report of a job whose handler is not known here: it waits for a worker that knows it."""
    reason = (
        f"no handler for {claim.job.definition_id!r} on the worker that claimed it; "
        "start a worker whose application imports one"
    )
    return _unstarted(claim, JobStatus.HELD_ON_MASTER, reason)


def _unstarted(claim: Claim, status: JobStatus, reason: str | None = None, delay: float = 0.0) -> Report:
    return Report(
        job_id=claim.job.id,
        bucket_id=claim.bucket_id,
        epoch=claim.epoch,
        attempt=claim.attempt,
        status=status,
        delay=delay,
        retries=claim.retries,
        crashes=claim.crashes,
        suspect=claim.suspect,
        parked=reason,
        job=None if claim.saved else claim.job,
    )


def describe(error: BaseException) -> AttemptError:
    """Return an exception as text that every store can hold, cut to a bounded length.

    Raises nothing, whatever the exception does when its text is requested.
    """
    return AttemptError(
        type=_text("type", lambda: _type_name(type(error)), lambda text: cut(text, LONGEST_NAME)),
        message=_text("message", lambda: str(error), lambda text: cut(text, LONGEST_MESSAGE)),
        traceback=_text(
            "traceback", lambda: _traceback(error), lambda text: cut_front(text, LONGEST_TRACEBACK)
        ),
    )


def _type_name(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _traceback(error: BaseException) -> str:
    """Return what Python would print, or at least the frames if the exception prevents that."""
    try:
        return exception_text(error, error.__traceback__)
    except BaseException:  # noqa: BLE001 - the text of an exception may run any code
        return "".join(traceback.format_tb(error.__traceback__, limit=-FRAMES_SHOWN))


def _text(what: str, make: Callable[[], str], bounded: Callable[[str], str]) -> str:
    try:
        return storable(bounded(str.__str__(make())))
    except BaseException as failure:  # noqa: BLE001 - as above
        return f"<{what} unavailable: {type(failure).__name__}>"
