"""The contents of a `postgresql://` URL."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import unquote

import psycopg
from attrs import field, frozen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from jobmaster.errors import ConfigurationError
from jobmaster.urls import CODES, UrlParts, split
from jobmaster.veils import Veil, quoting_nothing

_DEFAULT_CONNECTIONS: Final = 4
_MOST_CONNECTIONS: Final = 100
_OWN_OPTIONS: Final = frozenset({"pgbouncer", "schema", "connections"})
_LONGEST_NAME: Final = 63
"""Bytes. PostgreSQL would truncate a longer name."""
_RELIED_ON: Final[Mapping[str, Sequence[str]]] = {
    "client_encoding": ("utf8", "utf-8", "unicode"),
    "standard_conforming_strings": ("on", "true", "yes", "1"),
    "row_security": ("on", "true", "yes", "1"),
    "default_transaction_isolation": ("read committed", "read\\ committed"),
}
"""Settings that JobMaster controls, with the values that do not contradict it."""
_OPTION: Final = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w-]*)=((?:\\.|\S)*)", re.DOTALL)
"""A setting in libpq's `options`."""
_EXAMPLE: Final = "postgresql://user:password@host:5432/database"
_DATABASE: Final = re.compile(r"/?(?:[^/@:&=]|%[0-9A-Fa-f]{2})*")
"""A path that names a database. Other characters belong to a password, or have to be written as % codes."""
_SHOWN: Final = frozenset({"host", "hostaddr", "port", "dbname"})
"""Parameters that messages show."""
_CLEAR: Final[Mapping[str, re.Pattern[str]]] = {
    "host": re.compile(r"[\w.,:-]*|/[\w./-]*"),
    "hostaddr": re.compile(r"[0-9A-Fa-f.:,]*"),
    "port": re.compile(r"[0-9,]*"),
    "dbname": re.compile(r"[\w.~$ -]*"),
}
"""What these look like in the environment unless a URL or a password ended up there."""
_HARMLESS: Final = frozenset(
    {"disable", "allow", "prefer", "require", "verify-ca", "verify-full", "any", "system"}
)
"""Values of options that are libpq's own keywords."""
_SETTING: Final = re.compile(
    r"-c\s*(?:\w+_timeout|default_\w+|search_path|synchronous_commit|default_transaction_\w+|timezone|datestyle|client_encoding|work_mem|role)="
)
"""Settings in `options` whose names are words that servers use elsewhere too: their values are hidden, the names are not."""


@frozen(kw_only=True)
class Address:
    """The location of a database, and how to reach it.

    `parameters` are libpq's. `pooled` means through PgBouncer in transaction mode, where every transaction may get another
    connection. `connections` is the maximum number that one process opens for its work.
    """

    parameters: Mapping[str, Any] = field(repr=False)
    connections: int = _DEFAULT_CONNECTIONS
    schema: str | None = None
    pooled: bool = False
    veil: Veil = field(init=False, repr=False, eq=False)
    """Hides in messages of libpq and servers the values they were given: users and options as well as passwords."""

    @veil.default
    def _of_parameters(self) -> Veil:
        given = {**_environment(), **self.parameters}
        hidden = [_SETTING.sub(" ", str(value)) for name, value in given.items() if name not in _SHOWN]
        hidden += [
            value for name, value in _environment().items() if name in _SHOWN and not _is_clear(name, value)
        ]
        words = [word for value in hidden for word in (value, *re.split(r"[\s=,]+", value))]
        return Veil([word for word in words if word not in _HARMLESS])

    def __str__(self) -> str:
        """Return a name for messages, without user and password."""
        clear = {name: value for name, value in _environment().items() if _is_clear(name, value)}
        given = {**clear, **self.parameters}
        host = given.get("host") or given.get("hostaddr") or "localhost"
        return f"PostgreSQL at {host}:{given.get('port', 5432)}/{given.get('dbname', '')}"


def _environment() -> dict[str, str]:
    """Return the values that libpq takes from the environment, by parameter."""
    found = {option.keyword.decode(): (option.envvar or b"").decode() for option in Conninfo.get_defaults()}
    return {name: os.environ[variable] for name, variable in found.items() if os.environ.get(variable)}


def _is_clear(name: str, value: str) -> bool:
    return name in _CLEAR and _CLEAR[name].fullmatch(value) is not None


