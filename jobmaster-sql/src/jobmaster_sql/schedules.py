"""Recurring schedules on any SQL database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from attrs import evolve

from jobmaster.contracts import OUT_OF_REACH, ScheduleStore
from jobmaster.errors import StoreConflictError
from jobmaster.schedule_models import (
    DueSchedules,
    Firing,
    ScheduleQuery,
    ScheduleReceipt,
    ScheduleRecord,
    ScheduleWrite,
)
from jobmaster.states import codes
from jobmaster_sql.cells import moment_of
from jobmaster_sql.columns import JOB_VALUES
from jobmaster_sql.driver import Dialect
from jobmaster_sql.new_jobs import KeyHolders, holder_of, key_holders
from jobmaster_sql.rows import job_values, micros, old_params, optional_micros
from jobmaster_sql.schedule_rows import (
    DEFINED,
    MOVED,
    SCHEDULE_VALUES,
    defined_values,
    moved_values,
    schedule_of,
    schedule_values,
)
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Step, Unit

_ADD_TRIES: Final = 10
"""Maximum number of attempts when the holder of a key is gone by the time it is read."""


_LIVE_AT: Final = ("job_id", "cluster_id", "ready_at", "lane", "priority")


_FIRING: Final = ("job_id", "schedule_id", "nominal_at")


def job_macros(dialect: Dialect, prefix: str) -> Mapping[str, str]:
    """Return the macro for values from a schedule's jobs: whether it is busy, its last job, the next time; and the clock."""
    made = f"FROM {prefix}firing m WHERE m.schedule_id = j.id AND m.nominal_at"
    busy = f"EXISTS (SELECT 1 FROM {prefix}live l WHERE l.job_id = j.newest_job_id)"  # noqa: S608 - a checked prefix
    last = f"(SELECT m.job_id {made} <= {dialect.now} ORDER BY m.nominal_at DESC LIMIT 1)"
    following = f"(SELECT m.nominal_at {made} > {dialect.now} ORDER BY m.nominal_at LIMIT 1)"
    return {"schedule_jobs": f"{busy}, {last}, {following}, {dialect.now}"}


