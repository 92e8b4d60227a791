"""Opening connections to PostgreSQL."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import TextBinaryLoader

from jobmaster.errors import ConfigurationError
from jobmaster_postgres.address import Address
from jobmaster_postgres.arrays import register_arrays
from jobmaster_postgres.errors import cannot_connect
from jobmaster_postgres.session import Native

_OLDEST: Final = 130000
_PREPARE_AFTER: Final = 3
_MOST_PREPARED: Final = 300
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

    Raises `StoreUnavailableError`, or `ConfigurationError` for what waiting does not mend.
    """
    try:
        native = await psycopg.AsyncConnection.connect(
            autocommit=True,
            context=_ADAPTERS,
            prepare_threshold=None if address.pooled else _PREPARE_AFTER,
            **_parameters(address, time_limit),
        )
    except psycopg.Error as error:
        raise cannot_connect(error, str(address)) from error
    native.prepared_max = _MOST_PREPARED
    if native.info.server_version < _OLDEST:
        await native.close()
        msg = f"{address}: JobMaster needs PostgreSQL 13 or newer, this is {native.info.server_version // 10000}"
        raise ConfigurationError(msg)
    return native


def _parameters(address: Address, time_limit: float) -> dict[str, Any]:
    defaults = {"application_name": "jobmaster", "client_encoding": "utf8", **_KEEPALIVES}
    parameters = {**defaults, **address.parameters}
    if not address.pooled:  # PgBouncer knows no such options, and its connections are for everybody
        given = parameters.get("options", "")
        parameters["options"] = " ".join([given, *_settings(address, time_limit)]).strip()
    return parameters


def _settings(address: Address, time_limit: float) -> list[str]:
    milliseconds = int(time_limit * 1000)
    settings = {
        # A little earlier than the driver cuts the connection: this way the connection survives.
        "statement_timeout": milliseconds * 9 // 10,
        "lock_timeout": milliseconds * 9 // 10,
        # A process that stops in the middle of a transaction must not keep its locks.
        "idle_in_transaction_session_timeout": 2 * milliseconds,
        "default_transaction_isolation": r"read\ committed",
        # A plan made while a queue table was empty would read a full one from end to end.
        "plan_cache_mode": "force_custom_plan",
    }
    if address.schema is not None:
        settings["search_path"] = _escaped(address.schema)
    return [f"-c {name}={value}" for name, value in settings.items()]


def _escaped(schema: str) -> str:
    quoted = '"' + schema.replace('"', '""') + '"'
    return quoted.replace("\\", "\\\\").replace(" ", "\\ ")
