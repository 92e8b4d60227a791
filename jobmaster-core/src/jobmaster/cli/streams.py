"""Stdout and stderr: text that a terminal would act on, letters that their encoding has not, readers that have gone."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TextIO

from jobmaster._text.printable import on_one_line, printable

ESCAPE: Final = "jobmaster.escape"
"""The error handler for encoding that replaces what an encoding has not."""

_PLAIN: Final[Mapping[str, str]] = {
    "…": "...",
    "→": "->",
    "←": "<-",
    "•": "*",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{NO-BREAK SPACE}": " ",
    **dict.fromkeys("\N{EN DASH}\N{EM DASH}─━┄┅┈┉╌╍═╴╶╸╺╼╾", "-"),
    **dict.fromkeys("│┃┆┇┊┋╎╏║╵╷╹╻╽╿", "|"),
    **dict.fromkeys("\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}", "'"),
    **dict.fromkeys("\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}", '"'),
}
"""Signs, and what reads the same."""
_CORNERS: Final = range(0x2500, 0x2580)
"""The rest of the box drawings."""


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding has not: signs by plain ones, everything else by Python's escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(char: str) -> str:
    if char in _PLAIN:
        return _PLAIN[char]
    return "+" if ord(char) in _CORNERS else char.encode("ascii", "backslashreplace").decode()


codecs.register_error(ESCAPE, _escaped)


def write_anything() -> None:
    """Have stdout and stderr escape what their encoding has not, whoever writes: this, the help, an application."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with suppress(ValueError, OSError):  # a stream that is closed, or that a test put there
                reconfigure(errors=ESCAPE)


def shown(value: Any, stream: TextIO | None = None) -> str:
    """Return a value as text for people: printable, and such as the stream (stdout if not given) can write it."""
    return _writable(printable(_text_of(value)), stream)


def shown_in_line(value: Any, stream: TextIO | None = None) -> str:
    """Return a value as text that is a part of a line: line feeds and tabs in it are escaped as well."""
    return _writable(on_one_line(_text_of(value)), stream)


def _text_of(value: Any) -> str:
    return "" if value is None else str(value)


def _writable(text: str, stream: TextIO | None) -> str:
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, ESCAPE).decode(encoding)


# Readers that have gone


def flush() -> None:
    """Write what is left to stdout, so that a failure is seen while it can be told."""
    if sys.stdout is not None:
        sys.stdout.flush()


def let_go() -> None:
    """Have what is still written to stdout go nowhere: its reader has gone, and that is no error at the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
