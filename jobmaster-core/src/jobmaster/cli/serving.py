"""Running a cluster until a signal: waiting for its database, stopping gracefully, leaving at once."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import NoReturn

import anyio

from jobmaster.cli.exits import ExitCode
from jobmaster.cluster import Cluster
from jobmaster.errors import StoreUnavailableError
from jobmaster.loops import loop_caller
from jobmaster.runtime import Runtime
from jobmaster.states import ClusterMode

log = logging.getLogger("jobmaster.cli")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)

LAST_MOMENT = 1.0
"""Seconds that threads get to end by themselves after the loop has."""


class StopRequest:
    """Set once when the process is to stop. What has only begun to start is cancelled."""

    def __init__(self) -> None:
        self._asked = anyio.Event()
        self._starting: anyio.CancelScope | None = None

    @property
    def asked(self) -> bool:
        """Whether the process is to stop."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Stop."""
        self._asked.set()
        if self._starting is not None:
            self._starting.cancel()

    def starting(self) -> anyio.CancelScope:
        """Return a scope that `ask` cancels, until `started` is called."""
        self._starting = anyio.CancelScope()
        return self._starting

    def started(self) -> None:
        """From now on, `ask` cancels nothing."""
        self._starting = None

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until asked to stop, at most some seconds."""
        with anyio.move_on_after(seconds):
            await self._asked.wait()


async def serve_until_signalled(cluster: Cluster) -> None:
    """Run a cluster until SIGINT or SIGTERM, then stop gracefully. A second signal ends the process."""
    stop = StopRequest()
    _Signals(stop, cluster.settings.stop_grace).install()
    await serve(cluster, stop)


async def serve(cluster: Cluster, stop: StopRequest) -> None:
    """Run a cluster until asked to stop; while its master cannot be reached at start, try again."""
    for pause in _pauses():
        try:
            await _run(cluster, stop)
        except StoreUnavailableError as error:
            log.warning("the master cannot be reached, trying again in %.1f s: %s", pause, error)
            await stop.wait(pause)
        else:
            return
        if stop.asked:
            return


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, no secret
        pause = min(LONGEST_PAUSE, 2 * pause)


async def _run(cluster: Cluster, stop: StopRequest) -> None:
    with stop.starting():
        async with cluster.running() as runtime:
            stop.started()
            _spare_the_collector()
            _greet(runtime)
            async with anyio.create_task_group() as group:
                group.start_soon(_stop_with_workers, runtime, stop)
                await stop.wait()
                group.cancel_scope.cancel()
    log.info("cluster %s: stopped", cluster.id)


async def _stop_with_workers(runtime: Runtime, stop: StopRequest) -> None:
    """Ask for a stop once all workers were stopped from outside: there is nothing left to do here."""
    await runtime.workers_stopped()
    log.info("cluster %s: all workers of this process were stopped", runtime.id)
    stop.ask()


def _spare_the_collector() -> None:
    """Take what this process has imported out of the garbage collector's sight.

    A full collection would go through all of it, and hold up every handler for some tens of milliseconds.
    """
    gc.collect()
    gc.freeze()


def _greet(runtime: Runtime) -> None:
    if runtime.mode is ClusterMode.ACTIVE:
        log.info("cluster %s: running; SIGTERM or Ctrl-C stops it", runtime.id)
    else:
        log.warning(
            "cluster %s is %s: it runs no jobs until its mode is active again", runtime.id, runtime.mode
        )


# Signals


class _Signals:
    """The first signal asks to stop, the second one ends the process.

    These are plain signal handlers, for the rest of the process: unlike what event loops offer, they get
    through while a job's handler blocks the loop, and they exist on every platform.
    """

    def __init__(self, stop: StopRequest, grace: float) -> None:
        self._stop, self._grace = stop, grace
        self._call_in_loop = loop_caller()
        self._seen = False

    def install(self) -> None:
        """Receive signals from now on."""
        for number in SIGNALS:
            signal.signal(number, self._received)

    def _received(self, number: int, _frame: FrameType | None) -> None:
        received = signal.Signals(number)
        if self._seen:
            leave_at_once(received)
        self._seen = True
        self._call_in_loop(partial(self._ask, received))

    def _ask(self, received: signal.Signals) -> None:
        log.info("received %s: stopping; running jobs get %g s", received.name, self._grace)
        self._stop.ask()


def leave_at_once(number: signal.Signals) -> NoReturn:
    """End the process. Safe in a signal handler, so it writes without logging's locks."""
    text = (
        f"second signal ({number.name}): leaving at once; other workers take over when the lease runs out\n"
    )
    os.write(sys.stderr.fileno(), text.encode())
    os._exit(ExitCode.INTERRUPTED if number is signal.SIGINT else ExitCode.TERMINATED)


def leave() -> None:
    """End the process with 0 although plain functions that ignored the stop may still run in threads."""
    deadline = time.monotonic() + LAST_MOMENT
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))  # a thread that is idle needs a moment to end
    left = [thread for thread in others if thread.is_alive()]
    if not left:
        return
    log.warning("%d plain functions ignored the stop; leaving without them", len(left))
    logging.shutdown()
    sys.stdout.flush()
    os._exit(ExitCode.OK)
