"""Telling a forked child from its parent: it has the parent's memory, and none of its threads."""

from __future__ import annotations

import os
from collections.abc import Callable

_process = object()


def this_process() -> object:
    """Return what stands for this process: another object in a child that was forked from it."""
    return _process


def in_forked_child(do: Callable[[], None]) -> None:
    """From now on, have each child that this process forks call `do()` first. For good, so only for modules."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=do)


def _renew() -> None:
    global _process  # noqa: PLW0603 - there is one process
    _process = object()


in_forked_child(_renew)
