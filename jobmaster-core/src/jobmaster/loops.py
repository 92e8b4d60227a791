"""What differs between asyncio and trio: reaching a loop from another thread, and tasks outside of task groups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, TypeAlias

import sniffio

LoopCaller: TypeAlias = Callable[[Callable[[], None]], None]
"""Runs a function soon in one particular event loop; may be called from any thread."""


def loop_caller() -> LoopCaller:
    """Return a caller for the event loop that runs now. It does nothing once that loop has ended."""
    if sniffio.current_async_library() == "trio":
        return _trio_caller()
    return _asyncio_caller(asyncio.get_running_loop())


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


# Tasks of trio's


def spawn_on_trio(function: Callable[[], Awaitable[None]], name: str) -> None:
    """Run a function in a task beside the main one, in a copy of the present context."""
    import trio

    trio.lowlevel.spawn_system_task(function, name=name, context=copy_context())


def cannot_end() -> bool:
    """Return whether the present task must not end yet: under trio, one with task groups that are still open."""
    if sniffio.current_async_library() != "trio":
        return False
    import trio

    return bool(trio.lowlevel.current_task().child_nurseries)


def stands_still() -> Any:
    """Return what a coroutine of trio's yields to be resumed never again, not even by a cancellation."""
    import trio

    waits = trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)  # noqa: ASYNC105 - it is begun
    return waits.send(None)
