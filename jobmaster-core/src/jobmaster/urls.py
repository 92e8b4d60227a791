"""URLs of stores, and the only way in which they, or values that may be URLs, become visible text.

A password can be anywhere in a mistyped URL: in the place of the user, the host, the port, the database, an option or
its value, and with an `@`, a `/` or a `?` in it, it splits the URL in the wrong place. So nothing of a URL is shown
unless it is clear which part is which, and then only scheme, host and path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from attrs import frozen

from jobmaster._text.showing import shown as shown_value

HIDDEN: Final = "(hidden, since it may hold a password)"
"""The placeholder in messages for a value that is not shown."""
CODES: Final = (
    "write special characters of user and password as % codes: %40 for @, %2F for /, %3F for ?, %23 for #"
)
"""The remedy for most mistakes in URLs."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_HOST: Final = re.compile(r"(?:[\w.~-]|%[0-9A-Fa-f]{2})*|\[[0-9A-Fa-f:.]+(?:%[\w.~-]+)?\]")
_PORT: Final = re.compile(r"[0-9]{0,5}")
_DATABASE: Final = re.compile(r"/?[\w.~$ -]*")
_OPTION: Final = re.compile(r"[A-Za-z_][\w.-]*=[^=]*|")
_LONGEST: Final = 800
"""Characters up to which a refused value is shown in full."""


class StoreUrl(str):
    """The URL of a store: a string, except for its `repr`, which shows what `shown` returns."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the part that may be shown."""
        return f"<{shown(self)}>"


def store_url(value: Any) -> Any:
    """Return text as a `StoreUrl`; other values are left to the check."""
    return StoreUrl(value) if isinstance(value, str) else value


@frozen(kw_only=True, repr=False)
class UrlParts:
    """The parts of a clear URL, as they are written, with their % codes."""

    scheme: str
    """In lower case."""
    user_info: str | None = None
    """User and password; None without an `@`."""
    hosts: str = ""
    """With ports; several are separated by commas."""
    path: str = ""
    """With the slash that it starts with."""
    query: str = ""


