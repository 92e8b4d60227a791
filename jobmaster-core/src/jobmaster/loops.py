"""Differences between asyncio and trio: reaching a loop from another thread, and tasks outside task groups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeAlias, TypeVarTuple

import anyio
import sniffio
from anyio.abc import TaskGroup

Ts = TypeVarTuple("Ts")

LoopCaller: TypeAlias = Callable[[Callable[[], None]], None]
"""Runs a function soon in one particular event loop; may be called from any thread."""
Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
OnLoopEnd: TypeAlias = Callable[[bool], None]
"""Called when an event loop is about to end, with whether all its tasks are being cancelled for that."""


def _under_trio() -> bool:
    return sniffio.current_async_library() == "trio"


def loop_caller() -> LoopCaller:
    """Return a caller for the running event loop. It does nothing once that loop has ended."""
    return _trio_caller() if _under_trio() else _asyncio_caller(asyncio.get_running_loop())


def _asyncio_caller(loop: asyncio.AbstractEventLoop) -> LoopCaller:
    def call(function: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(function)
        except RuntimeError:
            if not loop.is_closed():
                raise

    return call


def _trio_caller() -> LoopCaller:
    import trio

    token = trio.lowlevel.current_trio_token()

    def call(function: Callable[[], None]) -> None:
        try:
            token.run_sync_soon(function)
        except trio.RunFinishedError:
            return

    return call


def child_caller() -> LoopCaller:
    """Return a caller for this event loop's copy in a forked child, if the loop's thread forked.

    It does not wake a sleeping loop: the means for that are shared with the parent.
    """
    if not _under_trio():
        return loop_caller()
    import trio

    def call(function: Callable[[], None]) -> None:
        async def run() -> None:
            function()

        trio.lowlevel.spawn_system_task(run)

    return call


# Which loop


def loop_finder() -> Callable[[], object]:
    """Return a function that returns the calling thread's running event loop, of this loop's kind; None if there is none."""
    if not _under_trio():
        return _asyncio_loop
    import trio

    def trio_loop() -> object:
        try:
            return trio.lowlevel.current_trio_token()
        except RuntimeError:
            return None

    return trio_loop


def _asyncio_loop() -> object:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def in_a_loop() -> bool:
    """Return whether the calling thread runs an event loop."""
    try:
        sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return False
    return True


# Tasks outside task groups


def spawn(work: Work, name: str, on_loop_end: OnLoopEnd) -> object:
    """Run `work()` in a task that no other task waits for; return an object to keep until it has ended.

    It has a copy of the caller's context, and it must not raise. When the event loop is about to end, `on_loop_end` is
    called: with True under asyncio, which then cancels every task of the loop, before any of them runs again; with
    False under trio, where this task and its children go on, and trio waits for them. It may also be called after the
    task's end.
    """
    if not _under_trio():
        watch = asyncio.create_task(_watch_asyncio(on_loop_end), name=f"{name}: watch")
        task = asyncio.create_task(work(), name=name)
        task.add_done_callback(lambda _: watch.cancel())
        return task, watch
    import trio

    trio.lowlevel.enable_ki_protection(_uninterrupted)
    return trio.lowlevel.spawn_system_task(_shielded, work, on_loop_end, name=name, context=copy_context())


def start_in(group: TaskGroup, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
    """Start `function(*args)` in a task group of what `spawn` runs; it must not raise.

    Under trio, Ctrl-C hits whatever task runs at that moment. It does not hit these: it waits for the main task, which
    is the one that stops a cluster.
    """
    group.start_soon(_uninterrupted, function, *args, name=function)


async def _uninterrupted(function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
    await function(*args)


class _Heeded(asyncio.Future[None]):
    """A future that calls back as soon as its task is being cancelled, before any task runs again."""

    def __init__(self, on_cancel: OnLoopEnd) -> None:
        super().__init__()
        self._on_cancel = on_cancel

    def cancel(self, msg: Any | None = None) -> bool:
        self._on_cancel(True)
        return super().cancel(msg)


async def _watch_asyncio(on_loop_end: OnLoopEnd) -> None:
    await _Heeded(on_loop_end)


async def _shielded(work: Work, on_loop_end: OnLoopEnd) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_watch_trio, on_loop_end)
        with anyio.CancelScope(shield=True):
            await work()
        group.cancel_scope.cancel()


async def _watch_trio(on_loop_end: OnLoopEnd) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        on_loop_end(False)


async def wait_through(event: anyio.Event) -> None:
    """Wait for an event even if the caller is cancelled meanwhile; then pass the cancellation on.

    A shield holds back cancellations of task groups and scopes; asyncio's own gets through it, once each time.
    """
    cancelled: BaseException | None = None
    with anyio.CancelScope(shield=True):
        while not event.is_set():
            try:
                await event.wait()
            except anyio.get_cancelled_exc_class() as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


# Tasks of trio


def spawn_on_trio(function: Callable[[], Awaitable[None]], name: str) -> None:
    """Run a function in a task beside the main one, in a copy of the current context."""
    import trio

    trio.lowlevel.spawn_system_task(function, name=name, context=copy_context())


def cannot_end() -> bool:
    """Return whether the current task must not end yet: under trio, a task with open task groups."""
    if not _under_trio():
        return False
    import trio

    return bool(trio.lowlevel.current_task().child_nurseries)


def stands_still() -> Any:
    """Return what a trio coroutine yields so that it is never resumed, not even by a cancellation."""
    import trio

    waits = trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)  # noqa: ASYNC105 - `send` starts it
    return waits.send(None)
