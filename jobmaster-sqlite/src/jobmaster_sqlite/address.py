"""The contents of a `sqlite://` URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from attrs import frozen

from jobmaster._process.files import OWNER_ONLY, checked_mode
from jobmaster.errors import ConfigurationError
from jobmaster.urls import CODES, split

SYNCHRONOUS: Final = frozenset({"full", "normal"})
_EXAMPLE: Final = "sqlite:///jobs.db (in the working directory) or sqlite:////var/lib/app/jobs.db"


@frozen(kw_only=True)
class Address:
    """A database file, and how durably it is written.

    `synchronous` is `full` (a commit is on disk) or `normal` (a power cut can lose the last commits, the end of a process
    cannot). `file_mode` is the mode of a newly created file.
    """

    path: Path
    synchronous: str = "full"
    file_mode: int = OWNER_ONLY


def parse_address(url: str) -> Address:
    """Return the address in a URL; raises `ConfigurationError` naming the remedy for a wrong URL.

    `sqlite:///x` is a path relative to the working directory, `sqlite:////x` an absolute one. Messages show nothing of the
    URL: a user who means a server may have given a password.
    """
    parts = split(url)
    # Messages show the path. An absolute path begins with another slash; a user with a password does not.
    if parts is None or ("@" in parts.path and not parts.path.startswith("//")):
        msg = f"the sqlite URL cannot be parsed; write {_EXAMPLE}, and {CODES}"
        raise ConfigurationError(msg)
    if parts.hosts or parts.user_info is not None:
        msg = (
            f"the sqlite URL names a host: sqlite has no host, so three slashes come first: write {_EXAMPLE}"
        )
        raise ConfigurationError(msg)
    name = unquote(parts.path).removeprefix("/")
    if not name:
        msg = f"the sqlite URL names no file; write {_EXAMPLE}"
        raise ConfigurationError(msg)
    if name == ":memory:":
        msg = "the sqlite URL: a database in memory is not shared between connections; use memory:// instead"
        raise ConfigurationError(msg)
    return Address(path=Path(name).absolute(), **_options(parts.query))


def _options(query: str) -> dict[str, Any]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    synchronous = options.pop("synchronous", "full").lower()
    if synchronous not in SYNCHRONOUS:
        msg = f"the sqlite URL: synchronous: use one of {', '.join(sorted(SYNCHRONOUS))}"
        raise ConfigurationError(msg)
    file_mode = checked_mode("the sqlite URL: file_mode", options.pop("file_mode", OWNER_ONLY))
    if options:
        msg = "the sqlite URL has an unknown option; there are synchronous=full|normal and file_mode, such as file_mode=0640"
        raise ConfigurationError(msg)
    return {"synchronous": synchronous, "file_mode": file_mode}
