"""Workers and their leases on SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from jobmaster.contracts import HeartbeatReply, Topics
from jobmaster.models import Load
from jobmaster_sql import SqlWorkerStore
from jobmaster_sqlite.ahead import Ahead, recall_jobs
from jobmaster_sqlite.connection import now
from jobmaster_sqlite.driver import SqliteDriver
from jobmaster_sqlite.notifications import FileNotifications


class SqliteWorkerStore(SqlWorkerStore):
    """Renews leases, and looks after what a file and its host's clock can do meanwhile."""

    def __init__(self, driver: SqliteDriver, notifications: FileNotifications) -> None:
        """`driver` is shared by all stores; `notifications` tells of jobs that are due again."""
        super().__init__(driver)
        self._file, self._notifications = driver, notifications
        self._replaced = 0
        self._ahead = Ahead()

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
