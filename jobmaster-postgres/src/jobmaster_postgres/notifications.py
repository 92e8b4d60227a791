"""NOTIFY and LISTEN: notifications between processes within milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import psycopg
from psycopg.sql import SQL, Identifier

from jobmaster.errors import ConfigurationError, StoreRefusedError, StoreUnavailableError
from jobmaster.notifications import Delivery
from jobmaster_postgres.route import Route
from jobmaster_postgres.wire import Wire

_SEPARATOR: Final = "\n"
_PAYLOAD_BYTES: Final = 7900
"""NOTIFY carries less than 8,000 bytes."""
_CONNECT_TIMEOUT: Final = 10.0


def payloads(topics: Iterable[str]) -> Iterator[str]:
    """Yield as few messages as can carry all topics, each topic once."""
    parts: list[str] = []
    size = 0
    for topic in dict.fromkeys(topics):
        length = len(topic.encode()) + 1
        if size + length > _PAYLOAD_BYTES and parts:
            yield _SEPARATOR.join(parts)
            parts, size = [], 0
        parts.append(topic)
        size += length
    if parts:
        yield _SEPARATOR.join(parts)


async def listen(route: Route, channel: str, is_own: Callable[[int], bool], delivery: Delivery) -> None:
    """Deliver the topics of every message on a separate connection, until cancelled.

    Messages from server processes of this driver are left out: those topics were already delivered here. Raises
    `StoreUnavailableError` when the connection breaks.
    """
    deadline = asyncio.get_running_loop().time() + _CONNECT_TIMEOUT
    try:
        wire = Wire(await route.connect(deadline))
    except ConfigurationError as error:
        raise StoreRefusedError(error) from error  # a listener has been served before
    try:
        async with asyncio.timeout_at(deadline):
            await wire.run_script(SQL("LISTEN {}").format(Identifier(channel)).as_string())
        delivery.ready()
        async for message in wire.notifications():
            if not is_own(message.be_pid):
                delivery.notifications(message.extra.decode().split(_SEPARATOR))
    except (TimeoutError, psycopg.Error) as error:
        msg = f"{route.address}: the connection that listens for notifications broke"
        raise StoreUnavailableError(msg) from route.address.veil.cause(error)
    finally:
        wire.close()
