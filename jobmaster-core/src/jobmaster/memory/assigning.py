"""Giving held jobs to buckets, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
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
            assigned, next_in = self._assign(cluster_id, ahead, rooms)
            return Assignment(assigned={b: len(rows) for b, rows in assigned.items()}, next_in=next_in)

    def _assign(
        self, cluster_id: str, ahead: float, rooms: Sequence[Room]
    ) -> tuple[dict[UUID, list[Live]], float | None]:
        """Place held jobs; return them by bucket, and in how many seconds the next one comes into reach."""
        horizon = self._later(ahead)
        assigned: dict[UUID, list[Live]] = {}
        for room in rooms:
            if rows := self._fill(cluster_id, room, horizon):
                assigned.setdefault(room.bucket_id, []).extend(rows)
        first = next(iter(self._held(cluster_id)), None)
        return assigned, max(0.0, (first.ready_at - horizon).total_seconds()) if first else None

    def _fill(self, cluster_id: str, room: Room, horizon: datetime) -> list[Live]:
        fitting = [
            row
            for row in self._held(cluster_id)
            if row.ready_at <= horizon and (row.job.lane, row.job.priority) == (room.lane, room.priority)
        ]
        for row in fitting[: room.free]:
            self._place(row, room.bucket_id)
        return fitting[: room.free]

    async def due_places(self, cluster_id: str) -> frozenset[tuple[str, Priority]]:
        await anyio.lowlevel.checkpoint()
        with self._unit():
            now = self._clock.now()
            due = [row.job for row in self._held(cluster_id) if row.ready_at <= now]
            return frozenset((job.lane, job.priority) for job in due)

    def _held(self, cluster_id: str) -> list[Live]:
        rows = self._store.live.among(None)
        held = [r for r in rows if not r.parked and r.job.cluster_id == cluster_id]
        return sorted(held, key=lambda row: row.position)

    def _place(self, row: Live, bucket_id: UUID) -> None:
        row.status, row.bucket_id, row.parked = JobStatus.ASSIGNED_TO_BUCKET, bucket_id, None
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