def split(url: str) -> UrlParts | None:
    """Return the parts of a URL; None if it is not clear which is which, so that all of it may be a secret.

    User and password end at the first `@` before a slash, as in libpq: they may hold a `?` or a `#`. Elsewhere these,
    an `@` or a character that is invalid in a host or port are the rest of a password that was not written in % codes.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme) or not rest.isprintable():
        return None
    before, at, after = rest.partition("@")
    user_info = before if at and "/" not in before else None
    where, query_mark, query = (rest if user_info is None else after).partition("?")
    hosts, slash, path = where.partition("/")
    is_clear = (
        all(_is_host(host) for host in hosts.split(","))
        and "#" not in path
        and ("@" not in path or not (hosts or user_info is not None or ":" in path))
        and not (query_mark and not _are_options(query))
    )
    if not is_clear:
        return None
    return UrlParts(scheme=scheme.lower(), user_info=user_info, hosts=hosts, path=slash + path, query=query)


def _is_host(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return bool(_HOST.fullmatch(text))
    return bool(_HOST.fullmatch(host) and _PORT.fullmatch(port))


def _are_options(query: str) -> bool:
    """Whether a query is valid, if it contains what could be the end of a password."""
    return "@" not in query or all(_OPTION.fullmatch(option) for option in query.split("&"))


def scheme_of(url: Any) -> str:
    """Return the scheme of a URL in lower case, not to be shown unless it is known; empty if it has none."""
    scheme, mark, _ = str.__str__(url).partition("://") if isinstance(url, str) else ("", "", "")
    return scheme.lower() if mark and _SCHEME.fullmatch(scheme) else ""


def url_fault(value: Any, example: str = "sqlite:///jobs.db") -> str | None:
    """Return what is wrong with a given URL, and the remedy, without showing it; None for a clear one."""
    remedy = f"write it as scheme://…, for example {example}"
    if not isinstance(value, str):
        return f"a {type(value).__name__} is not a URL; {remedy}"
    if not scheme_of(value):
        return f"the value is not a URL {HIDDEN}; {remedy}"
    if split(value) is None:
        return f"the URL cannot be parsed {HIDDEN}; {CODES}"
    return None


# What may be shown


_KNOWN: Final = frozenset({"memory", "sqlite", "postgresql", "postgres", "nats", "tls"})


def shown(url: Any, known: Iterable[str] = _KNOWN) -> str:
    """Return the parts of a URL without secrets, such as `postgresql://…@db.example:5432/jobs?…`, or that it is hidden."""
    scheme = scheme_of(url)
    if scheme not in known:
        return f"a URL {HIDDEN}"
    parts = split(url)
    if parts is None or "@" in parts.query:
        return f"a {scheme}:// URL {HIDDEN}"
    user = "" if parts.user_info is None else "…@"
    path = _shown_database(parts.path) if parts.hosts else _shown_file(parts.path)
    return f"{scheme}://{user}{parts.hosts}{path}{'?…' if parts.query else ''}"


def _shown_database(path: str) -> str:
    return path if _DATABASE.fullmatch(path) else "/…"


def _shown_file(path: str) -> str:
    return "/".join("…" if "@" in part else part for part in path.split("/"))


def said(value: Any) -> str:
    """Return a refused value of a setting as messages show it: hidden if it may be, or contain, a URL.

    Arguments get swapped and variables mixed up, so that a URL may be where a name or a number belongs.
    """
    if isinstance(value, str):
        if not may_be_url(value):
            return shown_value(str.__str__(value), _LONGEST)
        return HIDDEN if split(value) is None or scheme_of(value) not in _KNOWN else shown(value)
    if isinstance(value, bytes | bytearray):
        return HIDDEN
    if isinstance(value, Iterable) and not isinstance(value, range):
        return shown_value(value, _LONGEST) if _is_harmless(value) else _withheld(value)
    text = shown_value(value, _LONGEST)
    return _withheld(value) if may_be_url(text) else text


def said_secret(value: Any) -> str:
    """Return a refused value of a setting that is or contains a secret, as messages show it: only if it cannot be one."""
    return repr(value) if value is None or isinstance(value, bool | int | float) else _withheld(value)


def _withheld(value: Any) -> str:
    return f"a {type(value).__name__} {HIDDEN}"


def said_path(path: object) -> str:
    """Return a path as messages show it, unless it may be a URL in the wrong place."""
    return HIDDEN if may_be_url(str(path)) else str(path)


def hidden(value: Any) -> str:
    """Return how messages show a provider's own settings: hidden, unless empty."""
    return HIDDEN if value else repr(value)


def may_be_url(text: str) -> bool:
    """Whether a text may be, or contain, the URL of a store or an equivalent, even a malformed one."""
    lower = text.lower()
    return any(mark in lower for mark in ("@", "://", ":/", "password", "passwd", "pwd=", "host=", "user="))


def _is_harmless(values: Iterable[Any]) -> bool:
    """Whether a collection contains nothing to hide; collections that are nested deeper than a table count as unsafe."""
    if isinstance(values, dict):
        return all(_is_plain(one) for pair in values.items() for one in pair)
    return isinstance(values, list | tuple | set | frozenset) and all(_is_plain(one) for one in values)


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return not may_be_url(value)
    return value is None or isinstance(value, int | float)


def secrets_in(url: str, known: Iterable[str] = _KNOWN) -> list[str]:
    """Return what may be a secret: user, password and options of a URL, or the whole URL if it is not clear."""
    parts = split(url)
    if parts is None or parts.scheme not in known:
        return [url]
    users = [] if parts.user_info is None else [parts.user_info, *parts.user_info.split(":", 1)]
    values = [option.partition("=")[2] or option for option in parts.query.split("&")]
    shown = _shown_database if parts.hosts else _shown_file
    return [*users, *values, *([] if shown(parts.path) == parts.path else [parts.path])]
