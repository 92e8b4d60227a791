"""Step 1: a request becomes a checked job. Nothing is stored here, so a refusal loses nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from attrs import define, frozen

from jobmaster.clock import Clock, require_aware
from jobmaster.config import DEFAULT_LANE, LONGEST, Settings, seconds
from jobmaster.data import MessageData, Metadata
from jobmaster.definitions import UNSET, CallOptions, JobDefinition, JobRequest
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
    """Turns requests into jobs of one cluster."""

    cluster_id: str
    settings: Settings
    clock: Clock

    def job(self, request: JobRequest) -> NewJob:
        """Return the job of a request, not yet placed; raises a `SchedulingError` for a bad one."""
        definition, options = request.definition, request.options
        data = self._data(request)
        now = self.clock.now()
        due = due_at(options, now)
        return NewJob(job=self._build(definition, options, data, due, now), delay=due.delay)

    def _build(
        self, definition: JobDefinition, options: CallOptions, data: MessageData, due: Due, now: datetime
    ) -> Job:
        given = {**definition.settings(), **options.given()} if options.given() else definition.settings()
        return Job(
            id=self._id(),
            cluster_id=self.cluster_id,
            definition_id=definition.id,
            lane=given.get("lane", DEFAULT_LANE),
            priority=given.get("priority", Priority.MEDIUM),
            scheduled_at=due.moment,
            created_at=now,
            timeout=self._timeout(given.get("timeout", UNSET)),
            max_retries=given.get("max_retries", self.settings.default_max_retries),
            data=data,
            metadata=_metadata(definition, options),
            key=_key(options.key),
        )

    def _id(self) -> UUID:
        return new_id()

    def _timeout(self, value: Any) -> float | None:
        if value is UNSET:
            return self.settings.default_job_timeout
        return None if value is None else seconds("timeout", value)

    def _data(self, request: JobRequest) -> MessageData:
        values = request.values
        if request.target is not None:
            request.target.check(values)
        data = values if isinstance(values, MessageData) else MessageData.of(values)
        size = len(data.encoded)
        if size > self.settings.max_message_bytes:
            raise MessageTooLargeError(request.definition.id, size, self.settings.max_message_bytes)
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


_NO_METADATA = Metadata()


def _metadata(definition: JobDefinition, options: CallOptions) -> Metadata:
    merged = {**definition.metadata, **options.metadata}
    return Metadata.of(merged) if merged else _NO_METADATA


def _key(key: str | None) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not key or len(key) > LONGEST_KEY or "\0" in key:
        msg = f"key: {key!r} is no idempotency key; use a string of 1 to {LONGEST_KEY} characters without NUL"
        raise InvalidArgumentsError(msg)
    return key
