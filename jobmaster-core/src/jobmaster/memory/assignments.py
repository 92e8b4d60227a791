"""Assigning held jobs to buckets, in memory."""

from __future__ import annotations

from collections.abc import Sequence

import anyio.lowlevel
from attrs import define

from jobmaster.contracts import Assignment, AssignmentStore, Room
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.placing import held_rows, place_due, place_parked, time_to_next
from jobmaster.models import Bucket
from jobmaster.states import Priority


@define(eq=False, repr=False, slots=False)
class MemoryAssignments(AssignmentStore):
    """Assigning held jobs to buckets, in memory."""

    rows: MasterRows

    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            assigned = place_due(self.rows, cluster_id, ahead, rooms)
            return Assignment(
                assigned={b: len(rows) for b, rows in assigned.items()},
                **time_to_next(self.rows, cluster_id, ahead, rooms),
            )

    async def due_places(self, cluster_id: str, waited: float = 0.0) -> frozenset[tuple[str, Priority]]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            by = self.rows.later(-waited)
            due = [row.job for row in held_rows(self.rows, cluster_id) if row.ready_at <= by]
            return frozenset((job.lane, job.priority) for job in due)

    async def adopt_parked(self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int) -> int:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return sum(len(rows) for rows in place_parked(self.rows, buckets, definition_ids, limit).values())
