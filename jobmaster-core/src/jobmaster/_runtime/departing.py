"""What is left of a life that lost its lease: its outcomes are written, and its buckets given back at once."""

from __future__ import annotations

import logging

from jobmaster._runtime.environment import Environment
from jobmaster._runtime.incarnation import Incarnation
from jobmaster._runtime.service import Service
from jobmaster._runtime.working import SHORT_PAUSE
from jobmaster.carrying import give_up
from jobmaster.contracts import Topics
from jobmaster.errors import LeaseLostError
from jobmaster.ownership import OwnedBucket

log = logging.getLogger("jobmaster.worker")


class Departure:
    """Sees a life off that runs nothing any more, while its process lives on under another registration.

    Without it, its buckets would take new jobs that nobody reads, until somebody else rescues them. Whatever it does
    counts only as long as nobody has: every write names the buckets' epochs.
    """

    def __init__(self, env: Environment, life: Incarnation) -> None:
        self._env, self._life = env, life
        self._left = list(life.owned)
        self._service = Service(f"depart worker {life.record.name}", self._tick, longest_pause=SHORT_PAUSE)

    async def run(self) -> None:
        """Go on until all is done, or is somebody else's business; cancel it to leave the rest to the rescue."""
        await self._service.run()

    async def _tick(self) -> float | None:
        env, life = self._env, self._life
        await env.master.set_worker_stopping(life.record.id)
        env.notify.tell(Topics.buckets(env.cluster_id))
        while life.reporter.pending:
            await life.reporter.run_once()
        for owned in tuple(self._left):
            await self._give_back(owned)
        if not any(owned.in_flight for owned in life.owned):
            await env.master.retire_worker(life.record.id)
        env.notify.tell(Topics.held(env.cluster_id))
        self._service.stop()
        return None

    async def _give_back(self, owned: OwnedBucket) -> None:
        """Give a bucket back, unless something of it is in hand that no report is about: that is for the rescue."""
        env = self._env
        try:
            if not owned.in_flight:
                await give_up(env.master, env.agents[owned.bucket.agent], owned.bucket)
        except LeaseLostError as error:
            log.debug("worker %s: %s", self._life.record.name, error)
        self._left.remove(owned)
