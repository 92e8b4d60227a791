"""Writing plain text: JSON for programs, lines for scripts, errors and notes on stderr.

All that commands print goes through `console().print` (in `terminal`), `say`, `print_json` and `print_error`; a value
becomes text for people in `streams.shown` or `shown_in_line`. JSON is printable ASCII, in which `json` escapes all else.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from jobmaster._text.printable import indented
from jobmaster.cli.streams import shown

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON only, for programs.")]

# Ways to write


def say(text: str, end: str = "\n") -> None:
    """Write a text to stdout as it is, for scripts too."""
    print(shown(text), end=end)


def print_json(value: Any) -> None:
    """Print a value as JSON, the only thing that a command with `--json` writes to stdout. The same bytes everywhere."""
    print(json.dumps(value, indent=2))


def print_error(text: str) -> None:
    """Write a line about an error to stderr, if there is one; what belongs to it stands below, indented."""
    if sys.stderr is not None:
        print(f"error: {shown(indented(text), sys.stderr)}", file=sys.stderr)


def print_traceback(error: BaseException, veiled: Callable[[str], str]) -> None:
    """Write the traceback of an error to stderr, indented as what belongs to an error is, and `veiled` of secrets."""
    if sys.stderr is not None:
        text = veiled("".join(traceback.format_exception(error))).rstrip()
        print(f"    {shown(indented(text), sys.stderr)}", file=sys.stderr)


def print_note(text: str) -> None:
    """Write a line to stderr about something that may not be what was meant, and was done all the same."""
    if sys.stderr is not None:
        print(f"note: {shown(indented(text), sys.stderr)}", file=sys.stderr)


def print_notes(texts: Iterable[str]) -> None:
    """Write such a line for each of several texts."""
    for text in texts:
        print_note(text)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print_note(record.getMessage())


@contextmanager
def warnings_as_notes(logger: str) -> Iterator[None]:
    """Within the block, write what a logger warns of as notes, and nowhere else."""
    log, notes = logging.getLogger(logger), _Notes(logging.WARNING)
    before = log.propagate
    log.addHandler(notes)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = before
        log.removeHandler(notes)


# Values for people


def short(moment: datetime | None) -> str:
    """Return a moment for people: UTC, to the second."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(seconds: float | None) -> str:
    """Return a duration for people, with the unit that fits."""
    if seconds is None:
        return ""
    for limit, size, unit in _UNITS:
        if abs(seconds) < limit:
            return f"{seconds / size:.{0 if unit == 'ms' else 1}f} {unit}".replace(".0 ", " ")
    return f"{seconds / 86400:.1f} d".replace(".0 ", " ")


_UNITS = ((1, 0.001, "ms"), (120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h"))
