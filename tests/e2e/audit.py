"""The checks: what the store says happened against what the ledger saw happen."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from statistics import median
from typing import Any
from uuid import UUID

import anyio.to_thread
from attrs import field, frozen

from jobmaster import AttemptOutcome, JobStatus, Runtime
from tests.e2e.ledger import END, START, Entry

Run = tuple[UUID, int]

_JOBS = "SELECT id, cluster_id, definition_id FROM jm_job"
_LIVE = "SELECT job_id, cluster_id FROM jm_live"
_ATTEMPTS = "SELECT job_id, cluster_id, number, outcome, final_status FROM jm_attempt ORDER BY job_id, number"

EXPLAINED = {AttemptOutcome.LOST, AttemptOutcome.INTERRUPTED, AttemptOutcome.POISONED}
"""Outcomes of attempts that ended without the job's own doing."""


@frozen
class AttemptRow:
    """An attempt as the store keeps it."""

    number: int
    outcome: AttemptOutcome
    final: JobStatus | None


@frozen
class Tables:
    """What the tables hold about one cluster, read directly."""

    definitions: Mapping[UUID, str]
    live: frozenset[UUID]
    attempts: Mapping[UUID, Sequence[AttemptRow]]


async def read_tables(url: str, cluster_id: str) -> Tables:
    """Read the tables behind a URL."""
    rows = await anyio.to_thread.run_sync(_read, url)
    jobs, live, attempts = ([row for row in part if row[1] == cluster_id] for part in rows)
    by_job: dict[UUID, list[AttemptRow]] = defaultdict(list)
    for job_id, _, number, outcome, final in attempts:
        status = None if final is None else JobStatus.from_code(final)
        by_job[_uuid(job_id)].append(AttemptRow(number, AttemptOutcome.from_code(outcome), status))
    return Tables(
        definitions={_uuid(job_id): definition for job_id, _, definition in jobs},
        live=frozenset(_uuid(job_id) for job_id, _ in live),
        attempts=by_job,
    )


def _read(url: str) -> list[list[Any]]:
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return [connection.execute(query).fetchall() for query in (_JOBS, _LIVE, _ATTEMPTS)]
    import psycopg

    with psycopg.connect(url) as native:
        return [native.execute(query).fetchall() for query in (_JOBS, _LIVE, _ATTEMPTS)]


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


@frozen
class Audit:
    """A finished scenario: the accepted jobs, the ledger, the tables. `check` asserts what must hold.

    `failed` are the jobs that are meant to fail. `extra` are jobs that may be there without a receipt, as
    their caller heard of an outage instead; None allows any.
    """

    accepted: Collection[UUID]
    entries: Sequence[Entry]
    tables: Tables
    failed: Collection[UUID] = ()
    unacknowledged: bool = False
    runs: Counter[Run] = field(init=False)

    @runs.default
    def _count_runs(self) -> Counter[Run]:
        return Counter(entry.run for entry in self.entries if entry.event == START)

    def check(self) -> None:
        """Assert that nothing was lost, run twice, or ended twice."""
        self.check_nothing_is_lost()
        self.check_every_job_ended_once()
        self.check_every_start_is_on_record()
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
            wanted = JobStatus.FAILED if job_id in self.failed else JobStatus.SUCCEEDED
            assert attempts[-1].final is wanted, f"{job_id} ended as {attempts[-1]}"

    def check_every_start_is_on_record(self) -> None:
        """An attempt was started at most once, and each start belongs to an attempt on record."""
        doubles = [run for run, count in self.runs.items() if count > 1]
        assert not doubles, f"{len(doubles)} attempts were started twice: {_some(doubles)}"
        unexplained = self.runs.keys() - self._outcomes().keys()
        assert not unexplained, f"{len(unexplained)} starts are on no record: {_some(unexplained)}"

    def check_successes_were_real(self) -> None:
        """What is on record as succeeded was started and ended in the ledger; also once at most."""
        ended = {entry.run for entry in self.entries if entry.event == END}
        succeeded = {run for run, outcome in self._outcomes().items() if outcome is AttemptOutcome.SUCCEEDED}
        invented = succeeded - ended
        assert not invented, f"{len(invented)} successes never happened: {_some(invented)}"

    def check_crashes_used_no_retry(self) -> None:
        """Failures on record are the jobs' own: one for each flaky job, none for any other."""
        for job_id, definition in self.tables.definitions.items():
            outcomes = Counter(row.outcome for row in self.tables.attempts[job_id])
            own = 1 if definition == "Flaky" else 0
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
            f"{len(self.late_ends())} ends that came too late",
        ]
        if rescues:
            parts.append(f"rescued after {min(rescues):.2f}/{median(rescues):.2f}/{max(rescues):.2f} s")
        return ", ".join(parts)


def rescue_times(entries: Sequence[Entry], pid: int, killed_at: float) -> list[float]:
    """Return how long after its worker's death each job that ran there started again elsewhere."""
    ended = {entry.run for entry in entries if entry.event != START}
    orphans = {
        entry.job_id
        for entry in entries
        if entry.pid == pid and entry.event == START and entry.run not in ended
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
