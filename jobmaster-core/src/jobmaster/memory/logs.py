"""Log lines in memory."""

from __future__ import annotations

from collections.abc import Sequence

import anyio.lowlevel
from attrs import define

from jobmaster.contracts import LogStore
from jobmaster.memory.master_rows import MasterRows
from jobmaster.models import LogLine


@define(eq=False, repr=False, slots=False)
class MemoryLogs(LogStore):
    """Log lines in memory."""

    rows: MasterRows

    async def add(self, cluster_id: str, lines: Sequence[LogLine]) -> None:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit() as tables:
            tables.logs += [(cluster_id, line) for line in lines]

    async def read(self, cluster_id: str, subject: str, subject_id: str, limit: int) -> Sequence[LogLine]:
        await anyio.lowlevel.checkpoint()
        with self.rows.unit():
            return self.rows.lines_of(cluster_id, subject, subject_id)[-limit:]
