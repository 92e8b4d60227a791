"""URLs of a configuration file: paths in them are relative to that file, not to the process that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

from jobmaster.urls import split

_FILES: Final = frozenset({"sqlite"})
"""Schemes whose URLs name a file."""
_SERVERS: Final = frozenset({"postgresql", "postgres"})
_PATHS: Final = frozenset({"sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir", "passfile"})
"""Options of servers' URLs that name a file on this host."""
_WORDS: Final = frozenset({"", "system"})
"""Values of these options that do not name a file."""


def beside(url: Any, folder: Path) -> Any:
    """Return a URL with its relative paths based on a folder; other values and unclear URLs are returned unchanged."""
    if not isinstance(url, str):
        return url
    scheme = url.partition("://")[0].rpartition("+")[2].lower()
    if scheme in _FILES:
        return _with_file(url, folder)
    parts = split(url) if scheme in _SERVERS else None
    return url if parts is None else _with_options(url, parts.query, folder)


def _with_file(url: str, folder: Path) -> str:
    head, mark, rest = url.partition(":///")
    name, query, options = rest.partition("?")
    if not mark or name in {"", ":memory:"} or "@" in name or Path(unquote(name)).is_absolute():
        return url
    return f"{head}:///{_quoted(folder)}/{name}{query}{options}"


def _quoted(folder: Path) -> str:
    return quote(folder.as_posix().rstrip("/"), safe="/:")


def _with_options(url: str, query: str, folder: Path) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    moved = [(name, _moved(name, value, folder)) for name, value in pairs]
    if moved == pairs:
        return url
    options = "&".join(f"{quote(name, safe='')}={quote(value, safe='/:')}" for name, value in moved)
    return url.removesuffix(query) + options


def _moved(name: str, value: str, folder: Path) -> str:
    is_path = name in _PATHS and value not in _WORDS and not value.startswith("~")
    return str(folder / value) if is_path else value


def urls_beside(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration in which the URLs of all databases are relative to a folder."""
    moved = {key: _table(value, folder) for key, value in values.items() if key in {"move_to", "archive_to"}}
    if isinstance(agents := values.get("agents"), list):
        moved["agents"] = [_table(agent, folder) for agent in agents]
    if "master" in values:
        moved["master"] = beside(values["master"], folder)
    return {**values, **moved}


def _table(value: Any, folder: Path) -> Any:
    has_url = isinstance(value, Mapping) and "url" in value
    return {**value, "url": beside(value["url"], folder)} if has_url else value
