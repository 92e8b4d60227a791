"""The PostgreSQL master."""

from __future__ import annotations

from collections.abc import Sequence

from jobmaster.contracts import Capabilities, DurabilityRisk
from jobmaster.hookspecs import StoreOptions
from jobmaster_postgres import durability
from jobmaster_postgres.address import parse_address
from jobmaster_postgres.channel import Channel
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.driver import PostgresDriver
from jobmaster_postgres.jobs import PostgresJobStore
from jobmaster_postgres.outcomes import PostgresOutcomeStore
from jobmaster_postgres.placing import PostgresAssignmentStore, PostgresHandoverStore
from jobmaster_postgres.tables import PostgresSchema
from jobmaster_postgres.workers import PostgresWorkerStore
from jobmaster_sql import MasterStores, SqlMaster, load_migrations, load_queries

_PACKAGE = "jobmaster_postgres"


class PostgresMaster(SqlMaster):
    """A master on PostgreSQL 13 or newer, for any number of hosts."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address, prefix = parse_address(url), options.table_prefix
        queries = load_queries(_PACKAGE, PostgresDialect(), prefix)
        driver = PostgresDriver(address, queries, options.store_timeout, prefix)
        self._channel = Channel(address, driver, f"{prefix}news")
        schema = PostgresSchema(driver, load_migrations(_PACKAGE), prefix, address.schema)
        stores = MasterStores(
            jobs=PostgresJobStore(driver),
            workers=PostgresWorkerStore(driver),
            assignments=PostgresAssignmentStore(driver),
            handovers=PostgresHandoverStore(driver),
            outcomes=PostgresOutcomeStore(driver),
        )
        super().__init__(driver, schema, self._channel, stores)

    @property
    def capabilities(self) -> Capabilities:
        """Notifications unless PgBouncer pools transactions, and migrations."""
        return self._channel.capabilities

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return which settings in effect can lose a commit, or prevent writing."""
        return await self._driver.run(durability.ask, read_only=True)
