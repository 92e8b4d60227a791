"""Jobs from their insert to the bucket they run in, on any SQL database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from attrs import frozen

from jobmaster.contracts import Assignment, CancelAnswer, JobStore, Mark, Room
from jobmaster.errors import InvalidTransitionError, JobNotFoundError, StoreConflictError
from jobmaster.models import Bucket, CancelResult, JobReceipt, NewJob
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_sql.placement import Group, groups_of, homes_of, share_out
from jobmaster_sql.rows import job_values, micros, optional_micros
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Unit

JOB_VALUES: Final = (
    "id",
    "cluster_id",
    "definition_id",
    "lane",
    "priority",
    "scheduled_at",
    "created_at",
    "timeout_us",
    "max_retries",
    "data",
    "metadata",
    "idempotency_key",
)
LIVE_VALUES: Final = ("job_id", "cluster_id", "bucket_id", "status", "delay", "lane", "priority")
ATTEMPT_VALUES: Final = (
    "job_id",
    "number",
    "cluster_id",
    "outcome",
    "final_status",
    "started_at",
    "finished_at",
    "worker",
    "host",
    "bucket_id",
    "error_type",
    "error_message",
    "error_traceback",
)


_INSERT_TRIES: Final = 10
"""How often to look again when others insert the same keys between our look and our insert."""


class SomeExistError(Exception):
    """Some rows of an insert were there already: look which."""


@frozen
class _Cancelling:
    """A live row that is asked to be cancelled, as the database wrote its ids; it `waits` in nobody's hand."""

    stored_id: Any
    bucket_id: Any
    attempt: int
    waits: bool


