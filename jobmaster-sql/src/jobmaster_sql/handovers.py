"""Handing held jobs over to agents, on any SQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from attrs import evolve

from jobmaster.contracts import Handover, HandoverResult, HandoverStore, Message, Room
from jobmaster.errors import InvalidTransitionError
from jobmaster.ids import new_id
from jobmaster.models import Bucket
from jobmaster.states import JobStatus
from jobmaster_sql.ending import end_marked
from jobmaster_sql.parked import parked_homes, parked_params
from jobmaster_sql.placement import Group, groups_of, next_in, place_params, share_out
from jobmaster_sql.rows import Row, message_of, micros
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Step, Unit

HANDOVER_VALUES: Final = ("id", "cluster_id", "bucket_id", "pusher", "job_ids")


class Note(NamedTuple):
    """A handover as it is stored."""

    id: UUID
    bucket_id: UUID
    job_ids: Sequence[UUID]


Messages: TypeAlias = dict[UUID, list[Message]]
"""Messages by the id of the bucket that they are for."""


class SqlHandoverStore(SqlStore, HandoverStore):
    """Implements `HandoverStore`; the contract's docstrings say what each method does.

    Override points: `mark_held`, `note_steps`.
    """

    async def hand_over(
        self, cluster_id: str, ahead: float, rooms: Sequence[Room], pusher: UUID
    ) -> HandoverResult:
        """Put held jobs due within `ahead` seconds into buckets on agents, and return their messages."""
        return await self._driver.run(lambda: self._hand_over(cluster_id, micros(ahead), rooms, pusher))

    def _hand_over(
        self, cluster_id: str, ahead: int, rooms: Sequence[Room], pusher: UUID
    ) -> Unit[HandoverResult]:
        groups = groups_of(rooms)
        messages = (yield from self.mark_held(cluster_id, ahead, groups)) if groups else {}
        handovers = _handovers(messages)
        following = Query("held_next", {"cluster_id": cluster_id}, last=True)
        answers: list[Answer] = yield (*self._note(cluster_id, pusher, handovers), following)
        return HandoverResult(
            handovers=handovers,
            next_in=next_in(answers[-1], ahead),
            next_for_rooms=next_in(answers[-1], ahead, groups),
        )

    def mark_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[Messages]:
        """Put the held jobs that are due in `ahead` microseconds into each group's buckets; return the messages."""
        params = {"cluster_id": cluster_id, "ahead": ahead}
        return (
            yield from self._mark_found(
                groups, [Query("held_contents", params | place_params(g)) for g in groups]
            )
        )

    def _mark_found(self, groups: Sequence[Group], queries: Sequence[Query]) -> Unit[Messages]:
        """Put the jobs that each query finds into the buckets of its group; return the messages.

        The rows are locked together with everything their messages contain, and then moved bucket by bucket.
        """
        found: list[Answer] = yield tuple(queries)
        messages: Messages = {}
        for group, answer in zip(groups, found, strict=True):
            for (now, *row), bucket_id in zip(answer.rows, share_out(group), strict=False):
                message = message_of(row, bucket_id, now, self._dialect, placing=1)
                messages.setdefault(bucket_id, []).append(message)
        if messages:
            yield tuple(self._hand_to(bucket_id, moved) for bucket_id, moved in messages.items())
        return messages

    def _hand_to(self, bucket_id: UUID, messages: Sequence[Message]) -> Query:
        params = {"bucket_id": self._dialect.uuid(bucket_id), "ids": self._dialect.uuids(_ids_of(messages))}
        return Query("live_hand_over", params)

    def _note(self, cluster_id: str, pusher: UUID, handovers: Sequence[Handover]) -> tuple[Step, ...]:
        """Return the steps that store handovers, if any."""
        noted = [Note(h.id, h.bucket_id, _ids_of(h.messages)) for h in handovers]
        return self.note_steps(cluster_id, pusher, noted) if noted else ()

    def note_steps(self, cluster_id: str, pusher: UUID, noted: Sequence[Note]) -> tuple[Step, ...]:
        """Return the steps that store handovers, at least one."""
        uuid, uuids = self._dialect.uuid, self._dialect.uuids
        rows = [
            (uuid(note.id), cluster_id, uuid(note.bucket_id), uuid(pusher), uuids(note.job_ids))
            for note in noted
        ]
        return (Batch("handover_add", HANDOVER_VALUES, rows),)

    async def hand_over_parked(
        self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int, pusher: UUID
    ) -> Sequence[Handover]:
        """Put parked jobs of these definitions into the bucket of their lane and priority, on an agent."""
        homes = await parked_homes(self._driver, buckets, definition_ids)
        if not homes:
            return []
        return await self._driver.run(lambda: self._hand_over_parked(homes, definition_ids, limit, pusher))

    def _hand_over_parked(
        self, homes: Sequence[tuple[str, Group]], definition_ids: Sequence[str], limit: int, pusher: UUID
    ) -> Unit[list[Handover]]:
        handovers: list[Handover] = []
        for cluster_id, home in homes:
            if limit > 0:
                room = home.with_room(limit)
                known = Query(
                    "parked_contents", parked_params(cluster_id, room, definition_ids, self._dialect)
                )
                new = _handovers((yield from self._mark_found([room], [known])))
                if new:
                    yield self._note(cluster_id, pusher, new)
                    limit -= len(new[0].messages)
                    handovers += new
        return handovers

    async def open(
        self, cluster_id: str, bucket_id: UUID, job_ids: Sequence[UUID], pusher: UUID, *, alone: bool = False
    ) -> UUID:
        """Record that messages of these jobs may be missing in a bucket; return the id of the handover."""
        unit = partial(self._open, cluster_id, pusher, bucket_id, job_ids, alone=alone)
        # If it were retried after a lost answer, it would conflict with its own handover.
        return await self._driver.run(unit, again=not alone)

    def _open(
        self, cluster_id: str, pusher: UUID, bucket_id: UUID, job_ids: Sequence[UUID], *, alone: bool
    ) -> Unit[UUID]:
        note = Note(new_id(), bucket_id, job_ids)
        if alone:
            yield from self._check_alone(note)
        *steps, last = self.note_steps(cluster_id, pusher, [note])
        yield (*steps, evolve(last, last=True))
        return note.id

    def _check_alone(self, note: Note) -> Unit[None]:
        """Lock the jobs' live rows, so that a second caller sees what the first one wrote; check for other handovers."""
        yield Query("live_reported", {"ids": self._dialect.uuids(note.job_ids)})
        answer: Answer = yield Query("handover_of_bucket", {"bucket_id": self._dialect.uuid(note.bucket_id)})
        carried = {job_id for row in answer.rows for job_id in self._dialect.to_uuids(row[0])}
        for job_id in note.job_ids:
            if job_id in carried:
                raise InvalidTransitionError(
                    job_id, JobStatus.ASSIGNED_TO_BUCKET, (), JobStatus.HELD_ON_MASTER
                )

    async def jobs_of(self, bucket_id: UUID) -> frozenset[UUID]:
        """Return the jobs of a bucket's handovers."""
        params = {"bucket_id": self._dialect.uuid(bucket_id)}
        return await self._driver.run(lambda: self._jobs_of(params), read_only=True)

    def _jobs_of(self, params: Mapping[str, Any]) -> Unit[frozenset[UUID]]:
        answer: Answer = yield Query("handover_of_bucket", params, last=True)
        return frozenset(id_ for row in answer.rows for id_ in self._dialect.to_uuids(row[0]))

    async def close(self, handover_ids: Sequence[UUID], *, if_empty: bool = False) -> None:
        """Delete handovers whose messages are on the agent."""
        if handover_ids:
            close = self._close_empty if if_empty else self._close
            await self._driver.run(lambda: close(handover_ids))

    def _close_empty(self, handover_ids: Sequence[UUID]) -> Unit[None]:
        there: Answer = yield Query("handover_lock", {"ids": self._dialect.uuids(handover_ids)})
        carried = [(id_, stored, self._dialect.to_uuids(job_ids)) for id_, stored, job_ids in there.rows]
        ids = sorted({job_id for _, _, job_ids in carried for job_id in job_ids})
        if not carried:
            return
        live: Answer = yield Query("live_reported", {"ids": self._dialect.uuids(ids)})
        places = {self._dialect.to_uuid(row[0]): row[1] for row in live.rows}
        empty = [id_ for id_, stored, jobs in carried if all(places.get(job) != stored for job in jobs)]
        yield Query("handover_delete", {"ids": self._dialect.array(empty)}, last=True)

    def _close(self, handover_ids: Sequence[UUID]) -> Unit[None]:
        yield Query("handover_delete", {"ids": self._dialect.uuids(handover_ids)}, last=True)

    async def undo(self, handover_ids: Sequence[UUID]) -> int:
        """Hold the jobs of handovers on the master again, and delete the handovers; return the number of jobs."""
        if not handover_ids:
            return 0
        return await self._driver.run(lambda: self._undo(handover_ids))

    def _undo(self, handover_ids: Sequence[UUID]) -> Unit[int]:
        ids = {"ids": self._dialect.uuids(handover_ids)}
        there: Answer = yield Query("handover_lock", ids)
        if not there.rows:
            return 0
        jobs = [(stored, self._dialect.to_uuids(job_ids)) for _, stored, job_ids in there.rows]
        held = [Query("live_take_back", {"bucket_id": b, "ids": self._dialect.uuids(j)}) for b, j in jobs]
        buckets = self._dialect.array(list({stored for stored, _ in jobs}))
        steps = (*held, Query("handover_delete", ids), Query("live_marked", {"ids": buckets}))
        answers: list[Answer] = yield steps
        named = {(stored, job_id) for stored, job_ids in jobs for job_id in job_ids}
        marked = answers[-1].rows
        yield from end_marked(row for row in marked if (row[2], self._dialect.to_uuid(row[0])) in named)
        return sum(answer.touched for answer in answers[: len(held)])

    async def take_over(self, cluster_id: str, age: float, pusher: UUID, limit: int) -> Sequence[Handover]:
        """Take over handovers that are `age` seconds old, with the messages of jobs still in their buckets."""
        which = {"cluster_id": cluster_id, "age": micros(age), "limit": limit}
        return await self._driver.run(lambda: self._take_over(which, pusher))

    def _take_over(self, which: Mapping[str, Any], pusher: UUID) -> Unit[list[Handover]]:
        old: Answer = yield Query("handover_old", which)
        if not old.rows:
            return []
        ids, uuid, uuids_of = [new_id() for _ in old.rows], self._dialect.uuid, self._dialect.to_uuids
        moves = [(uuid(id_), row[0], uuid(pusher)) for id_, row in zip(ids, old.rows, strict=True)]
        jobs = sorted({job_id for _, _, job_ids in old.rows for job_id in uuids_of(job_ids)})
        answers: list[Answer] = yield (
            Batch("handover_retake", ("new_id", "id", "pusher"), moves),
            Query("live_contents", {"ids": self._dialect.uuids(jobs)}, last=True),
        )
        found = self._contents(answers[1].rows)
        return [self._handover(id_, row, found) for id_, row in zip(ids, old.rows, strict=True)]

    def _contents(self, rows: Sequence[Row]) -> dict[tuple[UUID, UUID], Message]:
        """Return messages by bucket and job."""
        found = {}
        for stored_bucket, now, *row in rows:
            bucket_id = self._dialect.to_optional_uuid(stored_bucket)
            if bucket_id is not None:
                message = message_of(row, bucket_id, now, self._dialect)
                found[bucket_id, message.new.job.id] = message
        return found

    def _handover(self, id_: UUID, row: Row, found: Mapping[tuple[UUID, UUID], Message]) -> Handover:
        _, stored_bucket, job_ids = row
        bucket_id = self._dialect.to_uuid(stored_bucket)
        there = ((bucket_id, job_id) for job_id in self._dialect.to_uuids(job_ids))
        messages = [found[place] for place in there if place in found]
        return Handover(id=id_, bucket_id=bucket_id, messages=messages)


def _handovers(messages: Messages) -> list[Handover]:
    return [Handover(id=new_id(), bucket_id=b, messages=found) for b, found in messages.items()]


def _ids_of(messages: Sequence[Message]) -> list[UUID]:
    return [message.new.job.id for message in messages]
