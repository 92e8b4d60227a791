"""Where and for how long a runtime can be used."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident

from jobmaster.errors import NotRunningError
from jobmaster.forks import this_process
from jobmaster.loops import child_caller, loop_finder


class RuntimeScope:
    """Limits a runtime to the time its cluster runs, and to the process and event loop that it was started in.

    Every method of a runtime checks this first: elsewhere its connections answer nothing, or another caller.
    """

    __slots__ = (
        "_call_in_child",
        "_cluster_id",
        "_find_loop",
        "_loop",
        "_over",
        "_process",
        "_thread",
        "cause",
    )

    def __init__(self, cluster_id: str) -> None:
        """Begin in the current process and loop; `cause` is the error that ended the scope, if it ended abnormally."""
        self._cluster_id = cluster_id
        self._process = this_process()
        self._find_loop = loop_finder()
        self._loop = self._find_loop()
        self._call_in_child, self._thread = child_caller(), get_ident()
        self._over = False
        self.cause: BaseException | None = None

    def check(self) -> None:
        """Raise `NotRunningError` unless this is the scope's process and event loop, and the cluster still runs."""
        if self._over or self._process is not this_process() or self._find_loop() is not self._loop:
            raise self._refusal() from self.cause

    def check_loop(self) -> None:
        """Raise `NotRunningError` unless this is the scope's process and event loop."""
        if not self.of_this_loop:
            raise self._refusal()

    def end(self, cause: BaseException | None = None) -> None:
        """Note that the cluster no longer runs; `cause` is why, if it was not stopped."""
        self._over, self.cause = True, self.cause or cause

    @property
    def of_this_process(self) -> bool:
        """Whether the scope began in this process, and not in one that this process was forked from."""
        return self._process is this_process()

    @property
    def is_over(self) -> bool:
        """Whether the cluster no longer runs."""
        return self._over

    @property
    def of_this_loop(self) -> bool:
        """Whether the scope began in the event loop that runs in the calling thread."""
        return self.of_this_process and self._find_loop() is self._loop

    @property
    def in_its_thread(self) -> bool:
        """Whether the calling thread is that of the event loop; a forked child has only the thread that forked."""
        return get_ident() == self._thread

    def call_in_child(self, function: Callable[[], None]) -> None:
        """In a child that the event loop's thread forked, call a function before the loop does anything else."""
        self._call_in_child(function)

    def _refusal(self) -> NotRunningError:
        return NotRunningError(f"cluster {self._cluster_id!r} {self._why()}")

    def _why(self) -> str:
        if not self.of_this_process:
            return (
                "runs in the parent process, not in this fork; start it after the fork "
                "(under gunicorn --preload: in post_fork, or when the application starts up)"
            )
        if self._over:
            failed = " (it failed)" if self.cause is not None else ""
            return f"is not running any more{failed}; schedule inside `async with cluster.running()`"
        return (
            "runs in another event loop; call this runtime from there (anyio.from_thread.run, "
            "asyncio.run_coroutine_threadsafe), or start the cluster in this loop as well; code without a loop "
            "uses cluster.sync_scheduler()"
        )
