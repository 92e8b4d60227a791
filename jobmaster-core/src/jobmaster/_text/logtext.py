"""Text of logged values: objects that cannot be formatted, text that stores do not accept, text that is too long."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Collection, Mapping
from typing import Any, Final

from jobmaster._text.printable import for_json, on_one_line
from jobmaster._text.tracebacks import exception_text

LONGEST_INTEGER: Final = 2**63
"""Integers from here on are kept as text: the stores' JSON cannot hold them."""

_SHOWABLE: Final = frozenset({str, bool, float, type(None)})
"""Types whose values can always be formatted."""

_OF_RECORDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every log record has; all others come from `extra`."""


class Unreadable:
    """A placeholder for an object that cannot be formatted."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def text_of(value: object) -> str:
    """Return `str(value)`, or a text that says why it failed."""
    try:
        return str.__str__(str(value))  # not a subclass, whose methods may do anything
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - user code may raise anything
        return _excuse(value, error)


def readable(value: object) -> object:
    """Return a value, or a placeholder if it cannot be formatted."""
    if type(value) in _SHOWABLE or (type(value) is int and abs(value) < LONGEST_INTEGER):
        return value
    try:
        for show in (format, str, repr):  # one after the other: their results may be large
            show(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return Unreadable(_excuse(value, error))
    return value


def _excuse(value: object, error: BaseException) -> str:
    return f"<{_name(value)} that cannot be shown: {_name(error)}>"


def _name(value: object) -> str:
    return type.__dict__["__name__"].__get__(type(value))  # type: ignore[no-any-return]  # bypassing its metaclass


def storable(text: str) -> str:
    """Return text that every store can hold: NUL characters and lone surrogates become escapes."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def cut(text: str, limit: int) -> str:
    """Return the beginning of a text; if it is cut, the end says by how much."""
    left_out = len(text) - limit
    return text if left_out <= 0 else f"{text[:limit]}… (cut, {left_out} characters)"


def cut_front(text: str, limit: int) -> str:
    """Return the end of a text, the most useful part of a traceback."""
    left_out = len(text) - limit
    return text if left_out <= 0 else f"(cut, {left_out} characters) …{text[left_out:]}"


def one_line(text: str, limit: int) -> str:
    """Return a text on one line, cut."""
    return cut(" ".join(text[: 4 * limit].split()), limit)


def plain(value: object, limit: int) -> object:
    """Return a value for JSON: numbers, booleans and None unchanged, everything else as text, cut."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if issubclass(kind, int) and -LONGEST_INTEGER <= (number := int.__int__(value)) < LONGEST_INTEGER:  # type: ignore[arg-type]
        return number
    if issubclass(kind, float) and math.isfinite(real := float.__float__(value)):  # type: ignore[arg-type]
        return real
    return cut(storable(str.__str__(value) if issubclass(kind, str) else text_of(value)), limit)


# Records


def formatted(msg: object, args: tuple[object, ...]) -> str:
    """Return a line's text as `logging` makes it; raises any error of the message or its arguments."""
    if not args:
        return str.__str__(str(msg))
    values = args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args
    return str.__str__(str(msg) % values)


def presentable(msg: object, args: tuple[object, ...]) -> tuple[object, tuple[object, ...], str]:
    """Return message and arguments that can be formatted, and their text.

    Values that cannot be formatted are replaced. Arguments that do not fit their message are appended to it.
    """
    try:
        return msg, args, formatted(msg, args)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - user code may raise anything
        return _mended(text_of(msg), tuple(readable(value) for value in args))


def _mended(msg: str, args: tuple[object, ...]) -> tuple[object, tuple[object, ...], str]:
    try:
        return msg, args, formatted(msg, args)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - as above
        text = f"{msg} {text_of(args)}"
        return text, (), text


def traceback_text(exc_info: object) -> str | None:
    """Return the traceback text of a line's `exc_info`; None if it is not an exception."""
    try:
        triple = _triple(exc_info)
        return None if triple[1] is None else exception_text(triple[1], triple[2]).rstrip()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return f"<traceback that cannot be shown: {_name(error)}>"


def _triple(exc_info: Any) -> Any:
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    if isinstance(exc_info, tuple):
        return exc_info
    return sys.exc_info() if exc_info else (None, None, None)


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number and what it counts: `1 job`, `2 jobs`; `several` is the plural if it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def beside(name: str, taken: Collection[str]) -> str:
    """Return a name, with underscores appended while it is taken."""
    while name in taken:
        name += "_"
    return name


def reserved(*names: str) -> frozenset[str]:
    """Return names together with those that log records use: `logging` refuses them in `extra`."""
    return _OF_RECORDS.union(names)


def as_json(body: Mapping[str, Any], record: logging.LogRecord, traceback_name: str = "exception") -> str:
    """Return a line as JSON: `body`, then the record's `extra` fields, traceback and stack; safe for terminals."""
    whole: dict[str, Any] = dict(body)
    for name, value in vars(record).items():
        if name not in _OF_RECORDS:
            whole[beside(text_of(name), whole)] = value
    if record.exc_info and (text := traceback_text(record.exc_info)):
        whole[beside(traceback_name, whole)] = text
    if record.stack_info:
        whole[beside("stack", whole)] = record.stack_info
    return for_json(_dumped(whole))


def _dumped(whole: Mapping[str, Any]) -> str:
    try:
        return json.dumps(whole, default=text_of, ensure_ascii=False, allow_nan=False)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - as above
        simple = {name: plain(value, sys.maxsize) for name, value in whole.items()}
        return json.dumps(simple, ensure_ascii=False)


def message_of(record: logging.LogRecord) -> str:
    """Return a record's text, for any message and arguments."""
    args = record.args
    return presentable(record.msg, args if isinstance(args, tuple) else () if args is None else (args,))[2]


def tell_of_lost_line(error: BaseException) -> None:
    """Say on stderr, as `logging` does, that a line was lost because a handler raised."""
    if not logging.raiseExceptions or sys.stderr is None:
        return
    try:
        raised = on_one_line(_name(error))
        sys.stderr.write(f"jobmaster: a log line was lost: a logging handler raised {raised}\n")
    except (OSError, ValueError):
        return
