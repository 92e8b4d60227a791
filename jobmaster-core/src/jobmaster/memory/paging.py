"""Paging through a bucket: common to the rows of a master and the messages of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from attrs import frozen

from jobmaster.models import Cursor, Job, Position
from jobmaster.weighing import PAGE_BYTES, job_weight


class Placed(Protocol):
    """Something in a bucket, at a position in its order."""

    @property
    def position(self) -> tuple[datetime, UUID]:
        """Its due time, then its job's id."""

    @property
    def job(self) -> Job:
        """The job there."""


R = TypeVar("R", bound=Placed)


@frozen
class Page(Generic[R]):
    """The next due rows of a bucket, and where and when to continue."""

    rows: Sequence[R]
    cursor: Cursor
    more: bool
    next_due_in: float | None


def due_page(rows: Sequence[R], cursor: Cursor, limit: int, now: datetime) -> Page[R]:
    """Return up to `limit` due rows beyond the cursor, from all rows of the bucket in order.

    Without more, the next page starts over: rows that become visible late may be at any position.
    """
    after = (cursor.after.ready_at, cursor.after.job_id) if cursor.after else None
    due = [row for row in rows if row.position[0] <= now and (after is None or row.position > after)]
    page = within_bytes(due[:limit])
    more = len(due) > len(page)
    last = Position(*page[-1].position) if page else cursor.after
    return Page(
        rows=page,
        cursor=Cursor(after=last if more else None, bounded=more),
        more=more,
        next_due_in=_next_due_in(rows, now),
    )


def within_bytes(rows: Sequence[R]) -> Sequence[R]:
    """Return the rows that are preceded by less than `PAGE_BYTES`."""
    size = 0
    for place, row in enumerate(rows):
        if size >= PAGE_BYTES:
            return rows[:place]
        size += job_weight(row.job)
    return rows


def _next_due_in(rows: Sequence[R], now: datetime) -> float | None:
    later = next((row.position[0] for row in rows if row.position[0] > now), None)
    return None if later is None else (later - now).total_seconds()
