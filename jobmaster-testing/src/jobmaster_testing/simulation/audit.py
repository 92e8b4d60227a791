"""The final checks: the contents of the stores against the answers to callers and the runs of handlers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from jobmaster.models import Attempt, CancelResult, Job
from jobmaster.states import AttemptOutcome, BucketStatus, JobStatus, WorkerStatus
from jobmaster_testing.simulation.handlers import ENDS, RETRY_AFTER, SNOOZE
from jobmaster_testing.simulation.ledger import Asked, Run
from jobmaster_testing.simulation.scenario import BACKOFF

if TYPE_CHECKING:
    from jobmaster_testing.simulation.world import World

Finding = Iterator[str]

EXPLAINED = frozenset({AttemptOutcome.LOST, AttemptOutcome.INTERRUPTED, AttemptOutcome.POISONED})
"""Ends of attempts that the job itself did not cause."""
FAILURES = frozenset({AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT})
CRASHES_UNTIL_POISON = 3
"""Attempts that a job lost before it may count as poison."""
SHORTEST_BACKOFF = BACKOFF.base * (1 - BACKOFF.jitter)


def audit(world: World) -> list[str]:
    """Return the violations, in words."""
    return [finding for check in CHECKS for finding in check(world)]


# Nothing is lost, nothing is left over


def nothing_is_lost(world: World) -> Finding:
    """Accepted jobs exist, each once, and no other jobs except those whose callers were left in doubt."""
    stored = Counter(number for job in world.rows.jobs.values() if (number := job.data["n"]))
    for asked in world.ledger.asked.values():
        if asked.job_id is not None and asked.job_id not in world.rows.jobs:
            yield f"job {asked.job_id} (number {asked.number}) was accepted and is gone"
        if stored[asked.number] > 1:
            yield f"number {asked.number} was stored {stored[asked.number]} times"


def keys_are_unique(world: World) -> Finding:
    """One job for each key, and all callers got that job."""
    by_key: dict[str, set[UUID]] = {}
    for job in world.rows.jobs.values():
        if job.key is not None:
            by_key.setdefault(job.key, set()).add(job.id)
    for asked in world.ledger.asked.values():
        if asked.key is not None and asked.job_id is not None:
            by_key.setdefault(asked.key, set()).add(asked.job_id)
    yield from (f"key {key} has {len(ids)} jobs" for key, ids in by_key.items() if len(ids) > 1)


def nothing_is_left_over(world: World) -> Finding:
    """No live rows, messages, handovers, buckets or workers outlast an orderly end."""
    rows = world.rows
    yield from (
        f"job {row.job.id} never ended: {row.status}, bucket {row.bucket_id}" for row in rows.live.values()
    )
    yield from (f"handover {handover_id} was left over" for handover_id in rows.handovers)
    for agent, box in world.boxes.items():
        yield from (f"a message of job {key[1]}#{key[2]} was left over on {agent}" for key in box.letters)
        known = [bucket_id for bucket_id in box.epochs if bucket_id in rows.buckets]
        if world.scenario.faults.late:
            continue  # a late call may bring a bucket back, without any messages in it
        yield from (f"bucket {bucket_id} was not dropped by {agent}" for bucket_id in known)
    for bucket in rows.buckets.values():
        if bucket.status is not BucketStatus.READY_TO_DELETE:
            yield f"bucket {bucket.id} was left {bucket.status}"
    for worker in rows.workers.values():
        if worker.status not in (WorkerStatus.STOPPED, WorkerStatus.LOST):
            yield f"worker {worker.name} was left {worker.status}"


# Each job ends once, and as it should


def jobs_end_once(world: World) -> Finding:
    """A job has one end; its attempts are numbered without gaps."""
    rows = world.rows
    for job_id in rows.jobs:
        numbers = [attempt.number for attempt in rows.attempts.get(job_id, ())]
        if (job_id in rows.final) == (job_id in rows.live):
            yield f"job {job_id} is finished and live, or neither"
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"job {job_id}: attempts are numbered {numbers}"


def jobs_end_as_they_should(world: World) -> Finding:
    """Each kind of job ends as specified, unless it was cancelled or counts as poison."""
    for job, asked, attempts in _finished(world):
        status = world.rows.final[job.id][0]
        if status not in _allowed_ends(asked, attempts):
            yield f"job {job.id} ({asked.kind}) ended as {status}: {_outcomes(attempts)}"


def _allowed_ends(asked: Asked, attempts: Sequence[Attempt]) -> set[JobStatus]:
    definite = CancelResult.CANCELLED in asked.cancels and not asked.retried
    allowed = set() if definite else {ENDS[asked.kind]}
    if asked.cancels:
        allowed.add(JobStatus.CANCELLED)
    if _crashes(attempts) >= CRASHES_UNTIL_POISON:
        allowed.add(JobStatus.FAILED)
    return allowed


def _crashes(attempts: Sequence[Attempt]) -> int:
    return sum(a.outcome in (AttemptOutcome.LOST, AttemptOutcome.POISONED) for a in attempts)


def only_failures_use_up_retries(world: World) -> Finding:
    """Jobs fail as often as specified, whatever happened to their workers."""
    for job, asked, attempts in _finished(world):
        status, outcomes = world.rows.final[job.id][0], Counter(a.outcome for a in attempts)
        poisoned = outcomes[AttemptOutcome.POISONED] > 0
        if asked.retried or status is JobStatus.CANCELLED or poisoned:
            continue
        failures = sum(outcomes[outcome] for outcome in FAILURES)
        if failures != (wanted := _failures(asked)):
            yield f"job {job.id} ({asked.kind}) failed {failures} times, not {wanted}: {_outcomes(attempts)}"


def _failures(asked: Asked) -> int:
    if asked.kind in ("hopeless", "stuck"):
        return asked.max_retries + 1
    return asked.times if asked.kind in ("flaky", "again") else 0


# Runs match attempts


def runs_are_on_record(world: World) -> Finding:
    """Each start belongs to one recorded attempt, and each recorded success happened."""
    records = {(job_id, a.number): a for job_id, found in world.rows.attempts.items() for a in found}
    runs = {(run.job_id, run.attempt): run for run in reversed(world.ledger.runs)}  # the first of each counts
    for key, run in runs.items():
        attempt = records.get(key)
        if attempt is None:
            yield f"job {key[0]}, attempt {key[1]}, ran on {run.process} and is not on record"
        elif (problem := _disagreement(run, attempt)) is not None:
            yield f"job {key[0]}, attempt {key[1]}: {problem}"
    for key, attempt in records.items():
        if attempt.outcome is AttemptOutcome.SUCCEEDED and key not in runs:
            yield f"job {key[0]}, attempt {key[1]}: a success that never happened"


_SAYS: Mapping[str, frozenset[AttemptOutcome]] = {
    "ok": frozenset({AttemptOutcome.SUCCEEDED, AttemptOutcome.TIMED_OUT}),
    "raised": frozenset({AttemptOutcome.FAILED, AttemptOutcome.DISCARDED}),
    "snoozed": frozenset({AttemptOutcome.SNOOZED}),
    "stopped": frozenset({AttemptOutcome.TIMED_OUT, AttemptOutcome.CANCELLED, AttemptOutcome.INTERRUPTED}),
}


def _disagreement(run: Run, attempt: Attempt) -> str | None:
    """Return how a run and its record disagree, if they do."""
    if attempt.outcome in (AttemptOutcome.LOST, AttemptOutcome.POISONED):
        return None
    if run.ended is None:
        return f"it is on record as {attempt.outcome}, and never ended on {run.process}"
    told_to_stop = {AttemptOutcome.CANCELLED, AttemptOutcome.INTERRUPTED} if run.ended != "ok" else set()
    if attempt.outcome not in _SAYS[run.ended] | told_to_stop:
        return f"it ended as {run.ended} on {run.process}, and is on record as {attempt.outcome}"
    return None


def retries_wait(world: World) -> Finding:
    """No attempt starts before its backoff has passed."""
    for job, asked, attempts in _finished(world):
        if asked.retried:
            continue
        starts = {run.attempt: run.started_at for run in world.ledger.runs_of(job.id)}
        for attempt in attempts:
            following = starts.get(attempt.number + 1)
            earliest = attempt.finished_at + timedelta(seconds=_pause(asked, attempt))
            if following is not None and following < earliest and not asked.reschedules:
                yield f"job {job.id}, attempt {attempt.number + 1}, started before {earliest}"


def _pause(asked: Asked, attempt: Attempt) -> float:
    if attempt.outcome is AttemptOutcome.SNOOZED:
        return SNOOZE
    if attempt.outcome is AttemptOutcome.FAILED and asked.kind == "again":
        return RETRY_AFTER
    return SHORTEST_BACKOFF if attempt.outcome in FAILURES else 0.0


# A deploy costs nothing


def quiet_days_cost_nothing(world: World) -> Finding:
    """Without faults, no attempt is lost and no report is stale, however often workers are replaced."""
    if not world.scenario.quiet:
        return
    for job_id, attempts in world.rows.attempts.items():
        if _crashes(attempts):
            yield f"job {job_id} lost an attempt though nothing went wrong: {_outcomes(attempts)}"
    yield from (
        f"job {job_id}, attempt {number}: its report was stale" for job_id, number in world.ledger.stale
    )


# Recurring schedules


def times_fire_once(world: World) -> Finding:
    """A nominal time of a schedule has only one job."""
    times = Counter((schedule, at) for schedule, at in world.rows.firings.values() if at is not None)
    yield from (f"schedule {key[0]} fired {n} times for {key[1]}" for key, n in times.items() if n > 1)


def _finished(world: World) -> Iterator[tuple[Job, Asked, Sequence[Attempt]]]:
    for job in world.rows.jobs.values():
        if job.data["n"] and job.id in world.rows.final:
            yield job, world.ledger.asked[job.data["n"]], world.rows.attempts.get(job.id, [])


def _outcomes(attempts: Sequence[Attempt]) -> str:
    return ", ".join(attempt.outcome for attempt in attempts)


CHECKS: Sequence[Callable[[World], Finding]] = (
    nothing_is_lost,
    keys_are_unique,
    nothing_is_left_over,
    jobs_end_once,
    jobs_end_as_they_should,
    only_failures_use_up_retries,
    runs_are_on_record,
    retries_wait,
    quiet_days_cost_nothing,
    times_fire_once,
)
