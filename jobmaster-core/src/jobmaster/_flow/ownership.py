"""The buckets that a worker process owns, and how jobs become and stop being in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

import anyio

from jobmaster._flow.in_flight import NEVER, Attempt, Finished, InFlight, Slot, StopReason, WorkerLease
from jobmaster._policy.pace import SOON, Pace
from jobmaster._process.signals import Signal
from jobmaster.data import MessageData
from jobmaster.models import Bucket, Claim, Cursor, Load, Report, evolve
from jobmaster.states import JobStatus
from jobmaster.weighing import AT_ONCE

_STAYS = JobStatus.ASSIGNED_TO_BUCKET
"""Looking up enum members is slow, so the member that each report is compared with is looked up once."""

_ANY_TIME = datetime.max.replace(tzinfo=UTC)
_LARGE = 4096
"""Size in bytes from which on data is dropped early."""

FIRST_SILENCE, LONGEST_SILENCE = 0.25, 600.0
"""Seconds for which an owner that cannot run any of its jobs does not report its free slots."""
MOSTLY = 0.7
"""Share of the time since the last look for which slots may have been busy, and are still reported as free."""
MOST_OFFERED = 100_000
"""The maximum number of jobs that an owner offers to start within a second."""

SHORT_PAGE, LONG_PAGE = 0.1, 0.4
"""A page read ahead should last its bucket this long, in seconds."""


def _ignore() -> None: ...


class OwnedBucket:
    """A bucket this process owns, and its jobs in flight."""

    giving: list[InFlight]
    """Jobs on their way out of a bucket on an agent, which must not be started here any more."""
    more_behind: bool
    """Whether the store is known to hold more due jobs than were read."""
    keeps_waiting: bool
    """Whether the last look left jobs in the bucket that are not in flight."""
    unacknowledged: set[Attempt]
    """Attempts that are reported, but whose messages are still on the agent."""
    last_progress: float
    """Monotonic moment by which the claim loop has made progress, or will have if it sleeps."""
    stirred: Signal
    """Set when jobs arrive, and when a slot finds nothing to do."""
    on_idle: Callable[[], None]
    """Called when a slot has nothing to do."""
    told: Load
    """The load that was last reported to the master, or that it knows from the registration."""
    offered: int | None
    """How many jobs in total it would have: those in its slots, and those it starts within a second. None if idle."""

    def __init__(
        self,
        bucket: Bucket,
        lease: WorkerLease,
        slots: int,
        batch_size: int,
        *,
        batch_bytes: int = AT_ONCE,
        finished: Finished | None = None,
    ) -> None:
        """With `finished`, the bucket's messages are on an agent, to be acknowledged there."""
        self.bucket = bucket
        self.remote = finished is not None
        self._finished = finished
        self.lease = lease
        self.slots = [Slot() for _ in range(slots)]
        self.batch_size = max(batch_size, slots)
        self.batch_bytes = batch_bytes
        self.capacity = min(self.batch_size, 2 * slots)
        self.in_flight: dict[UUID, InFlight] = {}
        self.waiting: deque[InFlight] = deque()
        self.giving = []
        self.closed = False
        self.more_behind = False
        self.keeps_waiting = False
        self.unacknowledged = set()
        self.last_progress = 0.0
        self._on_their_way = 0
        self.pull_again = Signal()
        self.stirred = Signal()
        self.on_idle = _ignore
        self.told = Load(free=slots)
        self.pace = Pace(slots)
        self.offered = None
        self._silent_for, self.asks_again_at = 0.0, -NEVER
        self._mostly_idle, self._looked_at = False, 0.0
        self._page_at = -NEVER
        self._reads = 0
        self._settled_while_reading: dict[Attempt, datetime] | None = None
        self._aside: list[InFlight] = []
        self._idle: list[anyio.Event] = []
        self._emptied = Signal()

    @property
    def id(self) -> UUID:
        """The bucket's id."""
        return self.bucket.id

    # Taking jobs in

    @property
    def room(self) -> int:
        """How many more jobs to read into memory now: none until half of the last page, also of its bytes, is gone."""
        free = self.capacity - len(self.waiting)
        unreported = len(self.in_flight) - len(self.waiting)
        if self.closed or 2 * free < self.capacity or unreported > 3 * self.batch_size:
            return 0
        return free if self._has_room_for_bytes() else 0

    def _has_room_for_bytes(self) -> bool:
        """Whether jobs in line and unreported ends leave room for a page. Running jobs are bounded by the slots.

        With nothing in line a page is read, which has at least one job of any size.
        """
        in_line = ended = 0
        for entry in self.in_flight.values():
            if entry.slot is None:
                size = entry.claim.job.data.size
                in_line, ended = (in_line, ended + size) if entry.ended else (in_line + size, ended)
        return ended <= 3 * self.batch_bytes and (not self.waiting or 2 * in_line <= self.batch_bytes)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block a pull is under way: remember what is settled meanwhile.

        The pull may have read the store before that, and would return a job that has ended. Blocks may overlap: a
        worker that stops reads once more while the last page may still be on its way.
        """
        if not self._reads:
            self._settled_while_reading = {}
        self._reads += 1
        try:
            yield
        finally:
            self._reads -= 1
            if not self._reads:
                self._settled_while_reading = None

    def knows(self, claim: Claim) -> bool:
        """Return whether a claim is already in flight, or was until a moment ago."""
        if claim.job.id in self.in_flight:
            return True
        key = claim.job.id, claim.attempt
        just_settled = self._settled_while_reading
        if just_settled and key in just_settled and claim.ready_at <= just_settled[key]:
            return True
        return self.remote and self._is_done_with(key)

    def _is_done_with(self, key: Attempt) -> bool:
        return key in self.unacknowledged or self._is_over(key)

    def _is_over(self, key: Attempt) -> bool:
        return self._finished is not None and key in self._finished

    def echoes(self, claims: Iterable[Claim]) -> list[Attempt]:
        """Return the claims of messages that came again after everything was done with them: nothing else removes those."""
        keys = [(claim.job.id, claim.attempt) for claim in claims if claim.job.id not in self.in_flight]
        return [key for key in keys if self._is_over(key) and key not in self.unacknowledged]

    def in_flight_beyond(self, cursor: Cursor) -> list[UUID]:
        """Return the ids of the jobs in flight that the next pull would find again."""
        after = cursor.after
        if after is None:
            return list(self.in_flight)
        place = (after.ready_at, after.job_id)
        return [job_id for job_id, entry in self.in_flight.items() if (entry.claim.ready_at, job_id) > place]

    def take_in(self, claims: Iterable[Claim], now: float) -> None:
        """Put claims in line and wake a free runner for each."""
        self._on_their_way = 0
        for claim in claims:
            entry = self.in_flight[claim.job.id] = InFlight(claim, now)
            self.waiting.append(entry)
            if self._idle:
                self._idle.pop().set()
        self.stirred.set()

    def take_aside(self, claim: Claim, now: float) -> None:
        """Note a claim as in flight that will be reported without being run: its data is no longer needed."""
        if claim.saved and claim.job.data.size > _LARGE:
            claim = evolve(claim, job=evolve(claim.job, data=MessageData()))
        self.in_flight[claim.job.id] = InFlight(claim, now, ended=True)

    def adapt(self, now: float) -> None:
        """Under a backlog, read ahead some tenths of a second of work.

        Called when a full page was taken in: pages that are used up quickly grow, others shrink. After a crash, the
        state of the jobs that wait in memory is in doubt.
        """
        lasted, self._page_at = now - self._page_at, now
        if lasted < SHORT_PAGE:
            self.capacity = min(self.batch_size, self.capacity * 2)
        elif lasted > LONG_PAGE:
            self.capacity = max(1, self.capacity // 2)

    # Running them

    def next_in_line(self) -> InFlight | None:
        """Take the next job if one is waiting."""
        if not self.waiting:
            return None
        entry = self.waiting.popleft()
        if self.more_behind:
            self._ask_for_more()
        return entry

    async def next_job(self) -> InFlight | None:
        """Return the next job in line, waiting for one; None once the bucket is closed."""
        while not self.closed:
            if self.waiting:
                return self.next_in_line()
            await self._park()
        return None

    def _ask_for_more(self) -> None:
        """Wake the claim loop once half of what was read ahead is gone, if there is more to read."""
        if self.more_behind and 2 * len(self.waiting) <= self.capacity:
            self.more_behind = False
            self.pull_again.set()

    async def _park(self) -> None:
        event = anyio.Event()
        self._idle.append(event)
        self.stirred.set()
        self.on_idle()
        try:
            await event.wait()
        finally:
            if event in self._idle:
                self._idle.remove(event)

    # What others may know and take

    @property
    def free(self) -> int:
        """How many slots have nothing to do, and nothing in line for them."""
        if self.closed:
            return 0
        return max(0, sum(slot.job is None for slot in self.slots) - len(self.waiting))

    def _look_back(self, now: float, running_for: Sequence[float], *, line: bool) -> None:
        """Determine whether slots had little to do since the last look: at the look itself one may happen to be busy."""
        since, self._looked_at = now - self._looked_at, now
        busy = self.pace.busy + sum(min(one, since) for one in running_for)
        self._mostly_idle = not line and busy < MOSTLY * since * len(self.slots)

    def load(self, now: float) -> Load:
        """Return what to report of the bucket at `now`, monotonic: no free slots while all it got was parked."""
        running = sum(slot.job is not None for slot in self.slots)
        free = 0 if now < self.asks_again_at else self.free or int(self._mostly_idle)
        return Load(in_flight=len(self.in_flight), running=running, free=free, offered=self.offered)

    def load_as_told(self, now: float) -> Load:
        """Return the load with the free slots and offers last reported: a single moment says little about these."""
        return evolve(self.load(now), free=self.told.free, offered=self.told.offered)

    def parked(self, now: float) -> None:
        """Note that a job was parked. An owner that gets nothing else stops asking for more, each time for longer.

        Workers that know its handler would give it back again and again, since slots are free here.
        """
        if now >= self.asks_again_at:
            self._silent_for = min(LONGEST_SILENCE, 2 * self._silent_for or FIRST_SILENCE)
            self.asks_again_at = now + self._silent_for

    def estimate(self, now: float) -> int:
        """Return how many jobs this owner expects to start within a second, and offer to have as many in line.

        Without any measurement it expects to start all that it has.
        """
        line = bool(self.waiting) or self.more_behind
        if self.pace.ended:
            self._silent_for, self.asks_again_at = 0.0, -NEVER
        running_for = [now - slot.started for slot in self.running()]
        self._look_back(now, running_for, line=line)
        pace = self.pace.look(now, running_for, line=line)
        if pace is not None:
            begins = min(int(pace * SOON), MOST_OFFERED)
            self.offered = len(self.slots) + begins
            return begins
        if self.free:
            self.offered = None
        return MOST_OFFERED

    @property
    def room_for_more(self) -> int:
        """How many more jobs this owner would start soon, of those that it may choose to take."""
        if self.more_behind:
            return 0
        wanted = 2 * len(self.slots) if self.offered is None else self.offered
        has = len(self.waiting) + sum(1 for _ in self.running())
        return max(0, wanted - has - self._on_their_way)

    def adopted(self, count: int) -> None:
        """Note that `count` jobs were taken into the bucket, to be read soon."""
        self._on_their_way += count

    def give(self, keep: int) -> list[InFlight]:
        """Remove the jobs behind the first `keep` from the line; return them, for the caller to release."""
        given = []
        while len(self.waiting) > keep:
            entry = self.waiting.pop()
            entry.ended = True
            given.append(entry)
        if self.remote:
            self.giving += given
        return given

    def keep(self, kept: Sequence[InFlight]) -> None:
        """Put jobs that were on their way out back in line."""
        self.giving = [entry for entry in self.giving if entry not in kept]
        for entry in reversed(kept):
            entry.ended = False
            self.put_back(entry)

    def given(self, gone: Sequence[InFlight]) -> None:
        """Forget jobs that have left their bucket on the agent: if they come again, they have to be run."""
        for entry in gone:
            self.in_flight.pop(entry.claim.job.id, None)
        self.giving = [entry for entry in self.giving if entry not in gone]
        if not self.in_flight:
            self._emptied.set()

    # Letting them go

    def settled(self, report: Report) -> None:
        """Forget a job whose report is written (or was refused as stale)."""
        entry = self.in_flight.pop(report.job_id, None)
        if self.remote:
            self.unacknowledged.add((report.job_id, report.attempt))
        elif self._settled_while_reading is not None and entry is not None:
            self._settled_while_reading[report.job_id, report.attempt] = entry.claim.ready_at
        if not self.in_flight:
            self._emptied.set()
        if report.status is _STAYS or report.outcome is None:
            self.pull_again.set()  # it stays in this bucket, or may be back there: find out when it is due
        self._ask_for_more()

    def recorded(self, report: Report, *, stale: bool) -> None:
        """Note that the end of an attempt is recorded, so that it is not run again if its message comes again.

        Not for an attempt that was released or parked: it may come again to be run. Nor for one that the master
        refused: it may be elsewhere, and come back from there; otherwise `ended` is called. An attempt that was never
        handed over is not pushed again.
        """
        ended = not stale and (report.outcome is not None or report.status.is_terminal)
        if ended and report.job is None and self._finished is not None:
            self._finished.add((report.job_id, report.attempt))

    def ended(self, keys: Iterable[Attempt]) -> None:
        """Note attempts whose ends are recorded on the master, no matter which worker wrote them."""
        if self._finished is not None:
            for key in keys:
                self._finished.add(key)

    def acknowledged(self, keys: Iterable[Attempt]) -> None:
        """Forget attempts whose messages have left the agent."""
        gone = set(keys)
        self.unacknowledged -= gone
        if self._settled_while_reading is not None:
            self._settled_while_reading |= dict.fromkeys(gone, _ANY_TIME)

    def close(self) -> list[Claim]:
        """Start no more jobs; return the claims that were waiting, for the caller to release."""
        self.closed = True
        unstarted = [entry for entry in (*self.waiting, *self._aside) if not entry.ended] + self.giving
        for entry in unstarted:
            entry.ended = True
        self.giving = []
        self.waiting.clear()
        self._aside.clear()
        while self._idle:
            self._idle.pop().set()
        self.pull_again.set()
        return [entry.claim for entry in unstarted]

    def cancel(self, job_id: UUID, attempt: int) -> Claim | None:
        """Cancel a job in flight: stop it if it runs; return its claim if it was still waiting in line."""
        entry = self.in_flight.get(job_id)
        if entry is None or entry.claim.attempt != attempt or entry.ended:
            return None
        self._never_again(entry.claim)
        if entry.slot is not None:
            entry.slot.stop(StopReason.CANCEL)
        elif entry in self.waiting or entry in self._aside:
            (self.waiting if entry in self.waiting else self._aside).remove(entry)
            entry.ended = True
            return entry.claim
        entry.cancelled = True
        return None

    def cancel_unread(self, claim: Claim, now: float) -> None:
        """Take aside a job whose message was not read, and may still be on its way here, to be reported as cancelled."""
        self.take_aside(claim, now)
        self._never_again(claim)

    def _never_again(self, claim: Claim) -> None:
        """Never start an attempt whose cancellation was requested, even if its message comes (again) later.

        The master never withdraws such a request: regardless of the result of its report, this attempt does not run again.
        """
        if self._finished is not None:
            self._finished.cancel((claim.job.id, claim.attempt))

    def put_back(self, entry: InFlight) -> None:
        """Put a job that could not be started back at the head of the line."""
        if self.closed:
            entry.ended = True
            return
        self.waiting.appendleft(entry)
        if self._idle:
            self._idle.pop().set()

    def set_aside(self, entry: InFlight) -> None:
        """Keep a job in flight, out of the line, until `resume`."""
        self._aside.append(entry)

    def resume(self) -> None:
        """Put jobs that were set aside back in line."""
        aside, self._aside = self._aside, []
        for entry in aside:
            if not entry.ended:
                self.put_back(entry)

    def stop_running(self, reason: str) -> None:
        """Cancel everything that runs."""
        for slot in self.slots:
            slot.stop(reason)

    def running(self) -> Iterator[Slot]:
        """Iterate over the slots that have a job."""
        return (slot for slot in self.slots if slot.job is not None)

    def replace(self, slot: Slot) -> Slot:
        """Replace a slot whose handler does not end by a new one; return it."""
        slot.left = True
        fresh = self.slots[self.slots.index(slot)] = Slot()
        return fresh

    async def wait_empty(self) -> None:
        """Wait until nothing is in flight."""
        while self.in_flight:
            await self._emptied.wait()


OnReport = Callable[[OwnedBucket, Report], None]
"""The channel from running to reporting."""
OnEcho = Callable[[OwnedBucket, Sequence[Attempt]], None]
"""The channel from reading to acknowledging, for messages that came again."""

__all__ = [
    "NEVER",
    "Attempt",
    "Finished",
    "InFlight",
    "OnEcho",
    "OnReport",
    "OwnedBucket",
    "Slot",
    "StopReason",
    "WorkerLease",
]
