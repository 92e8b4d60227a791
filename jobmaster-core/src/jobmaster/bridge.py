"""Using an asyncio-only driver from any event loop.

Under asyncio its coroutines are awaited directly. Under trio they run in the asyncio loop of a helper thread, with one
crossing per call: call with whole units of work, not with single statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from threading import Thread
from typing import Generic, TypeVar, TypeVarTuple

import anyio
import sniffio
from anyio.to_thread import run_sync

from jobmaster.errors import NotRunningError
from jobmaster.forks import this_process
from jobmaster.loops import loop_caller

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Bridge:
    """Runs asyncio coroutine functions for callers in asyncio and trio.

    asyncio objects belong to the loop they were made in: a bridge serves the callers of one event loop, and what is
    opened through it is used and closed through it.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._process = this_process()

    async def run(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Await `function(*args)` under asyncio; return its result or raise its error.

        Raises `NotRunningError` in a child process that was forked meanwhile.

        The call is shielded from the caller's cancellation: it must end by itself, and soon.
        """
        with anyio.CancelScope(shield=True):
            return await self.run_cancellable(function, *args)
        raise AssertionError  # pragma: no cover - a shield that is never cancelled lets every error pass

    async def run_cancellable(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Do as `run`, but pass a cancellation on, and return when the function has ended."""
        if sniffio.current_async_library() == "asyncio":
            return await function(*args)

        async def call() -> T:
            return await function(*args)

        return await _Crossing(self._helper_loop(), call).wait()

    async def close(self) -> None:
        """End the helper thread, if there is one. Idempotent; the bridge can be used again."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None and self._process is this_process():
            loop.call_soon_threadsafe(loop.stop)
            with anyio.CancelScope(shield=True):
                await run_sync(thread.join)

    def _helper_loop(self) -> asyncio.AbstractEventLoop:
        if self._process is not this_process():
            raise NotRunningError(
                "a store opened before a fork works only in the parent process; open it in this process"
            )
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = Thread(target=_serve, args=(self._loop,), name="jobmaster-bridge", daemon=True)
            self._thread.start()
        return self._loop


class _Crossing(Generic[T]):
    """One call through another thread's loop and back."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], Awaitable[T]]) -> None:
        self._loop, self._call = loop, call
        self._task: asyncio.Future[T] | None = None
        self._wake_soon, self._ended = loop_caller(), anyio.Event()

    async def wait(self) -> T:
        self._loop.call_soon_threadsafe(self._start)
        try:
            await self._ended.wait()
        except BaseException:
            self._loop.call_soon_threadsafe(self._cancel)
            with anyio.CancelScope(shield=True):
                await self._ended.wait()
            raise
        return self._result()

    def _start(self) -> None:
        self._task = asyncio.ensure_future(self._call())
        self._task.add_done_callback(lambda _: self._wake_soon(self._ended.set))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _result(self) -> T:
        if self._task is None or self._task.cancelled():
            msg = "the bridge was closed during a call"
            raise RuntimeError(msg)
        return self._task.result()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        # Tasks that still run have lost their callers, or are the driver's own: let them clean up.
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
