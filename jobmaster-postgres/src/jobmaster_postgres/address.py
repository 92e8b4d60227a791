"""What a `postgresql://` URL says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import psycopg
from attrs import field, frozen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from jobmaster.errors import ConfigurationError

_DEFAULT_CONNECTIONS: Final = 4
_MOST_CONNECTIONS: Final = 100
_OWN_OPTIONS: Final = frozenset({"pgbouncer", "schema", "connections"})
_EXAMPLE: Final = "postgresql://user:password@host:5432/database"


@frozen(kw_only=True)
class Address:
    """Where a database is, and how it is reached.

    `parameters` are libpq's. `pooled` means through PgBouncer in transaction mode, where a connection is
    another one in every transaction. `connections` is the most that one process opens for its work.
    """

    parameters: Mapping[str, Any] = field(repr=False)
    connections: int = _DEFAULT_CONNECTIONS
    schema: str | None = None
    pooled: bool = False

    def __str__(self) -> str:
        """Return a name for messages, without user and password."""
        host = self.parameters.get("host") or self.parameters.get("hostaddr") or "localhost"
        return f"PostgreSQL at {host}:{self.parameters.get('port', 5432)}/{self.parameters.get('dbname', '')}"


def parse_address(url: str) -> Address:
    """Return what a URL says; raises `ConfigurationError` naming the remedy for one that is wrong.

    Options beyond libpq's: `pgbouncer=transaction`, `schema=name` and `connections=n`.
    """
    base, _, query = url.partition("?")
    own, others = _split_options(query)
    pooled, schema = _pooled(own.get("pgbouncer")), own.get("schema")
    if schema is not None and pooled:
        msg = "schema= cannot be used with pgbouncer=transaction; set the search_path of the role instead"
        raise ConfigurationError(msg)
    return Address(
        parameters=_libpq_parameters(f"{base}?{others}" if others else base),
        connections=_connections(own.get("connections")),
        schema=schema,
        pooled=pooled,
    )


def _split_options(query: str) -> tuple[dict[str, str], str]:
    """Return our own options, and the others as they were: libpq decodes them in its own way."""
    own, others = {}, []
    for option in query.split("&"):
        name, _, value = option.partition("=")
        if name in _OWN_OPTIONS:
            own[name] = unquote(value)
        elif option:
            others.append(option)
            if "@" not in query:  # else it is a part of the password, and must not be shown
                _check_is_libpqs(name)
    return own, "&".join(others)


def _check_is_libpqs(name: str) -> None:
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    if unquote(name) not in known | {"ssl"}:
        msg = (
            f"the PostgreSQL URL has an unknown option {unquote(name)!r}; JobMaster's are "
            f"{', '.join(sorted(_OWN_OPTIONS))}, the others are libpq's (a table prefix is set by "
            "configure(table_prefix=...))"
        )
        raise ConfigurationError(msg)


def _pooled(value: str | None) -> bool:
    if value not in (None, "transaction", "session"):
        msg = f"pgbouncer={value!r} is no mode; use pgbouncer=transaction, or leave it out for session mode"
        raise ConfigurationError(msg)
    return value == "transaction"


def _connections(value: str | None) -> int:
    if value is None:
        return _DEFAULT_CONNECTIONS
    if not value.isdecimal() or not 1 <= int(value) <= _MOST_CONNECTIONS:
        msg = f"connections={value!r}: use a number from 1 to {_MOST_CONNECTIONS}"
        raise ConfigurationError(msg)
    return int(value)


def _libpq_parameters(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        # libpq's message, and the error it would be chained to, can quote the password.
        msg = f"the PostgreSQL URL cannot be understood; write it as {_EXAMPLE}, with % codes for special characters"
        raise ConfigurationError(msg) from None
