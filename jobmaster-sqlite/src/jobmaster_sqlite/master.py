"""The SQLite master."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from jobmaster.comparing import stored_values
from jobmaster.contracts import Capabilities, DurabilityRisk, HeartbeatReply, Topics
from jobmaster.hookspecs import StoreOptions
from jobmaster.models import Load, MetadataFilter, NewJob, Report
from jobmaster_sql import Answer, Batch, Query, SqlMaster, Unit, load_migrations, load_queries
from jobmaster_sql.jobs import LIVE_VALUES, live_rows, place_params
from jobmaster_sql.placement import Group
from jobmaster_sqlite import durability
from jobmaster_sqlite.address import parse_address
from jobmaster_sqlite.ahead import Ahead, recall_jobs
from jobmaster_sqlite.connection import now
from jobmaster_sqlite.driver import SqliteDialect, SqliteDriver
from jobmaster_sqlite.finishing import SomeStaleError, are_plain, finish
from jobmaster_sqlite.notifications import CAPABILITIES, FileNotifications, hub_of

LIVE_DUE_VALUES: Final = tuple("ready_at" if name == "delay" else name for name in LIVE_VALUES)


class SqliteMaster(SqlMaster):
    """A master in one file, for one host: threads, processes and event loops may share it."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        queries = load_queries("jobmaster_sqlite", SqliteDialect(), options.table_prefix)
        hub = hub_of(address.path, "master")
        driver = SqliteDriver(address, queries, options.store_timeout, hub)
        self._notifications = FileNotifications(hub, driver)
        self._file, self._path = driver, address.path
        self._replaced = 0
        self._ahead = Ahead()
        super().__init__(driver, load_migrations("jobmaster_sqlite"), options.table_prefix)

    @property
    def capabilities(self) -> Capabilities:
        """Notifications and migrations."""
        return CAPABILITIES

    async def heartbeat(
        self,
        worker_ids: Sequence[UUID],
        loads: Mapping[UUID, Load],
        lease: float,
        rescuing: str | None = None,
    ) -> HeartbeatReply:
        """Renew leases. If another file has replaced the former one, no worker that was registered there is alive.

        A backup may know these workers, and it contains jobs that have ended since: what owners remember of their buckets
        does not hold for it.
        """
        await self._recall()
        reply = await super().heartbeat(worker_ids, loads, lease, rescuing)
        before, self._replaced = self._replaced, self._file.replaced
        return reply if before == self._replaced else HeartbeatReply()

    async def _recall(self) -> None:
        """Make jobs due again that were postponed by a clock that has gone back since."""
        if not self._ahead.is_to_be_looked_for():
            return
        recalled = await self._driver.run(lambda: recall_jobs(now()))
        if recalled:
            await self._notifications.announce([Topics.ANY])

    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        """Write successes in few statements, and anything else as on any database."""
        if reports and are_plain(reports):
            with suppress(SomeStaleError):
                await self._driver.run(lambda: finish(reports, self._dialect))
                return frozenset()
        return await super().report(reports)

    def _live_add(self, jobs: Sequence[NewJob], stored_ids: Sequence[Any]) -> Batch:
        """Read the clock once: in a statement of many rows the function would be called for each row."""
        rows = live_rows(jobs, stored_ids, self._dialect, since=now())
        return Batch("live_add_due", LIVE_DUE_VALUES, rows, last=True)

    def _assign_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[dict[UUID, int]]:
        """Assign without moving the ids through Python where all jobs go to one bucket."""
        assigned: dict[UUID, int] = {}
        for group in groups:
            if len(group.rooms) > 1:
                assigned |= yield from super()._assign_held(cluster_id, ahead, [group])
            else:
                params = {"cluster_id": cluster_id, "ahead": ahead, **place_params(group)}
                bucket_id = self._dialect.uuid(group.only)
                moved: Answer = yield Query("held_assign", {**params, "bucket_id": bucket_id})
                assigned |= {group.only: moved.touched} if moved.touched else {}
        return assigned

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return which settings of the connection, and which kind of file system, can lose a commit."""
        return await durability.risks_of(self._file, self._path)

    async def announce(self, topics: Sequence[str]) -> None:
        """Tell listeners of this process. Other processes have seen the preceding commit."""
        await self._notifications.announce(topics)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Call `on_notification` for announcements of this process, and with `Topics.ANY` for commits of others."""
        await self._notifications.listen(topics, on_notification, on_ready)

    def _metadata_conditions(self, wanted: MetadataFilter) -> list[tuple[str, Mapping[str, Any]]]:
        values = self._dialect.array(stored_values(wanted))
        return [("by_metadata", {"name": wanted.name, "operator": str(wanted.operator), "values": values})]
