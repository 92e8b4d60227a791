"""Jobs from the first insert to the last query, on SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from jobmaster.comparing import stored_values
from jobmaster.models import MetadataFilter, NewJob
from jobmaster_sql import Batch, SqlJobStore
from jobmaster_sql.columns import LIVE_VALUES
from jobmaster_sql.new_jobs import live_rows
from jobmaster_sqlite.connection import now

LIVE_DUE_VALUES: Final = tuple("ready_at" if name == "delay" else name for name in LIVE_VALUES)


class SqliteJobStore(SqlJobStore):
    """Inserts and finds jobs."""

    def live_add(self, jobs: Sequence[NewJob], stored_ids: Sequence[Any]) -> Batch:
        """Read the clock once: in a statement of many rows the function would be called for each row."""
        rows = live_rows(jobs, stored_ids, self._dialect, since=now())
        return Batch("live_add_due", LIVE_DUE_VALUES, rows, last=True)

    def metadata_conditions(self, wanted: MetadataFilter) -> list[tuple[str, Mapping[str, Any]]]:
        """Return one condition, a function of the connection."""
        values = self._dialect.array(stored_values(wanted))
        return [("by_metadata", {"name": wanted.name, "operator": str(wanted.operator), "values": values})]
