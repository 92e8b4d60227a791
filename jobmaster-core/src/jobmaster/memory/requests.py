"""Requests for existing jobs, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import anyio.lowlevel
from attrs import define, evolve

from jobmaster.contracts import OUT_OF_REACH, CancelAnswer, RequestStore
from jobmaster.errors import InvalidTransitionError
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.rows import Live
from jobmaster.models import CancelResult
from jobmaster.states import JobStatus


@define(eq=False, repr=False, slots=False)
class MemoryRequests(RequestStore):
    """Requests for existing jobs, in memory."""

    rows: MasterRows

    async def cancel(
        self, cluster_id: str, job_ids: Sequence[UUID], worker: str = ""
    ) -> Sequence[CancelAnswer]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            for job_id in job_ids:
                self.rows.known_job(cluster_id, job_id)
            return [self._cancel(job_id, worker) for job_id in job_ids]

    def _cancel(self, job_id: UUID, worker: str) -> CancelAnswer:
        row = self.rows.tables.live.get(job_id)
        if row is None:
            return CancelAnswer(job_id=job_id, result=CancelResult.TOO_LATE)
        if row.bucket_id and (self._is_in_reach(row) or self.rows.is_on_an_agent(row.bucket_id)):
            row.cancel_requested = True
            return CancelAnswer(job_id=job_id, result=CancelResult.REQUESTED, bucket_id=row.bucket_id)
        self.rows.end_unstarted(row, worker)
        return CancelAnswer(job_id=job_id, result=CancelResult.CANCELLED)

    async def read_cancels(self, bucket_ids: Sequence[UUID]) -> Sequence[tuple[UUID, UUID, int]]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            return [
                (bucket_id, row.job.id, row.attempt)
                for bucket_id in bucket_ids
                for row in tables.live.among(bucket_id)
                if row.cancel_requested
            ]

    async def reschedule(
        self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None = None
    ) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            self.rows.known_job(cluster_id, job_id)
            row = tables.live.get(job_id)
            if row is None or row.cancel_requested or not self._is_out_of_hand(row, withdrawn):
                raise InvalidTransitionError(
                    job_id, self.rows.status_of(job_id), (), JobStatus.HELD_ON_MASTER
                )
            row.hold()
            row.ready_at, row.due_at = self.rows.later(delay), None
            tables.jobs[job_id] = row.job = evolve(row.job, scheduled_at=row.ready_at)
            if withdrawn is not None:
                tables.handovers.pop(withdrawn, None)

    def _is_out_of_hand(self, row: Live, withdrawn: UUID | None) -> bool:
        if not self.rows.is_on_an_agent(row.bucket_id):
            return row.bucket_id is None or not self._is_in_reach(row)
        carried = self.rows.tables.handovers.get(withdrawn) if withdrawn else None
        return carried is not None and (carried.bucket_id == row.bucket_id and row.job.id in carried.job_ids)

    def _is_in_reach(self, row: Live) -> bool:
        return row.ready_at <= self.rows.later(OUT_OF_REACH)

    async def retry(self, cluster_id: str, job_id: UUID) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            job = self.rows.known_job(cluster_id, job_id)
            if job_id not in tables.final:
                raise InvalidTransitionError(
                    job_id, self.rows.status_of(job_id), (), JobStatus.HELD_ON_MASTER
                )
            del tables.final[job_id]
            number = tables.attempts[job_id][-1].number + 1
            tables.live[job_id] = Live(job, JobStatus.HELD_ON_MASTER, self.rows.now(), attempt=number)
