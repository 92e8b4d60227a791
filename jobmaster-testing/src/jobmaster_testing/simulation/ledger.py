"""The answers to callers and the runs of handlers: recorded where no store and no crash can change them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from attrs import define, field

from jobmaster.models import CancelResult
from jobmaster_testing.simulation.idleness import Place
from jobmaster_testing.simulation.processes import Process

Attempt = tuple[UUID, int]


@define(eq=False)
class Asked:
    """One job that a caller asked for.

    `dues` are the moments from which it may run, according to all answers and unanswered calls. `job_id` is None as long as
    no receipt has come: then the job may or may not exist.
    """

    number: int
    kind: str
    times: int
    dues: list[datetime]
    max_retries: int
    key: str | None = None
    job_id: UUID | None = None
    created: bool = True
    cancels: list[CancelResult | None] = field(factory=list)
    """The answers to calls that cancel it; None for a missing answer."""
    reschedules: int = 0
    retried: bool = False
    """Whether a caller asked for a retry, or may have."""

    @property
    def known_id(self) -> UUID:
        """The job's id; raises `ValueError` if no caller was told it."""
        if self.job_id is None:
            raise ValueError(f"no caller was told the id of job {self.number}")
        return self.job_id


@define(eq=False)
class Run:
    """One start of a handler, and how it ended: `ok`, `raised`, `snoozed`, `stopped`, or None while it goes on."""

    job_id: UUID
    attempt: int
    process: Process
    started_at: datetime
    worker: str = ""
    place: Place = ("", 0)
    ended: str | None = None
    ended_at: datetime | None = None
    told_to_stop: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether the handler runs and was not told to stop, as far as its process is alive."""
        return self.ended is None and not self.told_to_stop


@define(eq=False)
class Ledger:
    """All requests and all runs, in order."""

    asked: dict[int, Asked] = field(factory=dict)
    runs: list[Run] = field(factory=list)
    stale: set[Attempt] = field(factory=set)
    _by_job: dict[UUID, list[Run]] = field(factory=dict)
    _by_id: dict[UUID, Asked] = field(factory=dict)

    def note(self, asked: Asked) -> Asked:
        """Record that a job is being requested."""
        self.asked[asked.number] = asked
        return asked

    def receipt(self, asked: Asked, job_id: UUID, *, created: bool) -> None:
        """Record that a caller was told that a job is accepted."""
        asked.job_id, asked.created = job_id, created
        if created:
            self._by_id[job_id] = asked

    def of(self, job_id: UUID) -> Asked | None:
        """Return the request for a job, by the id that the caller was told."""
        return self._by_id.get(job_id)

    def accepted(self) -> list[Asked]:
        """Return the jobs whose ids were told to callers."""
        return list(self._by_id.values())

    def begin(self, run: Run) -> Run:
        """Record a start."""
        self.runs.append(run)
        self._by_job.setdefault(run.job_id, []).append(run)
        return run

    def runs_of(self, job_id: UUID) -> list[Run]:
        """Return the runs of a job in the order in which they started."""
        return self._by_job.get(job_id, [])

    def count(self, job_id: UUID, ended: str) -> int:
        """Return how many runs of a job ended in this way."""
        return sum(run.ended == ended for run in self.runs_of(job_id))

    def elsewhere(self, run: Run) -> Iterator[Run]:
        """Return the other runs of the same job that go on."""
        return (other for other in self.runs_of(run.job_id) if other is not run and other.goes_on)
