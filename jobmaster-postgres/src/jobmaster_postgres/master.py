"""The PostgreSQL master."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from itertools import accumulate
from typing import Any
from uuid import UUID

from attrs import evolve

from jobmaster.contracts import Capabilities, DurabilityRisk
from jobmaster.hookspecs import StoreOptions
from jobmaster.models import JobReceipt, MetadataFilter, NewJob, Report
from jobmaster.weighing import in_parts, new_weight
from jobmaster_postgres import durability
from jobmaster_postgres.address import parse_address
from jobmaster_postgres.channel import Channel
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.driver import PostgresDriver
from jobmaster_postgres.finishing import finish_parts, is_end, log_rows, stale_of
from jobmaster_postgres.inserting import ending_with, in_order, insert_steps
from jobmaster_postgres.metadata import conditions_for
from jobmaster_postgres.saving import part_brought, save_parts
from jobmaster_postgres.schema import named
from jobmaster_sql import Answer, Batch, Query, SqlMaster, Step, Unit, load_migrations, load_queries
from jobmaster_sql.handovers import Messages, Note
from jobmaster_sql.jobs import SomeExistError, place_params, receipt_for
from jobmaster_sql.placement import Group
from jobmaster_sql.reports import LOG_VALUES
from jobmaster_sql.rows import message_of


class PostgresMaster(SqlMaster):
    """A master on PostgreSQL 13 or newer, for any number of hosts."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Check the URL; raises `ConfigurationError`. Nothing is opened yet."""
        address = parse_address(url)
        queries = load_queries("jobmaster_postgres", PostgresDialect(), options.table_prefix)
        driver = PostgresDriver(address, queries, options.store_timeout, options.table_prefix)
        self._schema = address.schema
        self._channel = Channel(address, driver, f"{options.table_prefix}news")
        super().__init__(driver, load_migrations("jobmaster_postgres"), options.table_prefix)

    @property
    def capabilities(self) -> Capabilities:
        """Notifications unless PgBouncer pools transactions, and migrations."""
        return self._channel.capabilities

    # The hot path, with one statement each

    def _insert_all(self, jobs: Sequence[NewJob]) -> Unit[list[JobReceipt]]:
        """Insert the jobs that are new; raises `SomeExistError` if some are not.

        The others are stored anyway, unless one has a key: whether another job has that key must be checked first.
        """
        ordered, touched = in_order(jobs), 0
        parts = list(in_parts(ordered, new_weight))
        commits = len(parts) == 1 or ordered is jobs
        for part in parts:
            steps = ending_with(insert_steps(part), last=commits and part is parts[-1])
            answers: list[Answer] = yield steps
            touched += sum(answer.touched for answer in answers)
        if touched < len(jobs):
            raise SomeExistError
        return [receipt_for(new.job.id) for new in jobs]

    def _assign_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[dict[UUID, int]]:
        answers: list[Answer] = yield tuple(
            Query(
                "held_assign",
                {"cluster_id": cluster_id, "ahead": ahead, "turns": group.turns, **place_params(group)},
            )
            for group in groups
        )
        return {bucket_id: count for answer in answers for bucket_id, count in answer.rows}

    def _mark_held(self, cluster_id: str, ahead: int, groups: Sequence[Group]) -> Unit[Messages]:
        answers: list[Answer] = yield tuple(
            Query(
                "held_hand_over",
                {"cluster_id": cluster_id, "ahead": ahead, "turns": group.turns, **place_params(group)},
            )
            for group in groups
        )
        messages: Messages = {}
        for bucket_id, now, *row in (row for answer in answers for row in answer.rows):
            messages.setdefault(bucket_id, []).append(message_of(row, bucket_id, now, self._dialect))
        return messages

    def _handover_steps(self, cluster_id: str, pusher: UUID, noted: Sequence[Note]) -> tuple[Step, ...]:
        ends = list(accumulate(len(note.job_ids) for note in noted))
        params = {
            "cluster_id": cluster_id,
            "pusher": pusher,
            "id": [note.id for note in noted],
            "bucket_id": [note.bucket_id for note in noted],
            "job_ids": [job_id for note in noted for job_id in note.job_ids],
            "begins": [1, *(end + 1 for end in ends[:-1])],
            "ends": ends,
        }
        return (Query("handovers_add", params),)

    def _report(self, reports: Sequence[Report]) -> Unit[frozenset[UUID]]:
        """Write all reports that end their jobs in one or two statements, and the others as on any database."""
        ends = [report for report in reports if is_end(report)]
        others = [report for report in reports if not is_end(report)] if len(ends) < len(reports) else []
        stale = (yield from self._finish(ends, last=not others)) if ends else []
        return (yield from self._report_any(others)).union(stale) if others else frozenset(stale)

    def _finish(self, ends: Sequence[Report], *, last: bool) -> Unit[list[UUID]]:
        brought, known = part_brought(ends)
        groups, queries = zip(*save_parts(brought), *finish_parts(known), strict=True)
        logged = any(report.logs for report in ends)
        answers: list[Answer] = yield (*queries[:-1], evolve(queries[-1], last=last and not logged))
        stale, logs = [], []
        for group, answer in zip(groups, answers, strict=True):
            left = stale_of(group, answer)
            stale += left
            if logged:
                logs += log_rows(group, left, answer)
        if logs:
            yield Batch("log_add", LOG_VALUES, logs, last=last)
        return stale

    def _renew(self, renewal: Query) -> Unit[Answer]:
        answer: Answer = yield renewal
        return answer

    async def durability_risks(self) -> Sequence[DurabilityRisk]:
        """Return which settings in effect can lose a commit, or prevent writing."""
        return await self._driver.run(durability.ask, read_only=True)

    # Notifications

    def migration_script(self) -> str:
        """Return the statements of all migrations. Names have the URL's schema, if it has one."""
        return named(super().migration_script(), self._schema)

    async def announce(self, topics: Sequence[str]) -> None:
        await self._channel.announce(topics)

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        await self._channel.listen(topics, on_notification, on_ready)

    def _metadata_conditions(self, wanted: MetadataFilter) -> list[tuple[str, Mapping[str, Any]]]:
        return conditions_for(wanted)
