"""How commands end: the exit codes, and how errors are shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from typing import Any

import typer

from jobmaster.cli.output import print_error, print_traceback
from jobmaster.cli.streams import let_go
from jobmaster.errors import (
    ClusterNotFoundError,
    ConfigurationError,
    InvalidQueryError,
    JobMasterError,
    JobNotFoundError,
    ScheduleNotFoundError,
    SchedulingError,
    SchemaError,
    StoreUnavailableError,
    WorkerNotFoundError,
)
from jobmaster.urls import may_be_url, secrets_in
from jobmaster.veils import Veil


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
    CLOSED = 141
    """Whoever read stdout stopped before the end, as `| head` does: what shells say of programs that this ends."""
    TERMINATED = 143
    """Ended at once by SIGTERM."""


_cluster: ContextVar[str] = ContextVar("cluster", default="")
"""What named the cluster that a command is about, if no option did."""


_typed: ContextVar[Veil] = ContextVar("typed", default=Veil([]))  # noqa: B039 - a veil does not change
"""Hides what was typed, or is in the environment, and may be a URL: what the command-line library refuses it quotes."""


def note_typed(arguments: Sequence[str]) -> None:
    """Have no message quote an argument, or a variable of ours, that may be the URL of a store, wherever it stands."""
    values = [value for name, value in os.environ.items() if name.startswith("JOBMASTER_")]
    values += [one.partition("=")[2] if one.startswith("--") and "=" in one else one for one in arguments]
    _typed.set(Veil([secret for value in values if may_be_url(value) for secret in secrets_in(value)]))


def note_cluster(text: str) -> None:
    """Have the errors of this command say what named its cluster: whoever typed it may not know."""
    _cluster.set(text)


# The first match counts, so the special ones stand before the general ones.
_CODES = (
    (SchemaError, ExitCode.SCHEMA),
    (ConfigurationError, ExitCode.CONFIGURATION),
    (InvalidQueryError, ExitCode.CONFIGURATION),
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
    note_cluster("")
    try:
        yield
    except BaseException as error:
        cause = _first(error)
        if isinstance(cause, KeyboardInterrupt):
            raise SystemExit(ExitCode.INTERRUPTED) from error
        if _has_no_reader(cause):
            let_go()
            raise SystemExit(ExitCode.CLOSED) from error
        if _is_usage_error(cause):
            print_error(_usage(cause))
            raise SystemExit(ExitCode.USAGE) from error
        if _is_for_library(cause):
            raise
        if debug:
            print_traceback(error, _typed.get().text)
        print_error(_described(cause))
        raise SystemExit(code_of(cause)) from error


def _has_no_reader(error: BaseException) -> bool:
    """Whether stdout was closed: what databases do is told as errors of their stores. The help's printer exits by itself."""
    return isinstance(error, BrokenPipeError) or (
        isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)
    )


def _first(error: BaseException) -> BaseException:
    """Return the error itself, or the first one in the groups that task groups wrap errors in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _is_usage_error(error: BaseException) -> bool:
    """Whether the library refuses the command line. A group without a command is asked for help instead."""
    return hasattr(error, "format_message") and type(error).__name__ != "NoArgsIsHelpError"


_OF_COMMANDS = ("--app", "-A", "--config", "--cluster", "--master", "--json")


def _usage(error: Any) -> str:
    """Return on one line what is wrong with a command line, and where the right one is shown."""
    message = " ".join(_typed.get().text(error.format_message()).replace("Value error, ", "").split()).rstrip(
        "."
    )
    context, option = getattr(error, "ctx", None), getattr(error, "option_name", None)
    if context is not None and context.parent is None and option in _OF_COMMANDS:
        return f"{option} stands after the command, as in `jobmaster status {option} ...`"
    if context is not None and context.parent is not None and option == "--debug":
        return f"{option} stands before the command, as in `jobmaster {option} status`"
    help_of = f"; see `{context.command_path} --help`" if context is not None else ""
    return f"{message[:1].lower()}{message[1:]}{help_of}"


def _is_for_library(error: BaseException) -> bool:
    """Whether the library ends the command by itself: its own errors carry an `exit_code`."""
    return not isinstance(error, Exception) or isinstance(error, typer.Abort) or hasattr(error, "exit_code")


def _described(error: BaseException) -> str:
    if isinstance(error, JobMasterError):
        line, *picture = str(error).split("\n")
        is_about_it = _cluster.get() and not isinstance(
            error, SchedulingError
        )  # as an expression that is wrong
        named = f" (the cluster: {_cluster.get()})" if is_about_it else ""
        return "\n".join([line + named, *picture])
    return f"unexpected {type(error).__name__}: {_typed.get().text(str(error))} (repeat with --debug to see where)"
