"""What a handler gets to see of its job."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID

from jobmaster.data import MessageData, Metadata
from jobmaster.models import Claim, LogLine
from jobmaster.states import Priority

MAX_LOG_LINES = 1000
"""Lines kept with one attempt; later ones still reach the process's own logging."""

_log = logging.getLogger("jobmaster.job")
_current: ContextVar[JobContext] = ContextVar("jobmaster_job")


def current_job() -> JobContext:
    """Return the context of the job that runs here; raises `LookupError` outside of a handler."""
    return _current.get()


class JobCancelled(Exception):  # noqa: N818 - control flow, not an error
    """Raised by `raise_if_cancelled` in a handler whose job is to stop."""


class JobContext:
    """One attempt of a job, as its handler sees it. Safe to read from the thread of a plain function."""

    __slots__ = ("_claim", "_lines", "_logger", "_stop", "_stop_reason", "host", "started_at", "worker")

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
        self._lines: list[LogLine] | None = None
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
        """Id of the definition that led to this handler."""
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
        """Seconds until the deadline, not negative; None without a timeout."""
        deadline = self.deadline
        return None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds())

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is to stop (a plain function should look now and then)."""
        return self._stop_reason is not None

    def raise_if_cancelled(self) -> None:
        """Raise `JobCancelled` if this attempt is to stop, with the reason."""
        if self._stop_reason is not None:
            raise JobCancelled(self._stop_reason)

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Block a plain function's thread until the attempt is to stop, or `timeout` seconds; say which."""
        if self._stop is None:
            self._stop = Event()
        if self._stop_reason is not None:
            return True
        return self._stop.wait(timeout)

    @property
    def logger(self) -> JobLogger:
        """A logger whose lines also stay with the attempt (level INFO and above, the first 1,000)."""
        if self._logger is None:
            self._lines = []
            self._logger = JobLogger(self, self._lines)
        return self._logger

    def __repr__(self) -> str:
        return f"<JobContext {self.definition_id} {self.id} attempt {self.attempt}>"


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs under `jobmaster.job` with the job's ids as extra fields, and keeps the lines for the audit."""

    def __init__(self, job: JobContext, lines: list[LogLine]) -> None:
        super().__init__(_log, _identity(job))
        self._lines = lines
        self._attempt = job.attempt
        self._job_id = str(job.id)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the job's ids into `extra`."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log and keep a line. `extra` fields are kept as text where they are not JSON."""
        if level >= logging.INFO and len(self._lines) < MAX_LOG_LINES:
            self._lines.append(self._line(level, msg, args, kwargs.get("extra") or {}))
        kwargs.setdefault("stacklevel", 2)  # frames of `logging` itself do not count
        super().log(level, msg, *args, **kwargs)

    def _line(self, level: int, msg: object, args: tuple[object, ...], extra: Mapping[str, Any]) -> LogLine:
        return LogLine(
            at=datetime.now(UTC),
            level=logging.getLevelName(level),
            message=_message(msg, args),
            fields={name: _plain(value) for name, value in extra.items()},
            subject="job",
            subject_id=self._job_id,
            attempt=self._attempt,
        )


def _message(msg: object, args: tuple[object, ...]) -> str:
    """Return a line's text as `logging` would; one whose arguments do not fit is kept with them beside it."""
    values = args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args
    try:
        return str(msg) % values if args else str(msg)
    except (TypeError, ValueError, LookupError):
        return f"{msg} {args!r}"


def _identity(job: JobContext) -> dict[str, object]:
    return {
        "job_id": str(job.id),
        "definition_id": job.definition_id,
        "attempt": job.attempt,
        "lane": job.lane,
        "cluster_id": job.cluster_id,
    }


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def request_stop(job: JobContext, reason: str) -> None:
    """Tell a handler that its attempt is to stop; the runtime calls this, from the event loop."""
    job._stop_reason = reason  # noqa: SLF001 - the runtime's side of the context
    if job._stop is not None:  # noqa: SLF001
        job._stop.set()  # noqa: SLF001


def captured_lines(job: JobContext) -> list[LogLine]:
    """Return the log lines to keep with the attempt."""
    return job._lines or []  # noqa: SLF001 - the runtime's side of the context


def claim_of(job: JobContext) -> Claim:
    """Return the claim behind a context."""
    return job._claim  # noqa: SLF001 - the runtime's side of the context


set_current = _current.set
