"""What a process with free slots does about jobs that lie unread elsewhere."""

from __future__ import annotations

from typing import Final

from jobmaster._policy.sharing import UNREAD_FOR
from jobmaster._runtime.directory import BUCKETS_A_SECOND
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.local_workers import LocalWorkers
from jobmaster._runtime.service import Service
from jobmaster._upkeep.unread import Unread
from jobmaster.contracts import Topics

MARGIN: Final = 0.1
"""Seconds that come on top of those for which jobs have to have waited, for one look to find all of a moment."""


class UnreadJobs:
    """The loop that takes back unread jobs.

    Nothing is asked while no notification of jobs for other buckets comes, or no slot is free here. After such a
    notification it looks once those jobs have waited for long enough, and so on for as long as they come. Without
    notifications it looks now and then.
    """

    def __init__(self, env: Environment, local_workers: LocalWorkers) -> None:
        self._env, self._crew = env, local_workers
        self._look_at: float | None = None
        self._heard = False
        self._step = Unread(
            cluster_id=env.cluster_id,
            master=env.master,
            agents=env.agents,
            reachable=env.agents.reachable,
            silence=env.silence,
            own=lambda: {owned.id for owned in local_workers.all_owned()},
            on_silent=lambda: env.notify.tell(Topics.buckets(env.cluster_id)),
            on_away=env.agents.leave_alone,
        )
        self.service = Service("unread", self._tick, self._longest)

    def hear(self, _topic: str) -> None:
        """There are new jobs in some bucket, or free slots for those that nobody was free for before."""
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
        if not (self._heard or took):  # of what it took there may be more
            return None
        self._look_later(now)
        return self._every

    @property
    def _every(self) -> float:
        """Seconds from a notification to a look; longer in a large cluster, where each process looks through all buckets."""
        return max(UNREAD_FOR + MARGIN, self._step.listed / BUCKETS_A_SECOND)

    def _look_later(self, now: float) -> None:
        self._heard, self._look_at = False, now + self._every

    async def _look(self) -> bool:
        local_workers = self._crew
        if (
            not local_workers.has_free_slots()
            or local_workers.stands_still()
            or not await self._step.run_once()
        ):
            return False
        self._env.notify.tell(Topics.held(self._env.cluster_id))
        return True
