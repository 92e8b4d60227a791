"""The PostgreSQL agent."""

from __future__ import annotations

from collections.abc import Sequence

from jobmaster.contracts import Capabilities, DurabilityRisk
from jobmaster.hookspecs import StoreOptions
from jobmaster_postgres import durability
from jobmaster_postgres.address import parse_address
from jobmaster_postgres.channel import Channel
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.driver import PostgresDriver
from jobmaster_postgres.messages import PostgresMessageStore
from jobmaster_postgres.tables import PostgresSchema
from jobmaster_sql import (
    AGENT_MIGRATIONS,
    AgentStores,
    SqlAgent,
    agent_prefix,
    load_agent_queries,
    load_migrations,
)

_PACKAGE = "jobmaster_postgres"


class PostgresAgent(SqlAgent):
    """An agent on PostgreSQL 13 or newer, beside a master or on a server of its own."""

    def __init__(self, name: str, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address, prefix = parse_address(url), agent_prefix(options.table_prefix)
        queries = load_agent_queries(_PACKAGE, PostgresDialect(), options.table_prefix)
        driver = PostgresDriver(address, queries, options.store_timeout, prefix)
        self._channel = Channel(address, driver, f"{prefix}news")
        schema = PostgresSchema(driver, load_migrations(_PACKAGE, AGENT_MIGRATIONS), prefix, address.schema)
        stores = AgentStores(messages=PostgresMessageStore(name, driver))
        super().__init__(name, driver, schema, self._channel, stores)

    @property
    def capabilities(self) -> Capabilities:
        """Notifications unless PgBouncer pools transactions, and migrations."""
        return self._channel.capabilities

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return which settings in effect can lose a commit, or prevent writing."""
        return await self._driver.run(durability.ask, read_only=True)