class SqlJobStore(SqlStore, JobStore):
    """Implements the writing half of `JobStore`; the contract's docstrings say what each method does."""

    # Inserting

    async def insert_jobs(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        """Store jobs, each in its bucket or held; return their receipts in order."""
        if not jobs:
            return []
        insert = self._insert_all
        for _ in range(_INSERT_TRIES):
            try:
                return await self._driver.run(partial(insert, jobs))
            except (SomeExistError, StoreConflictError):
                insert = self._insert_new
        raise StoreConflictError("other callers keep inserting jobs with the same ids or idempotency keys")

    def _insert_all(self, jobs: Sequence[NewJob]) -> Unit[list[JobReceipt]]:
        """Insert jobs that are most likely new; raises `SomeExistError` when some were not."""
        added: Answer = yield Batch("job_add", JOB_VALUES, self._job_rows(jobs))
        if added.touched < len(jobs):
            raise SomeExistError
        yield Batch("live_add", LIVE_VALUES, [self._live_values(new) for new in jobs], last=True)
        return [receipt_for(new.job.id) for new in jobs]

    def _job_rows(self, jobs: Sequence[NewJob]) -> list[tuple[Any, ...]]:
        return [job_values(new.job, self._dialect) for new in jobs]

    def _live_values(self, new: NewJob) -> tuple[Any, ...]:
        status = JobStatus.ASSIGNED_TO_BUCKET if new.bucket_id else JobStatus.HELD_ON_MASTER
        return (
            self._dialect.uuid(new.job.id),
            new.job.cluster_id,
            self._dialect.optional_uuid(new.bucket_id),
            status.code,
            micros(new.delay),
            new.job.lane,
            int(new.job.priority),
        )

    def _insert_new(self, jobs: Sequence[NewJob]) -> Unit[list[JobReceipt]]:
        """Insert those jobs that are not there yet."""
        new_jobs, receipts = yield from self._sort_out(jobs)
        if new_jobs:
            yield from self._insert_all(new_jobs)
        return receipts

    def _sort_out(self, jobs: Sequence[NewJob]) -> Unit[tuple[list[NewJob], list[JobReceipt]]]:
        """Return those jobs that are not there yet, and the receipts of all."""
        known, keys = yield from self._known(jobs)
        new_jobs, receipts = [], []
        for new in jobs:
            holder = _holder(new, known, keys)
            if holder is None:
                new_jobs.append(new)
                known.add(new.job.id)
                keys[new.job.cluster_id, new.job.key] = new.job.id
            receipts.append(receipt_for(holder or new.job.id, created=holder in (None, new.job.id)))
        return new_jobs, receipts

    def _known(self, jobs: Sequence[NewJob]) -> Unit[tuple[set[UUID], dict[tuple[str, str | None], UUID]]]:
        """Return the ids and idempotency keys among these jobs' that the database has."""
        keyed = [new.job for new in jobs if new.job.key is not None]
        clusters = self._dialect.array(sorted({job.cluster_id for job in keyed}))
        keys = self._dialect.array([job.key for job in keyed])
        answers: list[Answer] = yield (
            Query("job_known", {"ids": self._dialect.uuids([new.job.id for new in jobs])}),
            Query("job_known_keys", {"clusters": clusters, "keys": keys}),
        )
        known = {self._dialect.to_uuid(row[0]) for row in answers[0].rows}
        holders = {(cluster_id, key): self._dialect.to_uuid(id_) for cluster_id, key, id_ in answers[1].rows}
        return known, holders

    # Placing

    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        """Put held jobs due within `ahead` seconds into buckets, earliest first."""
        return await self._driver.run(lambda: self._assign_due(cluster_id, ahead, rooms))

    def _assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Unit[Assignment]:
        groups = groups_of(rooms)
        assigned = (yield from self._assign_held(cluster_id, micros(ahead), groups)) if groups else {}
        next_due: Answer = yield Query("held_next", {"cluster_id": cluster_id}, last=True)
        return Assignment(assigned=assigned, next_in=next_in(next_due, micros(ahead)))

    def _assign_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[dict[UUID, int]]:
        """Give each group's buckets the held jobs that are due in `ahead` microseconds; return jobs by bucket."""
        params = {"cluster_id": cluster_id, "ahead": ahead}
        return (yield from self._place(groups, [Query("held_due", params | place_params(g)) for g in groups]))

    def _place(self, groups: Sequence[Group], queries: Sequence[Query]) -> Unit[dict[UUID, int]]:
        """Share the jobs that each query finds among the buckets of its group; return jobs by bucket."""
        answers: list[Answer] = yield tuple(queries)
        assigned: dict[UUID, int] = {}
        rows = []
        for group, answer in zip(groups, answers, strict=True):
            for (stored_id,), bucket_id in zip(answer.rows, share_out(group), strict=False):
                rows.append((stored_id, self._dialect.uuid(bucket_id)))
                assigned[bucket_id] = assigned.get(bucket_id, 0) + 1
        if rows:
            yield Batch("live_assign", ("job_id", "bucket_id"), rows)
        return assigned

    async def adopt_parked(self, buckets: Sequence[Bucket], definition_ids: Sequence[str], limit: int) -> int:
        """Put parked jobs of these definitions into the bucket of their lane and priority."""
        homes = await self._parked_homes(buckets, definition_ids)
        return await self._driver.run(lambda: self._adopt(homes, definition_ids, limit)) if homes else 0

    async def _parked_homes(
        self, buckets: Sequence[Bucket], definition_ids: Sequence[str]
    ) -> list[tuple[str, Group]]:
        """Return the homes of parked jobs of these definitions. It is asked with every poll, so it writes nothing."""
        if not buckets or not definition_ids:
            return []
        params = {
            "clusters": self._dialect.array(sorted({bucket.cluster_id for bucket in buckets})),
            "definitions": self._dialect.array(definition_ids),
        }
        places = await self._driver.run(lambda: self._parked_places(params), read_only=True)
        homes = homes_of(buckets)
        return [(c, group) for c, group in homes if (c, group.lane, int(group.priority)) in places]

    def _parked_places(self, params: Mapping[str, Any]) -> Unit[set[tuple[Any, ...]]]:
        parked: Answer = yield Query("parked_places", params, last=True)
        return set(parked.rows)

    def _adopt(
        self, homes: Sequence[tuple[str, Group]], definition_ids: Sequence[str], limit: int
    ) -> Unit[int]:
        adopted = 0
        for cluster_id, home in homes:
            if adopted < limit:
                room = home.with_room(limit - adopted)
                known = Query("parked_known", self._parked_params(cluster_id, room, definition_ids))
                adopted += sum((yield from self._place([room], [known])).values())
        return adopted

    def _parked_params(self, cluster_id: str, room: Group, definition_ids: Sequence[str]) -> dict[str, Any]:
        definitions = self._dialect.array(definition_ids)
        return {"cluster_id": cluster_id, "definitions": definitions} | place_params(room)

    async def mark(self, bucket: Bucket, marks: Sequence[Mark]) -> None:
        """Write down states that last."""
        await self._driver.run(lambda: self._mark(bucket, marks))

    def _mark(self, bucket: Bucket, marks: Sequence[Mark]) -> Unit[None]:
        yield from self._lock_owned(bucket)
        bucket_id = self._dialect.uuid(bucket.id)
        rows = [
            (self._dialect.uuid(m.job_id), bucket_id, m.attempt, m.status.code, optional_micros(m.started_at))
            for m in marks
        ]
        if rows:
            columns = ("job_id", "bucket_id", "attempt", "status", "started_at")
            yield Batch("live_mark", columns, rows, last=True)

    # Cancelling, rescheduling, retrying

    async def cancel(
        self, cluster_id: str, job_ids: Sequence[UUID], worker: str = ""
    ) -> Sequence[CancelAnswer]:
        """Cancel jobs; return what became of each, in order."""
        if not job_ids:
            return []
        return await self._driver.run(lambda: self._cancel(cluster_id, job_ids, worker))

    def _cancel(self, cluster_id: str, job_ids: Sequence[UUID], worker: str) -> Unit[list[CancelAnswer]]:
        live, now = yield from self._live_for_cancel(cluster_id, job_ids)
        at_once = [row for row in live.values() if row.waits]
        if at_once:
            yield (
                Batch(
                    "attempt_add",
                    ATTEMPT_VALUES,
                    [_never_ran(row, cluster_id, worker, now) for row in at_once],
                ),
                Batch("live_delete", ("job_id",), [(row.stored_id,) for row in at_once]),
            )
        asked = [row.stored_id for row in live.values() if not row.waits]
        if asked:
            yield Query("live_request_cancel", {"ids": self._dialect.array(asked)}, last=True)
        return [self._cancel_answer(job_id, live.get(job_id)) for job_id in job_ids]

    def _live_for_cancel(
        self, cluster_id: str, job_ids: Sequence[UUID]
    ) -> Unit[tuple[dict[UUID, _Cancelling], int]]:
        """Lock and return the live rows among these jobs, and the time; raises `JobNotFoundError`."""
        params = {"cluster_id": cluster_id, "ids": self._dialect.uuids(job_ids)}
        answers: list[Answer] = yield Query("job_in_cluster", params), Query("live_for_cancel", params)
        known = {self._dialect.to_uuid(row[0]) for row in answers[0].rows}
        for job_id in job_ids:
            if job_id not in known:
                raise JobNotFoundError(job_id, cluster_id)
        rows = answers[1].rows
        live = {
            self._dialect.to_uuid(stored_id): _Cancelling(stored_id, bucket_id, attempt, waits=not in_hand)
            for stored_id, bucket_id, attempt, in_hand, _ in rows
        }
        return live, rows[0][-1] if rows else 0

    def _cancel_answer(self, job_id: UUID, row: _Cancelling | None) -> CancelAnswer:
        if row is None:
            return CancelAnswer(job_id=job_id, result=CancelResult.TOO_LATE)
        if row.waits:
            return CancelAnswer(job_id=job_id, result=CancelResult.CANCELLED)
        bucket_id = self._dialect.to_uuid(row.bucket_id)
        return CancelAnswer(job_id=job_id, result=CancelResult.REQUESTED, bucket_id=bucket_id)

    async def cancel_requests(self, bucket_ids: Sequence[UUID]) -> Sequence[tuple[UUID, UUID, int]]:
        """Return (bucket id, job id, attempt) of the cancel requests in some buckets."""
        if not bucket_ids:
            return []
        return await self._driver.run(lambda: self._cancel_requests(bucket_ids), read_only=True)

    def _cancel_requests(self, bucket_ids: Sequence[UUID]) -> Unit[list[tuple[UUID, UUID, int]]]:
        answer: Answer = yield Query("cancel_requests", {"ids": self._dialect.uuids(bucket_ids)}, last=True)
        uuid = self._dialect.to_uuid
        return [(uuid(bucket_id), uuid(job_id), attempt) for bucket_id, job_id, attempt in answer.rows]

    async def reschedule(
        self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None = None
    ) -> None:
        """Give a waiting job a new due time, and hold it on the master."""
        await self._driver.run(lambda: self._reschedule(cluster_id, job_id, delay, withdrawn))

    def _reschedule(self, cluster_id: str, job_id: UUID, delay: float, withdrawn: UUID | None) -> Unit[None]:
        final = yield from self._final_of(cluster_id, job_id)
        carried = (yield from self._withdrawn(withdrawn)) if withdrawn is not None else {}
        stored_id = {"job_id": self._dialect.uuid(job_id)}
        live: Answer = yield Query("live_one", stored_id)
        if not live.rows:
            raise _not_possible(job_id, JobStatus.from_code(final[1] or JobStatus.SUCCEEDED.code))
        status, bucket_id, ready_at, now, on_an_agent = live.rows[0]
        in_hand = (
            carried.get(job_id) != bucket_id if on_an_agent else bucket_id is not None and ready_at <= now
        )
        if in_hand:
            raise _not_possible(job_id, JobStatus.from_code(status))
        yield (
            Query("live_reschedule", stored_id | {"delay": micros(delay)}),
            Query("job_reschedule", stored_id),
        )

    def _withdrawn(self, handover_id: UUID) -> Unit[dict[UUID, Any]]:
        """End a handover, if it is there; return the stored id of its bucket by the ids of its jobs."""
        ids = {"ids": self._dialect.uuids([handover_id])}
        answers: list[Answer] = yield Query("handover_lock", ids), Query("handover_delete", ids)
        return {
            job_id: bucket_id
            for _, bucket_id, job_ids in answers[0].rows
            for job_id in self._dialect.to_uuids(job_ids)
        }

    async def retry(self, cluster_id: str, job_id: UUID) -> None:
        """Hold a finished job on the master, due now, with all its retries again."""
        await self._driver.run(lambda: self._retry(cluster_id, job_id))

    def _retry(self, cluster_id: str, job_id: UUID) -> Unit[None]:
        number, final_status = yield from self._final_of(cluster_id, job_id)
        stored_id = {"job_id": self._dialect.uuid(job_id)}
        if final_status is not None:
            reopened: Answer = yield Query("attempt_reopen", stored_id | {"number": number})
            if reopened.touched:
                yield Query("live_retry", stored_id | {"attempt": number + 1}, last=True)
                return
        live: Answer = yield Query("live_one", stored_id)
        code = live.rows[0][0] if live.rows else JobStatus.HELD_ON_MASTER.code
        raise _not_possible(job_id, JobStatus.from_code(code))

    def _final_of(self, cluster_id: str, job_id: UUID) -> Unit[tuple[Any, Any]]:
        """Return number and status of the attempt that ended a job, or two Nones; raises if unknown."""
        params = {"cluster_id": cluster_id, "job_id": self._dialect.uuid(job_id)}
        answer: Answer = yield Query("job_final", params)
        if not answer.rows:
            raise JobNotFoundError(job_id, cluster_id)
        number, final_status = answer.rows[0]
        return number, final_status


def receipt_for(job_id: UUID, *, created: bool = True) -> JobReceipt:
    """Return the receipt of a job that the master holds."""
    return JobReceipt(job_id=job_id, accepted_by="master", created=created)


def _holder(new: NewJob, known: Iterable[UUID], keys: Mapping[tuple[str, str | None], UUID]) -> UUID | None:
    """Return the id of the job that stands in the way of a new one (its own if it is there already)."""
    if new.job.id in known:
        return new.job.id
    return None if new.job.key is None else keys.get((new.job.cluster_id, new.job.key))


def next_in(next_due: Answer, ahead: int) -> float | None:
    """Return in how many seconds the next held job comes into a reach of `ahead` microseconds."""
    due_in = next_due.rows[0][0]
    return None if due_in is None else max(0, due_in - ahead) / 1_000_000


def place_params(group: Group) -> dict[str, Any]:
    """Return the parameters that say which jobs a group takes, and how many."""
    return {"lane": group.lane, "priority": int(group.priority), "limit": group.free}


def _never_ran(row: _Cancelling, cluster_id: str, worker: str, now: int) -> tuple[Any, ...]:
    """Return the attempt record that ends a job which nobody had in hand."""
    outcome, final = AttemptOutcome.CANCELLED.code, JobStatus.CANCELLED.code
    head = (row.stored_id, row.attempt, cluster_id, outcome, final, None, now)
    return (*head, worker, "", row.bucket_id, None, None, None)


def _not_possible(job_id: UUID, status: JobStatus) -> InvalidTransitionError:
    return InvalidTransitionError(job_id, status, (), JobStatus.HELD_ON_MASTER)
