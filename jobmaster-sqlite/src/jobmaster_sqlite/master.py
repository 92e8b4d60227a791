"""The SQLite master."""

from __future__ import annotations

from collections.abc import Sequence

from jobmaster.contracts import Capabilities, DurabilityRisk
from jobmaster.hookspecs import StoreOptions
from jobmaster_sql import MasterStores, SqlMaster, SqlSchema, load_migrations, load_queries
from jobmaster_sqlite import durability
from jobmaster_sqlite.address import parse_address
from jobmaster_sqlite.assignments import SqliteAssignmentStore
from jobmaster_sqlite.driver import SqliteDialect, SqliteDriver
from jobmaster_sqlite.jobs import SqliteJobStore
from jobmaster_sqlite.notifications import CAPABILITIES, FileNotifications, hub_of
from jobmaster_sqlite.outcomes import SqliteOutcomeStore
from jobmaster_sqlite.workers import SqliteWorkerStore


class SqliteMaster(SqlMaster):
    """A master in one file, for one host: threads, processes and event loops may share it."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        queries = load_queries("jobmaster_sqlite", SqliteDialect(), options.table_prefix)
        hub = hub_of(address.path, "master")
        driver = SqliteDriver(address, queries, options.store_timeout, hub)
        schema = SqlSchema(driver, load_migrations("jobmaster_sqlite"), options.table_prefix)
        notifications = FileNotifications(hub, driver)
        stores = MasterStores(
            jobs=SqliteJobStore(driver),
            workers=SqliteWorkerStore(driver, notifications),
            assignments=SqliteAssignmentStore(driver),
            outcomes=SqliteOutcomeStore(driver),
        )
        super().__init__(driver, schema, notifications, stores)
        self._file, self._path = driver, address.path

    @property
    def capabilities(self) -> Capabilities:
        """Notifications and migrations."""
        return CAPABILITIES

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return which settings of the connection, and which kind of file system, can lose a commit."""
        return await durability.risks_of(self._file, self._path)
