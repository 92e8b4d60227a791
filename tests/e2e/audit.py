"""The checks: what the store says happened against what the ledger saw happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from statistics import median
from uuid import UUID

from attrs import field, frozen

from jobmaster import AttemptOutcome, JobStatus, Runtime
from tests.e2e.ledger import END, START, STOPPED, Entry
from tests.e2e.tables import AttemptRow, Tables

Run = tuple[UUID, int]

EXPLAINED = {AttemptOutcome.LOST, AttemptOutcome.INTERRUPTED, AttemptOutcome.POISONED}
"""Outcomes of attempts that ended without the job's own doing."""
CLOCK = 0.001
"""Seconds that the clocks of two processes, or of a database and a process, may seem to differ."""
CRASHES_BEFORE_POISON = 2
"""Lost attempts, at the least, of a job that fails as poison with its third crash."""


@frozen
class Audit:
    """A finished scenario: the accepted jobs, the ledger, the tables. `check` asserts what must hold.

    `failed` are the jobs that are meant to fail. With `unacknowledged` there may be jobs without a receipt,
    whose callers heard of an outage instead; with `poison`, jobs that were hit by a third crash have failed.
    """

    accepted: Collection[UUID]
    entries: Sequence[Entry]
    tables: Tables
    failed: Collection[UUID] = ()
    unacknowledged: bool = False
    poison: bool = False
    runs: Counter[Run] = field(init=False)

    @runs.default
    def _count_runs(self) -> Counter[Run]:
        return Counter(entry.run for entry in self.entries if entry.event == START)

    def check(self) -> None:
        """Assert that nothing was lost, run early, run twice, or ended twice."""
        self.check_nothing_is_lost()
        self.check_every_job_ended_once()
        self.check_every_start_is_on_record()
        self.check_none_ran_early()
        self.check_successes_were_real()
        self.check_crashes_used_no_retry()

    def check_nothing_is_lost(self) -> None:
        """Every accepted job is there, each once, and none waits any more."""
        assert len(set(self.accepted)) == len(self.accepted), "two receipts name one job"
        missing = set(self.accepted) - self.tables.definitions.keys()
        assert not missing, f"{len(missing)} accepted jobs are gone: {_some(missing)}"
        extra = self.tables.definitions.keys() - set(self.accepted)
        assert self.unacknowledged or not extra, f"{len(extra)} jobs that nobody scheduled: {_some(extra)}"
        assert not self.tables.live, f"{len(self.tables.live)} jobs never ended: {_some(self.tables.live)}"

    def check_every_job_ended_once(self) -> None:
        """Each job has one final attempt, the last one; attempts are numbered without gaps."""
        for job_id in self.tables.definitions:
            attempts = self.tables.attempts.get(job_id, ())
            finals = [row.number for row in attempts if row.final is not None]
            numbers = [row.number for row in attempts]
            assert numbers == list(range(1, len(numbers) + 1)), f"{job_id}: attempts {numbers}"
            assert finals == [len(numbers)], f"{job_id}: {len(numbers)} attempts, final: {finals}"
            wanted = JobStatus.FAILED if self._is_to_fail(job_id, attempts) else JobStatus.SUCCEEDED
            assert attempts[-1].final is wanted, f"{job_id} ended as {attempts[-1]}"

    def _is_to_fail(self, job_id: UUID, attempts: Sequence[AttemptRow]) -> bool:
        crashes = sum(row.outcome is AttemptOutcome.LOST for row in attempts)
        is_poison = attempts[-1].outcome is AttemptOutcome.POISONED and crashes >= CRASHES_BEFORE_POISON
        return job_id in self.failed or (self.poison and is_poison)

    def check_every_start_is_on_record(self) -> None:
        """An attempt was started at most once, and each start belongs to an attempt on record."""
        doubles = [run for run, count in self.runs.items() if count > 1]
        assert not doubles, f"{len(doubles)} attempts were started twice: {_some(doubles)}"
        unexplained = self.runs.keys() - self._outcomes().keys()
        assert not unexplained, f"{len(unexplained)} starts are on no record: {_some(unexplained)}"

    def check_none_ran_early(self) -> None:
        """No attempt was started before its job was due."""
        due = self.tables.due
        early = [e.run for e in self.entries if e.event == START and e.at < due[e.job_id] - CLOCK]
        assert not early, f"{len(early)} attempts were started early: {_some(early)}"

    def check_successes_were_real(self) -> None:
        """What is on record as succeeded was started and ended in the ledger; also once at most."""
        ended = {entry.run for entry in self.entries if entry.event == END}
        succeeded = {run for run, outcome in self._outcomes().items() if outcome is AttemptOutcome.SUCCEEDED}
        invented = succeeded - ended
        assert not invented, f"{len(invented)} successes never happened: {_some(invented)}"

    def check_crashes_used_no_retry(self) -> None:
        """Failures on record are the jobs' own: one for each flaky job that came to its end, none for any other."""
        for job_id, definition in self.tables.definitions.items():
            outcomes = Counter(row.outcome for row in self.tables.attempts[job_id])
            own = 1 if definition == "Flaky" else 0
            if outcomes[AttemptOutcome.POISONED]:
                own = min(own, outcomes[AttemptOutcome.FAILED])
            assert outcomes[AttemptOutcome.FAILED] == own, f"{definition} {job_id}: {outcomes}"
            strange = outcomes.keys() - EXPLAINED - {AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED}
            assert not strange, f"{definition} {job_id}: {outcomes}"

    def _outcomes(self) -> dict[Run, AttemptOutcome]:
        return {
            (job_id, row.number): row.outcome
            for job_id, attempts in self.tables.attempts.items()
            for row in attempts
        }

    # What to tell

    def late_ends(self) -> list[Entry]:
        """Return orderly ends of attempts that count as given up: they were reported too late, or never."""
        outcomes = self._outcomes()
        return [e for e in self.entries if e.event == END and outcomes.get(e.run) in EXPLAINED]

    def summary(self, rescues: Sequence[float] = ()) -> str:
        """Return the scenario in one line."""
        outcomes = Counter(self._outcomes().values())
        needed = len(self.tables.definitions) + outcomes[AttemptOutcome.FAILED]
        never = [r for r, o in self._outcomes().items() if o is AttemptOutcome.LOST and r not in self.runs]
        parts = [
            f"{len(self.tables.definitions)} jobs",
            f"{sum(self.runs.values())} starts ({sum(self.runs.values()) - needed} extra)",
            f"{outcomes[AttemptOutcome.LOST]} lost attempts ({len(never)} of them never started)",
            f"{outcomes[AttemptOutcome.INTERRUPTED]} interrupted",
            f"{outcomes[AttemptOutcome.POISONED]} poisoned",
            f"{len(self.late_ends())} ends that came too late",
        ]
        if rescues:
            parts.append(f"rescued after {min(rescues):.2f}/{median(rescues):.2f}/{max(rescues):.2f} s")
        return ", ".join(parts)


