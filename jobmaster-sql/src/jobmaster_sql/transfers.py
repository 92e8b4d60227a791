"""Moving between clusters on any SQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from jobmaster.clock import to_micros
from jobmaster.contracts import Departure, Moving, Rejection, Standing, TransferStore, WholeJob
from jobmaster.models import Position
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.states import TERMINAL, JobStatus, codes
from jobmaster_sql.arrivals import Arrivals
from jobmaster_sql.cells import damage, is_moment, moment
from jobmaster_sql.checks import JOB_CHECKS
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.moving_rows import standing_of
from jobmaster_sql.rows import attempt_damage, attempt_of, job_of, log_of, old_params
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Unit

_FIRST: Final = UUID(int=0)


_STANDING_WIDTH: Final = 12


_CHECKS: Final = {
    "ready_at": (2, is_moment),
    "nominal_at": (_STANDING_WIDTH - 1, is_moment),
    **{name: (_STANDING_WIDTH + place, check) for name, (place, check) in JOB_CHECKS.items()},
}


_DEPARTURE: Final = ("id", "cluster_id", "consignment", "target")


class SqlTransferStore(SqlStore, TransferStore):
    """Implements `TransferStore`; the contract's docstrings say what each method does."""

    def __init__(self, driver: SqlDriver) -> None:
        """`driver` is shared by all stores of a repository."""
        super().__init__(driver)
        self._arrivals = Arrivals(driver)

    # Reading

    async def read_held(self, cluster_id: str, after: UUID | None, limit: int) -> Sequence[WholeJob]:
        """Return held jobs in the order of their ids, after `after`."""
        return await self._driver.run(lambda: self._read_held(cluster_id, after, limit), read_only=True)

    def _read_held(self, cluster_id: str, after: UUID | None, limit: int) -> Unit[list[WholeJob]]:
        params = {"cluster_id": cluster_id, "after": self._dialect.uuid(after or _FIRST), "limit": limit}
        found: Answer = yield Query("moving_held", params)
        whole = yield from self._whole_jobs(cluster_id, [row[0] for row in found.rows])
        return [job for job in whole if job.standing is not None]

    async def read_finished(
        self, cluster_id: str, age: float, after: Position | None, limit: int, before: datetime | None = None
    ) -> Sequence[WholeJob]:
        """Return jobs that finished over `age` seconds ago, and before `before`, earliest first, beyond `after`."""
        old = old_params(age, before)
        return await self._driver.run(
            lambda: self._read_finished(cluster_id, old, after, limit), read_only=True
        )

    def _read_finished(
        self, cluster_id: str, old: Mapping[str, int], after: Position | None, limit: int
    ) -> Unit[list[WholeJob]]:
        moment_, job_id = (to_micros(after.ready_at), after.job_id) if after else (0, _FIRST)
        params = {"cluster_id": cluster_id, **old, "limit": limit, "finished_at": moment_}
        params["job_id"] = self._dialect.uuid(job_id)
        answers: list[Answer] = yield tuple(
            Query("moving_finished", params | {"status": code}) for code in codes(TERMINAL)
        )
        places = sorted(
            (
                (finished_at, self._dialect.to_uuid(id_))
                for answer in answers
                for finished_at, id_ in answer.rows
            ),
        )
        ids = [self._dialect.uuid(id_) for _, id_ in places[:limit]]
        whole = yield from self._whole_jobs(cluster_id, ids)
        return sorted((j for j in whole if j.standing is None), key=_place)

    def _whole_jobs(self, cluster_id: str, stored_ids: Sequence[Any]) -> Unit[list[WholeJob]]:
        """Return the held or finished ones of some jobs, with everything that belongs to them, by id."""
        if not stored_ids:
            return []
        ids = self._dialect.array(stored_ids)
        subjects = self._dialect.array([str(self._dialect.to_uuid(id_)) for id_ in stored_ids])
        answers: list[Answer] = yield (
            Query("moving_jobs", {"cluster_id": cluster_id, "ids": ids}),
            Query("moving_attempts", {"ids": ids}),
            Query("moving_logs", {"cluster_id": cluster_id, "subjects": subjects}, last=True),
        )
        jobs, attempts, logs = (answer.rows for answer in answers)
        attempts_of = _grouped(attempts, self._dialect.to_uuid)
        logs_of = _grouped(logs, UUID)
        whole = [_whole(row, attempts_of, logs_of, self._dialect) for row in jobs]
        return [job for job in whole if job is not None]

    # Releasing

    async def release(
        self, cluster_id: str, target: str, consignment: UUID, things: Sequence[Moving]
    ) -> frozenset[UUID]:
        """Delete things that are unchanged since they were read, and record their departure."""
        return await self._driver.run(lambda: self._release_items(cluster_id, target, consignment, things))

    def _release_items(
        self, cluster_id: str, target: str, consignment: UUID, things: Sequence[Moving]
    ) -> Unit[frozenset[UUID]]:
        leaving = yield from self._unchanged(cluster_id, things)
        stored = self._dialect.uuid(consignment)
        if leaving:
            yield from self._delete(cluster_id, leaving)
            rows = [(self._dialect.uuid(thing.id), cluster_id, stored, target) for thing in leaving]
            yield Batch("departure_add", _DEPARTURE, rows)
        params = {"cluster_id": cluster_id, "consignment": stored}
        departed: Answer = yield Query("departure_list", params, last=True)
        return frozenset(self._dialect.to_uuid(row[0]) for row in departed.rows)

    def _unchanged(self, cluster_id: str, things: Sequence[Moving]) -> Unit[list[Moving]]:
        """Lock things to the end of the unit; return those that are unchanged since they were read."""
        params = {"cluster_id": cluster_id, "ids": self._dialect.uuids([thing.id for thing in things])}
        answers: list[Answer] = yield (
            Query("leaving_held", params),
            Query("leaving_finished", params),
            Query("leaving_schedules", params),
        )
        held, finished, schedules = (
            {self._dialect.to_uuid(id_): tuple(rest) for id_, *rest in answer.rows} for answer in answers
        )
        unchanged = []
        for thing in things:
            if isinstance(thing, ScheduleRecord):
                same = schedules.get(thing.id) == (thing.version,)
            elif thing.standing is not None:
                same = held.get(thing.id) == _held_as_read(thing.standing)
            else:
                same = thing.id not in held and finished.get(thing.id) == (thing.attempts[-1].number,)
            unchanged += [thing] if same else []
        return unchanged

    def _delete(self, cluster_id: str, things: Sequence[Moving]) -> Unit[None]:
        ids = {"ids": self._dialect.uuids([thing.id for thing in things])}
        subjects = self._dialect.array([str(thing.id) for thing in things])
        yield (
            Query("live_prune", ids),
            Query("log_prune", {"cluster_id": cluster_id, "subjects": subjects}),
            Query("attempt_prune", ids),
            Query("firing_prune", ids),
            Query("job_prune", ids),
            Query("schedule_delete", ids),
        )

    # Departures

    async def departures(self, cluster_id: str, limit: int) -> Sequence[Departure]:
        """Return up to `limit` departures, each of them whole."""
        return await self._driver.run(lambda: self._departures(cluster_id, limit), read_only=True)

    def _departures(self, cluster_id: str, limit: int) -> Unit[list[Departure]]:
        found: Answer = yield Query("departure_find", {"cluster_id": cluster_id, "limit": limit}, last=True)
        uuid = self._dialect.to_uuid
        return [
            Departure(consignment=consignment, target=rows[0][0], ids=frozenset(uuid(id_) for _, id_ in rows))
            for consignment, rows in _grouped(found.rows, uuid).items()
        ]

    async def forget_departures(self, cluster_id: str, consignment: UUID, ids: Sequence[UUID]) -> None:
        """Delete departures."""
        await self._driver.run(lambda: self._forget_departures(cluster_id, consignment, ids))

    def _forget_departures(self, cluster_id: str, consignment: UUID, ids: Sequence[UUID]) -> Unit[None]:
        params = {"cluster_id": cluster_id, "consignment": self._dialect.uuid(consignment)}
        yield Query("departure_forget", params | {"ids": self._dialect.uuids(ids)}, last=True)

    # The target

    async def stage(
        self, cluster_id: str, consignment: UUID, things: Sequence[Moving], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        """Store things on disk beside the cluster; return the rejected ones with the reasons."""
        return await self._arrivals.stage(cluster_id, consignment, things, keep_keys=keep_keys)

    async def admit(
        self, cluster_id: str, consignment: UUID, ids: Sequence[UUID], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        """Make staged things part of the cluster; return the rejected ones with the reasons."""
        return await self._arrivals.admit(cluster_id, consignment, ids, keep_keys=keep_keys)


def _place(whole: WholeJob) -> tuple[datetime, UUID]:
    """Return the place of a finished job."""
    place = whole.place
    return place.ready_at, place.job_id


def _held_as_read(standing: Standing) -> tuple[Any, ...]:
    """Return the row of `leaving_held` for a job that is still held unchanged."""
    due, asked = to_micros(standing.ready_at), int(standing.cancel_requested)
    return None, due, standing.attempt, standing.parked, asked


def _grouped(rows: Iterable[Sequence[Any]], id_of: Callable[[Any], UUID]) -> dict[UUID, list[Sequence[Any]]]:
    """Return rows by the id in their first column, without it."""
    groups: dict[UUID, list[Sequence[Any]]] = {}
    for first, *rest in rows:
        groups.setdefault(id_of(first), []).append(rest)
    return groups


def _whole(
    row: Sequence[Any],
    attempts: Mapping[UUID, Sequence[Sequence[Any]]],
    logs: Mapping[UUID, Sequence[Sequence[Any]]],
    dialect: Dialect,
) -> WholeJob | None:
    """Return the job in a row of `moving_jobs`, or None if it is neither held nor finished."""
    is_live, bucket_id, *standing, final, schedule_id, nominal_at = row[:_STANDING_WIDTH]
    job = job_of(row[_STANDING_WIDTH:], dialect)
    stored_runs = attempts.get(job.id, ())
    runs = [attempt_of(attempt, dialect) for attempt in stored_runs]
    if bucket_id is not None or (not is_live and (final is None or not runs)):
        return None
    return WholeJob(
        job=job,
        status=JobStatus.HELD_ON_MASTER if is_live else JobStatus.from_code(final),
        standing=standing_of(standing) if is_live else None,
        attempts=runs,
        logs=[log_of(line) for line in logs.get(job.id, ())],
        schedule_id=dialect.to_optional_uuid(schedule_id),
        nominal_at=moment(nominal_at),
        damaged="; ".join(filter(None, (damage(row, _CHECKS), *map(attempt_damage, stored_runs)))) or None,
    )
