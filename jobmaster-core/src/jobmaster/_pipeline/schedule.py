"""Step 1: a request becomes a checked job. Nothing is stored here, so a refusal loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from attrs import define, frozen

from jobmaster.clock import Clock, require_aware
from jobmaster.config import DEFAULT_LANE, LONGEST, Settings, seconds
from jobmaster.data import MessageData, Metadata
from jobmaster.definitions import NO_OPTIONS, UNSET, CallOptions, JobDefinition, JobRequest
from jobmaster.errors import ConfigurationError, InvalidArgumentsError, MessageTooLargeError
from jobmaster.ids import new_id
from jobmaster.models import Job, NewJob
from jobmaster.states import Priority

LONGEST_KEY = 200


@frozen
class Due:
    """When a job is due: its moment, and the delay from now in seconds (not negative)."""

    moment: datetime
    delay: float


@define
class Schedule:
    """Turns requests into jobs of one cluster. `settings` returns the ones that count now."""

    cluster_id: str
    settings: Callable[[], Settings]
    clock: Clock

    def jobs(self, requests: Iterable[JobRequest]) -> list[NewJob]:
        """Return the jobs of requests, not yet placed; raises a `SchedulingError` for the first bad one."""
        now = self.clock.now()
        return [self._job(request, now) for request in requests]

    def _job(self, request: JobRequest, now: datetime) -> NewJob:
        data = self._data(request)
        if request.options is NO_OPTIONS:
            return NewJob(job=self._build(request.definition, NO_OPTIONS, data, now, now))
        due = due_at(request.options, now)
        return NewJob(
            job=self._build(request.definition, request.options, data, due.moment, now), delay=due.delay
        )

    def _build(
        self, definition: JobDefinition, options: CallOptions, data: MessageData, at: datetime, now: datetime
    ) -> Job:
        given = definition.settings
        if options is not NO_OPTIONS:
            given = {**given, **options.given()}
        return Job(
            id=new_id(),
            cluster_id=self.cluster_id,
            definition_id=definition.id,
            lane=given.get("lane", DEFAULT_LANE),
            priority=given.get("priority", Priority.MEDIUM),
            scheduled_at=at,
            created_at=now,
            timeout=self._timeout(given.get("timeout", UNSET)),
            max_retries=given.get("max_retries", self.settings().default_max_retries),
            data=data,
            metadata=_metadata(definition, options),
            key=_key(options.key),
        )

    def _timeout(self, value: Any) -> float | None:
        if value is UNSET:
            return self.settings().default_job_timeout
        return None if value is None else seconds("timeout", value)

    def _data(self, request: JobRequest) -> MessageData:
        values = request.values
        if request.target is not None:
            request.target.check(values)
        data = values if isinstance(values, MessageData) else MessageData.of(values)
        size, most = len(data.encoded), self.settings().max_message_bytes
        if size > most:
            raise MessageTooLargeError(request.definition.id, size, most)
        return data


def due_at(options: CallOptions, now: datetime) -> Due:
    """Return when a call wants its job to run; a moment in the past means now."""
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
        msg = f"at: {at!r} is no datetime; give an aware one, e.g. datetime.now(timezone.utc) + timedelta(hours=1)"
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
    return InvalidArgumentsError(f"{name}: {value} is too far away; a job can wait for a hundred years")


def _metadata(definition: JobDefinition, options: CallOptions) -> Metadata:
    if not options.metadata:
        return definition.own_metadata
    return Metadata.of({**definition.metadata, **options.metadata})


def _key(key: str | None) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not key or len(key) > LONGEST_KEY or "\0" in key:
        msg = f"key: {key!r} is no idempotency key; use a string of 1 to {LONGEST_KEY} characters without NUL"
        raise InvalidArgumentsError(msg)
    return key
