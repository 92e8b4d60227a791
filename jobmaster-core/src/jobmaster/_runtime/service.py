"""A loop around a tick: waits as the tick says, wakes on notifications, backs off, and survives outages."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Sequence

import anyio
from attrs import define, field

from jobmaster._process.signals import Signal
from jobmaster._process.tasks import reraise_if_ending
from jobmaster._text.logtext import counted
from jobmaster.errors import LeaseLostError, StoreError
from jobmaster.forks import this_process

log = logging.getLogger("jobmaster.service")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
SHORT_PAUSE = 1.0
"""Longest pause in seconds between two tries while the store is away."""

NOTIFICATION_SPACING = 0.05
"""Spacing in seconds of services that get many notifications of which few concern them."""

Tick = Callable[[], Awaitable[float | None]]
"""Does one round of work; returns the seconds to wait before the next (None: until woken)."""


@define(eq=False)
class Service:
    """Runs `tick` again and again until it is stopped or cancelled.

    `spacing` is the least time between the starts of two ticks, however many notifications arrive. `longest`
    bounds the wait, as a safety net for lost notifications. Waits of a second and more are spread a little, so
    that processes started together do not stay in step. Whoever runs the service sets `wake` on notifications of its
    `topics`.
    """

    name: str
    tick: Tick
    longest: Callable[[], float | None] = lambda: None
    wake: Signal = field(factory=Signal)
    longest_pause: float = LONGEST_PAUSE
    spacing: float = 0.0
    topics: Sequence[str] = ()
    over: anyio.Event = field(factory=anyio.Event, init=False)
    """Set once the loop has ended."""
    _asked: anyio.Event = field(factory=anyio.Event, init=False)
    """Set once the loop should end."""
    failures: int = field(default=0, init=False)
    _process: object = field(factory=this_process, init=False)

    async def run(self) -> None:
        """Loop until `stop`; a tick's failure is logged once per outage and followed by a pause."""
        try:
            await self._loop()
        finally:
            self.over.set()

    async def _loop(self) -> None:
        while not self._asked.is_set():
            started = anyio.current_time()
            wait = await self._safe_tick()
            if self._asked.is_set():
                return
            await self.wake.wait(wait)
            least = self.spacing if not self.failures else wait or 0.0
            if (early := started + least - anyio.current_time()) > 0:
                with anyio.move_on_after(early):
                    await self._asked.wait()

    def stop(self) -> None:
        """End the loop after the current tick."""
        self._asked.set()
        self.wake.set()

    async def end(self, within: float) -> None:
        """End the loop, and wait up to `within` seconds for its current tick to finish."""
        self.stop()
        with anyio.move_on_after(within):
            await self.over.wait()

    async def _safe_tick(self) -> float | None:
        try:
            wait = await self.tick()
        except BaseException as error:  # noqa: BLE001 - told below
            await reraise_if_ending(error)
            if (
                self._process is this_process()
            ):  # a forked child only has a copy of the loop, which must not log
                self._tell(error)
            return self._pause()
        if self.failures:
            log.info("%s: works again after %s", self.name, counted(self.failures, "failure"))
            self.failures = 0
        return self._bounded(wait)

    def _tell(self, error: BaseException) -> None:
        if isinstance(error, LeaseLostError):
            log.warning("%s: %s", self.name, error)
        elif not isinstance(error, StoreError):
            log.error("%s: unexpected failure, trying again", self.name, exc_info=error)
        elif self.failures == 0:
            log.warning("%s: the store failed, trying again: %s", self.name, error)

    def _pause(self) -> float:
        self.failures += 1
        pause: float = min(self.longest_pause, FIRST_PAUSE * 2 ** min(self.failures, 10))
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, no secret

    def _bounded(self, wait: float | None) -> float | None:
        longest = self.longest()
        if longest is None or (wait is not None and wait <= longest):
            return wait
        return longest * random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, no secret
