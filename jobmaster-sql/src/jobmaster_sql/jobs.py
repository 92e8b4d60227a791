"""Jobs from insert to the bucket they run in, on any SQL database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from jobmaster.contracts import Assignment, JobStore, Mark, Room
from jobmaster.errors import KeyTakenError, StoreConflictError
from jobmaster.models import Bucket, Job, JobReceipt, NewJob
from jobmaster.states import JobStatus, Priority
from jobmaster.weighing import new_weight, patience_for
from jobmaster_sql.cells import is_priority, priority_of
from jobmaster_sql.driver import Dialect
from jobmaster_sql.placement import Group, groups_of, homes_of, share_out
from jobmaster_sql.rows import jobs_values, micros, optional_micros
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


_HELD, _ASSIGNED = JobStatus.HELD_ON_MASTER.code, JobStatus.ASSIGNED_TO_BUCKET.code
_INSERT_TRIES: Final = 10
"""Maximum number of attempts when other callers insert the same keys between our read and our insert."""


KeyHolders = dict[tuple[str, str | None], tuple[UUID, str]]
"""By cluster and idempotency key: the id of the key's holder and the id of its definition."""


class SomeExistError(Exception):
    """Some rows of an insert already existed; read which."""


class SqlJobStore(SqlStore, JobStore):
    """Implements the writing half of `JobStore`; the contract's docstrings say what each method does."""

    # Inserting

    async def insert_jobs(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        """Store jobs, each in its bucket or held; return their receipts in order."""
        if not jobs:
            return []
        insert, time_limit = self._insert_all, patience_for(sum(map(new_weight, jobs)))
        for _ in range(_INSERT_TRIES):
            try:
                return await self._driver.run(partial(insert, jobs), time_limit=time_limit)
            except (SomeExistError, StoreConflictError):
                insert = self._insert_new
        raise StoreConflictError("other callers keep inserting jobs with the same ids or idempotency keys")

    def _insert_all(self, jobs: Sequence[NewJob]) -> Unit[list[JobReceipt]]:
        """Insert jobs that are probably new; raises `SomeExistError` if some are not."""
        rows = self._job_rows(jobs)
        added: Answer = yield Batch("job_add", JOB_VALUES, rows)
        if added.touched < len(jobs):
            raise SomeExistError
        yield self._live_add(jobs, [row[0] for row in rows])
        return [receipt_for(new.job.id) for new in jobs]

    def _job_rows(self, jobs: Sequence[NewJob]) -> list[tuple[Any, ...]]:
        return jobs_values((new.job for new in jobs), self._dialect)

    def _live_add(self, jobs: Sequence[NewJob], stored_ids: Sequence[Any]) -> Batch:
        """Return the statement that adds the live rows of new jobs; `stored_ids` are the ids in stored form."""
        rows = live_rows(jobs, stored_ids, self._dialect)
        return Batch("live_add", LIVE_VALUES, rows, last=True)

    def _insert_new(self, jobs: Sequence[NewJob]) -> Unit[list[JobReceipt]]:
        """Insert the jobs that do not exist yet."""
        new_jobs, receipts = yield from self._sort_out(jobs)
        if new_jobs:
            yield from self._insert_all(new_jobs)
        return receipts

    def _sort_out(
        self, jobs: Sequence[NewJob], *, refusing: bool = True
    ) -> Unit[tuple[list[NewJob], list[JobReceipt]]]:
        """Return the jobs that do not exist yet, and the receipts of all.

        With `refusing`, raises `KeyTakenError` for a job whose key belongs to a job of another definition.
        """
        known, keys = yield from self._known(jobs)
        new_jobs, receipts = [], []
        for new in jobs:
            holder = _holder(new.job, known, keys, refusing=refusing)
            if holder is None:
                new_jobs.append(new)
                known.add(new.job.id)
                keys[new.job.cluster_id, new.job.key] = new.job.id, new.job.definition_id
            receipts.append(receipt_for(holder or new.job.id, created=holder in (None, new.job.id)))
        return new_jobs, receipts

    def _known(self, jobs: Sequence[NewJob]) -> Unit[tuple[set[UUID], KeyHolders]]:
        """Return which of these jobs' ids exist, and the holders of their idempotency keys."""
        keyed = [new.job for new in jobs if new.job.key is not None]
        clusters = self._dialect.array(sorted({job.cluster_id for job in keyed}))
        keys = self._dialect.array([job.key for job in keyed])
        answers: list[Answer] = yield (
            Query("job_known", {"ids": self._dialect.uuids([new.job.id for new in jobs])}),
            Query("job_known_keys", {"clusters": clusters, "keys": keys}),
        )
        known = {self._dialect.to_uuid(row[0]) for row in answers[0].rows}
        return known, key_holders(answers[1], self._dialect)

    # Placing

    async def assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Assignment:
        """Put held jobs due within `ahead` seconds into buckets, earliest first."""
        return await self._driver.run(lambda: self._assign_due(cluster_id, ahead, rooms))

    def _assign_due(self, cluster_id: str, ahead: float, rooms: Sequence[Room]) -> Unit[Assignment]:
        groups = groups_of(rooms)
        assigned = (yield from self._assign_held(cluster_id, micros(ahead), groups)) if groups else {}
        next_due: Answer = yield Query("held_next", {"cluster_id": cluster_id}, last=True)
        return Assignment(
            assigned=assigned,
            next_in=next_in(next_due, micros(ahead)),
            next_for_rooms=next_in(next_due, micros(ahead), groups),
        )

    async def due_places(self, cluster_id: str, waited: float = 0.0) -> frozenset[tuple[str, Priority]]:
        """Return the lanes and priorities of held jobs that have been due for `waited` seconds."""
        return await self._driver.run(lambda: self._due_places(cluster_id, micros(waited)), read_only=True)

    def _due_places(self, cluster_id: str, waited: int) -> Unit[frozenset[tuple[str, Priority]]]:
        first: Answer = yield Query("held_next", {"cluster_id": cluster_id}, last=True)
        return frozenset(
            (lane, priority_of(priority))
            for lane, priority, due_in in first.rows
            if due_in <= -waited and not is_priority(priority)
        )

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
        """Return the homes of parked jobs of these definitions. Called on every poll, so it does not write."""
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
        """Record states that last."""
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


def live_rows(
    jobs: Sequence[NewJob], stored_ids: Sequence[Any], dialect: Dialect, since: int = 0
) -> list[tuple[Any, ...]]:
    """Return the live rows of new jobs, as `LIVE_VALUES`; each delay, in microseconds, counts from `since`."""
    return [
        (
            stored_id,
            new.job.cluster_id,
            *((None, _HELD) if new.bucket_id is None else (dialect.uuid(new.bucket_id), _ASSIGNED)),
            since + micros(new.delay) if new.delay else since,
            new.job.lane,
            int(new.job.priority),
        )
        for new, stored_id in zip(jobs, stored_ids, strict=True)
    ]


def receipt_for(job_id: UUID, *, created: bool = True) -> JobReceipt:
    """Return the receipt of a job that the master holds."""
    return JobReceipt(job_id=job_id, accepted_by="master", created=created)


def _holder(job: Job, known: Iterable[UUID], keys: KeyHolders, *, refusing: bool) -> UUID | None:
    """Return the id of the job that conflicts with a new one (its own id if it already exists), or None."""
    if job.id in known:
        return job.id
    return None if job.key is None else holder_of(job, keys, "job", refusing=refusing)


def key_holders(answer: Answer, dialect: Dialect) -> KeyHolders:
    """Return the holders of keys, from rows of cluster, key, id and definition."""
    return {
        (cluster_id, key): (dialect.to_uuid(id_), made_of) for cluster_id, key, id_, made_of in answer.rows
    }


def holder_of(job: Job, keys: KeyHolders, what: str, *, refusing: bool = True) -> UUID | None:
    """Return the id of the holder of a job's key; raises `KeyTakenError`, if refusing, for one of another definition."""
    id_, definition_id = keys.get((job.cluster_id, job.key), (None, job.definition_id))
    if refusing and job.key is not None and definition_id != job.definition_id:
        raise KeyTakenError(job.key, job.definition_id, id_, definition_id, what)
    return id_


def next_in(next_due: Answer, ahead: int, groups: Sequence[Group] | None = None) -> float | None:
    """Return the seconds until the next held job is at most `ahead` microseconds from due: any job, or one for `groups`."""
    places = None if groups is None else {(group.lane, int(group.priority)) for group in groups}
    due_in = [due for lane, priority, due in next_due.rows if places is None or (lane, priority) in places]
    return max(0, min(due_in) - ahead) / 1_000_000 if due_in else None


def place_params(group: Group) -> dict[str, Any]:
    """Return the parameters that select which and how many jobs a group takes."""
    return {"lane": group.lane, "priority": int(group.priority), "limit": group.free}
