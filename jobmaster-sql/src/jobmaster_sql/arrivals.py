"""Moving between clusters on any SQL database: the target's side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

from attrs import field, frozen

from jobmaster.contracts import Moving, Rejection, RejectReason, WholeJob
from jobmaster.errors import StoreConflictError
from jobmaster.schedule_models import ScheduleRecord
from jobmaster_sql.columns import ATTEMPT_VALUES, JOB_VALUES, LOG_VALUES
from jobmaster_sql.driver import Dialect
from jobmaster_sql.moving_rows import (
    ARRIVING,
    FIRING,
    arriving_values,
    attempt_rows,
    body_of,
    firing_rows,
    in_cluster,
    live_values,
    log_rows,
    thing_of,
)
from jobmaster_sql.new_jobs import SomeExistError
from jobmaster_sql.rows import job_values, micros
from jobmaster_sql.schedule_rows import SCHEDULE_VALUES
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Step, Unit

TIME_TO_DECLARE: Final = 3600.0
"""Seconds that an arriving static schedule waits for a process that declares it."""


_TRIES: Final = 10
"""Maximum number of attempts when other callers insert the same ids or keys between our read and our insert."""


_ARRIVAL: Final = ("id", "cluster_id", "consignment", "body")


_SCHEDULE: Final = (*SCHEDULE_VALUES, "version")


T = TypeVar("T")


@frozen
class _Present:
    """What a store already has of some things: their ids, and the holders of their keys."""

    ids: frozenset[UUID]
    job_keys: Mapping[str, UUID] = field(factory=dict)
    schedule_keys: Mapping[str, UUID] = field(factory=dict)

    def holder(self, thing: Moving) -> UUID | None:
        """Return the id of another thing that has this thing's key, or None."""
        key = thing.job.key
        if key is None or (isinstance(thing, ScheduleRecord) and thing.status.is_terminal):
            return None
        keys = self.schedule_keys if isinstance(thing, ScheduleRecord) else self.job_keys
        holder = keys.get(key)
        return None if holder == thing.id else holder

    def rejection(self, thing: Moving, *, keep_keys: bool) -> Rejection | None:
        """Return the reason why a thing cannot be stored, or None."""
        if thing.id in self.ids:
            return Rejection(id=thing.id, reason=RejectReason.KNOWN)
        holder = self.holder(thing)
        if holder is None or not keep_keys:
            return None
        return Rejection(id=thing.id, reason=RejectReason.KEY_TAKEN, holder=holder, key=thing.job.key)


