"""What a `sqlite://` URL says."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import frozen

from jobmaster.errors import ConfigurationError

SYNCHRONOUS: Final = frozenset({"full", "normal"})
_EXAMPLE: Final = "sqlite:///jobs.db (beside the working directory) or sqlite:////var/lib/app/jobs.db"


@frozen(kw_only=True)
class Address:
    """A database file, and how safely it is written.

    `synchronous` is `full` (a commit is on disk) or `normal` (a power cut can lose the last commits, the
    end of a process cannot).
    """

    path: Path
    synchronous: str = "full"


def parse_address(url: str) -> Address:
    """Return what a URL says; raises `ConfigurationError` naming the remedy for one that is wrong.

    `sqlite:///x` is a path relative to the working directory, `sqlite:////x` an absolute one.
    """
    parts = urlsplit(url)
    if parts.netloc:
        msg = f"{url!r}: sqlite has no host, so three slashes come first: write {_EXAMPLE}"
        raise ConfigurationError(msg)
    name = unquote(parts.path).removeprefix("/")
    if not name:
        msg = f"{url!r} names no file; write {_EXAMPLE}"
        raise ConfigurationError(msg)
    if name == ":memory:":
        msg = f"{url!r}: a database in memory is not shared between connections; use memory:// instead"
        raise ConfigurationError(msg)
    return Address(path=Path(name).absolute(), synchronous=_synchronous(url, parts.query))


def _synchronous(url: str, query: str) -> str:
    options = dict(parse_qsl(query, keep_blank_values=True))
    synchronous = options.pop("synchronous", "full").lower()
    if synchronous not in SYNCHRONOUS:
        msg = f"{url!r}: synchronous is {synchronous!r}; use one of {', '.join(sorted(SYNCHRONOUS))}"
        raise ConfigurationError(msg)
    if options:
        msg = f"{url!r}: unknown option {', '.join(sorted(options))}; the only one is synchronous=full|normal"
        raise ConfigurationError(msg)
    return synchronous
