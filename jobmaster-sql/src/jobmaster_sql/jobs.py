"""Jobs from the first insert to the last query, on any SQL database."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from attrs import evolve

from jobmaster.clock import to_micros
from jobmaster.contracts import JobStore
from jobmaster.errors import StoreConflictError
from jobmaster.models import JobQuery, JobReceipt, JobRecord, MetadataFilter, NewJob
from jobmaster.states import TERMINAL, JobStatus, codes
from jobmaster.weighing import new_weight, patience_for
from jobmaster_sql.columns import JOB_VALUES, LIVE_VALUES
from jobmaster_sql.new_jobs import SomeExistError, live_rows, receipt_for, sort_out
from jobmaster_sql.rows import attempt_damage, attempt_of, is_run, jobs_values, log_of, old_params, record_of
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Unit

_INSERT_TRIES: Final = 10
"""Maximum number of attempts when other callers insert the same keys between our read and our insert."""


_MANY_LINES: Final = 10_000
"""The maximum number of log lines returned with one job."""


_RARE: Final = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})


class SqlJobStore(SqlStore, JobStore):
    """Implements `JobStore`; the contract's docstrings say what each method does.

    Override points: `insert_all`, `live_add`, `metadata_conditions`.
    """

    # Inserting

    async def insert(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        """Store jobs, each in its bucket or held; return their receipts in order."""
        if not jobs:
            return []
        insert, time_limit = self.insert_all, patience_for(sum(map(new_weight, jobs)))
        for _ in range(_INSERT_TRIES):
            try:
                return await self._driver.run(partial(insert, jobs), time_limit=time_limit)
            except (SomeExistError, StoreConflictError):
                insert = self._insert_new
        raise StoreConflictError("other callers keep inserting jobs with the same ids or idempotency keys")

    def insert_all(self, jobs: Sequence[NewJob]) -> Unit[list[JobReceipt]]:
        """Insert jobs that are probably new; raises `SomeExistError` if some are not."""
        rows = jobs_values((new.job for new in jobs), self._dialect)
        added: Answer = yield Batch("job_add", JOB_VALUES, rows)
        if added.touched < len(jobs):
            raise SomeExistError
        yield self.live_add(jobs, [row[0] for row in rows])
        return [receipt_for(new.job.id) for new in jobs]

    def live_add(self, jobs: Sequence[NewJob], stored_ids: Sequence[Any]) -> Batch:
        """Return the statement that adds the live rows of new jobs; `stored_ids` are the ids in stored form."""
        rows = live_rows(jobs, stored_ids, self._dialect)
        return Batch("live_add", LIVE_VALUES, rows, last=True)

    def _insert_new(self, jobs: Sequence[NewJob]) -> Unit[list[JobReceipt]]:
        """Insert the jobs that do not exist yet."""
        new_jobs, receipts = yield from sort_out(jobs, self._dialect)
        if new_jobs:
            yield from self.insert_all(new_jobs)
        return receipts

    # Reading

    async def get(self, cluster_id: str, job_id: UUID) -> JobRecord | None:
        """Return a job with its attempts and logs, or None."""
        return await self._driver.run(lambda: self._get_job(cluster_id, job_id), read_only=True)

    def _get_job(self, cluster_id: str, job_id: UUID) -> Unit[JobRecord | None]:
        params = {"cluster_id": cluster_id, "job_id": self._dialect.uuid(job_id)}
        logs = {"cluster_id": cluster_id, "subject": "job", "subject_id": str(job_id), "limit": _MANY_LINES}
        answers: list[Answer] = yield (
            Query("job_get", params),
            Query("attempt_list", {"job_id": params["job_id"]}),
            Query("log_list", logs, last=True),
        )
        found, attempts, lines = (answer.rows for answer in answers)
        if not found:
            return None
        runs = [
            attempt for attempt in (attempt_of(row, self._dialect) for row in attempts) if is_run(attempt)
        ]
        record = record_of(found[0], self._dialect)
        faults = [fault for fault in (record.damaged, *map(attempt_damage, attempts)) if fault]
        said = [log_of(row) for row in reversed(lines)]
        return evolve(record, attempts=runs, logs=said, damaged="; ".join(faults) or None)

    async def query(self, cluster_id: str, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs (without attempts), newest first."""
        return await self._driver.run(lambda: self._query(cluster_id, query), read_only=True)

    def _query(self, cluster_id: str, query: JobQuery) -> Unit[list[JobRecord]]:
        suffix = _suffix(query)
        names, params = self._conditions(query, suffix)
        if query.after is not None:
            names.append(f"by{suffix}_after")
            params["after"] = self._dialect.uuid(query.after)
        params |= {"cluster_id": cluster_id, "limit": query.limit}
        answer: Answer = yield Query("+".join([f"job_find{suffix}", *names]), params, last=True)
        return [record_of(row, self._dialect) for row in answer.rows]

    def _conditions(self, query: JobQuery, suffix: str = "") -> tuple[list[str], dict[str, Any]]:
        """Return the names of the conditions of a query, and their parameters."""
        names: list[str] = []
        params: dict[str, Any] = {}
        # Metadata conditions come first: their parameter names contain their place in the list.
        place = 0
        for wanted in query.metadata:
            alternatives = self.metadata_conditions(wanted)
            names.append("|".join(name for name, _ in alternatives))
            for _, values in alternatives:
                params |= {f"{key}{place}": value for key, value in values.items()}
                place += 1
        for name, value in _plain_conditions(query):
            names.append(f"by_{name}")
            params[name] = value
        if query.schedule_id is not None:
            names.append("by_schedule")
            params["schedule"] = self._dialect.uuid(query.schedule_id)
        if query.parked is not None:
            names.append("by_parked" if query.parked else "by_not_parked")
        if query.statuses:
            names.append(f"by{suffix}_status")
            params["statuses"] = self._dialect.array(codes(query.statuses))
        return names, params

    @abstractmethod
    def metadata_conditions(self, wanted: MetadataFilter) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Return the conditions (name, parameters) of which at least one has to hold for a metadata filter.

        In their statements, parameter names end with the condition's place in the list: `:value{i}`. The meaning is that of
        `jobmaster.comparing.matches`.
        """

    async def count(self, cluster_id: str, query: JobQuery) -> Mapping[JobStatus, int]:
        """Return how many jobs match, by status."""
        return await self._driver.run(lambda: self._count(cluster_id, query), read_only=True)

    def _count(self, cluster_id: str, query: JobQuery) -> Unit[dict[JobStatus, int]]:
        names, params = self._conditions(query)
        params["cluster_id"] = cluster_id
        if names:
            answer: Answer = yield Query("+".join(["job_count", *names]), params, last=True)
            return {JobStatus.from_code(code): count for code, count in answer.rows}
        answers: list[Answer] = yield Query("live_count", params), Query("final_count", params, last=True)
        return {JobStatus.from_code(code): count for answer in answers for code, count in answer.rows}

    async def waiting_by_lane(self, cluster_id: str) -> Mapping[str, int]:
        """Return how many jobs are due but not running, by lane."""
        return await self._driver.run(lambda: self._waiting(cluster_id), read_only=True)

    def _waiting(self, cluster_id: str) -> Unit[Mapping[str, int]]:
        """Count due jobs place by place: among millions of held jobs, only a few may be due."""
        params = {"cluster_id": cluster_id}
        first: Answer = yield Query("held_next", params)
        places = [(lane, priority) for lane, priority, due_in in first.rows if due_in <= 0]
        held = [
            Query("waiting_held", {**params, "lane": lane, "priority": priority}) for lane, priority in places
        ]
        answers: list[Answer] = yield (*held, Query("waiting_in_buckets", params, last=True))
        counts = [
            *answers.pop().rows,
            *((place[0], one.rows[0][0]) for place, one in zip(places, answers, strict=True)),
        ]
        found: Counter[str] = Counter()
        for lane, count in counts:
            found[lane] += count
        return +found

    async def prune(self, cluster_id: str, age: float, limit: int, before: datetime | None = None) -> int:
        """Delete up to `limit` jobs that finished over `age` seconds ago, and before `before`, with attempts and logs."""
        params = {"cluster_id": cluster_id, "limit": limit, **old_params(age, before)}
        return await self._driver.run(lambda: self._prune(cluster_id, params))

    def _prune(self, cluster_id: str, params: Mapping[str, Any]) -> Unit[int]:
        old: Answer = yield Query("final_old", params)
        if not old.rows:
            return 0
        stored = [row[0] for row in old.rows]
        ids = self._dialect.array(stored)
        subjects = self._dialect.array([str(self._dialect.to_uuid(job_id)) for job_id in stored])
        yield (
            Query("log_prune", {"cluster_id": cluster_id, "subjects": subjects}),
            Query("attempt_prune", {"ids": ids}),
            Query("firing_prune", {"ids": ids}),
            Query("job_prune", {"ids": ids}, last=True),
        )
        return len(stored)


def _suffix(query: JobQuery) -> str:
    """Return which table drives the search: one that has few rows with these statuses, or the jobs otherwise.

    Most finished jobs have succeeded, so these are found quickly among the newest jobs; the others are not.
    """
    if not query.statuses:
        return ""
    if query.statuses <= _RARE:
        return "_final"
    return "" if query.statuses & TERMINAL else "_live"


def _plain_conditions(query: JobQuery) -> list[tuple[str, Any]]:
    """Return (name, value) of the given conditions on columns."""
    given = [
        ("definition_id", query.definition_id),
        ("lane", query.lane),
        ("priority", None if query.priority is None else int(query.priority)),
        ("scheduled_from", None if query.scheduled_from is None else to_micros(query.scheduled_from)),
        ("scheduled_to", None if query.scheduled_to is None else to_micros(query.scheduled_to)),
    ]
    return [(name.removesuffix("_id"), value) for name, value in given if value is not None]