class Arrivals(SqlStore):
    """The target's half of `TransferStore`."""

    async def stage(
        self, cluster_id: str, consignment: UUID, things: Sequence[Moving], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        """Store things on disk beside the cluster; return the rejected ones with the reasons."""
        return await self._driver.run(lambda: self._stage(cluster_id, consignment, things, keep_keys))

    def _stage(
        self, cluster_id: str, consignment: UUID, things: Sequence[Moving], keep_keys: bool
    ) -> Unit[list[Rejection]]:
        present = yield from self._present(cluster_id, things)
        rejections = _rejections(present, things, keep_keys=keep_keys)
        stored = self._dialect.uuid(consignment)
        rows = [
            (self._dialect.uuid(thing.id), cluster_id, stored, body_of(thing))
            for thing in things
            if thing.id not in rejections
        ]
        if rows:
            yield Batch("arrival_add", _ARRIVAL, rows, last=True)
        return list(rejections.values())

    async def admit(
        self, cluster_id: str, consignment: UUID, ids: Sequence[UUID], *, keep_keys: bool = True
    ) -> Sequence[Rejection]:
        """Make staged things part of the cluster; return the rejected ones with the reasons."""
        admit = partial(self._admit, cluster_id, consignment, ids, keep_keys)
        for _ in range(_TRIES):
            try:
                return await self._driver.run(admit)
            except (SomeExistError, StoreConflictError):
                continue
        raise StoreConflictError("other callers keep inserting jobs with the same ids or idempotency keys")

    def _admit(
        self, cluster_id: str, consignment: UUID, ids: Sequence[UUID], keep_keys: bool
    ) -> Unit[list[Rejection]]:
        params = {"cluster_id": cluster_id, "consignment": self._dialect.uuid(consignment)}
        staged: Answer = yield Query("arrival_get", params | {"ids": self._dialect.uuids(ids)})
        things = [thing_of(body) for _, body in staged.rows]
        present = yield from self._present(None, things, keys_of=cluster_id)
        rejections = _rejections(present, things, keep_keys=keep_keys)
        yield from self._let_in(
            [
                in_cluster(thing, cluster_id, with_key=present.holder(thing) is None)
                for thing in things
                if thing.id not in rejections
            ]
        )
        arrived = {"cluster_id": cluster_id, "ids": self._dialect.uuids([t.id for t in things])}
        stuck = self._dialect.uuids(list(rejections))
        yield Query("departure_return", arrived), Query("arrival_clear", params | {"ids": stuck}, last=True)
        return list(rejections.values())

    def _present(
        self, cluster_id: str | None, things: Sequence[Moving], keys_of: str | None = None
    ) -> Unit[_Present]:
        """Return which things a cluster has, or the whole store, and the holders of their keys."""
        suffix = "known" if cluster_id is None else "in_cluster"
        ids = {"ids": self._dialect.uuids([thing.id for thing in things])}
        found = ids if cluster_id is None else ids | {"cluster_id": cluster_id}
        keys = {
            "clusters": self._dialect.array([keys_of or cluster_id]),
            "keys": self._dialect.array([thing.job.key for thing in things if thing.job.key is not None]),
        }
        answers: list[Answer] = yield (
            Query(f"job_{suffix}", found),
            Query(f"schedule_{suffix}", found),
            Query("job_known_keys", keys),
            Query("schedule_holders", keys),
        )
        jobs, schedules, job_keys, schedule_keys = (answer.rows for answer in answers)
        return _Present(
            frozenset(self._dialect.to_uuid(row[0]) for row in (*jobs, *schedules)),
            {key: self._dialect.to_uuid(id_) for _, key, id_, _ in job_keys},
            {key: self._dialect.to_uuid(id_) for _, key, id_, _ in schedule_keys},
        )

    def _let_in(self, things: Sequence[Moving]) -> Unit[None]:
        """Insert things; raises `SomeExistError` if another caller inserted an id or a key first."""
        jobs = [thing for thing in things if isinstance(thing, WholeJob)]
        schedules = [thing for thing in things if isinstance(thing, ScheduleRecord)]
        if schedules:
            rows = [arriving_values(one, micros(TIME_TO_DECLARE), self._dialect) for one in schedules]
            yield from _insert(Batch("schedule_arrive", _SCHEDULE, rows))
        if jobs:
            yield from _insert(
                Batch("job_add", JOB_VALUES, [job_values(whole.job, self._dialect) for whole in jobs])
            )
            yield tuple(_belongings(jobs, self._dialect))


def _insert(batch: Batch) -> Unit[None]:
    added: Answer = yield batch
    if added.touched < len(batch.rows):
        raise SomeExistError


def _belongings(jobs: Sequence[WholeJob], dialect: Dialect) -> list[Step]:
    """Return the statements that store everything that belongs to jobs."""
    live = [live_values(job, job.standing, dialect) for job in jobs if job.standing is not None]
    batches = (
        Batch("live_arrive", ARRIVING, live),
        Batch("attempt_add", ATTEMPT_VALUES, _all(jobs, lambda job: attempt_rows(job, dialect))),
        Batch("log_add", LOG_VALUES, _all(jobs, log_rows)),
        Batch("firing_add", FIRING, _all(jobs, lambda job: firing_rows(job, dialect))),
    )
    return [batch for batch in batches if batch.rows]


def _all(jobs: Iterable[WholeJob], rows_of: Callable[[WholeJob], Sequence[T]]) -> list[T]:
    return [row for job in jobs for row in rows_of(job)]


def _rejections(present: _Present, things: Iterable[Moving], *, keep_keys: bool) -> dict[UUID, Rejection]:
    found = (present.rejection(thing, keep_keys=keep_keys) for thing in things)
    return {rejection.id: rejection for rejection in found if rejection is not None}
