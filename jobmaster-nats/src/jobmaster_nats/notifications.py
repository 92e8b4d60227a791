"""Notifications on NATS: ordinary messages beside the stream, which nobody keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from typing import Final
from uuid import uuid4

import anyio.lowlevel
from nats.aio.msg import Msg

from jobmaster.contracts import NotificationChannel
from jobmaster.errors import ConfigurationError, StoreRefusedError
from jobmaster.notifications import Delivery, NotificationHub
from jobmaster_nats.driver import NatsDriver
from jobmaster_nats.errors import NativeError, broken
from jobmaster_nats.stream import Stream

_SEPARATOR: Final = "\n"
_PAYLOAD_BYTES: Final = 64 * 1024
_PATIENCE: Final = 10


class NatsNotifications(NotificationChannel):
    """Notifications of this process are delivered at once, those of others over a subject of NATS."""

    def __init__(self, driver: NatsDriver) -> None:
        """The subject is beside the driver's stream."""
        self._driver = driver
        self._hub = NotificationHub()
        self._me = uuid4().hex

    async def announce(self, topics: Sequence[str]) -> None:
        self._hub.tell(topics)
        await anyio.lowlevel.checkpoint()
        messages = list(_payloads(self._me, topics))
        if messages:
            await self._driver.run(partial(self._send, messages))

    async def _send(self, messages: Sequence[bytes], stream: Stream) -> None:
        for message in messages:
            await stream.link.send(stream.names.notifications, message)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        with (
            self._hub.listener(topics, on_notification),
            Delivery(topics, on_notification, on_ready) as delivery,
        ):
            await self._driver.bridge.run_cancellable(self._listen, delivery)

    async def _listen(self, delivery: Delivery) -> None:
        """Deliver the notifications of other processes until cancelled; raise when the connection breaks."""
        try:
            async with asyncio.timeout(_PATIENCE):
                link = await self._driver.connect()
        except ConfigurationError as error:
            raise StoreRefusedError(error) from error  # a listener has been served before
        except TimeoutError as error:
            raise broken(self._driver.address, error) from None

        async def hear(message: Msg) -> None:
            sender, *topics = message.data.decode().split(_SEPARATOR)
            if sender != self._me:
                delivery.notifications(topics)

        try:
            subscription = await link.client.subscribe(self._driver.names.notifications, cb=hear)
            await link.client.flush(_PATIENCE)
            delivery.ready()
            try:
                await link.lost.wait()
            finally:
                if link.is_open:
                    await subscription.unsubscribe()
        except NativeError as error:
            raise broken(self._driver.address) from self._driver.address.veil.cause(error)
        raise broken(self._driver.address)


def _payloads(sender: str, topics: Iterable[str]) -> Iterator[bytes]:
    """Yield as few messages as can carry all topics, each topic once, with their sender."""
    parts: list[str] = []
    size = 0
    for topic in dict.fromkeys(topics):
        length = len(topic.encode()) + 1
        if size + length > _PAYLOAD_BYTES and parts:
            yield _SEPARATOR.join([sender, *parts]).encode()
            parts, size = [], 0
        parts.append(topic)
        size += length
    if parts:
        yield _SEPARATOR.join([sender, *parts]).encode()
