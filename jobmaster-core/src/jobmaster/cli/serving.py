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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import NoReturn

import anyio

from jobmaster._text.logtext import counted
from jobmaster._text.printable import printable
from jobmaster.cli.exits import ExitCode
from jobmaster.cluster import Cluster
from jobmaster.errors import StoreUnavailableError
from jobmaster.forks import in_forked_child
from jobmaster.loops import loop_caller
from jobmaster.runtime import Runtime, handlers_at_work
from jobmaster.states import ClusterMode

log = logging.getLogger("jobmaster.cli")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)

LAST_MOMENT = 1.0
"""Seconds that threads get to end by themselves after the loop has."""
LOOP_END = 3.0
"""Seconds that the loop gets to end by itself after the cluster has: handlers that ignored the stop may hold it up."""
LAST_RESORT = 10.0
"""Seconds beyond the grace after which a stop that did not get anywhere is given up: the loop itself is blocked."""

_LEFT_BEHIND = "handlers that ignored the stop delay the exit; leaving without them"


class StopRequest:
    """Set once when the process is to stop. What has only begun to start is cancelled."""

    def __init__(self) -> None:
        self._asked = anyio.Event()
        self._starting: anyio.CancelScope | None = None
        self.at_work: Callable[[], Sequence[str]] = tuple
        """Returns which handlers run."""

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


async def serve_until_signalled(cluster: Cluster, watchdog: Watchdog) -> None:
    """Run a cluster until SIGINT or SIGTERM, then stop gracefully. A second signal ends the process.

    So does the watchdog, if the process does not come to its end by itself.
    """
    stop = StopRequest()
    _Signals(stop, watchdog, cluster.settings.stop_grace).install()
    try:
        await serve(cluster, stop)
    except BaseException:
        watchdog.expect_end(LOOP_END, ExitCode.FAILED, lambda: _LEFT_BEHIND)
        raise
    watchdog.expect_end(LOOP_END, ExitCode.OK, lambda: _LEFT_BEHIND)


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
            stop.at_work = partial(handlers_at_work, runtime)
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


class Watchdog:
    """A thread that ends the process when that is not over in time.

    The event loop may be unable to end: a handler blocks it, or ignores that it was cancelled.
    """

    def __init__(self) -> None:
        self._expecting = threading.Lock()
        self._expecting.acquire()
        self._deadline: float | None = None
        self._code = ExitCode.OK
        self.text: Callable[[], str] = lambda: (
            "handlers that ignored the stop delay the exit; leaving without them"
        )
        threading.Thread(target=self._watch, name="jobmaster-watchdog", daemon=True).start()

    def expect_end(self, seconds: float, code: ExitCode, text: Callable[[], str]) -> None:
        """End the process if it has not ended by then, with a code and a line. Safe in a signal handler."""
        is_first, self._code, self._text = self._deadline is None, code, text
        self._deadline = time.monotonic() + seconds
        if is_first:
            self._expecting.release()

    def dismiss(self) -> None:
        """Watch no more: nothing can hold up the end now."""
        self._deadline = float("inf")

    def _watch(self) -> None:
        self._expecting.acquire()
        while self._deadline is None or (left := self._deadline - time.monotonic()) > 0:
            time.sleep(min(0.1, left))
        _say(self._text())
        os._exit(self._code)


class _Signals:
    """The first signal asks to stop, the second one ends the process.

    These are plain signal handlers, for the rest of the process: unlike what event loops offer, they get
    through while a job's handler blocks the loop, and they exist on every platform.
    """

    def __init__(self, stop: StopRequest, watchdog: Watchdog, grace: float) -> None:
        self._stop, self._watchdog, self._grace = stop, watchdog, grace
        self._call_in_loop = loop_caller()
        self._seen = False

    def install(self) -> None:
        """Receive signals from now on. Processes that handlers fork do not: they have Python's own handling."""
        for number in SIGNALS:
            signal.signal(number, self._received)
        in_forked_child(_handle_signals_as_python_does)

    def _received(self, number: int, _frame: FrameType | None) -> None:
        received = signal.Signals(number)
        if self._seen:
            leave_at_once(received)
        self._seen = True
        text = partial(self._too_late, received)
        self._watchdog.expect_end(self._grace + LAST_RESORT, _code_of(received), text)
        self._call_in_loop(partial(self._ask, received))

    def _ask(self, received: signal.Signals) -> None:
        log.info("received %s: stopping; running jobs get %g s", received.name, self._grace)
        self._stop.ask()

    def _too_late(self, received: signal.Signals) -> str:
        names = ", ".join(self._stop.at_work())
        running = f" (running: {names})" if names else ""
        waited = self._grace + LAST_RESORT
        return (
            f"not stopped {waited:g} s after {received.name}{running}: leaving at once; "
            "other workers take over when the lease runs out"
        )


def _handle_signals_as_python_does() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _code_of(number: signal.Signals) -> ExitCode:
    return ExitCode.INTERRUPTED if number is signal.SIGINT else ExitCode.TERMINATED


def _say(text: str) -> None:
    """Write a line without logging's locks: somebody may hold them for ever."""
    os.write(sys.stderr.fileno(), f"{printable(text)}\n".encode())


def leave_at_once(number: signal.Signals) -> NoReturn:
    """End the process. Safe in a signal handler, so it writes without logging's locks."""
    _say(f"second signal ({number.name}): leaving at once; other workers take over when the lease runs out")
    os._exit(_code_of(number))


def leave() -> None:
    """End the process with 0 although plain functions that ignored the stop may still run in threads."""
    deadline = time.monotonic() + LAST_MOMENT
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))  # a thread that is idle needs a moment to end
    left = [thread for thread in others if thread.is_alive()]
    if not left:
        return
    log.warning("%s ignored the stop; leaving without them", counted(len(left), "plain function"))
    logging.shutdown()
    sys.stdout.flush()
    os._exit(ExitCode.OK)
