"""Telling a forked child from its parent: it has the parent's memory, but none of its threads."""

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
    """Return an object that stands for this process: a forked child has a different one."""
    return _process


def in_forked_child(do: Callable[[], None]) -> None:
    """Have each child that this process forks from now on call `do()` first. Permanent, so only for modules."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=do)


def part_with_event_loops() -> None:
    """In a forked child, replace each inherited event queue with a new, empty one.

    The kernel's queue is shared with the parent, and events that are read from it here are missing there: a loop that
    runs on in the child, if only for its last step, could leave the parent's loop asleep. (kqueue is not inherited.)
    """
    if not hasattr(select, "epoll"):
        return
    with suppress(OSError):
        for file in list(_OWN_FILES.iterdir()):
            _replace_if_queue(file)


def _replace_if_queue(file: Path) -> None:
    with suppress(OSError):  # the descriptor of the listing is closed by now
        if str(file.readlink()).endswith("[eventpoll]"):
            _replace_queue(int(file.name))


def _replace_queue(file: int) -> None:
    with select.epoll() as fresh:
        os.dup2(fresh.fileno(), file, inheritable=False)


def end_child(error: BaseException | None) -> NoReturn:
    """End this forked child as if a program had ended with `error`, or without one.

    The parent's other code is not run to its end here: that happens in the parent.
    """
    code = _exit_code(error)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    """Return the exit code of a Python program that ends with an error, after writing what Python would write."""
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
