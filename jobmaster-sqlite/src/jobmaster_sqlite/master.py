"""The SQLite master."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from jobmaster.contracts import Capabilities
from jobmaster.data import encode
from jobmaster.hookspecs import StoreOptions
from jobmaster.models import MetadataFilter, NewJob, Operator, Report
from jobmaster_sql import Answer, Batch, Query, SqlMaster, Unit, load_migrations, load_queries
from jobmaster_sql.jobs import LIVE_VALUES, live_rows, place_params
from jobmaster_sql.placement import Group
from jobmaster_sqlite.address import parse_address
from jobmaster_sqlite.connection import now
from jobmaster_sqlite.driver import SqliteDialect, SqliteDriver
from jobmaster_sqlite.finishing import SomeStaleError, are_plain, finish
from jobmaster_sqlite.news import CAPABILITIES, FileNews, hub_of

LIVE_DUE_VALUES: Final = tuple("ready_at" if name == "delay" else name for name in LIVE_VALUES)


class SqliteMaster(SqlMaster):
    """A master in one file, for one host: threads, processes and event loops may share it."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        queries = load_queries("jobmaster_sqlite", SqliteDialect(), options.table_prefix)
        hub = hub_of(address.path, "master")
        driver = SqliteDriver(address, queries, options.store_timeout, hub)
        self._news = FileNews(hub, driver)
        super().__init__(driver, load_migrations("jobmaster_sqlite"), options.table_prefix)

    @property
    def capabilities(self) -> Capabilities:
        """News and migrations."""
        return CAPABILITIES

    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        """Write successes in few statements, and anything else as any database does."""
        if reports and are_plain(reports):
            with suppress(SomeStaleError):
                await self._driver.run(lambda: finish(reports, self._dialect))
                return frozenset()
        return await super().report(reports)

    def _live_add(self, jobs: Sequence[NewJob], stored_ids: Sequence[Any]) -> Batch:
        """Ask the clock once: in a statement of many rows the function would be called for each of them."""
        rows = live_rows(jobs, stored_ids, self._dialect, since=now())
        return Batch("live_add_due", LIVE_DUE_VALUES, rows, last=True)

    def _assign_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[dict[UUID, int]]:
        """Assign without a journey of the ids through Python where all jobs go to one bucket."""
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

    async def announce(self, topics: Sequence[str]) -> None:
        """Tell listeners of this process. Others have seen the commit that came before."""
        await self._news.announce(topics)

    async def listen(
        self, topics: Container[str], on_news: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Call `on_news` for what this process announces, and with `Topics.ANY` for others' commits."""
        await self._news.listen(topics, on_news, on_ready)

    def _metadata_conditions(self, wanted: MetadataFilter) -> list[tuple[str, Mapping[str, Any]]]:
        value = list(wanted.value) if wanted.operator is Operator.IN else wanted.value
        encoded = encode({"value": value}).decode()
        return [("by_metadata", {"name": wanted.name, "operator": str(wanted.operator), "value": encoded})]
