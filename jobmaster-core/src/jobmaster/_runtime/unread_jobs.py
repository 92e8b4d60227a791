"""How a process with free slots takes back jobs that lie unread elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobmaster._policy.sharing import UNREAD_FOR
from jobmaster._runtime.directory import BUCKETS_A_SECOND
from jobmaster._runtime.service import Service
from jobmaster._upkeep.unread import Unread
from jobmaster.contracts import Topics

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.local_workers import LocalWorkers

MARGIN: Final = 0.1
"""Seconds added to the time that jobs must have waited, so that one look finds all jobs of the same moment."""


class UnreadJobs:
    """The loop that takes back unread jobs.

    No query runs while no notification of jobs for other buckets arrives, or no slot is free here. After such a
    notification the loop looks once those jobs have waited for long enough, and again for as long as they arrive.
    Without notifications it looks now and then.
    """

    def __init__(self, env: Environment, local_workers: LocalWorkers) -> None:
        self._env, self._local_workers = env, local_workers
        self._look_at: float | None = None
        self._heard = False
        self._step = Unread(
            cluster_id=env.cluster_id,
            master=env.master,
            agents=env.agents,
            silence=env.silence,
            owners=local_workers,
            on_silent=lambda: env.notify.tell(Topics.buckets(env.cluster_id)),
        )
        self.service = Service("unread", self._tick, self._longest)

    def hear(self, _topic: str) -> None:
        """Note that a bucket has new jobs, or that slots are free for jobs that had none before."""
        self._heard = True
        if self._look_at is None:
            self.service.wake.set()

    def _longest(self) -> float | None:
        return None if self._env.notify.listening else 2 * self._env.settings.poll_interval

    async def _tick(self) -> float | None:
        now = self._env.monotonic()
        if self._look_at is None and self._heard:
            self._look_later(now)
        if self._look_at is not None and now < self._look_at:
            return self._look_at - now
        if self._look_at is None and self._env.notify.listening:
            return None
        took = await self._look()
        self._look_at = None
        if not (self._heard or took):  # there may be more of what it took
            return None
        self._look_later(now)
        return self._every

    @property
    def _every(self) -> float:
        """Seconds from a notification to a look; longer in a large cluster, because each process reads all buckets."""
        return max(UNREAD_FOR + MARGIN, self._step.listed / BUCKETS_A_SECOND)

    def _look_later(self, now: float) -> None:
        self._heard, self._look_at = False, now + self._every

    async def _look(self) -> bool:
        local_workers = self._local_workers
        if (
            not local_workers.has_free_slots()
            or local_workers.stands_still()
            or not await self._step.run_once()
        ):
            return False
        self._env.notify.tell(Topics.held(self._env.cluster_id))
        return True
