"""Telling a forked child from its parent: it has the parent's memory, and none of its threads."""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

_OWN_FILES: Final = Path("/proc/self/fd")
_process = object()


def this_process() -> object:
    """Return what stands for this process: another object in a child that was forked from it."""
    return _process


def in_forked_child(do: Callable[[], None]) -> None:
    """From now on, have each child that this process forks call `do()` first. For good, so only for modules."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=do)


def part_with_event_loops() -> None:
    """In a forked child, give each inherited event queue a new, empty one in its place.

    A kernel's queue is shared with the parent, and what is read from it here is missing there: a loop that runs on in the
    child, if only for its last step, could leave the parent's asleep. (kqueue is not inherited.)
    """
    if not hasattr(select, "epoll"):
        return
    with suppress(OSError):
        for file in list(_OWN_FILES.iterdir()):
            _replace_if_queue(file)


def _replace_if_queue(file: Path) -> None:
    with suppress(OSError):  # that of the listing is closed by now
        if str(file.readlink()).endswith("[eventpoll]"):
            _replace_queue(int(file.name))


def _replace_queue(file: int) -> None:
    with select.epoll() as fresh:
        os.dup2(fresh.fileno(), file, inheritable=False)


def end_child(error: BaseException | None) -> NoReturn:
    """End this forked child as if `error`, or nothing, had come out of a program of its own.

    Nothing else of the parent's is run to its end here: that happens in the parent.
    """
    code = _exit_code(error)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    """Return the exit code that Python gives a program for an error, after writing what it writes."""
    wanted = error.code if isinstance(error, SystemExit) else error
    if wanted is None or isinstance(wanted, int):
        return wanted or 0
    if isinstance(wanted, BaseException):
        traceback.print_exception(wanted)
    elif sys.stderr is not None:
        sys.stderr.write(f"{wanted}\n")
    return 1


def _renew() -> None:
    global _process  # noqa: PLW0603 - there is one process
    _process = object()


in_forked_child(_renew)
