"""Log lines on any SQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobmaster.contracts import LogStore
from jobmaster.models import LogLine
from jobmaster_sql.columns import LOG_VALUES
from jobmaster_sql.rows import log_of, log_values
from jobmaster_sql.store import SqlStore
from jobmaster_sql.units import Answer, Batch, Query, Unit


class SqlLogStore(SqlStore, LogStore):
    """Implements `LogStore`; the contract's docstrings say what each method does."""

    async def add(self, cluster_id: str, lines: Sequence[LogLine]) -> None:
        """Append log lines about workers, buckets or the cluster."""
        if lines:
            await self._driver.run(lambda: self._add(cluster_id, lines))

    def _add(self, cluster_id: str, lines: Sequence[LogLine]) -> Unit[None]:
        yield Batch("log_add", LOG_VALUES, [log_values(cluster_id, line) for line in lines], last=True)

    async def read(self, cluster_id: str, subject: str, subject_id: str, limit: int) -> Sequence[LogLine]:
        """Return the newest log lines of a subject, oldest first."""
        params = {"cluster_id": cluster_id, "subject": subject, "subject_id": subject_id, "limit": limit}
        return await self._driver.run(lambda: self._read(params), read_only=True)

    def _read(self, params: Mapping[str, Any]) -> Unit[list[LogLine]]:
        answer: Answer = yield Query("log_list", params, last=True)
        return [log_of(row) for row in reversed(answer.rows)]
