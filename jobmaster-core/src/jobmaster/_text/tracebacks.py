"""The text of an exception with its traceback, as Python prints it, at a bounded cost.

A chain of ten thousand causes, a group of a hundred thousand exceptions or a message of fifty megabytes takes Python
seconds and gigabytes to print, and nobody reads it: only the last and the first parts are shown.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from itertools import islice, pairwise
from types import TracebackType
from typing import Final

MOST_LINKED: Final = 100
"""Exceptions that are shown together: causes, contexts and members of groups."""
MOST_FRAMES: Final = 2000
"""Frames of a traceback up to which it is shown as by Python."""
FRAMES_SHOWN: Final = 100
"""The number of last frames of a longer traceback that are shown."""
LONGEST_TEXT: Final = 100_000
"""Characters of an argument of an exception up to which it is shown as by Python."""
_MEMBERS_SHOWN: Final = 15
_ENOUGH: Final = 64_000
"""Characters of a bounded text: what comes before is not shown."""

_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


def exception_text(error: BaseException, trace: TracebackType | None) -> str:
    """Return what Python would print for an exception with a traceback, or only the end if it is immense.

    Raises any error of the exception's own `__str__`.
    """
    if _is_immense(error, trace):
        return _bounded(error, trace)
    return "".join(traceback.format_exception(type(error), error, trace))


def _is_immense(error: BaseException, trace: TracebackType | None) -> bool:
    linked = list(islice(_linked(error), MOST_LINKED + 1))
    return (
        len(linked) > MOST_LINKED
        or any(_is_long(one) for one in linked)
        or any(_depth(t) > MOST_FRAMES for t in (trace, *(one.__traceback__ for one in linked)))
    )


def _linked(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that would be printed with it: earlier ones once, members of groups each time."""
    pending, seen = [error], set[int]()
    while pending:
        one = pending.pop()
        seen.add(id(one))
        yield one
        if (before := _before(one)) is not None and id(before) not in seen:
            pending.append(before)
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions[: MOST_LINKED + 1]


def _before(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _is_long(error: BaseException) -> bool:
    return any(isinstance(argument, str | bytes) and len(argument) > LONGEST_TEXT for argument in error.args)


def _depth(trace: TracebackType | None) -> int:
    depth = 0
    while trace is not None and depth <= MOST_FRAMES:
        trace, depth = trace.tb_next, depth + 1
    return depth


def _bounded(error: BaseException, trace: TracebackType | None) -> str:
    """Return the text of an immense exception: from its end backwards, as long as there is room."""
    parts = [_one(error, trace)]
    for after, one in pairwise(_chain(error)):
        parts.append(_CAUSE if one is after.__cause__ else _CONTEXT)
        if len(parts) > MOST_LINKED or sum(map(len, parts)) > _ENOUGH:
            parts.append("(cut: more exceptions came before)\n")
            break
        parts.append(_one(one, one.__traceback__))
    return "".join(reversed(parts))


def _chain(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    seen = set[int]()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = _before(one)


def _one(error: BaseException, trace: TracebackType | None) -> str:
    """Return the text of one exception, without those that came before."""
    depth, lines = _depth(trace), []
    if trace is not None:
        lines.append("Traceback (most recent call last):\n")
        if depth > FRAMES_SHOWN:
            lines.append(f"  (cut: only the last {FRAMES_SHOWN} frames)\n")
        lines += traceback.format_tb(trace, limit=-FRAMES_SHOWN)
    lines.append(_line(error))
    if isinstance(error, BaseExceptionGroup):
        members = error.exceptions
        lines += [f"  + {_line(member)}" for member in members[:_MEMBERS_SHOWN]]
        if len(members) > _MEMBERS_SHOWN:
            lines.append(f"  + and {len(members) - _MEMBERS_SHOWN} more exceptions\n")
    return "".join(lines)


def _line(error: BaseException) -> str:
    kind, text = type(error), str.__str__(str(error))
    left_out = len(text) - _ENOUGH // 2
    shown = text if left_out <= 0 else f"{text[: _ENOUGH // 2]}… (cut, {left_out} characters)"
    return f"{kind.__module__}.{kind.__qualname__}: {shown}\n".removeprefix("builtins.")
