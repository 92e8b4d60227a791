"""Virtual time: an hour passes as soon as all tasks have gone to sleep for it.

Under the backends of `virtual_backend`, the clock of the event loop jumps to the next deadline whenever no task has anything
to do. A `VirtualClock` shows that time as the time of day, so that a cluster with the in-memory provider runs through days
in milliseconds. Databases have their own clocks, which cannot follow.

Work in threads is not waited for: time may jump while a plain function works. `patience` is the real time to wait for
threads before each jump.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import trio.testing

START = datetime(2026, 1, 1, tzinfo=UTC)
"""The start of a `VirtualClock` unless another is given."""


class VirtualClock:
    """The time of the running event loop as a `jobmaster.clock.Clock`. It starts with the first call.

    Under an event loop with real time, it runs in real time.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._origin: float | None = None
        self._last = 0.0

    def monotonic(self) -> float:
        """Return the event loop's seconds; from a thread without one, the value of the last call from it."""
        try:
            self._last = anyio.current_time()
        except RuntimeError:  # no event loop here; versions of anyio raise different errors
            return self._last
        if self._origin is None:
            self._origin = self._last
        return self._last

    def now(self) -> datetime:
        """Return the time of day, aware and in UTC."""
        elapsed = self.monotonic() - (self._origin or 0.0)
        return self._start + timedelta(seconds=elapsed)


class HandMovedClock:
    """A `jobmaster.clock.Clock` that stands still unless a test moves it, forwards or back."""

    def __init__(self, start: datetime = START) -> None:
        self._start = self.time = start

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return (self.time - self._start).total_seconds()

    def now(self) -> datetime:
        """Return the time of day, aware and in UTC."""
        return self.time

    def move(self, seconds: float) -> None:
        """Let time pass, or go back."""
        self.time += timedelta(seconds=seconds)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose clock jumps to the next deadline instead of waiting."""

    def __init__(self, patience: float = 0.0) -> None:
        self._virtual = 0.0
        super().__init__(self._make_selector(patience))

    def _make_selector(self, patience: float) -> selectors.BaseSelector:
        return _JumpingSelector(self, patience)

    def time(self) -> float:
        """Return the virtual seconds since the loop was created."""
        return self._virtual

    def jump(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._virtual += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """Waits only for other threads, and lets the loop's clock jump instead."""

    def __init__(self, loop: VirtualTimeLoop, patience: float) -> None:
        super().__init__()
        self._loop, self._patience = loop, patience

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:  # no deadline at all: only a thread or a socket can continue
            return super().select(None)
        ready = super().select(self._patience) if self._patience else []
        if not ready:
            self._loop.jump(max(timeout, 0.0))
        return ready


def virtual_backend(name: str, *, patience: float = 0.0) -> tuple[str, dict[str, Any]]:
    """Return the value for an `anyio_backend` fixture that runs tests of `name` (asyncio, trio) in virtual time."""
    if name == "trio":
        return name, {"clock": trio.testing.MockClock(autojump_threshold=patience)}
    return name, {"loop_factory": lambda: VirtualTimeLoop(patience)}
