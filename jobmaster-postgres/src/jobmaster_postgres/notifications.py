"""NOTIFY and LISTEN: notifications between processes within milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial
from typing import Final, Self

import psycopg
from psycopg.sql import SQL, Identifier

from jobmaster.contracts import Topics
from jobmaster.errors import ConfigurationError, StoreRefusedError, StoreUnavailableError
from jobmaster.loops import loop_caller
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


class Delivery:
    """Delivers notifications from the place where they arrive to the listener's event loop.

    Notifications under way when the block ends are not delivered.
    """

    def __init__(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Create it in the listener's event loop."""
        self._topics = topics
        self._on_notification, self._on_ready = on_notification, on_ready
        self._call_soon = loop_caller()
        self._open = False

    def __enter__(self) -> Self:
        self._open = True
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False

    def ready(self) -> None:
        """Report that the listener is in place. May be called from any thread."""
        self._call_soon(self._on_ready)

    def notifications(self, topics: Iterable[str]) -> None:
        """Deliver those of some topics that the listener wants. May be called from any thread."""
        if Topics.ANY in self._topics:
            wanted = list(topics)
        else:
            wanted = [topic for topic in topics if topic in self._topics or topic == Topics.ANY]
        if wanted:
            self._call_soon(partial(self._hand_over, wanted))

    def _hand_over(self, topics: Iterable[str]) -> None:
        for topic in topics:
            if self._open:
                self._on_notification(topic)


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
