"""A file's notifications: delivered in this process, and seen in commits of others."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

import anyio
import anyio.lowlevel

from jobmaster.contracts import Capabilities, NotificationChannel
from jobmaster.forks import in_forked_child
from jobmaster.notifications import NotificationHub
from jobmaster_sqlite.driver import SqliteDriver

CAPABILITIES = Capabilities(notifications=True, migrations=True)
"""SQLite stores notice commits of other processes by checking the file every 10 to 50 ms."""

_hubs: WeakValueDictionary[tuple[Path, str], NotificationHub] = WeakValueDictionary()
_hubs_lock = Lock()


def _begin_anew() -> None:
    """Replace the lock: no thread in a forked child can release it; hubs handle forks themselves."""
    global _hubs_lock  # noqa: PLW0603 - there is one
    _hubs_lock = Lock()


in_forked_child(_begin_anew)


def hub_of(path: Path, kind: str) -> NotificationHub:
    """Return the hub that all masters, or all agents, on one file share in this process."""
    with _hubs_lock:
        return _hubs.setdefault((path, kind), NotificationHub())


class FileNotifications(NotificationChannel):
    """The channel of one master or agent."""

    def __init__(self, hub: NotificationHub, driver: SqliteDriver) -> None:
        """`driver` notifies `hub` when other processes commit."""
        self._hub, self._driver = hub, driver

    async def announce(self, topics: Sequence[str]) -> None:
        """Tell listeners of this process. Other processes have seen the preceding commit."""
        await anyio.lowlevel.checkpoint()
        self._hub.tell(topics)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Call `on_notification` for announcements of this process, and with `Topics.ANY` for commits of others."""
        with self._hub.listener(topics, on_notification), self._driver.watching():
            on_ready()
            await anyio.sleep_forever()
