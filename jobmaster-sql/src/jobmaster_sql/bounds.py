"""How far a bucket's owner has read: what it may have in flight, and where it reads on.

A bucket's row bounds what its owner can have in flight, so that after a crash only those jobs are suspects. The bound is
written before jobs beyond it are returned: for each page of a backlog, at its last job; and while the owner keeps up, for
everything that becomes due within the next moments, so that consecutive jobs share a write.
"""

from __future__ import annotations

from typing import Final, TypeAlias
from uuid import UUID

from attrs import frozen

from jobmaster.clock import to_micros
from jobmaster.models import Cursor, Position
from jobmaster_sql.cells import moment_of
from jobmaster_sql.rows import MAX_UUID

OVERLAP: Final = 2_000_000
"""Microseconds that an owner reads again: a job's due time is taken when its transaction begins to write, so after a slow
commit it appears behind jobs that were already read."""

ALLOWANCE: Final = 200_000
"""Microseconds past an owner's read for which its bound holds while it keeps up. This is how often it writes at most; jobs
that become due so soon after its last read are suspects when it dies, although it may not have lived to read them."""

Place: TypeAlias = tuple[int, UUID]
"""A `Position` as stored: microseconds and id. Compares as in the database."""

MIN_PLACE: Final[Place] = (-(2**63), UUID(int=0))
END_OF_TIME: Final[Place] = (2**63 - 1, MAX_UUID)


@frozen
class Bound:
    """What a bucket's row says about its owner: everything it has in flight lies at or before `place`.

    Without a place it can have every due job in flight, unless it is `fresh`: then it has not read anything yet.
    """

    place: Place | None = None
    fresh: bool = False

    @property
    def is_moment(self) -> bool:
        """Whether the bound covers everything due by some moment, rather than everything up to some job."""
        return self.place is not None and self.place[1] == MAX_UUID

    def covers(self, place: Place) -> bool:
        """Return whether a job at `place` may be returned to the owner under this bound."""
        return self.place is not None and place <= self.place


def bound_of(ready_at: int | None, job_id: UUID | None) -> Bound:
    """Return the bound in a bucket's columns `claimed_ready_at` and `claimed_job_id`."""
    if ready_at is None:
        return Bound()
    return Bound(fresh=True) if job_id is None else Bound((ready_at, job_id))


def start_of(cursor: Cursor) -> Place:
    """Return the place after which a page begins."""
    after = cursor.after
    return MIN_PLACE if after is None else (to_micros(after.ready_at), after.job_id)


def bound_after(stored: Bound, cursor: Cursor, last: Place | None, now: int, *, more: bool) -> Bound:
    """Return the bound that must be recorded before a page is returned.

    `last` is the place of the page's last job, None if the page is empty; with `more`, due jobs were left behind it. A bound
    never moves back behind what was returned: after a restart of the cursor, the owner still holds what it read before.
    """
    if last is None:
        return stored
    if more:
        return Bound(last if stored.fresh else max(last, _held_to(stored, cursor, now)))
    if stored.covers(last):
        return stored
    return Bound((max(now, last[0]) + ALLOWANCE, MAX_UUID))


def _held_to(stored: Bound, cursor: Cursor, now: int) -> Place:
    """Return the furthest place an owner may hold from before; at the start of a backlog, not all that it was allowed."""
    if stored.place is None:
        return _reach(cursor, now)
    if stored.is_moment and not cursor.bounded:
        return min(stored.place, _reach(cursor, now))
    return stored.place


def _reach(cursor: Cursor, now: int) -> Place:
    """Return the furthest place that an owner which kept up can have read to: the end of its last pull."""
    return now if cursor.after is None else to_micros(cursor.after.ready_at) + OVERLAP, MAX_UUID


def cursor_after(last: Place | None, now: int, *, more: bool) -> Cursor:
    """Return the cursor for the next pull. `last` is the page's last place.

    While there is a backlog, each page begins where the last ended. At its end the owner has read everything due by now; it
    goes back by the overlap, to see late commits.
    """
    place = last if more and last is not None else (now - OVERLAP, MAX_UUID)
    return Cursor(after=Position(moment_of(place[0]), place[1]), bounded=more)
