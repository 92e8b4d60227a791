"""The scheduling methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, Unpack, overload
from uuid import UUID

import anyio.lowlevel

from jobmaster._arguments.options import ONCE_AFTER, ONCE_AT, ONCE_NOW, Verb
from jobmaster._pipeline.schedule import due_at, due_moment
from jobmaster._runtime.directory import Directory
from jobmaster._text.showing import shown
from jobmaster._verbs.cluster_calls import ClusterCalls
from jobmaster._verbs.schedule_verbs import ScheduleVerbs
from jobmaster.definitions import CallOptions, Data, JobRequest, ScheduleOptions
from jobmaster.errors import (
    InvalidArgumentsError,
    InvalidQueryError,
    InvalidTransitionError,
)
from jobmaster.handlers import (
    Args,
    AsyncClass,
    ClassWithoutArguments,
    PlainClass,
    R,
    Schedulable,
    TakesData,
    TakesNothing,
    target_of,
)
from jobmaster.ids import as_id
from jobmaster.models import CancelResult, JobReceipt
from jobmaster.weighing import MOST_JOBS

MOST_CANCELLED: Final = 10_000
"""The maximum number of jobs that one call cancels: they are locked together."""


class Scheduler(ScheduleVerbs):
    """Schedules jobs on a running cluster. Each call returns once the job is durable.

    Calls take a handler (or a `JobDefinition`, if its code is not available), then the values for it: as arguments, as
    in a call of its function, or as one mapping by name. With a mapping, or without values, these options are keywords
    of the call: `priority`, `lane`, `timeout`, `max_retries`, `metadata`, `key` (a second call with the same key
    returns the first job), `confirm` (`"master"` returns only when the master has the job, not already when an agent
    has it), and `cluster` (the id of another cluster that runs in this process). With arguments, options are given with
    `handler.with_options(...)`; a keyword that is not a parameter of the handler is an option there as well, but type
    checkers do not know that.

    Errors common to all: `SchedulingError` for a request that is refused (nothing was stored); `StoreUnavailableError`
    if the store cannot be reached in time; the job may or may not have been accepted then: with a `key`, the call can
    safely be repeated.
    """

    def __init__(self, calls: ClusterCalls, find: Callable[[str], ClusterCalls]) -> None:
        self._calls, self._find = calls, find

    @property
    def directory(self) -> Directory:
        """The view of active buckets by which jobs are placed."""
        return self._calls.directory

    # Scheduling

    @overload
    async def once_now(
        self, handler: TakesData[R], data: Data | None, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[R]: ...
    @overload
    async def once_now(
        self, handler: Schedulable[Args, R], /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    async def once_now(
        self, handler: type[AsyncClass[Args, R]], /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    async def once_now(
        self, handler: type[PlainClass[Args, R]], /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    async def once_now(
        self, handler: TakesNothing[R], /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[R]: ...
    @overload
    async def once_now(
        self, handler: type[ClassWithoutArguments], /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[Any]: ...
    async def once_now(self, handler: Any, /, *args: Any, **keywords: Any) -> JobReceipt[Any]:
        """Schedule a job to run as soon as a worker has a free slot."""
        return await self._once(ONCE_NOW, handler, args, keywords)

    @overload
    async def once_at(
        self, handler: TakesData[R], at: datetime, data: Data | None, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[R]: ...
    @overload
    async def once_at(
        self, handler: Schedulable[Args, R], at: datetime, /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    async def once_at(
        self, handler: type[AsyncClass[Args, R]], at: datetime, /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    async def once_at(
        self, handler: type[PlainClass[Args, R]], at: datetime, /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    async def once_at(
        self, handler: TakesNothing[R], at: datetime, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[R]: ...
    @overload
    async def once_at(
        self, handler: type[ClassWithoutArguments], at: datetime, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[Any]: ...
    async def once_at(self, handler: Any, at: datetime, /, *args: Any, **keywords: Any) -> JobReceipt[Any]:
        """Schedule a job for a moment, an aware datetime; a moment in the past means now."""
        return await self._once(ONCE_AT, handler, args, keywords, at=_given("at", at))

    @overload
    async def once_after(
        self,
        handler: TakesData[R],
        after: timedelta | float,
        data: Data | None,
        /,
        **options: Unpack[ScheduleOptions],
    ) -> JobReceipt[R]: ...
    @overload
    async def once_after(
        self,
        handler: Schedulable[Args, R],
        after: timedelta | float,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> JobReceipt[R]: ...
    @overload
    async def once_after(
        self,
        handler: type[AsyncClass[Args, R]],
        after: timedelta | float,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> JobReceipt[R]: ...
    @overload
    async def once_after(
        self,
        handler: type[PlainClass[Args, R]],
        after: timedelta | float,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> JobReceipt[R]: ...
    @overload
    async def once_after(
        self, handler: TakesNothing[R], after: timedelta | float, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[R]: ...
    @overload
    async def once_after(
        self,
        handler: type[ClassWithoutArguments],
        after: timedelta | float,
        /,
        **options: Unpack[ScheduleOptions],
    ) -> JobReceipt[Any]: ...
    async def once_after(
        self, handler: Any, after: timedelta | float, /, *args: Any, **keywords: Any
    ) -> JobReceipt[Any]:
        """Schedule a job for `after` from now, a `timedelta` or seconds."""
        return await self._once(ONCE_AFTER, handler, args, keywords, after=_given("after", after))

    async def once_many(
        self, requests: Iterable[JobRequest[R]], *, cluster: str | None = None
    ) -> Sequence[JobReceipt[R]]:
        """Schedule many jobs in one round trip, all or none; returns their receipts in order.

        Requests come from `handler.request(...)`; their options `at` and `after` say when each is due.
        """
        calls, several = self._on(cluster), _requests(requests)
        await anyio.lowlevel.checkpoint_if_cancelled()
        return await calls.submit(several) if several else ()

    async def _once(
        self,
        verb: Verb,
        target: Any,
        args: Sequence[Any],
        keywords: Mapping[str, Any],
        at: datetime | None = None,
        after: timedelta | float | None = None,
    ) -> JobReceipt[Any]:
        request = target_of(target).requested(args, keywords, verb)
        calls = self._on(request.options.cluster)
        if at is not None or after is not None:
            due = request.options.due(at=at, after=after)
            request = JobRequest(request.definition, request.values, due, request.target)
        # A store call runs to its end once begun, so this is where a loop of calls can be cancelled.
        await anyio.lowlevel.checkpoint_if_cancelled()
        return (await calls.submit([request]))[0]

    def _on(self, cluster: str | None) -> ClusterCalls:
        calls = self._calls if cluster in (None, self._calls.env.cluster_id) else self._find(str(cluster))
        calls.check_open()
        return calls

    # Commands

    async def cancel(self, job_id: UUID | str, *, cluster: str | None = None) -> CancelResult:
        """Cancel a job. A waiting job is cancelled at once; a running job is stopped by its worker.

        Raises `JobNotFoundError` for an unknown id.
        """
        return (await self.cancel_many([job_id], cluster=cluster))[0]

    async def cancel_many(
        self, job_ids: Iterable[UUID | str], *, cluster: str | None = None
    ) -> Sequence[CancelResult]:
        """Cancel up to 10,000 jobs in one round trip; return the result for each, in order.

        Raises `JobNotFoundError` for an unknown id, and `InvalidQueryError` for too many of them.
        """
        calls = self._on(cluster)
        several = list(islice(job_ids, MOST_CANCELLED + 1))
        if len(several) > MOST_CANCELLED:
            msg = f"cancel_many: over {MOST_CANCELLED:,} ids are too many for one call; make several calls"
            raise InvalidQueryError(msg)
        ids = [as_id(job_id, calls.env.cluster_id) for job_id in several]
        await anyio.lowlevel.checkpoint_if_cancelled()
        return await calls.commands.cancel(ids)

    async def reschedule(
        self, job_id: UUID | str, at: datetime | timedelta | float, *, cluster: str | None = None
    ) -> None:
        """Give a waiting job a new due time: an aware datetime, or a delay from now.

        Raises `InvalidTransitionError` if it is due and a worker may have it in flight, or if it has finished;
        `JobNotFoundError` for an unknown id.
        """
        calls = self._on(cluster)
        now = calls.env.clock.now()
        due = due_moment(at, now) if isinstance(at, datetime) else due_at(CallOptions(after=at), now)
        with _refused("only a job that still waits can be rescheduled; retry() runs a finished one again"):
            await anyio.lowlevel.checkpoint_if_cancelled()
            await calls.commands.reschedule(as_id(job_id, calls.env.cluster_id), due.delay)

    async def retry(self, job_id: UUID | str, *, cluster: str | None = None) -> None:
        """Run a finished job again, with all its retries; its attempts are kept.

        Raises `InvalidTransitionError` if it has not finished, `JobNotFoundError` for an unknown id.
        """
        calls = self._on(cluster)
        with _refused("only a finished job can be retried; wait for its end, or cancel it first"):
            await anyio.lowlevel.checkpoint_if_cancelled()
            await calls.commands.retry(as_id(job_id, calls.env.cluster_id))


def _given(name: str, value: Any) -> Any:
    """Return a due time; raises `InvalidArgumentsError` for None, which would silently mean now."""
    if value is None:
        msg = f"{name}: must not be None; once_now() runs a job as soon as possible"
        raise InvalidArgumentsError(msg)
    return value


def _requests(given: Any) -> Sequence[JobRequest]:
    """Return the requests of a bulk call; raises `InvalidArgumentsError` for anything else."""
    several = list(islice(given, MOST_JOBS + 1)) if isinstance(given, Iterable) else [given]
    if len(several) > MOST_JOBS:
        raise InvalidArgumentsError(
            f"once_many: over {MOST_JOBS:,} jobs are too many for one call; make several calls"
        )
    for one in several:
        if not isinstance(one, JobRequest) or one is given:
            msg = f"once_many takes requests, as handler.request(...) makes them, in a list, not {shown(one)}"
            raise InvalidArgumentsError(msg)
    return several


@contextmanager
def _refused(why: str) -> Iterator[None]:
    """Within the block, say why a job's status does not allow the operation."""
    try:
        yield
    except InvalidTransitionError as error:
        raise InvalidTransitionError(error.job, error.before, (), error.after, why) from None
