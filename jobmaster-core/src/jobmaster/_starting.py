"""SIGTERM from the first moment on: how `jobmaster worker` handles it before it can stop gracefully.

`jobmaster/__init__.py` imports this first; the other imports, and then the application's modules, take a second. The
first process of a container does not receive a signal for which it has no handler.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

TEXT = b"jobmaster worker: received SIGTERM before it ran anything: stopped\n"


def is_worker_command(argv: Sequence[str], original: Sequence[str]) -> bool:
    """Return whether a process is `jobmaster worker` or `python -m jobmaster.cli worker`.

    While Python looks for the module of `-m`, it has its name in `sys.orig_argv` only.
    """
    program, arguments = "".join(argv[:1]), argv[1:]
    if program == "-m" and "-m" in original:
        at = list(original).index("-m") + 1
        program, arguments = "".join(original[at : at + 1]), original[at + 1 :]
    name = os.path.basename(program).removesuffix(".exe")  # noqa: PTH119 - pathlib takes longer to import
    is_ours = name in {"jobmaster", "jobmaster.cli"}
    return is_ours and next((one for one in arguments if not one.startswith("-")), None) == "worker"


def end(_number: int, _frame: FrameType | None) -> None:
    """End the process: nothing has begun yet. Safe in a signal handler."""
    os.write(2, TEXT)
    os._exit(0)


def _be_a_child() -> None:
    if signal.getsignal(signal.SIGTERM) is end:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def heed_signals() -> None:
    """Handle SIGTERM from now on, if this process is a worker."""
    if not is_worker_command(getattr(sys, "argv", ()), sys.orig_argv):
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_be_a_child)


heed_signals()