def parse_address(url: str) -> Address:
    """Return the address in a URL; raises `ConfigurationError` naming the remedy for a wrong URL.

    Options beyond libpq's: `pgbouncer=transaction`, `schema=name` and `connections=n`.
    """
    parts = _clear_parts(url)
    own, others = _split_options(parts.query)
    base = url.removesuffix(parts.query)
    parameters = _libpq_parameters(base.removesuffix("?") + (f"?{others}" if others else ""))
    _check_relied_on(parameters)
    return Address(
        parameters=parameters,
        connections=_connections(own.get("connections")),
        schema=_schema(own.get("schema")),
        pooled=_pooled(own.get("pgbouncer")),
    )


def _clear_parts(url: str) -> UrlParts:
    """Return a URL's parts if they are unambiguous: libpq and servers quote the others, which may contain a password."""
    parts = split(url)
    if parts is None or not _DATABASE.fullmatch(parts.path):
        raise _not_understood()
    return parts


def _not_understood() -> ConfigurationError:
    return quoting_nothing(f"the PostgreSQL URL cannot be parsed; write it as {_EXAMPLE}, and {CODES}")


def _split_options(query: str) -> tuple[dict[str, str], str]:
    """Return our own options, and the others unchanged: libpq decodes them in its own way."""
    own, others = {}, []
    for option in query.split("&"):
        name, _, value = option.partition("=")
        if name in _OWN_OPTIONS:
            own[name] = unquote(value)
        elif option:
            others.append(option)
            _check_is_libpqs(unquote(name))
    return own, "&".join(others)


def _check_is_libpqs(name: str) -> None:
    """Refuse an unknown option without showing it: it may be the end of a password that contains a `&` or `?`."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl"}
    if name in known:
        return
    guess = get_close_matches(name, sorted(known | _OWN_OPTIONS), n=1)
    hint = f" (did you mean {guess[0]}?)" if guess else ""
    msg = (
        f"the PostgreSQL URL has an unknown option{hint}; JobMaster's are {', '.join(sorted(_OWN_OPTIONS))}, the others "
        f"are libpq's (a table prefix is set by configure(table_prefix=...)); {CODES}"
    )
    raise quoting_nothing(msg)


def _schema(value: str | None) -> str | None:
    """Return a schema's name with any characters; raises `ConfigurationError` for an impossible name."""
    if value is None:
        return None
    size = len(value.encode(errors="replace"))
    if not value or "\0" in value or "\ufffd" in value or size > _LONGEST_NAME:
        msg = (
            f"schema: a schema's name has 1 to {_LONGEST_NAME} bytes of UTF-8, none of them 0; "
            "write it in the URL with % codes for special characters, or leave it out for the user's search_path"
        )
        raise quoting_nothing(msg)
    return value


def _check_relied_on(parameters: Mapping[str, Any]) -> None:
    """Refuse settings that contradict those JobMaster relies on: texts are UTF-8, and the rest follows our own settings."""
    given = [("client_encoding", str(parameters.get("client_encoding", "utf8")))]
    given += [
        (name.lower().replace("-", "_"), value.replace("\\", ""))
        for name, value in _OPTION.findall(str(parameters.get("options", "")))
    ]
    for name, value in given:
        allowed = _RELIED_ON.get(name)
        if allowed is not None and value.strip("'\" ").lower() not in allowed:
            msg = f"the PostgreSQL URL sets {name}, which JobMaster relies on to be {allowed[0]}; leave it out of the URL"
            raise quoting_nothing(msg)


def _pooled(value: str | None) -> bool:
    if value not in (None, "transaction", "session"):
        msg = "pgbouncer: there is no such mode; use pgbouncer=transaction, or leave it out for session mode"
        raise quoting_nothing(msg)
    return value == "transaction"


def _connections(value: str | None) -> int:
    if value is None:
        return _DEFAULT_CONNECTIONS
    if not value.isdecimal() or not 1 <= int(value) <= _MOST_CONNECTIONS:
        msg = f"connections: use a number from 1 to {_MOST_CONNECTIONS} in the URL"
        raise quoting_nothing(msg)
    return int(value)


def _libpq_parameters(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        pass  # libpq's message, and the error it would be chained to, can quote the password
    raise _not_understood()
