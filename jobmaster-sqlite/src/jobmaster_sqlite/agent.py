"""The SQLite agent."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from jobmaster.contracts import Capabilities, DurabilityRisk, Topics
from jobmaster.hookspecs import StoreOptions
from jobmaster.models import Bucket, BucketPage, Cursor
from jobmaster_sql import (
    AGENT_MIGRATIONS,
    AgentStores,
    SqlAgent,
    SqlAgentClaimStore,
    SqlMessageStore,
    SqlSchema,
    agent_prefix,
    load_agent_queries,
    load_migrations,
)
from jobmaster_sqlite import durability
from jobmaster_sqlite.address import parse_address
from jobmaster_sqlite.ahead import Ahead, recall_messages
from jobmaster_sqlite.driver import SqliteDialect, SqliteDriver
from jobmaster_sqlite.notifications import CAPABILITIES, FileNotifications, hub_of

_PACKAGE = "jobmaster_sqlite"


def _began() -> Mapping[str, Any]:
    """Return the time of this host's clock, which is the file's clock: before any statement takes a snapshot."""
    return {"began": time.time_ns() // 1000}


class SqliteMessageStore(SqlMessageStore):
    """The messages of an agent in a file."""

    def began(self) -> Mapping[str, Any]:
        """Return when the unit began."""
        return _began()


class SqliteAgentClaimStore(SqlAgentClaimStore):
    """Reads the buckets of an agent in a file, also after its host's clock has gone back."""

    def __init__(self, driver: SqliteDriver, notifications: FileNotifications) -> None:
        """`driver` is shared by all stores; `notifications` tells of messages that are due again."""
        super().__init__(driver)
        self._notifications = notifications
        self._ahead = Ahead()

    def began(self) -> Mapping[str, Any]:
        """Return when the unit began."""
        return _began()

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


class SqliteAgent(SqlAgent):
    """An agent in a file, for processes of one host."""

    def __init__(self, name: str, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        queries = load_agent_queries(_PACKAGE, SqliteDialect(), options.table_prefix)
        hub = hub_of(address.path, "agent")
        driver = SqliteDriver(address, queries, options.store_timeout, hub)
        migrations = load_migrations(_PACKAGE, AGENT_MIGRATIONS)
        schema = SqlSchema(driver, migrations, agent_prefix(options.table_prefix))
        notifications = FileNotifications(hub, driver)
        stores = AgentStores(
            messages=SqliteMessageStore(name, driver), claims=SqliteAgentClaimStore(driver, notifications)
        )
        super().__init__(name, driver, schema, notifications, stores)
        self._file, self._path = driver, address.path

    @property
    def capabilities(self) -> Capabilities:
        """Notifications and migrations."""
        return CAPABILITIES

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return which settings of the connection, and which kind of file system, can lose a commit."""
        return await durability.risks_of(self._file, self._path)
