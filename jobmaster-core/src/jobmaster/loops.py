"""Reaching an event loop, asyncio's or trio's, from another thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

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
