"""Log lines about attempts that did not succeed: a warning each, and an error when the job has failed for good.

Lines of both loggers have the fields of a job's own lines, `job_id`, `definition_id`, `attempt`, `lane` and
`cluster_id`, and the `outcome`. Nothing is computed for a disabled level, and nothing is raised.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from jobmaster._policy.outcome import LONGEST_TRACEBACK, Verdict
from jobmaster._text.logtext import cut_front, one_line, storable, tell_of_lost_line, traceback_text
from jobmaster._time.durations import written
from jobmaster.context import JobContext, identity, runs_in_thread
from jobmaster.states import AttemptOutcome, JobStatus

if TYPE_CHECKING:
    from jobmaster.models import AttemptError, Claim, Report

attempts = logging.getLogger("jobmaster.attempts")
"""WARNING: an attempt failed, timed out or was lost, and the job is tried again."""
final = logging.getLogger("jobmaster.attempts.final")
"""ERROR: a job failed for good. Includes the traceback if a handler raised."""

LONGEST_ERROR: Final = 500
"""Characters of an error that a line shows; the attempt keeps the whole error."""

_UNHEEDED: Final = frozenset({AttemptOutcome.CANCELLED, AttemptOutcome.INTERRUPTED})
_VERBS: Final = {
    AttemptOutcome.FAILED: "failed",
    AttemptOutcome.TIMED_OUT: "timed out",
    AttemptOutcome.DISCARDED: "discarded the job",
    AttemptOutcome.CANCELLED: "was cancelled",
    AttemptOutcome.INTERRUPTED: "was interrupted",
    AttemptOutcome.LOST: "was lost with its worker",
    AttemptOutcome.POISONED: "was lost with its worker",
}
_STILL_RUNS: Final = "its thread still runs, until the function returns (it should look at job.cancelled)"


def ended(job: JobContext, verdict: Verdict, error: BaseException | None = None) -> None:
    """Log an attempt's end if it deserves attention; `error` is what the handler raised."""
    if verdict.outcome is AttemptOutcome.SNOOZED:
        return
    if verdict.status is JobStatus.FAILED:
        raised = None if verdict.outcome is AttemptOutcome.TIMED_OUT else error
        _guarded(final, logging.ERROR, lambda: _text(job, verdict), job, verdict.outcome, raised)
    elif verdict.outcome not in _UNHEEDED or runs_in_thread(job):
        _guarded(attempts, logging.WARNING, lambda: _text(job, verdict), job, verdict.outcome)


def rescued(claim: Claim, report: Report) -> None:
    """Log what a rescuer recorded about a job that a dead worker may have been running."""
    if report.outcome is None:
        return
    job, outcome = JobContext(claim, report.worker, report.host), report.outcome
    if report.status is JobStatus.FAILED:
        _guarded(final, logging.ERROR, lambda: _rescue_text(job, report), job, outcome)
    else:
        _guarded(attempts, logging.WARNING, lambda: _rescue_text(job, report), job, outcome)


def _guarded(
    log: logging.Logger,
    level: int,
    text: Callable[[], str],
    job: JobContext,
    outcome: AttemptOutcome,
    error: BaseException | None = None,
) -> None:
    try:
        if log.isEnabledFor(level):
            log.handle(_record(log, level, text(), job, outcome, error))
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001 - logging must not decide how an attempt ends
        tell_of_lost_line(failure)


def _record(
    log: logging.Logger,
    level: int,
    text: str,
    job: JobContext,
    outcome: AttemptOutcome,
    error: BaseException | None,
) -> logging.LogRecord:
    """Return a record attributed to the caller, with the exception's traceback made storable."""
    file, line, function, _ = log.findCaller(stacklevel=3)
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    fields = _fields(job, outcome)
    record = log.makeRecord(log.name, level, file, line, "%s", (text,), exc_info, function, fields)
    if error is not None:
        record.exc_text = storable(cut_front(traceback_text(error) or "", LONGEST_TRACEBACK))
    return record


def _fields(job: JobContext, outcome: AttemptOutcome) -> Mapping[str, object]:
    return identity(job) | {"outcome": str(outcome)}


# Lines


def _text(job: JobContext, verdict: Verdict) -> str:
    parts = [_head(job, verdict.outcome, verdict.error)]
    if runs_in_thread(job):
        parts.append(_STILL_RUNS)
    if verdict.status is JobStatus.FAILED:
        parts.append(_end(job, verdict))
    elif verdict.outcome not in _UNHEEDED:
        retry = f"retry {verdict.retries} of {job.max_retries}"
        parts.append(f"next try in {written(round(verdict.delay, 2))} ({retry})")
    return "; ".join(parts)


def _end(job: JobContext, verdict: Verdict) -> str:
    if verdict.outcome is AttemptOutcome.DISCARDED:
        return "it has failed for good"
    return f"it has failed for good ({verdict.retries} of {job.max_retries} retries used)"


def _rescue_text(job: JobContext, report: Report) -> str:
    where = f" ({job.worker} on {job.host})" if job.worker else ""
    head = f"{_head(job, report.outcome)}{where}"
    if report.status is not JobStatus.FAILED:
        return f"{head}; it may have been running, and will be run again"
    return f"{head}; it has failed for good{_shown(report.error)}"


def _head(job: JobContext, outcome: AttemptOutcome | None, error: AttemptError | None = None) -> str:
    verb = _VERBS.get(outcome, str(outcome)) if outcome else ""
    return f"{job.definition_id} job {job.id}: attempt {job.attempt} {verb}{_shown(error)}"


def _shown(error: AttemptError | None) -> str:
    return "" if error is None else f": {one_line(f'{error.type}: {error.message}', LONGEST_ERROR)}"
