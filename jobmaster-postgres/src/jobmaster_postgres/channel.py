"""A store's notifications: delivered in this process, and to others over a channel of the database."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import partial

import anyio
import anyio.lowlevel

from jobmaster.contracts import Capabilities, NotificationChannel
from jobmaster.notifications import Delivery, NotificationHub
from jobmaster_postgres.address import Address
from jobmaster_postgres.driver import PostgresDriver
from jobmaster_postgres.notifications import listen, payloads
from jobmaster_sql import Query, Unit


class Channel(NotificationChannel):
    """The channel of one master or agent."""

    def __init__(self, address: Address, driver: PostgresDriver, name: str) -> None:
        """`name` is the channel's name: masters and agents of one database have different ones."""
        self._address, self._driver, self._name = address, driver, name
        self._hub = NotificationHub()

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of its store. It uses NOTIFY, which PgBouncer in transaction mode does not pass on."""
        return Capabilities(notifications=not self._address.pooled, migrations=True)

    async def announce(self, topics: Sequence[str]) -> None:
        self._hub.tell(topics)
        await anyio.lowlevel.checkpoint()
        messages = list(payloads(topics))
        if messages and not self._address.pooled:
            await self._driver.run(partial(self._send, messages))

    def _send(self, messages: Sequence[str]) -> Unit[None]:
        yield Query("notification_send", {"channel": self._name, "payloads": messages}, last=True)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        with self._hub.listener(topics, on_notification):
            if self._address.pooled:
                on_ready()
                await anyio.sleep_forever()
            with Delivery(topics, on_notification, on_ready) as delivery:
                await self._driver.bridge.run_cancellable(
                    listen, self._driver.route, self._name, self._driver.is_own, delivery
                )
