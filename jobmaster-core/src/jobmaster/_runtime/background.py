"""A cluster's run in a task of its own: started in one task of an event loop, stopped in any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import anyio

from jobmaster.loops import spawn, wait_through

LAST_MOMENT = 2.0
"""Seconds that the tasks of a run get to end by themselves after the stop is complete."""


class Run(Protocol):
    """What a `Background` runs."""

    async def live(self, background: Background) -> None:
        """Start, say `ready`, wait until `asked`, and stop."""

    def cut_short(self) -> None:
        """All tasks of the event loop are being cancelled, those of this run too. Called before any of them runs."""

    def hurry(self) -> None:
        """The user insists on the end while the run is stopping: running jobs get no more time."""

    async def abandon(self) -> None:
        """The stop is over, and what still runs does not end: release all resources."""

    def over(self, failure: BaseException | None) -> None:
        """The run has ended, possibly with an error, or the rest of it was abandoned."""


class Background:
    """Runs a cluster in a task of its own.

    It may be started in one task and stopped in another, and cancelling either task still ends it gracefully.
    """

    def __init__(self, name: str, run: Run) -> None:
        self._name, self._cluster_run = name, run
        self._asked, self._answered = anyio.Event(), anyio.Event()
        self._stopped, self._ended = anyio.Event(), anyio.Event()
        self._ready = False
        self._starting: anyio.CancelScope | None = None
        self._failure: BaseException | None = None
        self._task: object = None

    # For callers

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self._ended.is_set()

    async def start(self) -> None:
        """Start, and return once the run is ready; raises what the start raised.

        If the caller is cancelled, the start is cancelled too, and its end is awaited.
        """
        self._task = spawn(self._run, self._name, self._loop_ends)
        try:
            await self._answered.wait()
        except BaseException:
            self._failure = None
            await self.stop()
            raise
        if not self._ready:
            self._raise_failure()

    def ask(self) -> None:
        """Ask for the end. A start in progress is cancelled."""
        self._asked.set()
        if self._starting is not None:
            self._starting.cancel()

    async def stop(self) -> None:
        """Ask for the end and wait for it, even if the caller is cancelled; raises what the run raised, once.

        A handler that does not end blocks nothing: once everything else has stopped, it is left behind.
        """
        if not self.ended:  # in another loop as well: an ended run waits for nothing
            await self._stop()
        self._raise_failure()

    async def _stop(self) -> None:
        self.ask()
        try:
            await wait_through(self._stopped)
        except KeyboardInterrupt:  # under trio; asyncio ends its loop by it
            self._cluster_run.hurry()
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._see_the_end()

    async def _see_the_end(self) -> None:
        with anyio.move_on_after(LAST_MOMENT):
            await self._ended.wait()
        if self._stopped.is_set() and not self.ended:
            await self._cluster_run.abandon()
            self._end()

    async def wait(self) -> None:
        """Wait for the end."""
        await self._ended.wait()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # For the run itself

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Within the block, a request for the end cancels the work; the block then ends without an error."""
        with anyio.CancelScope() as self._starting:
            if self.asked:
                self._starting.cancel()
            yield
        self._starting = None

    @property
    def asked(self) -> bool:
        """Whether the end was asked for."""
        return self._asked.is_set()

    async def until_asked(self) -> None:
        """Signal that the start is over, and wait until the end is asked for."""
        self._ready = True
        self._answered.set()
        await self._asked.wait()

    async def _run(self) -> None:
        try:
            await self._cluster_run.live(self)
        except anyio.get_cancelled_exc_class():
            pass  # the event loop ends, which is not a failure
        except BaseException as error:  # noqa: BLE001 - `start` or `stop` raises it
            self._failure = error
        self._end()

    def stopped(self) -> None:
        """Signal that the stop is complete: only handlers that do not end still run."""
        self._stopped.set()

    def _end(self) -> None:
        if not self.ended:
            self._starting = None
            self._cluster_run.over(self._failure)
            for event in (self._ended, self._stopped, self._answered):
                event.set()

    def _loop_ends(self, everything_is_cancelled: bool) -> None:
        if self.ended:
            return
        self.ask()
        if everything_is_cancelled:
            self._cluster_run.cut_short()
