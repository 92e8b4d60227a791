"""Files that JobMaster creates: accessible to their owner only by default, and never written through others' links."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from jobmaster.errors import ConfigurationError

OWNER_ONLY: Final = 0o600
"""The mode of a new file: only its owner reads and writes it."""
_FOLDER_MODE: Final = 0o700
_ALLOWED: Final = 0o666
_MODE: Final = re.compile(r"0?[0-7]{3}")
_AS_IT_IS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)
"""Opening does not wait for a pipe without a reader."""


def checked_mode(setting: str, value: Any) -> int:
    """Return the mode that a file gets: a number such as `0o640`, or a text such as `0640`.

    The owner can read and write the file, and it is not executable. Raises `ConfigurationError` for any other mode.
    """
    mode = int(value, 8) if isinstance(value, str) and _MODE.fullmatch(value) else value
    if type(mode) is not int or mode & OWNER_ONLY != OWNER_ONLY or mode & ~_ALLOWED:
        given = value if type(value) is int else "this"  # a text may be a mistake, and part of a password
        msg = (
            f"{setting}: {given} is not a file mode with which the owner can read and write; use for example "
            "0640 (the group can read it), in code 0o640; the default is 0600"
        )
        raise ConfigurationError(msg)
    return mode


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, each accessible to its owner only. Raises `OSError`."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    path.mkdir(exist_ok=True)


def make_file(path: Path, mode: int) -> None:
    """Create an empty file, unless something exists there. The umask does not apply to its mode. Raises `OSError`."""
    with suppress(FileExistsError):
        os.close(_made(path, os.O_RDWR, mode))


def open_to_append(path: Path, mode: int) -> int:
    """Return a descriptor of a file opened for appending, created if missing; the mode also applies to an existing file.

    Raises `ConfigurationError` unless it is a regular file of this user alone, `OSError` if it cannot be opened.
    """
    try:
        return _made(path, os.O_WRONLY | os.O_APPEND, mode)
    except FileExistsError:
        return _found(path, mode)


def _made(path: Path, flags: int, mode: int) -> int:
    return _with_mode(os.open(path, flags | os.O_CREAT | os.O_EXCL | _AS_IT_IS, OWNER_ONLY), mode)


def _with_mode(file: int, mode: int) -> int:
    if hasattr(os, "fchmod"):
        os.fchmod(file, mode)
    return file


def _found(path: Path, mode: int) -> int:
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | _AS_IT_IS | _AT_ONCE)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise _refused(path, "is a symbolic link") from error
        if error.errno == errno.ENXIO:
            raise _refused(path, "is not a regular file") from error
        raise
    if (fault := _fault(os.fstat(file))) is not None:
        os.close(file)
        raise _refused(path, fault)
    return _with_mode(file, mode)


def _refused(path: Path, fault: str) -> ConfigurationError:
    return ConfigurationError(f"{path} {fault}; choose a folder that only you can write to")


def _fault(found: os.stat_result) -> str | None:
    """Return why an open file must not be written to; None if it may be."""
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        return "belongs to another user"
    return "has another name as well (a hard link)" if found.st_nlink > 1 else None


def check_link(path: Path) -> None:
    """Raise `ConfigurationError` for another user's symbolic link, which can lead anywhere. Raises no `OSError`."""
    with suppress(OSError):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) and hasattr(os, "geteuid") and found.st_uid not in {0, os.geteuid()}:
            msg = f"{path} is a symbolic link of another user; name its target, in a folder of your own"
            raise ConfigurationError(msg)


def is_wider(path: Path, mode: int) -> bool:
    """Whether more users can access a file than a mode allows. Raises `OSError`."""
    return bool(stat.S_IMODE(path.stat().st_mode) & ~mode & _ALLOWED)


def check_regular(path: Path) -> None:
    """Raise `ConfigurationError` for a pipe, a device and the like. Raises no `OSError`."""
    with suppress(OSError):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            msg = f"{path} is not a regular file; name another one"
            raise ConfigurationError(msg)
