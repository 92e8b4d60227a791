"""How an attempt's end becomes the job's next state."""

from __future__ import annotations

import traceback
from typing import Any

from jobmaster._policy.retry import Random, RetryPolicy
from jobmaster.errors import Discard, Retry, Snooze
from jobmaster.models import AttemptError, Claim, Report, record
from jobmaster.states import AttemptOutcome, JobStatus

LONGEST_MESSAGE = 4_000
LONGEST_TRACEBACK = 32_000


@record(kw_only=True)
class Verdict:
    """What an attempt's end means. `delay` is in seconds, for statuses that are not terminal."""

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
    """The handler was stopped for our own reasons: its job runs again at once and has used up no retry."""
    return Verdict(outcome=AttemptOutcome.INTERRUPTED, status=JobStatus.HELD_ON_MASTER, retries=claim.retries)


def timed_out(claim: Claim, policy: RetryPolicy, random: Random, threshold: float) -> Verdict:
    """The handler was stopped at its deadline."""
    error = TimeoutError(f"the attempt took longer than its timeout of {claim.job.timeout:g} s")
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


def _snoozed(claim: Claim, snooze: Snooze, threshold: float) -> Verdict:
    return Verdict(
        outcome=AttemptOutcome.SNOOZED,
        status=_waiting_status(snooze.after, threshold),
        retries=claim.retries,
        delay=snooze.after,
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
        delay = error.after
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
    """Jobs due within the transient threshold stay in their bucket, later ones go back to the master."""
    return JobStatus.ASSIGNED_TO_BUCKET if delay <= threshold else JobStatus.HELD_ON_MASTER


def cancelled_unstarted(claim: Claim) -> Report:
    """Return the report of a job that was cancelled while it waited."""
    return _unstarted(claim, JobStatus.CANCELLED)


def released(claim: Claim) -> Report:
    """Return the report of a job that goes back to the master as it came."""
    return _unstarted(claim, JobStatus.HELD_ON_MASTER)


def parked(claim: Claim) -> Report:
    """Return the report of a job whose handler is not known here: it waits for a worker that knows it."""
    reason = (
        f"no handler for {claim.job.definition_id!r} on the worker that claimed it; "
        "start a worker whose application imports one"
    )
    return _unstarted(claim, JobStatus.HELD_ON_MASTER, reason)


def _unstarted(claim: Claim, status: JobStatus, reason: str | None = None) -> Report:
    return Report(
        job_id=claim.job.id,
        bucket_id=claim.bucket_id,
        epoch=claim.epoch,
        attempt=claim.attempt,
        status=status,
        retries=claim.retries,
        crashes=claim.crashes,
        suspect=claim.suspect,
        parked=reason,
        job=None if claim.saved else claim.job,
    )


def describe(error: BaseException) -> AttemptError:
    """Return an exception as text that every store can hold, cut to a bounded length."""
    kind = type(error)
    lines = "".join(traceback.format_exception(kind, error, error.__traceback__))
    return AttemptError(
        type=f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
        message=_clean(_message(error))[:LONGEST_MESSAGE],
        traceback=_clean(lines)[-LONGEST_TRACEBACK:],
    )


def _message(error: Any) -> str:
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - a broken __str__ must not lose the attempt
        return f"<message unavailable: {type(failure).__name__}>"


def _clean(text: str) -> str:
    """Replace what databases refuse in text: NUL characters and lone surrogates."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
