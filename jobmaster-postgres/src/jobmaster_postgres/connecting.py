"""Opening a connection to one host of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import TextBinaryLoader

from jobmaster.errors import ConfigurationError
from jobmaster_postgres.address import Address
from jobmaster_postgres.arrays import register_arrays
from jobmaster_postgres.schema import DEFAULT, PATH, SAFE_PATH, Finder, no_schema
from jobmaster_postgres.wire import Native

_OLDEST: Final = 130000
_CUTS_IDLE: Final = 140000
"""The first version that may end idle sessions."""
_KEEPALIVES: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A server that vanished silently is noticed after 25 seconds, even on a connection that only listens."""


_DEFAULTS: Final = {"application_name": "jobmaster", "client_encoding": "utf8", **_KEEPALIVES}
_SET_UP: Final = """
    SELECT pg_catalog.set_config(s.name, s.value, %s::pg_catalog.bool),
      EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) %s::pg_catalog.name)
    FROM ROWS FROM (pg_catalog.unnest(%s::pg_catalog.text[]), pg_catalog.unnest(%s::pg_catalog.text[])) AS s (name, value)
"""
_RELIED_ON: Final = {
    "search_path": SAFE_PATH,
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "row_security": "on",
    "default_transaction_isolation": "read committed",
}
"""The meaning of our statements depends on these: neither the role's settings nor the URL's `options` override them."""


class _Adapters:
    """Where psycopg looks up types and their formats."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(psycopg.adapters)
        # One type for all integers: otherwise each mix of small and large ones would be a separate statement.
        self.adapters.register_dumper(int, Int8BinaryDumper)
        # JSON is decoded where it is used.
        self.adapters.register_loader("json", TextBinaryLoader)
        register_arrays(self)


_ADAPTERS: Final = _Adapters()


async def connect(
    address: Address, time_limit: float, host: Mapping[str, Any] | None = None, finder: Finder | None = None
) -> Native:
    """Open a connection in autocommit mode whose statements take at most `time_limit` seconds.

    `host` selects one of the address's hosts, in libpq's parameters. A `finder` learns where the tables are. Raises
    `psycopg.Error`, or `ConfigurationError` for a server or database that cannot be used.
    """
    make = _parameters if _has_options(address) else _bare_parameters
    native = await psycopg.AsyncConnection.connect(
        autocommit=True,
        context=_ADAPTERS,
        prepare_threshold=None,
        **{**make(address, time_limit), **(host or {})},
    )
    try:
        _check_server(native, address)
        await _set_up(native, address, time_limit, finder)
    except BaseException:
        native.pgconn.finish()
        raise
    return native


def _check_server(native: Native, address: Address) -> None:
    if native.info.server_version < _OLDEST:
        msg = f"{address}: JobMaster needs PostgreSQL 13 or newer, this is {native.info.server_version // 10000}"
        raise ConfigurationError(msg)
    encoding = native.info.parameter_status("server_encoding")
    if encoding not in {None, "UTF8"}:
        msg = (
            f"{address}: the database's encoding is {encoding}, which cannot hold every text; "
            "create one with ENCODING 'UTF8' TEMPLATE template0, and name that in the URL"
        )
        raise ConfigurationError(msg)


async def _set_up(native: Native, address: Address, time_limit: float, finder: Finder | None) -> None:
    """Apply the connection's settings, and learn where the tables are; raises `SchemaError` if the schema does not exist.

    Not by the startup parameter `options`, which PgBouncer refuses. Where connections are shared, this lasts for one
    transaction.
    """
    if not address.pooled:
        await _settle(native, address, time_limit, finder)
    elif finder is not None and not finder.is_certain:
        async with native.transaction():
            await _settle(native, address, time_limit, finder)


async def _settle(native: Native, address: Address, time_limit: float, finder: Finder | None) -> None:
    path: Sequence[str] = ()
    if finder is not None and not finder.is_certain:
        # A pooler may return a connection on which another client, or this one, has set another path.
        # One trip is one transaction: a pooler that the URL does not mention may switch connections between two.
        cursor = await native.execute(f"{DEFAULT}; {PATH}")
        cursor.nextset()
        ((path,),) = await cursor.fetchall()
    settings = {} if _has_options(address) else _session_settings(time_limit)
    settings = {**settings, **_RELIED_ON}
    if native.info.server_version >= _CUTS_IDLE and not address.pooled:
        settings["idle_session_timeout"] = "0"  # listeners are idle, whatever the role or the database says
    values = address.pooled, address.schema, list(settings), list(settings.values())
    ((_, is_there), *_) = await (await native.execute(_SET_UP, values)).fetchall()
    if address.schema is not None:
        if not is_there:
            raise no_schema(address.schema, address)
    elif finder is not None:
        await finder.learn(native, path)


def _has_options(address: Address) -> bool:
    """Whether the user gives their own `options`, which take precedence over our settings."""
    return bool(address.parameters.get("options"))


def _bare_parameters(address: Address, _: float) -> dict[str, Any]:
    """Return the parameters that locate the database, without options, not even those of the environment."""
    return {**_DEFAULTS, **address.parameters, "options": ""}


def _parameters(address: Address, time_limit: float) -> dict[str, Any]:
    """Return the same with all settings of a connection."""
    parameters = {**_DEFAULTS, **address.parameters}
    if not address.pooled:
        settings = _session_settings(time_limit)
        # The user's settings come last: they take precedence.
        ours = [f"-c {name}={_escaped(value)}" for name, value in settings.items()]
        parameters["options"] = " ".join([*ours, parameters.get("options", "")]).strip()
    return parameters


def _session_settings(time_limit: float) -> dict[str, str]:
    return {**_settings(time_limit), **_SESSION_SETTINGS}


def prelude_of(address: Address, time_limit: float) -> str | None:
    """Return the statement that applies the settings for one transaction, where connections are shared.

    PgBouncer in transaction mode takes no settings for a connection, which may be a different one every time.
    """
    if not address.pooled:
        return None
    settings = {**_settings(time_limit), **_RELIED_ON}
    calls = [f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in settings.items()]
    return f"SELECT {', '.join(calls)}"


def _settings(time_limit: float) -> dict[str, str]:
    # A little before the driver cuts the connection, so that the connection survives.
    milliseconds = str(int(time_limit * 900))
    return {
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        # Queue tables fill and empty faster than statistics follow, and each statement has one right plan: along its index,
        # in order. So guesses about sizes must not matter.
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "jit": "off",
        # A process that stops in the middle of a transaction must not keep its locks.
        "idle_in_transaction_session_timeout": str(int(time_limit * 2000)),
    }


_SESSION_SETTINGS: Final = {
    # The plans do not depend on values, so they are made only once.
    "plan_cache_mode": "force_generic_plan",
}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
