"""A cluster's run in a task of its own: begun in one task of an event loop, ended in any other one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import anyio

from jobmaster.loops import spawn, wait_through

LAST_MOMENT = 2.0
"""Seconds that the tasks of a run get to end by themselves after its stop is through."""


class Run(Protocol):
    """What a `Background` runs."""

    async def live(self, background: Background) -> None:
        """Start, say `ready`, wait until `asked`, and stop."""

    def cut_short(self) -> None:
        """All tasks of the event loop are being cancelled, those of this run too. Called before any of them runs."""

    def hurry(self) -> None:
        """Somebody insists on the end, while it is stopping: what runs gets no more time."""

    async def abandon(self) -> None:
        """Its stop is over, and what it runs does not end: let go of what it holds."""

    def over(self, failure: BaseException | None) -> None:
        """The run has ended, perhaps by an error, or what is left of it was abandoned."""


class Background:
    """Runs a cluster in a task of its own.

    So it may be started in one task and stopped in another one, and no cancellation of either ends it otherwise than
    gracefully.
    """

    def __init__(self, name: str, run: Run) -> None:
        self._name, self._cluster_run = name, run
        self._asked, self._answered = anyio.Event(), anyio.Event()
        self._stopped, self._ended = anyio.Event(), anyio.Event()
        self._ready = False
        self._starting: anyio.CancelScope | None = None
        self._failure: BaseException | None = None
        self._task: object = None

    # For those outside

    @property
    def ended(self) -> bool:
        """Whether it is all over."""
        return self._ended.is_set()

    async def start(self) -> None:
        """Start, and return once it is ready; raises what the start raised.

        If the caller is cancelled, so is the start: its end is waited for.
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
        """Ask for the end. What has only begun to start is cancelled."""
        self._asked.set()
        if self._starting is not None:
            self._starting.cancel()

    async def stop(self) -> None:
        """Ask for the end and wait for it, even if the caller is cancelled; raises what the run raised, once.

        A handler that will not end holds up nobody: once all the rest has stopped, it is left behind.
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
        """Within the block, being asked for the end cancels what is done; it ends the block without an error."""
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
        """Say that the start is over, and wait until the end is asked for."""
        self._ready = True
        self._answered.set()
        await self._asked.wait()

    async def _run(self) -> None:
        try:
            await self._cluster_run.live(self)
        except anyio.get_cancelled_exc_class():
            pass  # by the end of the event loop, which is no failure
        except BaseException as error:  # noqa: BLE001 - `start` or `stop` raises it
            self._failure = error
        self._end()

    def stopped(self) -> None:
        """Say that the stop is through: what still runs is only what would not end."""
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
