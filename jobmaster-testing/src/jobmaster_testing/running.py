"""Running one handler without a cluster."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Any
from uuid import UUID

import anyio.to_thread

from jobmaster._arguments.options import REQUEST
from jobmaster._pipeline.schedule import Schedule
from jobmaster.clock import SystemClock
from jobmaster.config import Settings
from jobmaster.context import JobContext, set_current
from jobmaster.handlers import HandlerWithOptions, handler_of, target_of
from jobmaster.models import Claim
from jobmaster_testing.factories import CLUSTER

Build = Callable[[type[Any]], Any]


async def run_handler(
    handler: Any,
    /,
    *values: Any,
    attempt: int = 1,
    retries: int = 0,
    build: Build | None = None,
    **keywords: Any,
) -> Any:
    """Run one attempt of a handler here and now, and return what it returns. Nothing is stored.

    Values are checked, encoded and decoded as on their way through a cluster. A plain function runs in a thread. Errors that
    the handler raises (including `Retry`, `Snooze` and `Discard`) reach the caller; timeouts, middleware and retries are not
    applied.

    Args:
        handler: a decorated function or class, also `with_options`.
        values: values for the handler by position, or a mapping of them, as in a scheduling call.
        attempt: the value of `job.attempt`.
        retries: the value of `job.retries`.
        build: builds an instance of a class-form handler; without it the class is called.
        keywords: more values, and options of scheduling calls (`priority`, `lane`, `metadata`, …).
    """
    found = handler.handler if isinstance(handler, HandlerWithOptions) else handler_of(handler)
    job = make_context(handler, *values, attempt=attempt, retries=retries, **keywords)
    call = found.bind(build or _build)
    set_current(job)
    if found.is_async:
        return await call(job)
    result = await anyio.to_thread.run_sync(call, job)
    return await result if isawaitable(result) else result


def make_context(
    handler: Any,
    /,
    *values: Any,
    attempt: int = 1,
    retries: int = 0,
    **keywords: Any,
) -> JobContext:
    """Return the context of an attempt, for tests that call a handler's function directly.

    `handler` may be a `JobDefinition` too; the other arguments are those of `run_handler`.
    """
    request = target_of(handler).requested(values, keywords, REQUEST)
    (new,) = Schedule(CLUSTER, Settings, SystemClock()).jobs([request])
    claim = Claim(
        job=new.job,
        bucket_id=UUID(int=0),
        epoch=1,
        attempt=attempt,
        ready_at=new.job.scheduled_at,
        retries=retries,
    )
    return JobContext(claim, worker="test", host="localhost", started_at=datetime.now(UTC))


def _build(handler_class: type[Any]) -> Any:
    return handler_class()
