"""Notifications between processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence


class NotificationChannel(ABC):
    """Notifying other processes of changes. Notifications may be lost: nothing depends on them."""

    @abstractmethod
    async def announce(self, topics: Sequence[str]) -> None:
        """Send topics to all listeners of this store, this process included. Best effort, in one message."""

    @abstractmethod
    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Call `on_notification(topic)` for every announcement of these topics, until cancelled.

        Membership in `topics` is checked when notifications arrive: the caller may change what it holds.
        `on_notification` runs in the caller's event loop and must not block. `on_ready` is called once the listener is
        in place, so that the caller can check what it missed. Raises `StoreUnavailableError` when the connection
        breaks; the caller listens again. Asking for `Topics.ANY` asks for everything; `Topics.ANY` may arrive no matter
        what was asked for.
        """
