"""The context that a handler gets about its job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID

from jobmaster._logs.joblog import JobLogger
from jobmaster.data import MessageData, Metadata
from jobmaster.models import Claim, LogLine
from jobmaster.states import Priority

_current: ContextVar[JobContext] = ContextVar("jobmaster_job")


def current_job() -> JobContext:
    """Return the context of the current job; raises `LookupError` outside a handler."""
    return _current.get()


class JobCancelled(Exception):  # noqa: N818 - control flow, not an error
    """Raised by `raise_if_cancelled` in a handler whose job is to stop."""


class JobContext:
    """One attempt of a job, as its handler sees it. Safe to read from the thread of a plain function."""

    __slots__ = ("_claim", "_in_thread", "_logger", "_stop", "_stop_reason", "host", "started_at", "worker")
    _in_thread: bool  # set for plain functions only, so that it costs others nothing

    def __init__(
        self, claim: Claim, worker: str = "", host: str = "", started_at: datetime | None = None
    ) -> None:
        self._claim = claim
        self.worker = worker
        """Name of the worker that runs the attempt."""
        self.host = host
        """Name of the host that runs the attempt."""
        self.started_at = started_at or datetime.now(UTC)
        """When this attempt started, aware UTC."""
        self._logger: JobLogger | None = None
        self._stop: Event | None = None
        self._stop_reason: str | None = None

    @property
    def id(self) -> UUID:
        """The job's id, the same for all its attempts."""
        return self._claim.job.id

    @property
    def cluster_id(self) -> str:
        """Id of the cluster the job belongs to."""
        return self._claim.job.cluster_id

    @property
    def definition_id(self) -> str:
        """Id of the definition that selected this handler."""
        return self._claim.job.definition_id

    @property
    def data(self) -> MessageData:
        """The job's values, a read-only mapping with typed getters."""
        return self._claim.job.data

    @property
    def metadata(self) -> Metadata:
        """The job's metadata, a read-only mapping with typed getters."""
        return self._claim.job.metadata

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1; crashes and deploys count as attempts too."""
        return self._claim.attempt

    @property
    def retries(self) -> int:
        """Retries used so far: 0 on the first try."""
        return self._claim.retries

    @property
    def max_retries(self) -> int:
        """How often the job may be tried again after a failure."""
        return self._claim.job.max_retries

    @property
    def priority(self) -> Priority:
        """The job's priority."""
        return self._claim.job.priority

    @property
    def lane(self) -> str:
        """The job's lane."""
        return self._claim.job.lane

    @property
    def key(self) -> str | None:
        """The job's idempotency key."""
        return self._claim.job.key

    @property
    def scheduled_at(self) -> datetime:
        """When the job was asked to run, aware UTC."""
        return self._claim.job.scheduled_at

    @property
    def created_at(self) -> datetime:
        """When the job was accepted, aware UTC."""
        return self._claim.job.created_at

    @property
    def deadline(self) -> datetime | None:
        """When this attempt is cancelled, aware UTC; None without a timeout."""
        timeout = self._claim.job.timeout
        return None if timeout is None else self.started_at + timedelta(seconds=timeout)

    @property
    def time_left(self) -> float | None:
        """Seconds until the deadline, never negative; None without a timeout."""
        deadline = self.deadline
        return None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds())

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is to stop (a plain function should check now and then)."""
        return self._stop_reason is not None

    def raise_if_cancelled(self) -> None:
        """Raise `JobCancelled` if this attempt is to stop, with the reason."""
        if self._stop_reason is not None:
            raise JobCancelled(self._stop_reason)

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Block a plain function's thread until the attempt is to stop, or for `timeout` seconds; return which."""
        if self._stop is None:
            self._stop = Event()
        if self._stop_reason is not None:
            return True
        return self._stop.wait(timeout)

    @property
    def logger(self) -> JobLogger:
        """A logger whose lines also stay with the attempt (level INFO and above, the first 1,000)."""
        if self._logger is None:
            self._logger = JobLogger(identity(self))
        return self._logger

    def __repr__(self) -> str:
        return f"<JobContext {self.definition_id} {self.id} attempt {self.attempt}>"


def identity(job: JobContext) -> dict[str, object]:
    """Return the fields that name an attempt on log records."""
    return {
        "job_id": str(job.id),
        "definition_id": job.definition_id,
        "attempt": job.attempt,
        "lane": job.lane,
        "cluster_id": job.cluster_id,
    }


def request_stop(job: JobContext, reason: str) -> None:
    """Tell a handler that its attempt is to stop; the runtime calls this, from the event loop."""
    job._stop_reason = reason  # noqa: SLF001 - the runtime's side of the context
    if job._stop is not None:  # noqa: SLF001
        job._stop.set()  # noqa: SLF001


def noting_its_thread(call: Callable[[JobContext], Any]) -> Callable[[JobContext], Any]:
    """Return a plain function that notes in the context that it is running."""

    def run(job: JobContext) -> Any:
        job._in_thread = True  # noqa: SLF001 - the runtime's side of the context
        try:
            return call(job)
        finally:
            job._in_thread = False  # noqa: SLF001

    return run


def runs_in_thread(job: JobContext) -> bool:
    """Return whether the job's plain function is running, though its attempt may have ended."""
    return getattr(job, "_in_thread", False)


def captured_lines(job: JobContext) -> Sequence[LogLine]:
    """Return the log lines to keep with the attempt."""
    return () if job._logger is None else job._logger.kept()  # noqa: SLF001 - the runtime's side of the context


def claim_of(job: JobContext) -> Claim:
    """Return the claim behind a context."""
    return job._claim  # noqa: SLF001 - the runtime's side of the context


set_current = _current.set
