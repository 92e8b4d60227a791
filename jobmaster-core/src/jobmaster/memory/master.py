"""A master in memory: the reference implementation of the master's contract."""

from __future__ import annotations

from datetime import datetime

import anyio.lowlevel

from jobmaster.clock import Clock, SystemClock
from jobmaster.contracts import Capabilities, MasterRepository
from jobmaster.memory.assignments import MemoryAssignments
from jobmaster.memory.buckets import MemoryBuckets
from jobmaster.memory.capabilities import IN_MEMORY
from jobmaster.memory.claims import MemoryClaims
from jobmaster.memory.clusters import MemoryClusters
from jobmaster.memory.control import MemoryControl
from jobmaster.memory.handovers import MemoryHandovers
from jobmaster.memory.jobs import MemoryJobs
from jobmaster.memory.logs import MemoryLogs
from jobmaster.memory.master_rows import MasterRows
from jobmaster.memory.members import MemoryMembers
from jobmaster.memory.notifications import MemoryNotifications
from jobmaster.memory.outcomes import MemoryOutcomes
from jobmaster.memory.requests import MemoryRequests
from jobmaster.memory.rescue import MemoryRescue
from jobmaster.memory.rows import Tables, named_tables
from jobmaster.memory.schedules import MemorySchedules
from jobmaster.memory.transfers import MemoryTransfers
from jobmaster.memory.workers import MemoryWorkers


class MemoryMaster(MasterRepository):
    """A master whose rows are Python objects, in its `rows`."""

    def __init__(self, name: str = "", clock: Clock | None = None) -> None:
        """Share the rows of the named store; without a name, start with none."""
        tables = named_tables.setdefault(name, Tables()) if name else Tables()
        rows = self.rows = MasterRows(tables, clock or SystemClock())
        super().__init__(
            clusters=MemoryClusters(rows),
            members=MemoryMembers(rows),
            control=MemoryControl(rows),
            workers=MemoryWorkers(rows),
            buckets=MemoryBuckets(rows),
            claims=MemoryClaims(rows),
            rescue=MemoryRescue(rows),
            jobs=MemoryJobs(rows),
            assignments=MemoryAssignments(rows),
            handovers=MemoryHandovers(rows),
            outcomes=MemoryOutcomes(rows),
            requests=MemoryRequests(rows),
            schedules=MemorySchedules(rows),
            transfers=MemoryTransfers(rows),
            logs=MemoryLogs(rows),
            notifications=MemoryNotifications(tables.notifications),
        )

    @property
    def capabilities(self) -> Capabilities:
        """Those of every store in memory."""
        return IN_MEMORY

    async def open(self, *, create: bool = True) -> None:  # noqa: ARG002 - it lives as long as the process
        await anyio.lowlevel.checkpoint()

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def now(self) -> datetime:
        return self.rows.now()
