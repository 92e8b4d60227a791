"""Step 1: a request becomes a checked job. Nothing is stored here, so a refusal loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from attrs import define, frozen

from jobmaster._text.showing import named, shown
from jobmaster.clock import Clock, require_aware
from jobmaster.config import DEFAULT_LANE, LONGEST, Settings, check_key, seconds
from jobmaster.data import MessageData, Metadata, encode
from jobmaster.definitions import NO_OPTIONS, UNSET, CallOptions, JobDefinition, JobRequest
from jobmaster.errors import ConfigurationError, InvalidArgumentsError, MessageTooLargeError
from jobmaster.ids import new_ids
from jobmaster.models import Job, NewJob
from jobmaster.states import Priority
from jobmaster.weighing import MOST_TOGETHER


@frozen
class Due:
    """When a job is due: its moment, and the delay from now in seconds (not negative)."""

    moment: datetime
    delay: float


@define
class Schedule:
    """Turns requests into jobs of one cluster. `settings` returns the current ones."""

    cluster_id: str
    settings: Callable[[], Settings]
    clock: Clock

    def jobs(self, requests: Sequence[JobRequest]) -> list[NewJob]:
        """Return the jobs of requests, not yet placed; raises a `SchedulingError` for the first bad one.

        It also raises for more bytes than one call may store, as soon as they are reached, so as to hold no more in memory.
        """
        now, settings = self.clock.now(), self.settings()
        jobs: list[NewJob] = []
        terms, weight = None, 0
        for request, job_id in zip(requests, new_ids(len(requests)), strict=True):
            if terms is None or not terms.are_of(request):
                terms = _Terms(request.definition, request.options, settings, now)
            data = _data(request, settings.max_message_bytes)
            weight += len(data.encoded) + terms.weight
            if weight > MOST_TOGETHER and jobs:
                raise _too_many(len(requests))
            jobs.append(terms.job(job_id, self.cluster_id, data))
        return jobs


class _Terms:
    """The terms that a definition and a call's options give to any data; a bulk call resolves them once."""

    __slots__ = (
        "created_at",
        "definition",
        "delay",
        "key",
        "lane",
        "metadata",
        "moment",
        "options",
        "priority",
        "retries",
        "timeout",
        "weight",
    )

    def __init__(
        self, definition: JobDefinition, options: CallOptions, settings: Settings, now: datetime
    ) -> None:
        self.definition, self.options = definition, options
        self.created_at = self.moment = now
        self.delay, self.metadata = 0.0, definition.own_metadata
        self.key: str | None = None
        given = definition.settings
        if options is not NO_OPTIONS:
            given = {**given, **options.given()}
            self._go_by(options, now)
        self.lane: str = given.get("lane", DEFAULT_LANE)
        self.priority: Priority = given.get("priority", Priority.MEDIUM)
        self.timeout = _timeout(given.get("timeout", UNSET), settings)
        self.weight = len(self.metadata.encoded)
        self.retries: int = given.get("max_retries", settings.default_max_retries)

    def _go_by(self, options: CallOptions, now: datetime) -> None:
        due = due_at(options, now)
        self.moment, self.delay = due.moment, due.delay
        self.metadata, self.key = _metadata(self.definition, options), _key(options.key)

    def are_of(self, request: JobRequest) -> bool:
        """Whether a request has the same definition and options."""
        return request.definition is self.definition and request.options is self.options

    def job(self, job_id: UUID, cluster_id: str, data: MessageData) -> NewJob:
        """Return a new job that carries `data`."""
        return NewJob(
            job=Job(
                id=job_id,
                cluster_id=cluster_id,
                definition_id=self.definition.id,
                lane=self.lane,
                priority=self.priority,
                scheduled_at=self.moment,
                created_at=self.created_at,
                timeout=self.timeout,
                max_retries=self.retries,
                data=data,
                metadata=self.metadata,
                key=self.key,
            ),
            delay=self.delay,
        )


def _too_many(count: int) -> InvalidArgumentsError:
    return InvalidArgumentsError(
        f"once_many: these {count:,} jobs have over {MOST_TOGETHER // 1024**2} MiB of data and metadata, the limit of "
        "one call; nothing was stored. Make several calls, each of which is all or nothing, "
        "or store large data elsewhere and pass a reference"
    )


def _timeout(value: Any, settings: Settings) -> float | None:
    if value is UNSET:
        return settings.default_job_timeout
    return None if value is None else seconds("timeout", value)


def _data(request: JobRequest, most: int) -> MessageData:
    values = request.values
    if request.target is not None:
        values = request.target.carry(values)
    data = MessageData(encode(values)) if type(values) is dict else _as_data(values)
    size = len(data.encoded)
    if size > most:
        raise MessageTooLargeError(request.definition.id, size, most)
    return data


def _as_data(values: Mapping[str, Any] | MessageData) -> MessageData:
    # Not for a dict: checking whether it is an instance of an abstract class takes as long as encoding it.
    return values if isinstance(values, MessageData) else MessageData.of(values)


def due_at(options: CallOptions, now: datetime) -> Due:
    """Return when a call's job is due; a moment in the past means now."""
    if options.at is not None:
        return due_moment(options.at, now)
    delay = 0.0 if options.after is None else _delay(options.after)
    return Due(now + timedelta(seconds=delay), delay)


def _delay(after: timedelta | float) -> float:
    try:
        delay = seconds("after", after)
    except ConfigurationError as error:
        raise InvalidArgumentsError(str(error)) from None
    if delay < 0:
        msg = f"after: {after} is negative; a job can wait, but not run in the past"
        raise InvalidArgumentsError(msg)
    if delay > LONGEST:
        raise _too_far("after", after)
    return delay


def due_moment(at: datetime, now: datetime) -> Due:
    """Return a due time given as a moment; raises `InvalidArgumentsError` unless it is an aware datetime."""
    if not isinstance(at, datetime):
        msg = f"at: {shown(at)} is not a datetime; give an aware one, e.g. datetime.now(timezone.utc) + timedelta(hours=1)"
        raise InvalidArgumentsError(msg)
    try:
        moment = require_aware("at", at)
    except ValueError as error:
        raise InvalidArgumentsError(str(error)) from error
    except OverflowError:
        raise _too_far("at", at) from None
    delay = (moment - now).total_seconds()
    if delay > LONGEST:
        raise _too_far("at", at)
    return Due(moment, max(0.0, delay))


def _too_far(name: str, value: Any) -> InvalidArgumentsError:
    return InvalidArgumentsError(
        f"{name}: {named(value)} is too far away; a job can wait for at most a hundred years"
    )


def _metadata(definition: JobDefinition, options: CallOptions) -> Metadata:
    if not options.metadata:
        return definition.own_metadata
    return Metadata.of({**definition.metadata, **options.metadata})


def _key(key: str | None) -> str | None:
    if key is None:
        return None
    try:
        return check_key(key)
    except ConfigurationError as error:
        raise InvalidArgumentsError(str(error)) from None
