"""How commands end: the exit codes, and how errors are shown."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer

from jobmaster.errors import (
    ConfigurationError,
    JobMasterError,
    JobNotFoundError,
    ScheduleNotFoundError,
    SchemaError,
    StoreUnavailableError,
    WorkerNotFoundError,
)


class ExitCode(IntEnum):
    """What the exit codes of `jobmaster` mean."""

    OK = 0
    """Done. For `worker`: stopped gracefully."""
    FAILED = 1
    """It failed; for `demo`: not every job ended as it should."""
    USAGE = 2
    """The command line is wrong."""
    CONFIGURATION = 3
    """A setting, name, expression, application or plug-in is wrong."""
    UNAVAILABLE = 4
    """The store cannot be reached or did not answer in time."""
    NOT_FOUND = 5
    """No such job, schedule, worker or cluster."""
    SCHEMA = 6
    """Migrations are pending, or the schema is newer than this version."""
    INTERRUPTED = 130
    """Ended at once by SIGINT (Ctrl-C)."""
    TERMINATED = 143
    """Ended at once by SIGTERM."""


class ClusterNotFoundError(JobMasterError):
    """The master has no cluster of this id. One in memory shows it to the cluster's own process only."""

    def __init__(self, cluster_id: str, *, in_memory: bool = False) -> None:
        self.cluster_id, self.in_memory = cluster_id, in_memory
        remedy = (
            "no other process sees what is in memory://; name a database, for example sqlite:///jobs.db"
            if in_memory
            else "check its id, or start it once"
        )
        super().__init__(f"the master has no cluster {cluster_id!r}; {remedy}")


# The first match counts, so the special ones stand before the general ones.
_CODES = (
    (SchemaError, ExitCode.SCHEMA),
    (ConfigurationError, ExitCode.CONFIGURATION),
    (StoreUnavailableError, ExitCode.UNAVAILABLE),
    (JobNotFoundError, ExitCode.NOT_FOUND),
    (ScheduleNotFoundError, ExitCode.NOT_FOUND),
    (WorkerNotFoundError, ExitCode.NOT_FOUND),
    (ClusterNotFoundError, ExitCode.NOT_FOUND),
)


def code_of(error: BaseException) -> ExitCode:
    """Return the exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


@contextmanager
def reported_errors(*, debug: bool) -> Iterator[None]:
    """Turn what the block raises into one line on stderr and an exit code; with `debug` show tracebacks.

    What ends a command without being an error (exits, help) passes through to the command-line library.
    """
    try:
        yield
    except BaseException as error:
        cause = _first(error)
        if isinstance(cause, KeyboardInterrupt):
            raise SystemExit(ExitCode.INTERRUPTED) from error
        if _is_usage_error(cause):
            print(f"error: {_usage(cause)}", file=sys.stderr)
            raise SystemExit(ExitCode.USAGE) from error
        if _is_for_library(cause):
            raise
        if debug:
            traceback.print_exception(error)
        print(f"error: {_described(cause)}", file=sys.stderr)
        raise SystemExit(code_of(cause)) from error


def _first(error: BaseException) -> BaseException:
    """Return the error itself, or the first one in the groups that task groups wrap errors in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _is_usage_error(error: BaseException) -> bool:
    """Whether the library refuses the command line. A group without a command is asked for help instead."""
    return hasattr(error, "format_message") and type(error).__name__ != "NoArgsIsHelpError"


def _usage(error: Any) -> str:
    """Return on one line what is wrong with a command line, and where the right one is shown."""
    message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    context = getattr(error, "ctx", None)
    help_of = f"; see `{context.command_path} --help`" if context is not None else ""
    return f"{message[:1].lower()}{message[1:]}{help_of}"


def _is_for_library(error: BaseException) -> bool:
    """Whether the library ends the command by itself: its own errors carry an `exit_code`."""
    if not isinstance(error, Exception) or isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
        return True
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _described(error: BaseException) -> str:
    if isinstance(error, JobMasterError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error} (repeat with --debug to see where)"
