"""Importing modules that users name: where they are found, and errors that name the user's own line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from jobmaster._process.places import frames_of_user, frames_outside
from jobmaster.errors import ConfigurationError, JobMasterError

_folders: list[Path] = []
"""The folders that were put on the path for an application: installed packages are not there."""


def look_in(name: str, folders: Iterable[Path]) -> None:
    """Make a module importable from some folders if it is found nowhere else.

    They come last on the path: other users may be able to write there, and must not replace installed packages.
    """
    if is_found(name.partition(".")[0]):
        return
    known = {Path(one or Path.cwd()) for one in sys.path}
    for folder in folders:
        if folder not in known:
            sys.path.append(str(folder))
            known.add(folder)
            _folders.append(folder)


def is_found(name: str) -> bool:
    """Whether a module with a name exists; its parent is imported."""
    try:
        return name in sys.modules or find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def passed_over(name: str, folders: Iterable[Path]) -> tuple[Path, Path] | None:
    """Return where a module comes from, and the module of the same name in one of the folders that it shadows."""
    top = name.partition(".")[0]
    taken = getattr(sys.modules.get(top), "__spec__", None) or (find_spec(top) if is_found(top) else None)
    for folder in folders:
        there = PathFinder.find_spec(top, [str(folder)])
        if taken and taken.origin and there and there.origin and taken.origin != there.origin:
            return Path(taken.origin), Path(there.origin)
    return None


def is_installed(entry: EntryPoint) -> bool:
    """Whether an entry point belongs to an installed package, not to one in an application's folder."""
    return entry.dist is None or Path(str(entry.dist.locate_file(""))) not in _folders


def import_named(where: str, name: str) -> ModuleType:
    """Import a module; raises `ConfigurationError` saying which module is missing, or what the module raised and where."""
    try:
        return _imported(where, name)
    except ModuleNotFoundError as error:
        msg = f"{where}: there is no module {error.name!r}; check the name and the Python path"
        raise ConfigurationError(msg) from error


def _imported(where: str, name: str) -> ModuleType:
    with failing_at(f"{where}: importing {name!r}", missing=name):
        return importlib.import_module(name)


@contextmanager
def failing_at(doing: str, *, missing: str | None = None) -> Iterator[None]:
    """Within the block, raise errors of user code as a `ConfigurationError` that names the user's line.

    `doing` says what was tried. A `ModuleNotFoundError` about the module `missing` itself is let through, and so are
    JobMaster's own errors that are not caused by the configuration.
    """
    try:
        yield
    except SystemExit as error:
        why = f'{_told(error)}; code that runs the program belongs below `if __name__ == "__main__":`'
        raise ConfigurationError(f"{doing} ended the process: {why}") from error
    except Exception as error:
        if _is_about(error, missing) or _is_no_fault(error):
            raise
        raise ConfigurationError(f"{doing} failed: {_told(error)}") from error


def _is_about(error: Exception, module: str | None) -> bool:
    """Whether the missing module is the module itself, or a package that contains it."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return False
    return f"{module}.".startswith(f"{error.name}.") and not frames_of_user(error)


def _is_no_fault(error: Exception) -> bool:
    return isinstance(error, JobMasterError) and not isinstance(error, ConfigurationError)


def _told(error: Exception | SystemExit) -> str:
    """Return the text of an error, and its place."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno}){_picture(error)}"
    text = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
    first, *rest = text.split("\n")
    return "\n".join([first + _hint(error) + _place(error, text), *rest])


def _hint(error: BaseException) -> str:
    is_missing = isinstance(error, ModuleNotFoundError)
    return f"; install it for the Python that runs this ({sys.executable})" if is_missing else ""


def _picture(error: SyntaxError) -> str:
    """Return the invalid line, with a mark below the place, as separate lines."""
    text = (error.text or "").rstrip()
    column = (error.offset or 0) - 1 - (len(text) - len(text.lstrip()))
    mark = f"\n    {' ' * column}^" if column >= 0 else ""
    return f"\n    {text.strip()}{mark}" if text else ""


def _place(error: BaseException, text: str) -> str:
    """Return the user's line that failed, and the line that led there from another file."""
    frames = frames_of_user(error) or frames_outside(error)
    if not frames or f"{frames[-1].filename}:{frames[-1].lineno}" in text:
        return ""
    inner, outer = frames[-1], frames[0]
    by = f"; imported by {outer.filename}, line {outer.lineno}" if inner.filename != outer.filename else ""
    return f" ({inner.filename}, line {inner.lineno}{by})"
