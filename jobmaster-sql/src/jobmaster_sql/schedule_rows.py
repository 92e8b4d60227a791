"""Rows of recurring schedules and their models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from jobmaster.clock import to_micros
from jobmaster.schedule_models import Misfire, ScheduleRecord
from jobmaster.states import Overlap, ScheduleStatus
from jobmaster_sql.cells import (
    Check,
    damage,
    is_code_of,
    is_id,
    is_list,
    is_moment,
    list_of,
    moment,
    moment_of,
)
from jobmaster_sql.checks import JOB_CHECKS
from jobmaster_sql.columns import JOB_VALUES
from jobmaster_sql.driver import Dialect
from jobmaster_sql.rows import Row, job_of, job_values, optional_micros

_RULES: Final = ("kind", "expression", "time_zone", "ends_before", "overlap", "misfire")
MOVED: Final = ("status", "planned_to", "look_at", "next_at", "waiting", "newest_job_id")
"""How far a schedule is planned: changed by every write."""
_TEMPLATE: Final = tuple(
    name for name in JOB_VALUES if name not in {"id", "cluster_id", "created_at", "idempotency_key"}
)
DEFINED: Final = (*_TEMPLATE, *_RULES)
"""What was requested, and may be requested anew."""
SCHEDULE_VALUES: Final = (*JOB_VALUES, *_RULES, "name", *MOVED, "lease")
_JOB_WIDTH: Final = len(JOB_VALUES)
_WIDTH: Final = _JOB_WIDTH + 16


def schedule_values(record: ScheduleRecord, dialect: Dialect) -> tuple[Any, ...]:
    """Return a schedule's values in the order of `SCHEDULE_VALUES`, without the lease.

    A schedule that starts at the store's now has no start yet, and is planned from its beginning, which is that moment.
    """
    template = dict(zip(JOB_VALUES, job_values(record.job, dialect), strict=True))
    moved = dict(zip(MOVED, moved_values(record, dialect), strict=True))
    if record.starts_now:
        template["scheduled_at"], moved["planned_to"] = None, 0
    return (*template.values(), *_rules(record), record.name, *moved.values())


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
    """Return the schedule in a row of `SCHEDULE_COLUMNS`, followed by what is read from its jobs."""
    kind, expression, time_zone, name, ends_before, overlap, misfire, status, *planned = row[
        _JOB_WIDTH:_WIDTH
    ]
    planned_to, look_at, next_at, waiting, newest_job_id, version, alive_until, changed_at = planned
    busy, last_job_id, following, read_at = row[_WIDTH:]
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
        misfire=_misfire_of(misfire),
        status=standing,
        planned_to=moment_of(planned_to),
        look_at=moment(look_at),
        next_at=moment(next_at),
        waiting=tuple(moment_of(time) for time in list_of(waiting) if isinstance(time, int)),
        newest_job_id=dialect.to_optional_uuid(newest_job_id),
        last_job_id=dialect.to_optional_uuid(last_job_id),
        busy=bool(busy),
        version=version,
        alive_until=moment(alive_until),
        changed_at=moment(changed_at),
        read_at=moment(read_at),
        damaged=damage(row, _CHECKS),
    )


def _misfire_of(text: str) -> Misfire:
    return Misfire.run_once() if _is_misfire(text) else Misfire.parse(text)


def _is_misfire(text: Any) -> str | None:
    try:
        Misfire.parse(text)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


_CHECKS: Final[Mapping[str, tuple[int, Check]]] = {
    **JOB_CHECKS,
    "ends_before": (_JOB_WIDTH + 4, is_moment),
    "overlap": (_JOB_WIDTH + 5, is_code_of(Overlap)),
    "misfire": (_JOB_WIDTH + 6, _is_misfire),
    "status": (_JOB_WIDTH + 7, is_code_of(ScheduleStatus)),
    "planned_to": (_JOB_WIDTH + 8, is_moment),
    "look_at": (_JOB_WIDTH + 9, is_moment),
    "next_at": (_JOB_WIDTH + 10, is_moment),
    "waiting": (_JOB_WIDTH + 11, is_list),
    "newest_job_id": (_JOB_WIDTH + 12, is_id),
    "alive_until": (_JOB_WIDTH + 14, is_moment),
    "changed_at": (_JOB_WIDTH + 15, is_moment),
}
