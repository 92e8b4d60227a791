"""The scheduling verbs for code without an event loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import anyio
from anyio.from_thread import BlockingPortal

from jobmaster.cluster import Cluster
from jobmaster.definitions import JobRequest
from jobmaster.errors import NotRunningError
from jobmaster.forks import this_process
from jobmaster.models import CancelResult, JobReceipt, JobRecord
from jobmaster.recurring import ScheduleReceipt, ScheduleRecord
from jobmaster.runtime import Runtime
from jobmaster.scheduler import Data


class _LoopThread:
    """An event loop in a thread of its own, and the way there.

    No generator, as `start_blocking_portal` is: in a forked child that never closes what it inherited, one would be closed
    when the child ends, and wait for a thread that stayed in the parent.
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
    """The verbs of `Scheduler`, blocking. Runs the cluster without workers in a thread of its own.

    Use it as a context manager, from any number of threads. Raises what the asynchronous verbs raise, and
    `NotRunningError` where it is not open: also in a child that was forked after it was opened.
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
        """Close everything. In a child that was forked meanwhile, leave all to its parent."""
        self._runtime = None
        if self._process is this_process():
            self._stack.__exit__(kind, error, trace)

    def _opened(self) -> tuple[BlockingPortal, Runtime]:
        """Return the way to the thread's loop, and what runs there; raises `NotRunningError` without them."""
        if self._portal is None or self._runtime is None:
            raise NotRunningError(_NOT_OPEN)
        if self._process is not this_process():
            raise NotRunningError(_FORKED)
        return self._portal, self._runtime

    def _call(self, verb: str, *args: Any, **options: Any) -> Any:
        portal, runtime = self._opened()
        return portal.call(partial(getattr(runtime.scheduler, verb), *args, **options))

    def once_now(self, handler: Any, data: Data = None, /, **options: Any) -> JobReceipt:
        """Schedule a job to run as soon as a worker has a free slot."""
        receipt: JobReceipt = self._call("once_now", handler, data, **options)
        return receipt

    def once_at(self, handler: Any, at: datetime, data: Data = None, /, **options: Any) -> JobReceipt:
        """Schedule a job for a moment, an aware datetime; one in the past means now."""
        receipt: JobReceipt = self._call("once_at", handler, at, data, **options)
        return receipt

    def once_after(
        self, handler: Any, after: timedelta | float, data: Data = None, /, **options: Any
    ) -> JobReceipt:
        """Schedule a job for `after` from now, a `timedelta` or seconds."""
        receipt: JobReceipt = self._call("once_after", handler, after, data, **options)
        return receipt

    def once_many(
        self, requests: Iterable[JobRequest], *, cluster: str | None = None
    ) -> Sequence[JobReceipt]:
        """Schedule many jobs in one round trip, all or none; returns their receipts in order."""
        receipts: Sequence[JobReceipt] = self._call("once_many", list(requests), cluster=cluster)
        return receipts

    def cancel(self, job_id: UUID | str) -> CancelResult:
        """Cancel a job; returns what became of it."""
        result: CancelResult = self._call("cancel", job_id)
        return result

    def reschedule(self, job_id: UUID | str, at: datetime | timedelta | float) -> None:
        """Give a waiting job a new due time."""
        self._call("reschedule", job_id, at)

    def retry(self, job_id: UUID | str) -> None:
        """Run a finished job again."""
        self._call("retry", job_id)

    def recurring(
        self, handler: Any, expression: Any, data: Data = None, /, **options: Any
    ) -> ScheduleReceipt:
        """Schedule a job again and again; arguments as for `Scheduler.recurring`."""
        receipt: ScheduleReceipt = self._call("recurring", handler, expression, data, **options)
        return receipt

    def cancel_recurring(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Cancel a schedule for good; return it as it is now."""
        record: ScheduleRecord = self._call("cancel_recurring", schedule_id)
        return record

    def pause_recurring(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Let a schedule rest until `resume_recurring`."""
        record: ScheduleRecord = self._call("pause_recurring", schedule_id)
        return record

    def resume_recurring(self, schedule_id: UUID | str) -> ScheduleRecord:
        """Let a paused schedule go on."""
        record: ScheduleRecord = self._call("resume_recurring", schedule_id)
        return record

    def update_recurring(
        self, schedule_id: UUID | str, *expression_and_data: Any, **changes: Any
    ) -> ScheduleRecord:
        """Change what a dynamic schedule asks for; arguments as for `Scheduler.update_recurring`."""
        record: ScheduleRecord = self._call("update_recurring", schedule_id, *expression_and_data, **changes)
        return record

    def run_now(self, schedule_id: UUID | str) -> JobReceipt:
        """Run a job of a schedule at once, out of turn."""
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
    "this scheduler was opened in the process that this one was forked from, and its thread stayed there; open "
    "cluster.sync_scheduler() after the fork (under gunicorn --preload: in post_fork, or at its first use)"
)
