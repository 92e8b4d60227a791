"""Handing held jobs over to agents, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

import anyio.lowlevel
from attrs import define

from jobmaster.contracts import Handover, HandoverResult, HandoverStore, Message, Room
from jobmaster.errors import InvalidTransitionError
from jobmaster.ids import new_id
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.placing import place_due, place_parked, time_to_next
from jobmaster.memory.rows import Carried, Live
from jobmaster.models import Bucket, NewJob
from jobmaster.states import JobStatus


@define(eq=False, repr=False, slots=False)
class MemoryHandovers(HandoverStore):
    """Handing held jobs over to agents, in memory."""

    rows: MasterRows

    async def hand_over(
        self, cluster_id: str, ahead: float, rooms: Sequence[Room], pusher: UUID
    ) -> HandoverResult:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            assigned = place_due(self.rows, cluster_id, ahead, rooms)
            handovers = [
                self._handover(self._carry(cluster_id, bucket_id, (r.job.id for r in rows), pusher))
                for bucket_id, rows in assigned.items()
            ]
            return HandoverResult(handovers=handovers, **time_to_next(self.rows, cluster_id, ahead, rooms))

    async def hand_over_parked(
        self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int, pusher: UUID
    ) -> Sequence[Handover]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return [
                self._handover(
                    self._carry(rows[0].job.cluster_id, bucket_id, [r.job.id for r in rows], pusher)
                )
                for bucket_id, rows in place_parked(self.rows, buckets, definition_ids, limit).items()
            ]

    async def open(
        self, cluster_id: str, bucket_id: UUID, job_ids: Sequence[UUID], pusher: UUID, *, alone: bool = False
    ) -> UUID:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            if alone:
                self._check_alone(bucket_id, job_ids)
            return self._carry(cluster_id, bucket_id, job_ids, pusher)

    def _check_alone(self, bucket_id: UUID, job_ids: Sequence[UUID]) -> None:
        for carried in self.rows.tables.handovers.values():
            if carried.bucket_id == bucket_id:
                for job_id in set(job_ids).intersection(carried.job_ids):
                    raise InvalidTransitionError(
                        job_id, JobStatus.ASSIGNED_TO_BUCKET, (), JobStatus.HELD_ON_MASTER
                    )

    async def jobs_of(self, bucket_id: UUID) -> frozenset[UUID]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            carried = [one for one in tables.handovers.values() if one.bucket_id == bucket_id]
            return frozenset(job_id for one in carried for job_id in one.job_ids)

    async def close(self, handover_ids: Sequence[UUID], *, if_empty: bool = False) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            for handover_id in handover_ids:
                carried = tables.handovers.get(handover_id)
                if carried is not None and not (if_empty and any(self._still_there(carried))):
                    del tables.handovers[handover_id]

    async def undo(self, handover_ids: Sequence[UUID]) -> int:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            there = [tables.handovers.pop(h) for h in handover_ids if h in tables.handovers]
            return sum(self.rows.hold_or_end(self._still_there(carried)) for carried in there)

    async def take_over(self, cluster_id: str, age: float, pusher: UUID, limit: int) -> Sequence[Handover]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            until = self.rows.later(-age)
            old = [
                (carried.taken_at, handover_id)
                for handover_id, carried in tables.handovers.items()
                if carried.cluster_id == cluster_id and carried.taken_at <= until
            ]
            return [self._retake(handover_id, pusher) for _, handover_id in sorted(old)[:limit]]

    def _retake(self, handover_id: UUID, pusher: UUID) -> Handover:
        """Give a handover to another pusher, under a new id: for the former pusher it is gone."""
        left = self.rows.tables.handovers.pop(handover_id)
        return self._handover(self._carry(left.cluster_id, left.bucket_id, left.job_ids, pusher))

    def _carry(self, cluster_id: str, bucket_id: UUID, job_ids: Iterable[UUID], pusher: UUID) -> UUID:
        handover_id, now = new_id(), self.rows.now()
        carried = Carried(cluster_id, bucket_id, tuple(job_ids), pusher, now)
        self.rows.tables.handovers[handover_id] = carried
        return handover_id

    def _handover(self, handover_id: UUID) -> Handover:
        carried, now = self.rows.tables.handovers[handover_id], self.rows.now()
        messages = [_message(row, carried.bucket_id, now) for row in self._still_there(carried)]
        return Handover(id=handover_id, bucket_id=carried.bucket_id, messages=messages)

    def _still_there(self, carried: Carried) -> Iterator[Live]:
        for job_id in carried.job_ids:
            row = self.rows.tables.live.get(job_id)
            if row is not None and row.bucket_id == carried.bucket_id:
                yield row


def _message(row: Live, bucket_id: UUID, now: datetime) -> Message:
    delay = max(0.0, (row.ready_at - now).total_seconds())
    return Message(
        new=NewJob(job=row.job, delay=delay, bucket_id=bucket_id),
        attempt=row.attempt,
        saved=True,
        retries=row.retries,
        crashes=row.crashes,
        suspect=row.suspect,
        placed=row.placed,
    )
