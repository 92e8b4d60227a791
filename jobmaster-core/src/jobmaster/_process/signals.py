"""A reusable wake-up."""

from __future__ import annotations

import anyio


class Signal:
    """Wakes one waiting loop. A `set` without a waiter is kept for the next wait."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Wake the waiter, or let the next wait return at once. From the loop's own thread only."""
        self._event.set()

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - the timeout is by design
        """Wait for `set`, at most `timeout` seconds (None: forever); return whether it was set."""
        if timeout is not None and timeout <= 0:
            timeout = 0
        with anyio.move_on_after(timeout):
            await self._event.wait()
        was_set = self._event.is_set()
        if was_set:
            self._event = anyio.Event()
        return was_set
