"""Questions about jobs and schedules, checked: what makes no sense is refused, and not answered with nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from inspect import signature
from typing import Any, Final, TypeVar
from uuid import UUID

from jobmaster.clock import require_aware
from jobmaster.definitions import JobDefinition
from jobmaster.errors import InvalidQueryError
from jobmaster.handlers import handler_of
from jobmaster.models import JobQuery, MetadataFilter, Operator
from jobmaster.states import JobStatus, Priority, ScheduleStatus

LONGEST_PAGE: Final = 1000

Status = TypeVar("Status", JobStatus, ScheduleStatus)


def build_query(**conditions: Any) -> JobQuery:
    """Return the query of conditions, as `Jobs.query` lists them; raises `InvalidQueryError`."""
    for name in conditions.keys() - _CONDITIONS:
        guess = get_close_matches(name, _CONDITIONS, n=1)
        hint = f"; did you mean {guess[0]!r}?" if guess else f" (there are: {', '.join(sorted(_CONDITIONS))})"
        msg = f"there is no condition {name!r}{hint}"
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
        lane=_optional("lane", lane, str, "the name of a lane"),
        priority=_priority(priority),
        scheduled_from=_moment("scheduled_from", scheduled_from),
        scheduled_to=_moment("scheduled_to", scheduled_to),
        parked=_optional("parked", parked, bool, "True, False or None"),
        schedule_id=_schedule_id(schedule),
        metadata=_filters(metadata),
    )


_CONDITIONS: Final = frozenset(signature(_query).parameters)


def page_limit(limit: Any) -> int:
    """Return how many are to be on a page; raises `InvalidQueryError`."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LONGEST_PAGE:
        msg = f"limit: {limit!r} is out of range; it must be a whole number from 1 to {LONGEST_PAGE}"
        raise InvalidQueryError(msg)
    return limit


def page_start(after: Any) -> UUID | None:
    """Return the id after which a page begins; raises `InvalidQueryError`."""
    found: UUID | None = _optional("after", after, UUID, "the id of the last one of the page before")
    return found


def statuses_of(kind: type[Status], given: Any) -> frozenset[Status]:
    """Return one or several statuses, given as such or by name; raises `InvalidQueryError`."""
    several = [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    try:
        return frozenset(kind(one) for one in several)
    except ValueError:
        wrong = next(one for one in several if one not in list(kind))
        msg = f"status: {wrong!r} is none; use one or several of {', '.join(kind)}"
        raise InvalidQueryError(msg) from None


def definition_id_of(handler: Any) -> str | None:
    """Return the definition id of a handler, a definition or an id itself; None for None."""
    if handler is None or isinstance(handler, str):
        return handler
    return handler.id if isinstance(handler, JobDefinition) else handler_of(handler).definition.id


def _priority(given: Any) -> Priority | None:
    try:
        return None if given is None else Priority(given)
    except ValueError:
        msg = f"priority: {given!r} is no Priority; use Priority.MEDIUM, for one"
        raise InvalidQueryError(msg) from None


def _moment(name: str, given: Any) -> datetime | None:
    moment = _optional(name, given, datetime, "an aware datetime")
    try:
        return None if moment is None else require_aware(name, moment)
    except ValueError as error:
        raise InvalidQueryError(str(error)) from None


def _schedule_id(given: Any) -> UUID | None:
    if given is None or isinstance(given, UUID):
        return given
    try:
        return UUID(given)
    except (ValueError, AttributeError, TypeError):
        msg = f"schedule: {given!r} is no schedule id"
        raise InvalidQueryError(msg) from None


def _filters(given: Any) -> Sequence[MetadataFilter]:
    if isinstance(given, Mapping):
        return [MetadataFilter(name, Operator.EQ, value) for name, value in given.items()]
    if isinstance(given, Iterable) and all(isinstance(one, MetadataFilter) for one in given):
        return list(given)
    msg = f"metadata: {given!r} does not fit; give a mapping of names to values, or MetadataFilter objects"
    raise InvalidQueryError(msg)


def _optional(name: str, given: Any, kind: type[Any], what: str) -> Any:
    """Return a value of a kind, or None; `what` says in an error what to give."""
    if given is not None and not isinstance(given, kind):
        msg = f"{name}: {given!r} does not fit; give {what}"
        raise InvalidQueryError(msg)
    return given
