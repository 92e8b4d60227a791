"""The SQLite agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import Any
from uuid import UUID

from jobmaster.contracts import Capabilities, DurabilityRisk, Topics
from jobmaster.hookspecs import StoreOptions
from jobmaster.models import Bucket, BucketPage, Cursor
from jobmaster_sql import SqlAgent, load_agent_queries
from jobmaster_sqlite import durability
from jobmaster_sqlite.address import parse_address
from jobmaster_sqlite.ahead import Ahead, recall_messages
from jobmaster_sqlite.driver import SqliteDialect, SqliteDriver
from jobmaster_sqlite.notifications import CAPABILITIES, FileNotifications, hub_of

_PACKAGE = "jobmaster_sqlite"


class SqliteAgent(SqlAgent):
    """An agent in a file, for processes of one host."""

    def __init__(self, name: str, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        queries = load_agent_queries(_PACKAGE, SqliteDialect(), options.table_prefix)
        hub = hub_of(address.path, "agent")
        driver = SqliteDriver(address, queries, options.store_timeout, hub)
        self._notifications = FileNotifications(hub, driver)
        self._file, self._path = driver, address.path
        self._ahead = Ahead()
        super().__init__(name, driver, _PACKAGE, options.table_prefix)

    @property
    def capabilities(self) -> Capabilities:
        """Notifications and migrations."""
        return CAPABILITIES

    def _began(self) -> Mapping[str, Any]:
        """Return the time of this host's clock, which is the file's clock: before any statement takes a snapshot."""
        return {"began": time.time_ns() // 1000}

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return which settings of the connection, and which kind of file system, can lose a commit."""
        return await durability.risks_of(self._file, self._path)

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        """Read due messages beyond the cursor, including those postponed by a clock that has gone back since."""
        if self._ahead.is_to_be_looked_for():
            recalled = await self._driver.run(recall_messages)
            if recalled:
                cursor = Cursor()
                await self._notifications.announce([Topics.ANY])
        return await super().pull(bucket, cursor, limit, known)

    async def announce(self, topics: Sequence[str]) -> None:
        """Tell listeners of this process. Other processes have seen the preceding commit."""
        await self._notifications.announce(topics)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Call `on_notification` for announcements of this process, and with `Topics.ANY` for commits of others."""
        await self._notifications.listen(topics, on_notification, on_ready)