def rescue_times(entries: Sequence[Entry], pid: int, killed_at: float) -> list[float]:
    """Return how long after its worker's death each job that ran there started again elsewhere.

    Those, too, that had ended and were not reported yet; not those whose failure may have been.
    """
    stopped = {entry.run for entry in entries if entry.event == STOPPED}
    orphans = {
        entry.job_id
        for entry in entries
        if entry.pid == pid and entry.event == START and entry.run not in stopped
    }
    again: dict[UUID, float] = {}
    for entry in entries:
        elsewhere = entry.event == START and entry.pid != pid and entry.monotonic > killed_at
        if elsewhere and entry.job_id in orphans:
            again.setdefault(entry.job_id, entry.monotonic - killed_at)
    return sorted(again.values())


async def check_through_the_api(runtime: Runtime, audit: Audit) -> None:
    """Assert that `runtime.jobs` tells the same as the tables: all statuses, and the most tried jobs whole."""
    statuses = await runtime.jobs.count_by_status()
    expected = Counter(attempts[-1].final for attempts in audit.tables.attempts.values())
    assert dict(statuses) == dict(expected)
    tried = sorted(audit.tables.attempts, key=lambda job_id: -len(audit.tables.attempts[job_id]))[:20]
    for job_id in tried:
        job = await runtime.jobs.get(job_id)
        rows = audit.tables.attempts[job_id]
        assert [(a.number, a.outcome) for a in job.attempts] == [(r.number, r.outcome) for r in rows]
        assert job.status is rows[-1].final


def _some(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in list(items)[:3])
