"""The PostgreSQL master."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

import anyio
import anyio.lowlevel

from jobmaster.contracts import Capabilities
from jobmaster.hookspecs import StoreOptions
from jobmaster.models import JobReceipt, MetadataFilter, NewJob, Report
from jobmaster.news import NewsHub
from jobmaster_postgres.address import parse_address
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.driver import PostgresDriver
from jobmaster_postgres.finishing import FINISH_VALUES, can_finish, finish_values
from jobmaster_postgres.metadata import conditions_for
from jobmaster_postgres.news import Delivery, listen, payloads
from jobmaster_sql import Answer, Batch, Query, SqlMaster, Unit, load_migrations, load_queries
from jobmaster_sql.jobs import JOB_VALUES, LIVE_VALUES, SomeExistError, receipt_for
from jobmaster_sql.rows import job_values

_INSERT_VALUES: Final = (*JOB_VALUES, *LIVE_VALUES[2:5])


class PostgresMaster(SqlMaster):
    """A master on PostgreSQL 13 or newer, for any number of hosts."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        self._address = parse_address(url)
        queries = load_queries("jobmaster_postgres", PostgresDialect(), options.table_prefix)
        self._postgres = PostgresDriver(self._address, queries, options.store_timeout)
        self._news = NewsHub()
        self._channel = f"{options.table_prefix}news"
        super().__init__(self._postgres, load_migrations("jobmaster_postgres"), options.table_prefix)

    @property
    def capabilities(self) -> Capabilities:
        """It tells by NOTIFY, which PgBouncer in transaction mode does not pass on."""
        return Capabilities(notifications=not self._address.pooled, migrations=True)

    # The hot path, each in one statement

    def _insert_all(self, jobs: Sequence[NewJob]) -> Unit[list[JobReceipt]]:
        """Insert those jobs that are new; raises `SomeExistError`, with the others stored, if some are not.

        Jobs with keys go in the order of the keys: two callers then wait for each other at most one way.
        """
        unique = sorted({new.job.id: new for new in jobs}.values(), key=lambda new: new.job.key or "")
        rows = [(*job_values(new.job, self._dialect), *self._live_values(new)[2:5]) for new in unique]
        added: Answer = yield Batch("jobs_insert", _INSERT_VALUES, rows, last=True)
        if added.touched < len(jobs):
            raise SomeExistError
        return [receipt_for(new.job.id) for new in jobs]

    def _report(self, reports: Sequence[Report]) -> Unit[frozenset[UUID]]:
        if not can_finish(reports):
            return (yield from super()._report(reports))
        rows = [finish_values(report) for report in reports]
        done: Answer = yield Batch("reports_finish", FINISH_VALUES, rows, last=True)
        return frozenset(report.job_id for report in reports) - {row[0] for row in done.rows}

    # News

    async def announce(self, topics: Sequence[str]) -> None:
        self._news.tell(topics)
        await anyio.lowlevel.checkpoint()
        messages = list(payloads(topics))
        if messages and not self._address.pooled:
            await self._driver.run(partial(self._send, messages))

    def _send(self, messages: Sequence[str]) -> Unit[None]:
        yield Query("news_send", {"channel": self._channel, "payloads": messages}, last=True)

    async def listen(
        self, topics: Sequence[str], on_news: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        with self._news.listener(topics, on_news):
            if self._address.pooled:
                on_ready()
                await anyio.sleep_forever()
            with Delivery(topics, on_news, on_ready) as delivery:
                await self._postgres.bridge.run_cancellable(
                    listen, self._address, self._channel, self._postgres.is_own, delivery
                )

    def _metadata_conditions(self, wanted: MetadataFilter) -> list[tuple[str, Mapping[str, Any]]]:
        return conditions_for(wanted)
