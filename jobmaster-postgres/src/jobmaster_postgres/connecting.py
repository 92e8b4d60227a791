"""Opening connections to PostgreSQL."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import TextBinaryLoader

from jobmaster.errors import ConfigurationError, SchemaError
from jobmaster_postgres.address import Address
from jobmaster_postgres.arrays import register_arrays
from jobmaster_postgres.errors import cannot_connect
from jobmaster_postgres.wire import Native

_OLDEST: Final = 130000
_KEEPALIVES: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A server that vanished without a word is noticed after 25 seconds, also by who only listens."""


class _Adapters:
    """What psycopg takes types and their formats from."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(psycopg.adapters)
        # One type for all integers: otherwise each mix of small and large ones is a statement of its own.
        self.adapters.register_dumper(int, Int8BinaryDumper)
        # JSON is decoded by who looks at it.
        self.adapters.register_loader("json", TextBinaryLoader)
        register_arrays(self)


_ADAPTERS: Final = _Adapters()


async def connect(address: Address, time_limit: float) -> Native:
    """Open a connection in autocommit mode whose statements take at most `time_limit` seconds.

    Raises `StoreUnreachableError`, or `ConfigurationError` for what waiting does not mend.
    """
    try:
        native = await psycopg.AsyncConnection.connect(
            autocommit=True,
            context=_ADAPTERS,
            prepare_threshold=None,
            **_parameters(address, time_limit),
        )
    except psycopg.Error as error:
        raise cannot_connect(error, str(address)) from error
    if native.info.server_version < _OLDEST:
        await native.close()
        msg = f"{address}: JobMaster needs PostgreSQL 13 or newer, this is {native.info.server_version // 10000}"
        raise ConfigurationError(msg)
    if address.schema is not None:
        await _check_schema(native, address, address.schema)
    return native


async def _check_schema(native: Native, address: Address, schema: str) -> None:
    """Raise `SchemaError` if there is no such schema: without it, it would look as if only migrations were due."""
    found = await native.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,))
    if await found.fetchone() is None:
        await native.close()
        msg = f"{address}: there is no schema {schema!r}; create it (CREATE SCHEMA …), or correct `schema` in the URL"
        raise SchemaError(msg)


def _parameters(address: Address, time_limit: float) -> dict[str, Any]:
    defaults = {"application_name": "jobmaster", "client_encoding": "utf8", **_KEEPALIVES}
    parameters = {**defaults, **address.parameters}
    if not address.pooled:
        settings = {**_settings(time_limit), **_SESSION_SETTINGS}
        if address.schema is not None:
            quoted = address.schema.replace('"', '""')
            settings["search_path"] = f'"{quoted}"'
        # The user's own come last: they win.
        ours = [f"-c {name}={_escaped(value)}" for name, value in settings.items()]
        parameters["options"] = " ".join([*ours, parameters.get("options", "")]).strip()
    return parameters


def prelude_of(address: Address, time_limit: float) -> str | None:
    """Return the statement that makes the settings for one transaction, where connections are shared.

    PgBouncer in transaction mode takes no settings for a connection, which is another one every time.
    """
    if not address.pooled:
        return None
    calls = [f"set_config('{name}', '{value}', true)" for name, value in _settings(time_limit).items()]
    return f"SELECT {', '.join(calls)}"


def _settings(time_limit: float) -> dict[str, str]:
    # A little earlier than the driver cuts the connection: this way the connection survives.
    milliseconds = str(int(time_limit * 900))
    return {
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        # Queue tables fill and empty faster than statistics follow, and there is one right plan for each
        # statement: along its index, in order. So guesses about sizes have no say.
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "jit": "off",
        # A process that stops in the middle of a transaction must not keep its locks.
        "idle_in_transaction_session_timeout": str(int(time_limit * 2000)),
    }


_SESSION_SETTINGS: Final = {
    "default_transaction_isolation": "read committed",
    # The plans do not depend on values, so they are made once.
    "plan_cache_mode": "force_generic_plan",
}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
