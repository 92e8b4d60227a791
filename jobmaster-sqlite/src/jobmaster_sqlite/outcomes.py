"""What owners record about jobs in flight, on SQLite: successes in a few statements for each bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from jobmaster.models import Report
from jobmaster.states import AttemptOutcome
from jobmaster_sql import Answer, Batch, Dialect, Query, SqlOutcomeStore, Unit
from jobmaster_sql.columns import JOB_VALUES
from jobmaster_sql.rows import job_values, optional_micros


class SomeStaleError(Exception):
    """Some reports do not hold: check them one by one."""


class SqliteOutcomeStore(SqlOutcomeStore):
    """Writes the most common reports in few statements, and anything else as on any database."""

    async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
        """Write the outcomes of claimed jobs, all in one unit; return the ids of the stale ones."""
        if reports and are_plain(reports):
            with suppress(SomeStaleError):
                await self._driver.run(lambda: finish(reports, self._dialect))
                return frozenset()
        return await super().report(reports)


def are_plain(reports: Sequence[Report]) -> bool:
    """Whether all jobs ran, succeeded and left no log lines."""
    return all(
        report.outcome is AttemptOutcome.SUCCEEDED and report.finished_at is not None and not report.logs
        for report in reports
    )


def finish(reports: Sequence[Report], dialect: Dialect) -> Unit[None]:
    """Write successes; raises `SomeStaleError`, without writing anything, unless all of them hold."""
    groups: dict[tuple[Any, ...], list[Report]] = {}
    for report in reports:
        what = report.worker, report.host, report.job is None
        groups.setdefault((report.bucket_id, report.epoch, report.attempt, what), []).append(report)
    for group in groups.values():
        yield from _finish_group(group, dialect)


def _finish_group(group: Sequence[Report], dialect: Dialect) -> Unit[None]:
    first = group[0]
    params = {
        "bucket_id": dialect.uuid(first.bucket_id),
        "epoch": first.epoch,
        "attempt": first.attempt,
        "worker": first.worker,
        "host": first.host,
    }
    ids = [dialect.uuid(report.job_id) for report in group]
    if first.job is None:
        gone: Answer = yield Query("live_finish", {**params, "ids": dialect.array(ids)})
        written = gone.touched
    else:
        written = yield from _store(group, params, dialect)
    if written < len(group):
        raise SomeStaleError
    rows = [(id_, *_moments(report)) for id_, report in zip(ids, group, strict=True)]
    yield Query("attempts_succeed", {**params, "rows": dialect.array(rows)})


def _store(group: Sequence[Report], params: Mapping[str, Any], dialect: Dialect) -> Unit[int]:
    """Store the jobs that reports bring; return how many are new, if the owner still owns the bucket."""
    owned: Answer = yield Query("bucket_epoch", {"id": params["bucket_id"]})
    if not owned.rows or owned.rows[0][0] != params["epoch"]:
        return 0
    rows = [job_values(report.job, dialect) for report in group if report.job is not None]
    added: Answer = yield Batch("job_add", JOB_VALUES, rows)
    return added.touched


def _moments(report: Report) -> tuple[int | None, int | None]:
    return optional_micros(report.started_at), optional_micros(report.finished_at)
