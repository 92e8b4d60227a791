"""Placing held jobs in buckets: for assignments, and for handovers to agents."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from uuid import UUID

from jobmaster.contracts import Room
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import Live
from jobmaster.models import Bucket
from jobmaster.states import JobStatus, Priority


def place_due(
    rows: MasterRows, cluster_id: str, ahead: float, rooms: Sequence[Room]
) -> dict[UUID, list[Live]]:
    """Place held jobs, those of one lane and priority in turn; return them by bucket."""
    horizon = rows.later(ahead)
    left = {room.bucket_id: room.free for room in rooms}
    turns: dict[tuple[str, Priority], deque[UUID]] = {}
    for room in rooms:
        turns.setdefault((room.lane, room.priority), deque()).append(room.bucket_id)
    assigned: dict[UUID, list[Live]] = {}
    for row in held_rows(rows, cluster_id):
        buckets = turns.get((row.job.lane, row.job.priority), deque())
        while buckets and not left[buckets[0]]:
            buckets.popleft()
        if buckets and row.ready_at <= horizon:
            _place(rows, row, buckets[0])
            left[buckets[0]] -= 1
            assigned.setdefault(buckets[0], []).append(row)
            buckets.rotate(-1)
    return assigned


def place_parked(
    rows: MasterRows, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int
) -> dict[UUID, list[Live]]:
    """Place parked jobs; return them by bucket."""
    homes = {(b.cluster_id, b.lane, b.priority): b.id for b in buckets}
    adopted: dict[UUID, list[Live]] = {}
    fitting = [r for r in rows.tables.live.among(None) if r.parked and r.job.definition_id in definition_ids]
    places = [(row, homes.get((row.job.cluster_id, row.job.lane, row.job.priority))) for row in fitting]
    for row, home in [(row, home) for row, home in places if home is not None][:limit]:
        _place(rows, row, home)
        adopted.setdefault(home, []).append(row)
    return adopted


def time_to_next(
    rows: MasterRows, cluster_id: str, ahead: float, rooms: Sequence[Room]
) -> dict[str, float | None]:
    """Return in how many seconds the next held job comes within reach: any, and one whose place has a room."""
    places = {(room.lane, room.priority) for room in rooms if room.free > 0}
    held = held_rows(rows, cluster_id)
    fitting = [row for row in held if (row.job.lane, row.job.priority) in places]
    horizon = rows.later(ahead)
    waits = [
        max(0.0, (some[0].ready_at - horizon).total_seconds()) if some else None for some in (held, fitting)
    ]
    return {"next_in": waits[0], "next_for_rooms": waits[1]}


def held_rows(rows: MasterRows, cluster_id: str) -> list[Live]:
    """Return the held jobs of a cluster that are not parked, the earliest first."""
    everywhere = rows.tables.live.among(None)
    held = [row for row in everywhere if not row.parked and row.job.cluster_id == cluster_id]
    return sorted(held, key=lambda row: row.position)


def _place(rows: MasterRows, row: Live, bucket_id: UUID) -> None:
    row.status, row.bucket_id, row.parked = JobStatus.ASSIGNED_TO_BUCKET, bucket_id, None
    row.placed += 1
    row.due_at = row.due_at or row.ready_at
    row.ready_at = max(row.ready_at, rows.now())
