"""Which line of source caused an error: the user's, not JobMaster's and not a library's."""

from __future__ import annotations

import ast
import linecache
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Final

from jobmaster.errors import ConfigurationError, InvalidExpressionError

_OURS: Final = frozenset(
    {
        "jobmaster",
        "jobmaster_sql",
        "jobmaster_sqlite",
        "jobmaster_postgres",
        "jobmaster_testing",
        "naturalcron",
    }
)
"""Packages whose lines are not the user's, wherever they are installed."""
_MACHINERY: Final = frozenset({"importlib", "_frozen_importlib", "_frozen_importlib_external", "contextlib"})


def placed(what: str, error: Exception) -> ConfigurationError:
    """Return an error about `what` that names the user's line that is running."""
    place = line_of_caller()
    if isinstance(error, InvalidExpressionError):
        return error.about(what, place)
    first, *more = str(error).split("\n")
    return ConfigurationError("\n".join([f"{what}: {first} ({place})", *more]))


def line_of_caller() -> str:
    """Return file and line of the nearest caller outside JobMaster, and the name that is decorated there.

    `send_welcome, /srv/app/mail.py:12`, or without the name if nothing is decorated.
    """
    frame = next((one for one in _callers() if not _is_ours(one)), None)
    if frame is None:
        return "in JobMaster itself"
    file, line = frame.f_code.co_filename, frame.f_lineno
    name = _decorated(file, line)
    return f"{name}, {file}:{line}" if name else f"{file}:{line}"


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as `warnings` does for its `stacklevel`
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    """Whether a frame belongs to one of our packages, or to code that attrs generated for one."""
    return _package(frame) in _OURS or frame.f_code.co_filename.startswith("<attrs generated")


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _decorated(file: str, line: int) -> str | None:
    """Return the name of the function or class whose decorator is on a line, if the source can be read."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                if decorator.lineno <= line <= (decorator.end_lineno or line):
                    return node.name
    return None


# Frames of errors


def frames_outside(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames that an error passed through, without our own and the import machinery's."""
    own = [_package(frame) for frame, _ in traceback.walk_tb(error.__traceback__)]
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame, name in zip(frames, own, strict=True) if name not in _OURS | _MACHINERY]


def frames_of_user(error: BaseException) -> list[traceback.FrameSummary]:
    """Return those of them that are not in a library."""
    return [frame for frame in frames_outside(error) if not _is_of_library(frame.filename)]


def _is_of_library(filename: str) -> bool:
    path = Path(filename)
    if filename.startswith("<frozen") or {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.is_relative_to(folder) for folder in _libraries())


@cache
def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    installed = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return (*installed, *site.getsitepackages())
