"""What a worker has in flight: its lease, the jobs, the slots they run in, and which of them have ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
from attrs import define

from jobmaster._policy.liveness import Lease
from jobmaster._process.signals import Signal
from jobmaster.context import JobContext, request_stop

if TYPE_CHECKING:
    from jobmaster.clock import Clock
    from jobmaster.models import Claim
    from jobmaster.states import JobStatus

NEVER = float("inf")

Attempt = tuple[UUID, int]
"""A job's id and the number of an attempt: they identify a message in its bucket."""
CANCELLED_KEPT = 10_000
"""The minimum number of cancelled attempts of a bucket that are remembered: some 2 MB."""


class StopReason:
    """Why an attempt is asked to stop. Plain strings, shown in messages."""

    TIMEOUT = "the job's timeout ran out"
    CANCEL = "the job was cancelled"
    SHUTDOWN = "the worker is stopping"
    FENCED = "the worker's lease ran out"


def _ignore(_: Slot) -> None: ...


@define(eq=False)
class Slot:
    """A place where one job at a time runs: its scope, and when and why it is to stop.

    A handler that is asked to stop has until `deadline` to end; if it does not, the slot is `left`: the attempt is
    over, and another slot replaces this one. `on_stop` is called when a handler is asked to stop.
    """

    job: JobContext | None = None
    in_flight: InFlight | None = None
    scope: anyio.CancelScope | None = None
    deadline: float = NEVER
    started: float = 0.0
    stop_reason: str | None = None
    left: bool = False
    on_stop: Callable[[Slot], None] = _ignore

    def begin(self, entry: InFlight, job: JobContext, now: float) -> None:
        """Take a job; `now` is monotonic."""
        timeout = entry.claim.job.timeout
        self.job, self.in_flight, self.started, self.stop_reason = job, entry, now, None
        self.deadline = NEVER if timeout is None else now + timeout
        entry.slot = self

    def end(self) -> None:
        """Become free again."""
        if self.in_flight is not None:
            self.in_flight.ended, self.in_flight.slot = True, None
        self.job, self.in_flight, self.deadline, self.stop_reason = None, None, NEVER, None

    def stop(self, reason: str) -> None:
        """Cancel the job that runs here, once."""
        if self.note_stop(reason):
            if self.scope is not None:
                self.scope.cancel()
            self.on_stop(self)

    def note_stop(self, reason: str) -> bool:
        """Note that the job that runs here is being cancelled; return False if that is known, or if no job runs here."""
        if self.job is None or self.stop_reason is not None:
            return False
        self.stop_reason = reason
        request_stop(self.job, reason)
        return True


@define(eq=False)
class InFlight:
    """A job in flight: waiting in memory, running in a slot, or ended and not yet reported."""

    claim: Claim
    since: float
    slot: Slot | None = None
    marked: JobStatus | None = None
    ended: bool = False
    cancelled: bool = False


class WorkerLease:
    """The right to act, as long as it is renewed. Shared by everything that runs under one registration."""

    def __init__(self, worker_id: UUID, duration: float, now: float) -> None:
        self.worker_id = worker_id
        self._lease = Lease(duration, now)
        self.safe_until = self._lease.safe_until
        """Monotonic moment at which acting must have stopped."""
        self.fenced = False
        self.retiring = False
        """Whether the worker is about to report its stop: from then on its lease is not renewed, and need not be."""
        self.renewals = Signal()

    def renew(self, sent_at: float) -> None:
        """Note a renewal that was sent at `sent_at` and granted."""
        self._lease = self._lease.renewed(sent_at)
        self.safe_until = self._lease.safe_until
        self.renewals.set()

    def is_safe(self, now: float) -> bool:
        """Return whether jobs may be started at `now`."""
        return now < self.safe_until and not self.fenced


class Finished:
    """Attempts that are over, for as long as their messages can come again.

    A handover that was taken over is pushed again, and its jobs can have ended since the master was asked. The message
    of a cancelled attempt may not have arrived yet, as its pusher may be slow: so the most recent of these are
    remembered regardless of time.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: dict[Attempt, float] = {}
        self._cancelled: dict[Attempt, float] = {}

    def __contains__(self, key: Attempt) -> bool:
        """Return whether an attempt has ended recently, or was cancelled."""
        return key in self._until or key in self._cancelled

    def add(self, key: Attempt) -> None:
        """Remember an attempt, and forget those that ended long ago."""
        self._remember(self._until, key, at_least=1)

    def cancel(self, key: Attempt) -> None:
        """Remember an attempt that was cancelled; many of these are kept, old ones too."""
        self._remember(self._cancelled, key, at_least=CANCELLED_KEPT)

    def _remember(self, known: dict[Attempt, float], key: Attempt, at_least: int) -> None:
        now = self._clock.monotonic()
        known[key] = now + self._seconds
        while len(known) > at_least and known[oldest := next(iter(known))] < now:
            del known[oldest]