class SqlScheduleStore(SqlStore, ScheduleStore):
    """Implements `ScheduleStore`; the contract's docstrings say what each method does."""

    async def add(
        self, schedules: Sequence[ScheduleRecord], lease: float | None = None
    ) -> Sequence[ScheduleReceipt]:
        """Store schedules; return their receipts in order."""
        if not schedules:
            return []
        for _ in range(_ADD_TRIES):
            receipts = await self._driver.run(lambda: self._add(schedules, lease))
            if receipts is not None:
                return receipts
        raise StoreConflictError("schedules with the same idempotency keys keep coming and going")

    def _add(
        self, schedules: Sequence[ScheduleRecord], lease: float | None
    ) -> Unit[list[ScheduleReceipt] | None]:
        """Return the receipts, or None if the holder of a key is already gone; raises `KeyTakenError`."""
        stored_lease = None if lease is None else micros(lease)
        rows = [(*schedule_values(schedule, self._dialect), stored_lease) for schedule in schedules]
        keyed = [schedule for schedule in schedules if schedule.key is not None]
        clusters = self._dialect.array(sorted({schedule.cluster_id for schedule in keyed}))
        keys = self._dialect.array([schedule.key for schedule in keyed])
        answers: list[Answer] = yield (
            Batch("schedule_add", SCHEDULE_VALUES, rows),
            # Not the last step if keys may be taken: in that case nothing of the call must be stored.
            Query("schedule_holders", {"clusters": clusters, "keys": keys}, last=not keyed),
        )
        holders = key_holders(answers[1], self._dialect)
        found = [holder_of(schedule.job, holders, "schedule") for schedule in keyed]
        return None if None in found else [_receipt(schedule, holders) for schedule in schedules]

    # Reading

    async def get(self, cluster_id: str, schedule_ids: Sequence[UUID]) -> Sequence[ScheduleRecord]:
        """Return those of these schedules that exist."""
        params = {"cluster_id": cluster_id, "ids": self._dialect.uuids(schedule_ids)}
        return await self._driver.run(lambda: self._schedules(Query("schedule_get", params)), read_only=True)

    async def query(self, cluster_id: str, query: ScheduleQuery) -> Sequence[ScheduleRecord]:
        """Return a page of schedules, newest first."""
        names, params = self._conditions(query)
        params |= {"cluster_id": cluster_id, "limit": query.limit}
        found = Query("+".join(["schedule_find", *names]), params)
        return await self._driver.run(lambda: self._schedules(found), read_only=True)

    def _schedules(self, query: Query) -> Unit[list[ScheduleRecord]]:
        answer: Answer = yield evolve(query, last=True)
        return [schedule_of(row, self._dialect) for row in answer.rows]

    def _conditions(self, query: ScheduleQuery) -> tuple[list[str], dict[str, Any]]:
        names: list[str] = []
        params: dict[str, Any] = {}
        if query.statuses:
            names.append("by_schedule_status")
            params["statuses"] = self._dialect.array(codes(query.statuses))
        if query.definition_id is not None:
            names.append("by_definition")
            params["definition"] = query.definition_id
        if query.static is not None:
            names.append("by_static" if query.static else "by_dynamic")
        if query.after is not None:
            names.append("by_after")
            params["after"] = self._dialect.uuid(query.after)
        return names, params

    # Planning

    async def due(
        self, cluster_id: str, kinds: Sequence[str], limit: int, without: Collection[UUID] = ()
    ) -> DueSchedules:
        """Return active schedules that are due for a look, and the store's now."""
        params = {
            "cluster_id": cluster_id,
            "kinds": self._dialect.array(kinds),
            "without": self._dialect.uuids(list(without)),
        }
        return await self._driver.run(lambda: self._due(params, limit), read_only=True)

    def _due(self, params: Mapping[str, Any], limit: int) -> Unit[DueSchedules]:
        first: Answer = yield Query("schedule_next", params)
        now, look_at = first.rows[0]
        if look_at is None or look_at > now:
            next_in = None if look_at is None else (look_at - now) / 1_000_000
            return DueSchedules(now=moment_of(now), next_in=next_in)
        due = yield from self._schedules(Query("schedule_due", {**params, "limit": limit}))
        return DueSchedules(now=moment_of(now), due=due, next_in=0.0)

    async def write(self, writes: Sequence[ScheduleWrite]) -> frozenset[UUID]:
        """Change schedules and make their jobs, all in one unit; return the ids of the changed schedules."""
        if not writes:
            return frozenset()
        return await self._driver.run(lambda: self._write(writes))

    def _write(self, writes: Sequence[ScheduleWrite]) -> Unit[frozenset[UUID]]:
        held = yield from self._lock(writes)
        fresh = [write for write in writes if _holds(write, held)]
        restarted = [write.record.id for write in fresh if write.restart]
        if restarted:
            yield from self._take_jobs_back(restarted)
        yield from self._fire(fresh)
        steps = self._changes(fresh)
        if steps:
            yield steps
        return frozenset(write.record.id for write in fresh)

    def _lock(self, writes: Sequence[ScheduleWrite]) -> Unit[dict[UUID, tuple[int, bool]]]:
        """Lock the schedules to the end of the unit; return their versions, and whether their declarations have run out."""
        ids = self._dialect.uuids([write.record.id for write in writes])
        answer: Answer = yield Query("schedule_lock", {"ids": ids})
        return {
            self._dialect.to_uuid(id_): (version, alive_until is not None and alive_until < now)
            for id_, version, alive_until, now in answer.rows
        }

    def _take_jobs_back(self, schedule_ids: Sequence[UUID]) -> Unit[None]:
        """Delete the jobs of schedules that are not due and were never in flight."""
        params = {"ids": self._dialect.uuids(schedule_ids), "reach": micros(OUT_OF_REACH)}
        found: Answer = yield Query("firing_untouched", params)
        if found.rows:
            ids = {"ids": self._dialect.array([row[0] for row in found.rows])}
            yield Query("live_prune", ids), Query("firing_prune", ids), Query("job_prune", ids)

    def _fire(self, writes: Sequence[ScheduleWrite]) -> Unit[None]:
        """Make the jobs that do not exist yet. No other caller makes them: their schedules are locked."""
        made = {f.job.id: (write.record.id, f) for write in writes for f in write.firings}
        if not made:
            return
        known: Answer = yield Query("job_known", {"ids": self._dialect.uuids(list(made))})
        for row in known.rows:
            del made[self._dialect.to_uuid(row[0])]
        if made:
            yield self._firing_steps(list(made.values()))

    def _firing_steps(self, made: Sequence[tuple[UUID, Firing]]) -> tuple[Step, ...]:
        uuid = self._dialect.uuid
        jobs = [job_values(firing.job, self._dialect) for _, firing in made]
        firings = [(uuid(f.job.id), uuid(id_), optional_micros(f.nominal_at)) for id_, f in made]
        live = [
            (
                uuid(f.job.id),
                f.job.cluster_id,
                optional_micros(f.nominal_at) or 0,
                f.job.lane,
                int(f.job.priority),
            )
            for _, f in made
        ]
        return (
            Batch("job_add", JOB_VALUES, jobs),
            Batch("firing_add", _FIRING, firings),
            Batch("live_add_at", _LIVE_AT, live),
        )

    def _changes(self, writes: Sequence[ScheduleWrite]) -> tuple[Step, ...]:
        id_of = self._dialect.uuid
        moves = [(id_of(w.record.id), *moved_values(w.record, self._dialect)) for w in writes]
        redefined = [
            (id_of(w.record.id), *defined_values(w.record, self._dialect)) for w in writes if w.redefined
        ]
        steps: list[Step] = []
        if redefined:
            steps.append(Batch("schedule_redefine", ("id", *DEFINED), redefined))
        if moves:
            steps.append(Batch("schedule_move", ("id", *MOVED), moves))
        return tuple(steps)

    # Declarations

    async def renew(self, cluster_id: str, schedule_ids: Sequence[UUID], lease: float) -> frozenset[UUID]:
        """Renew declarations; return the ids of those that have not lapsed."""
        return await self._driver.run(lambda: self._renew(cluster_id, schedule_ids, lease))

    def _renew(self, cluster_id: str, schedule_ids: Sequence[UUID], lease: float) -> Unit[frozenset[UUID]]:
        params = {"cluster_id": cluster_id, "ids": self._dialect.uuids(schedule_ids)}
        answers: list[Answer] = yield (
            Query("schedule_renew", params | {"lease": micros(lease)}),
            Query("schedule_alive", params, last=True),
        )
        return frozenset(self._dialect.to_uuid(row[0]) for row in answers[1].rows)

    async def expired(self, cluster_id: str, limit: int) -> Sequence[ScheduleRecord]:
        """Return active schedules whose declaration has run out."""
        expired = Query("schedule_expired", {"cluster_id": cluster_id, "limit": limit})
        return await self._driver.run(lambda: self._schedules(expired), read_only=True)

    async def prune(self, cluster_id: str, age: float, limit: int, before: datetime | None = None) -> int:
        """Delete up to `limit` schedules that have been over for `age` seconds, and since before `before`."""
        params = {"cluster_id": cluster_id, "limit": limit, **old_params(age, before)}
        return await self._driver.run(lambda: self._prune(params))

    def _prune(self, params: Mapping[str, Any]) -> Unit[int]:
        over: Answer = yield Query("schedule_over", params)
        if not over.rows:
            return 0
        ids = self._dialect.array([row[0] for row in over.rows])
        gone: Answer = yield Query("schedule_prune", {"ids": ids}, last=True)
        return gone.touched


def _holds(write: ScheduleWrite, held: Mapping[UUID, tuple[int, bool]]) -> bool:
    """Return whether a write finds its schedule in the expected state."""
    version, lapsed = held.get(write.record.id, (None, False))
    return version == write.record.version and (lapsed or not write.lapsed)


def _receipt(schedule: ScheduleRecord, holders: KeyHolders) -> ScheduleReceipt:
    holder = holder_of(schedule.job, holders, "schedule") or schedule.id
    return ScheduleReceipt(schedule_id=holder, created=holder == schedule.id)
