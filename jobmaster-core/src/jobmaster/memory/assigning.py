"""Giving held jobs to buckets, in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from uuid import UUID

import anyio.lowlevel

from jobmaster.contracts import Assignment, JobStore, Room
from jobmaster.memory.base import MemoryBase
from jobmaster.memory.rows import Live
from jobmaster.models import Bucket
from jobmaster.states import JobStatus, Priority


class MemoryAssigning(MemoryBase, JobStore):
    """Giving held jobs to buckets, in memory."""

    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            assigned = self._assign(cluster_id, ahead, rooms)
            return Assignment(
                assigned={b: len(rows) for b, rows in assigned.items()},
                **self._next(cluster_id, ahead, rooms),
            )

    def _next(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> dict[str, float | None]:
        """Return in how many seconds the next held job comes within reach: any, and one whose place has a room."""
        places, held = {(room.lane, room.priority) for room in rooms if room.free > 0}, self._held(cluster_id)
        fitting = [row for row in held if (row.job.lane, row.job.priority) in places]
        horizon = self._later(ahead)
        waits = [
            max(0.0, (rows[0].ready_at - horizon).total_seconds()) if rows else None
            for rows in (held, fitting)
        ]
        return {"next_in": waits[0], "next_for_rooms": waits[1]}

    def _assign(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> dict[UUID, list[Live]]:
        """Place held jobs, those of one lane and priority in turn; return them by bucket."""
        horizon = self._later(ahead)
        left = {room.bucket_id: room.free for room in rooms}
        turns: dict[tuple[str, Priority], deque[UUID]] = {}
        for room in rooms:
            turns.setdefault((room.lane, room.priority), deque()).append(room.bucket_id)
        assigned: dict[UUID, list[Live]] = {}
        for row in self._held(cluster_id):
            buckets = turns.get((row.job.lane, row.job.priority), deque())
            while buckets and not left[buckets[0]]:
                buckets.popleft()
            if buckets and row.ready_at <= horizon:
                self._place(row, buckets[0])
                left[buckets[0]] -= 1
                assigned.setdefault(buckets[0], []).append(row)
                buckets.rotate(-1)
        return assigned

    async def due_places(self, cluster_id: str, waited: float = 0.0) -> frozenset[tuple[str, Priority]]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            by = self._later(-waited)
            due = [row.job for row in self._held(cluster_id) if row.ready_at <= by]
            return frozenset((job.lane, job.priority) for job in due)

    def _held(self, cluster_id: str) -> list[Live]:
        rows = self._store.live.among(None)
        held = [r for r in rows if not r.parked and r.job.cluster_id == cluster_id]
        return sorted(held, key=lambda row: row.position)

    def _place(self, row: Live, bucket_id: UUID) -> None:
        row.status, row.bucket_id, row.parked = JobStatus.ASSIGNED_TO_BUCKET, bucket_id, None
        row.placed += 1
        row.due_at = row.due_at or row.ready_at
        row.ready_at = max(row.ready_at, self._clock.now())

    async def adopt_parked(self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int) -> int:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            return sum(len(rows) for rows in self._adopt(buckets, definition_ids, limit).values())

    def _adopt(
        self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int
    ) -> dict[UUID, list[Live]]:
        """Place parked jobs; return them by bucket."""
        homes = {(b.cluster_id, b.lane, b.priority): b.id for b in buckets}
        adopted: dict[UUID, list[Live]] = {}
        fitting = [
            r for r in self._store.live.among(None) if r.parked and r.job.definition_id in definition_ids
        ]
        places = [(row, homes.get((row.job.cluster_id, row.job.lane, row.job.priority))) for row in fitting]
        for row, home in [(row, home) for row, home in places if home is not None][:limit]:
            self._place(row, home)
            adopted.setdefault(home, []).append(row)
        return adopted
