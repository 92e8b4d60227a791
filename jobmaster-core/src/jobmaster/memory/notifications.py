"""Notifications within a process."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

import anyio
import anyio.lowlevel
from attrs import define

from jobmaster.contracts import NotificationChannel
from jobmaster.notifications import NotificationHub


@define(eq=False, repr=False, slots=False)
class MemoryNotifications(NotificationChannel):
    """Notifications to the masters or agents of this process that name the same store."""

    hub: NotificationHub

    async def announce(self, topics: Sequence[str]) -> None:
        await anyio.lowlevel.checkpoint()
        self.hub.tell(topics)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        with self.hub.listener(topics, on_notification):
            on_ready()
            await anyio.sleep_forever()
