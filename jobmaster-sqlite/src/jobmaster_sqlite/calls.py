"""Callers in any event loop that wait for a thread to run their unit of work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any, Generic, TypeVar

import anyio
from anyio.lowlevel import RunVar

from jobmaster.errors import StoreUnavailableError
from jobmaster.loops import LoopCaller, loop_caller
from jobmaster_sql import UnitFactory

T = TypeVar("T")

_GRACE = 1.0
"""Seconds that a caller waits beyond its unit's time limit: after that, the thread itself hangs, in the disk."""
_caller: RunVar[LoopCaller] = RunVar("jobmaster_sqlite_caller")


class Call(Generic[T]):
    """One unit of work on its way through a thread, with its waiting caller."""

    def __init__(self, unit: UnitFactory[T], timeout: float) -> None:
        """Create it in the caller's event loop. `timeout` counts from now."""
        self.unit = unit
        self.deadline = time.monotonic() + timeout
        self.wake_soon = _this_loop()
        self._timeout = timeout
        self._done = anyio.Event()
        self._result: T
        self._error: BaseException | None = None

    async def wait(self) -> T:
        """Return the unit's result or raise its error. Must not be cancelled: the unit runs anyway."""
        with anyio.move_on_after(self._timeout + _GRACE, shield=True):
            await self._done.wait()
        if not self._done.is_set():
            raise StoreUnavailableError(f"the disk did not answer within {self._timeout:g} s (store_timeout)")
        if self._error is not None:
            raise self._error
        return self._result

    @property
    def has_failed(self) -> bool:
        """Whether the unit raised an error."""
        return self._error is not None

    @property
    def is_overdue(self) -> bool:
        """Whether the caller's time is up."""
        return time.monotonic() > self.deadline

    def succeed(self, result: T) -> None:
        """Set the result. The caller gets it after `wake`."""
        self._result = result

    def fail(self, error: BaseException) -> None:
        """Set the error. The caller gets it after `wake`."""
        self._error = error

    def release(self) -> None:
        """Let the caller continue; called in its event loop."""
        self._done.set()


def wake(calls: Iterable[Call[Any]]) -> None:
    """Let callers continue, with one message to each event loop."""
    by_loop: dict[LoopCaller, list[Call[Any]]] = {}
    for call in calls:
        by_loop.setdefault(call.wake_soon, []).append(call)
    for wake_soon, group in by_loop.items():
        wake_soon(partial(_release_all, group))


def _release_all(calls: Iterable[Call[Any]]) -> None:
    for call in calls:
        call.release()


def _this_loop() -> LoopCaller:
    """Return the single loop caller of the running loop, so that calls can be grouped by it."""
    try:
        return _caller.get()
    except LookupError:
        caller = loop_caller()
        _caller.set(caller)
        return caller
