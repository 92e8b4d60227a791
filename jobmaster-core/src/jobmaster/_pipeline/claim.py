"""Step 4: due jobs of an owned bucket are read into its owner's memory. No locks, nothing is deleted."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from jobmaster._flow.ownership import NEVER, OnEcho, OnReport, OwnedBucket
from jobmaster._policy.outcome import cancelled_unstarted, parked, released
from jobmaster.models import BucketPage, Claim, Cursor, Report

if TYPE_CHECKING:
    from jobmaster.clock import Clock
    from jobmaster.contracts import ClaimStore

RESCAN = 30.0
"""Seconds after which a bucket is read from its start again, whatever the cursor says: the safety net for
rows that became visible later than any transaction should take."""


BEHIND = timedelta(seconds=5)
"""How far a cursor may go back without the store's clock having done so; it goes back at the end of a backlog."""


@frozen
class ClaimResult:
    """Jobs taken in, and in how many seconds to pull again (None: on notifications or when there is room)."""

    taken: int
    wait: float | None


@define
class ClaimJobs:
    """Pulls from one bucket. Jobs that cannot run here are reported instead of lined up."""

    claims: ClaimStore
    owned: OwnedBucket
    known: Container[str]
    on_report: OnReport
    on_echo: OnEcho
    clock: Clock
    _cursor: Cursor = field(factory=Cursor, init=False)
    _scanned_at: float = field(default=-NEVER, init=False)

    async def run_once(self) -> ClaimResult:
        """Read due and new jobs, as far as there is room in memory."""
        now = self.owned.last_progress = self.clock.monotonic()
        room = self.owned.room
        if room == 0 or not self.owned.lease.is_safe(now):
            self.owned.more_behind = True
            return ClaimResult(0, None)
        with self.owned.reading():
            cursor = self._next_cursor(now)
            known = self.owned.in_flight_beyond(cursor)
            page = await self.claims.pull(self.owned.bucket, cursor, room + len(known), known)
            self.owned.keeps_waiting = page.more or page.next_due_in is not None
            went_back = _is_behind(page.cursor, self._cursor)
            self._cursor = page.cursor
            fresh = [claim for claim in page.claims if not self.owned.knows(claim)]
        if len(fresh) < len(page.claims) and (echoes := self.owned.echoes(page.claims)):
            self.on_echo(self.owned, echoes)
        if not self.owned.closed:
            self._line_up(fresh)
        if page.more:
            self.owned.adapt(now)
        self.owned.more_behind = page.more
        if went_back:
            self._scanned_at = -NEVER
            return ClaimResult(len(fresh), 0.0)
        return ClaimResult(len(fresh), self._wait(page, cursor))

    def _wait(self, page: BucketPage, cursor: Cursor) -> float | None:
        """Return the seconds until the next pull.

        A run of pages misses jobs that are committed behind its cursor meanwhile, and their notifications arrived during
        the run: at its end the bucket is read once more, from the overlap on.
        """
        if not page.more:
            return 0.0 if cursor.bounded else page.next_due_in
        return 0.0 if self.owned.room else None

    def _next_cursor(self, now: float) -> Cursor:
        if now - self._scanned_at < RESCAN:
            return self._cursor
        self._scanned_at = now
        return self._cursor.anew()

    def _line_up(self, fresh: Sequence[Claim]) -> None:
        now = self.clock.monotonic()
        runnable = []
        for claim in fresh:
            refusal = self._refusal(claim)
            if refusal is None:
                runnable.append(claim)
            else:
                if refusal.parked is not None:
                    self.owned.parked(now)
                self.owned.take_aside(claim, now)
                self.on_report(self.owned, refusal)
        self.owned.take_in(runnable, now)

    def _refusal(self, claim: Claim) -> Report | None:
        if claim.cancel_requested:
            return cancelled_unstarted(claim)
        if claim.job.definition_id not in self.known:
            return parked(claim)
        return None


def _is_behind(cursor: Cursor, before: Cursor) -> bool:
    """Whether the store's clock has gone back between two pulls: then new jobs lie behind the previous cursor."""
    if cursor.after is None or before.after is None:
        return False
    return cursor.after.ready_at < before.after.ready_at - BEHIND


async def hand_back_unread(claims: ClaimStore, owned: OwnedBucket, on_report: OnReport, clock: Clock) -> None:
    """Release the due jobs of a closed bucket that were never read: they need not wait for long-running jobs."""
    cursor: Cursor | None = Cursor()
    while cursor is not None:
        with owned.reading():
            known = owned.in_flight_beyond(cursor)
            page = await claims.pull(owned.bucket, cursor, owned.batch_size + len(known), known)
            fresh = [claim for claim in page.claims if not owned.knows(claim)]
        for claim in fresh:
            owned.take_aside(claim, clock.monotonic())
            on_report(owned, cancelled_unstarted(claim) if claim.cancel_requested else released(claim))
        cursor = page.cursor if page.more else None
