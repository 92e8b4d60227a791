"""The scheduling methods for code without an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from functools import partial
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, overload
from uuid import UUID

import anyio
from anyio.from_thread import BlockingPortal

from jobmaster.definitions import UNSET, Data, JobRequest, ScheduleOptions
from jobmaster.errors import NotRunningError
from jobmaster.forks import this_process
from jobmaster.handlers import (
    Args,
    AsyncClass,
    ClassWithoutArguments,
    PlainClass,
    R,
    Schedulable,
    TakesData,
    TakesNothing,
)
from jobmaster.models import CancelResult, JobReceipt, JobRecord
from jobmaster.runtime import Runtime
from jobmaster.schedule_models import ScheduleReceipt, ScheduleRecord
from jobmaster.schedule_rules import Expression, RecurringChanges, RecurringOptions

if TYPE_CHECKING:
    from jobmaster.cluster import Cluster


class _LoopThread:
    """An event loop in its own thread, and the portal to it.

    Not a generator like `start_blocking_portal`: in a forked child that never closes what it inherited, a generator
    would be closed when the child ends, and wait for a thread that stayed in the parent.
    """

    def __init__(self) -> None:
        self._ready: Future[BlockingPortal] = Future()
        self._thread = Thread(target=self._run, name="jobmaster-scheduler", daemon=True)

    def __enter__(self) -> BlockingPortal:
        self._thread.start()
        return self._ready.result()

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        portal = self._ready.result()
        with suppress(RuntimeError):  # it has ended
            portal.call(portal.stop, kind is not None)
        self._thread.join()

    def _run(self) -> None:
        try:
            anyio.run(self._serve)
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        async with BlockingPortal() as portal:
            self._ready.set_result(portal)
            await portal.sleep_until_stopped()


class SyncScheduler:
    """The methods of `Scheduler`, blocking. Runs the cluster without workers in its own thread.

    Use it as a context manager, from any number of threads. Raises the errors of the asynchronous methods, and
    `NotRunningError` if it is not open, also in a child that was forked after it was opened.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._runtime: Runtime | None = None
        self._process: object = None

    def __enter__(self) -> Self:
        """Start the thread and open the cluster's database."""
        self._process = this_process()
        with ExitStack() as stack:
            self._portal = stack.enter_context(_LoopThread())
            running = self._portal.wrap_async_context_manager(self._cluster.running(workers=False))
            self._runtime = stack.enter_context(running)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything. In a child that was forked meanwhile, leave everything to its parent."""
        self._runtime = None
        if self._process is this_process():
            self._stack.__exit__(kind, error, trace)

    def _opened(self) -> tuple[BlockingPortal, Runtime]:
        """Return the portal to the thread's loop, and the runtime there; raises `NotRunningError` without them."""
        if self._portal is None or self._runtime is None:
            raise NotRunningError(_NOT_OPEN)
        if self._process is not this_process():
            raise NotRunningError(_FORKED)
        return self._portal, self._runtime

    def _call(self, verb: str, /, *args: Any, **keywords: Any) -> Any:
        portal, runtime = self._opened()
        return portal.call(partial(getattr(runtime.scheduler, verb), *args, **keywords))

    @overload
    def once_now(
        self, handler: TakesData[R], data: Data | None, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[R]: ...
    @overload
    def once_now(
        self, handler: Schedulable[Args, R], /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    def once_now(
        self, handler: type[AsyncClass[Args, R]], /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    def once_now(
        self, handler: type[PlainClass[Args, R]], /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    def once_now(self, handler: TakesNothing[R], /, **options: Unpack[ScheduleOptions]) -> JobReceipt[R]: ...
    @overload
    def once_now(
        self, handler: type[ClassWithoutArguments], /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[Any]: ...
    def once_now(self, handler: Any, /, *args: Any, **keywords: Any) -> JobReceipt[Any]:
        """Schedule a job to run as soon as a worker has a free slot."""
        receipt: JobReceipt[Any] = self._call("once_now", handler, *args, **keywords)
        return receipt

    @overload
    def once_at(
        self, handler: TakesData[R], at: datetime, data: Data | None, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[R]: ...
    @overload
    def once_at(
        self, handler: Schedulable[Args, R], at: datetime, /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    def once_at(
        self, handler: type[AsyncClass[Args, R]], at: datetime, /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    def once_at(
        self, handler: type[PlainClass[Args, R]], at: datetime, /, *args: Args.args, **kwargs: Args.kwargs
    ) -> JobReceipt[R]: ...
    @overload
    def once_at(
        self, handler: TakesNothing[R], at: datetime, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[R]: ...
    @overload
    def once_at(
        self, handler: type[ClassWithoutArguments], at: datetime, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[Any]: ...
    def once_at(self, handler: Any, at: datetime, /, *args: Any, **keywords: Any) -> JobReceipt[Any]:
        """Schedule a job for a moment, an aware datetime; a moment in the past means now."""
        receipt: JobReceipt[Any] = self._call("once_at", handler, at, *args, **keywords)
        return receipt

    @overload
    def once_after(
        self,
        handler: TakesData[R],
        after: timedelta | float,
        data: Data | None,
        /,
        **options: Unpack[ScheduleOptions],
    ) -> JobReceipt[R]: ...
    @overload
    def once_after(
        self,
        handler: Schedulable[Args, R],
        after: timedelta | float,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> JobReceipt[R]: ...
    @overload
    def once_after(
        self,
        handler: type[AsyncClass[Args, R]],
        after: timedelta | float,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> JobReceipt[R]: ...
    @overload
    def once_after(
        self,
        handler: type[PlainClass[Args, R]],
        after: timedelta | float,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> JobReceipt[R]: ...
    @overload
    def once_after(
        self, handler: TakesNothing[R], after: timedelta | float, /, **options: Unpack[ScheduleOptions]
    ) -> JobReceipt[R]: ...
    @overload
    def once_after(
        self,
        handler: type[ClassWithoutArguments],
        after: timedelta | float,
        /,
        **options: Unpack[ScheduleOptions],
    ) -> JobReceipt[Any]: ...
    def once_after(
        self, handler: Any, after: timedelta | float, /, *args: Any, **keywords: Any
    ) -> JobReceipt[Any]:
        """Schedule a job for `after` from now, a `timedelta` or seconds."""
        receipt: JobReceipt[Any] = self._call("once_after", handler, after, *args, **keywords)
        return receipt

    def once_many(
        self, requests: Iterable[JobRequest[R]], *, cluster: str | None = None
    ) -> Sequence[JobReceipt[R]]:
        """Schedule many jobs in one round trip, all or none; returns their receipts in order."""
        receipts: Sequence[JobReceipt[R]] = self._call("once_many", list(requests), cluster=cluster)
        return receipts

    def cancel(self, job_id: UUID | str) -> CancelResult:
        """Cancel a job; return the result."""
        result: CancelResult = self._call("cancel", job_id)
        return result

    def reschedule(self, job_id: UUID | str, at: datetime | timedelta | float) -> None:
        """Give a waiting job a new due time."""
        self._call("reschedule", job_id, at)

    def retry(self, job_id: UUID | str) -> None:
        """Run a finished job again."""
        self._call("retry", job_id)

    @overload
    def recurring(
        self,
        handler: TakesData[Any],
        expression: Expression,
        data: Data | None,
        /,
        **options: Unpack[RecurringOptions],
    ) -> ScheduleReceipt: ...
    @overload
    def recurring(
        self,
        handler: Schedulable[Args, Any],
        expression: Expression,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> ScheduleReceipt: ...
    @overload
    def recurring(
        self,
        handler: type[PlainClass[Args, Any]],
        expression: Expression,
        /,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> ScheduleReceipt: ...
    @overload
    def recurring(
        self, handler: TakesNothing[Any], expression: Expression, /, **options: Unpack[RecurringOptions]
    ) -> ScheduleReceipt: ...
    @overload
    def recurring(
        self,
        handler: type[ClassWithoutArguments],
        expression: Expression,
        /,
        **options: Unpack[RecurringOptions],
    ) -> ScheduleReceipt: ...
    def recurring(self, handler: Any, expression: Any, /, *args: Any, **keywords: Any) -> ScheduleReceipt:
        """Schedule a job again and again; arguments as for `Scheduler.recurring`."""
        receipt: ScheduleReceipt = self._call("recurring", handler, expression, *args, **keywords)
        return receipt

    def cancel_recurring(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Cancel a schedule for good; return the new record."""
        record: ScheduleRecord = self._call("cancel_recurring", schedule_id)
        return record

    def pause_recurring(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Pause a schedule until `resume_recurring`."""
        record: ScheduleRecord = self._call("pause_recurring", schedule_id)
        return record

    def resume_recurring(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Resume a paused schedule."""
        record: ScheduleRecord = self._call("resume_recurring", schedule_id)
        return record

    def update_recurring(
        self,
        schedule_id: UUID | str,
        expression: Expression = UNSET,
        data: Data | None = None,
        /,
        *,
        cluster: str | None = None,
        **changes: Unpack[RecurringChanges],
    ) -> ScheduleRecord:
        """Change the definition of a dynamic schedule; arguments as for `Scheduler.update_recurring`."""
        record: ScheduleRecord = self._call(
            "update_recurring", schedule_id, expression, data, cluster=cluster, **changes
        )
        return record

    def run_now(self, schedule_id: UUID | str) -> JobReceipt:
        """Run a job of a schedule now, out of turn."""
        receipt: JobReceipt = self._call("run_now", schedule_id)
        return receipt

    def schedule(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Return a recurring schedule; raises `ScheduleNotFoundError`."""
        portal, runtime = self._opened()
        return portal.call(runtime.schedules.get, schedule_id)

    def job(self, job_id: UUID | str) -> JobRecord:
        """Return a job with its attempts and logs; raises `JobNotFoundError`."""
        portal, runtime = self._opened()
        return portal.call(runtime.jobs.get, job_id)


_NOT_OPEN = "use the scheduler as a context manager: `with cluster.sync_scheduler() as scheduler: ...`"
_FORKED = (
    "this scheduler was opened in the parent process, and its thread stayed there; open "
    "cluster.sync_scheduler() after the fork (under gunicorn --preload: in post_fork, or at its first use)"
)
