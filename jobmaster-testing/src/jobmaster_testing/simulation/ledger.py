"""What callers were told and what handlers did: written down where no store and no crash can change it."""

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
    """One job that somebody asked for.

    `dues` are the moments from which it may run, by whatever the caller was told or left in doubt about.
    `job_id` is None while, and if, no receipt came: then the job may be there or not.
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
    """The answers to calls that cancel it; None where none came."""
    reschedules: int = 0
    retried: bool = False
    """Whether somebody asked for a retry, or may have."""

    @property
    def known_id(self) -> UUID:
        """The id, of a job that somebody was told the id of."""
        if self.job_id is None:
            raise ValueError(f"nobody was told the id of job {self.number}")
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
        """Whether the handler runs and nobody has told it to stop, as far as its process is alive."""
        return self.ended is None and not self.told_to_stop


@define(eq=False)
class Ledger:
    """All that was asked for and all that ran, in order."""

    asked: dict[int, Asked] = field(factory=dict)
    runs: list[Run] = field(factory=list)
    stale: set[Attempt] = field(factory=set)
    _by_job: dict[UUID, list[Run]] = field(factory=dict)
    _by_id: dict[UUID, Asked] = field(factory=dict)

    def note(self, asked: Asked) -> Asked:
        """Note that a job is being asked for."""
        self.asked[asked.number] = asked
        return asked

    def receipt(self, asked: Asked, job_id: UUID, *, created: bool) -> None:
        """Note that a caller was told that a job is accepted."""
        asked.job_id, asked.created = job_id, created
        if created:
            self._by_id[job_id] = asked

    def of(self, job_id: UUID) -> Asked | None:
        """Return what was asked for, by the id that the caller was told."""
        return self._by_id.get(job_id)

    def accepted(self) -> list[Asked]:
        """Return the jobs that somebody was told the ids of."""
        return list(self._by_id.values())

    def begin(self, run: Run) -> Run:
        """Note a start."""
        self.runs.append(run)
        self._by_job.setdefault(run.job_id, []).append(run)
        return run

    def runs_of(self, job_id: UUID) -> list[Run]:
        """Return the runs of a job in the order of their starts."""
        return self._by_job.get(job_id, [])

    def count(self, job_id: UUID, ended: str) -> int:
        """Return how many runs of a job ended so."""
        return sum(run.ended == ended for run in self.runs_of(job_id))

    def elsewhere(self, run: Run) -> Iterator[Run]:
        """Return the runs of the same job that go on besides this one."""
        return (other for other in self.runs_of(run.job_id) if other is not run and other.goes_on)
