"""Rows of recurring schedules and their models."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from jobmaster.clock import from_micros, to_micros
from jobmaster.recurring import Misfire, ScheduleRecord
from jobmaster.states import Overlap, ScheduleStatus
from jobmaster_sql.driver import Dialect
from jobmaster_sql.jobs import JOB_VALUES
from jobmaster_sql.rows import Row, job_of, job_values, moment, optional_micros

_RULES: Final = ("kind", "expression", "time_zone", "ends_before", "overlap", "misfire")
MOVED: Final = ("status", "planned_to", "look_at", "next_at", "waiting", "newest_job_id")
"""How far a schedule is planned: what every write changes."""
_TEMPLATE: Final = tuple(
    name for name in JOB_VALUES if name not in {"id", "cluster_id", "created_at", "idempotency_key"}
)
DEFINED: Final = (*_TEMPLATE, *_RULES)
"""What was asked for, and may be asked for anew."""
SCHEDULE_VALUES: Final = (*JOB_VALUES, *_RULES, "name", *MOVED, "lease")
_JOB_WIDTH: Final = len(JOB_VALUES)
_WIDTH: Final = _JOB_WIDTH + 16


def schedule_values(record: ScheduleRecord, dialect: Dialect) -> tuple[Any, ...]:
    """Return a schedule's values in the order of `SCHEDULE_VALUES`, without the lease."""
    template = job_values(record.job, dialect)
    return (*template, *_rules(record), record.name, *moved_values(record, dialect))


def defined_values(record: ScheduleRecord, dialect: Dialect) -> tuple[Any, ...]:
    """Return what a schedule asks for, in the order of `DEFINED`."""
    template = dict(zip(JOB_VALUES, job_values(record.job, dialect), strict=True))
    return (*(template[name] for name in _TEMPLATE), *_rules(record))


def moved_values(record: ScheduleRecord, dialect: Dialect) -> tuple[Any, ...]:
    """Return how far a schedule is planned, in the order of `MOVED`."""
    return (
        record.status.code,
        to_micros(record.planned_to),
        optional_micros(record.look_at),
        optional_micros(record.next_at),
        _written(record.waiting),
        dialect.optional_uuid(record.newest_job_id),
    )


def _rules(record: ScheduleRecord) -> tuple[Any, ...]:
    end = optional_micros(record.ends_before)
    return record.kind, record.expression, record.time_zone, end, record.overlap.code, str(record.misfire)


def _written(times: Sequence[datetime]) -> str:
    return orjson.dumps([to_micros(time) for time in times]).decode()


def schedule_of(row: Row, dialect: Dialect) -> ScheduleRecord:
    """Return the schedule in a row of `SCHEDULE_COLUMNS`, followed by what its jobs say."""
    kind, expression, time_zone, name, ends_before, overlap, misfire, status, *planned = row[
        _JOB_WIDTH:_WIDTH
    ]
    planned_to, look_at, next_at, waiting, newest_job_id, version, alive_until, changed_at = planned
    busy, last_job_id, following = row[_WIDTH:]
    standing = ScheduleStatus.from_code(status)
    next_at = (following or next_at) if standing is ScheduleStatus.ACTIVE else None
    return ScheduleRecord(
        job=job_of(row, dialect),
        kind=kind,
        expression=expression,
        time_zone=time_zone,
        name=name,
        ends_before=moment(ends_before),
        overlap=Overlap.from_code(overlap),
        misfire=Misfire.parse(misfire),
        status=standing,
        planned_to=from_micros(planned_to),
        look_at=moment(look_at),
        next_at=moment(next_at),
        waiting=tuple(from_micros(time) for time in orjson.loads(waiting)),
        newest_job_id=dialect.to_optional_uuid(newest_job_id),
        last_job_id=dialect.to_optional_uuid(last_job_id),
        busy=bool(busy),
        version=version,
        alive_until=moment(alive_until),
        changed_at=moment(changed_at),
    )
