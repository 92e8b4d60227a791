"""Clean up a session that lost its lease: write its outcomes, and give back its buckets at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jobmaster._flow.handover import return_bucket
from jobmaster._runtime.service import SHORT_PAUSE, Service
from jobmaster.contracts import Topics
from jobmaster.errors import LeaseLostError

if TYPE_CHECKING:
    from jobmaster._flow.ownership import OwnedBucket
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.worker_session import WorkerSession

log = logging.getLogger("jobmaster.worker")


class SessionCleanup:
    """Cleans up a session that no longer runs anything, while its process goes on under another registration.

    Otherwise its buckets would take new jobs that no worker reads, until another worker rescues them. Its writes
    count only until a rescue: every write names the buckets' epochs.
    """

    def __init__(self, env: Environment, session: WorkerSession) -> None:
        self._env, self._session = env, session
        self._left = list(session.owned)
        self._service = Service(f"depart worker {session.record.name}", self._tick, longest_pause=SHORT_PAUSE)

    async def run(self) -> None:
        """Run until all is done or has a new owner; cancel it to leave the rest to the rescue."""
        await self._service.run()

    async def _tick(self) -> float | None:
        env, session = self._env, self._session
        await env.master.workers.set_stopping(session.record.id)
        env.notify.tell(Topics.buckets(env.cluster_id))
        while session.reporter.pending:
            await session.reporter.run_once()
        for owned in tuple(self._left):
            await self._give_back(owned)
        if not any(owned.in_flight for owned in session.owned):
            await env.master.workers.retire(session.record.id)
        env.notify.tell(Topics.held(env.cluster_id))
        self._service.stop()
        return None

    async def _give_back(self, owned: OwnedBucket) -> None:
        """Give a bucket back, unless it has jobs in flight that no report covers: those are left to the rescue."""
        env = self._env
        try:
            if not owned.in_flight:
                await return_bucket(env.master, env.agents[owned.bucket.agent], owned.bucket)
        except LeaseLostError as error:
            log.debug("worker %s: %s", self._session.record.name, error)
        self._left.remove(owned)
