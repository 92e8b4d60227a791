"""Checked queries for jobs and schedules: a query that makes no sense is refused, not answered with nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from inspect import signature
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, TypedDict, TypeVar, Unpack
from uuid import UUID

from jobmaster._text.showing import shown
from jobmaster.clock import require_aware
from jobmaster.comparing import operator_of
from jobmaster.config import LONGEST_NAME, PriorityName, as_priority, check_name, check_priority
from jobmaster.data import Metadata, text_fault
from jobmaster.definitions import Fact, JobDefinition
from jobmaster.errors import ConfigurationError, InvalidDataError, InvalidQueryError
from jobmaster.handlers import Handler, JobHandler, handler_of
from jobmaster.models import JobQuery, MetadataFilter, Operator
from jobmaster.states import JobStatus, Priority, ScheduleStatus

LONGEST_PAGE: Final = 1000
MOST_FILTERS: Final = 100
MOST_FILTER_BYTES: Final = 1024 * 1024
"""The stored size of all values that the filters of one query compare with."""
MOST_LINES: Final = 100_000
_TEXTUAL: Final = frozenset({Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH})
_ORDERED: Final = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE})

Status = TypeVar("Status", JobStatus, ScheduleStatus)


StatusName: TypeAlias = Literal[
    "save_pending",
    "held_on_master",
    "assigned_to_bucket",
    "queued",
    "processing",
    "succeeded",
    "failed",
    "cancelled",
]
ScheduleStatusName: TypeAlias = Literal["active", "paused", "inactive", "ended", "cancelled"]
Named: TypeAlias = str | JobDefinition | Handler | type[JobHandler]
"""A handler, a definition, or a definition id."""


class JobConditions(TypedDict, total=False):
    """The conditions of `Jobs.query`; None, and no status or metadata, leave a condition out."""

    status: JobStatus | StatusName | Iterable[JobStatus | StatusName]
    handler: Named | None
    lane: str | None
    priority: Priority | PriorityName | None
    scheduled_from: datetime | None
    scheduled_to: datetime | None
    parked: bool | None
    schedule: UUID | str | None
    metadata: Mapping[str, Fact] | Iterable[MetadataFilter] | MetadataFilter


class ScheduleConditions(TypedDict, total=False):
    """The conditions of `Schedules.query`; None, and no status, leave a condition out."""

    status: ScheduleStatus | ScheduleStatusName | Iterable[ScheduleStatus | ScheduleStatusName]
    handler: Named | None
    static: bool | None


def build_query(**conditions: Unpack[JobConditions]) -> JobQuery:
    """Return the query for conditions, as `Jobs.query` lists them; raises `InvalidQueryError`."""
    for name in conditions.keys() - _CONDITIONS:
        guess = get_close_matches(name, _CONDITIONS, n=1)
        hint = f"; did you mean {guess[0]!r}?" if guess else f" (available: {', '.join(sorted(_CONDITIONS))})"
        msg = f"there is no condition {shown(name)}{hint}"
        raise InvalidQueryError(msg)
    return _query(**conditions)


def _query(
    *,
    status: Any = (),
    handler: Any = None,
    lane: Any = None,
    priority: Any = None,
    scheduled_from: Any = None,
    scheduled_to: Any = None,
    parked: Any = None,
    schedule: Any = None,
    metadata: Any = (),
) -> JobQuery:
    return JobQuery(
        statuses=statuses_of(JobStatus, status),
        definition_id=definition_id_of(handler),
        lane=_named("lane", lane, "the name of a lane", longest=LONGEST_NAME),
        priority=_priority(priority),
        scheduled_from=_moment("scheduled_from", scheduled_from),
        scheduled_to=_moment("scheduled_to", scheduled_to),
        parked=flag("parked", parked),
        schedule_id=_schedule_id(schedule),
        metadata=_filters(metadata),
    )


_CONDITIONS: Final = frozenset(signature(_query).parameters)


def page_limit(limit: Any, name: str = "limit") -> int:
    """Return the number of items on a page; raises `InvalidQueryError`."""
    return _limit(limit, LONGEST_PAGE, name)


def line_limit(limit: Any) -> int:
    """Return the number of log lines; raises `InvalidQueryError`."""
    return _limit(limit, MOST_LINES, "limit")


def _limit(limit: Any, most: int, name: str) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
        msg = f"{name}: {shown(limit)} is out of range; it must be a whole number from 1 to {most}"
        raise InvalidQueryError(msg)
    return limit


def searchable(name: str, text: Any) -> str:
    """Return a text that a store can search for; raises `InvalidQueryError`."""
    wanted: str = str(text) if isinstance(text, UUID) else text
    if not isinstance(wanted, str) or (fault := text_fault(wanted)):
        wrong = f"contains {fault}" if isinstance(wanted, str) else "does not fit; give a string"
        raise InvalidQueryError(f"{name}: {shown(text)} {wrong}")
    return wanted


def flag(name: str, given: Any) -> bool | None:
    """Return a boolean condition, or None; raises `InvalidQueryError`."""
    found: bool | None = _optional(name, given, bool, "True, False or None")
    return found


def page_start(after: Any) -> UUID | None:
    """Return the id after which a page begins; raises `InvalidQueryError`."""
    found: UUID | None = _optional("after", after, UUID, "the id of the last one of the page before")
    return found


def statuses_of(kind: type[Status], given: Any) -> frozenset[Status]:
    """Return one or several statuses, given as such or by name; raises `InvalidQueryError`."""
    several = [given] if isinstance(given, str) or not isinstance(given, Iterable) else _few("status", given)
    try:
        return frozenset(kind(one) for one in several)
    except ValueError:
        wrong = next(one for one in several if one not in list(kind))
        msg = f"status: {shown(wrong)} is not a status; use one or more of {', '.join(kind)}"
        raise InvalidQueryError(msg) from None


def _few(name: str, given: Iterable[Any]) -> list[Any]:
    """Return the values of a condition; raises `InvalidQueryError` for too many or endless ones."""
    several = list(islice(given, MOST_FILTERS + 1))
    if len(several) > MOST_FILTERS:
        raise InvalidQueryError(f"{name}: too many values; give at most {MOST_FILTERS}")
    return several


def definition_id_of(handler: Any) -> str | None:
    """Return the definition id of a handler, a definition or an id itself; None for None."""
    if handler is None or isinstance(handler, str):
        return _named("handler", handler, "a handler, or a definition id", longest=200)
    return handler.id if isinstance(handler, JobDefinition) else handler_of(handler).definition.id


def _priority(given: Any) -> Priority | None:
    if type(given) is int and given in list(Priority):
        return Priority(given)
    try:
        return None if given is None else check_priority("priority", as_priority(given))
    except ConfigurationError as error:
        raise InvalidQueryError(str(error)) from None


def _moment(name: str, given: Any) -> datetime | None:
    moment = _optional(name, given, datetime, "an aware datetime")
    try:
        return None if moment is None else require_aware(name, moment)
    except ValueError as error:
        raise InvalidQueryError(str(error)) from None
    except OverflowError:
        raise InvalidQueryError(
            f"{name}: {given} is not a moment in UTC between the years 1 and 9999"
        ) from None


def _schedule_id(given: Any) -> UUID | None:
    if given is None or isinstance(given, UUID):
        return given
    try:
        return UUID(given)
    except (ValueError, AttributeError, TypeError):
        msg = f"schedule: {shown(given)} is not a schedule id"
        raise InvalidQueryError(msg) from None


def _filters(given: Any) -> Sequence[MetadataFilter]:
    if isinstance(given, Mapping):
        filters = [MetadataFilter(name, Operator.EQ, value) for name, value in given.items()]
    elif isinstance(given, Iterable) and not isinstance(given, str):
        filters = _few("metadata", given)
    else:
        filters = [given]
    if len(filters) > MOST_FILTERS:
        msg = f"metadata: too many filters; give at most {MOST_FILTERS}"
        raise InvalidQueryError(msg)
    if not all(isinstance(one, MetadataFilter) for one in filters):
        msg = f"metadata: {shown(given)} does not fit; give a mapping of names to values, or MetadataFilter objects"
        raise InvalidQueryError(msg)
    checked = [_filter(one) for one in filters]
    if (size := sum(size for _, size in checked)) > MOST_FILTER_BYTES:
        msg = f"metadata: {size} bytes to compare with are over {MOST_FILTER_BYTES}; use several queries"
        raise InvalidQueryError(msg)
    return [one for one, _ in checked]


def _filter(given: MetadataFilter) -> tuple[MetadataFilter, int]:
    """Return a filter that a store can answer, and its bytes: values that metadata cannot hold are refused."""
    operator, value = operator_of(given), given.value
    if not isinstance(given.name, str):
        msg = f"metadata: {shown(given.name)} is not a name; give a string"
        raise InvalidQueryError(msg)
    if operator is Operator.IN:
        value = _options(given)
    elif operator in _TEXTUAL and not isinstance(value, str):
        msg = f"metadata {shown(given.name)}: {operator} takes a string, not {shown(value)}"
        raise InvalidQueryError(msg)
    elif operator in _ORDERED and (value is None or isinstance(value, bool | Enum)):
        msg = f"metadata {shown(given.name)}: {shown(value)} has no order, so {operator} cannot compare it; use eq, ne or in"
        raise InvalidQueryError(msg)
    several = value if operator is Operator.IN else [value]
    try:
        size = sum(len(Metadata.of({given.name: wanted}).encoded) for wanted in several)
    except InvalidDataError as error:
        raise InvalidQueryError(str(error)) from None
    return MetadataFilter(given.name, operator, value), size


def _options(given: MetadataFilter) -> list[Any]:
    """Return the values of which one has to match."""
    if not isinstance(given.value, Iterable) or isinstance(given.value, str | bytes | Mapping):
        msg = f"metadata {shown(given.name)}: in takes a list of values, not {shown(given.value)}"
        raise InvalidQueryError(msg)
    options = list(islice(given.value, LONGEST_PAGE + 1))
    if len(options) > LONGEST_PAGE:
        msg = f"metadata {shown(given.name)}: too many values; give at most {LONGEST_PAGE}, or use several queries"
        raise InvalidQueryError(msg)
    return options


def _named(condition: str, given: Any, what: str, longest: int) -> str | None:
    """Return a valid name; `what` says in an error what to give."""
    name: str | None = _optional(condition, given, str, what)
    try:
        return None if name is None else check_name(condition, name, longest)
    except ConfigurationError as error:
        raise InvalidQueryError(str(error)) from None


def _optional(name: str, given: Any, kind: type[Any], what: str) -> Any:
    """Return a value of a kind, or None; `what` says in an error what to give."""
    if given is not None and not isinstance(given, kind):
        msg = f"{name}: {shown(given)} does not fit; give {what}"
        raise InvalidQueryError(msg)
    return given
