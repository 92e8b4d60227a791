"""What owners record about jobs in flight, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from attrs import evolve

from jobmaster.models import Report
from jobmaster_postgres.finishing import finish_parts, is_end, log_rows, stale_of
from jobmaster_postgres.saving import part_brought, save_parts
from jobmaster_sql import Answer, Batch, SqlOutcomeStore, Unit
from jobmaster_sql.columns import LOG_VALUES


class PostgresOutcomeStore(SqlOutcomeStore):
    """Ends jobs with one statement for all of a bucket."""

    def report_all(self, reports: Sequence[Report]) -> Unit[frozenset[UUID]]:
        """Write all reports that end their jobs in one or two statements, and the others as on any database."""
        ends = [report for report in reports if is_end(report)]
        others = [report for report in reports if not is_end(report)] if len(ends) < len(reports) else []
        stale = (yield from self._finish(ends, last=not others)) if ends else []
        return (yield from self.report_any(others)).union(stale) if others else frozenset(stale)

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
