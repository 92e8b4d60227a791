"""Jobs that nobody would run: after a while a coordinator runs them itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field

from jobmaster.carrying import answers
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.models import STANDALONE, Bucket


@define(eq=False)
class Fallback:
    """Decides whether a coordinator opens a bucket of its own, in the master's rows.

    It does when due jobs have waited for `patience` seconds and its lane has no active bucket on any agent
    that it can reach; and until there is one again. With each time that there is one, its patience begins anew.
    """

    cluster_id: str
    lane: str
    master: MasterRepository
    agents: Mapping[str, AgentRepository]
    patience: float
    monotonic: Callable[[], float]
    _since: float | None = field(default=None, init=False)

    async def run_once(self, *, open_now: bool) -> bool:
        """Return whether the fallback is to be open from now on."""
        if await self._served_by_others():
            return self._not_needed()
        if open_now:
            return True
        return self._waited_long_enough() if await self._has_due_jobs() else self._not_needed()

    async def _served_by_others(self) -> bool:
        buckets: Sequence[Bucket] = await self.master.active_buckets(self.cluster_id)
        names = {bucket.agent for bucket in buckets if bucket.lane == self.lane}
        return any([await self._is_reached(name) for name in sorted(names - {STANDALONE})])

    async def _is_reached(self, name: str) -> bool:
        """Ask an agent itself: workers that are alive run nothing while theirs cannot be given anything."""
        return name in set(self.agents) and await answers(self.agents[name])

    async def _has_due_jobs(self) -> bool:
        return (await self.master.assign_due(self.cluster_id, 0.0, ())).next_in == 0

    def _waited_long_enough(self) -> bool:
        now = self.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since >= self.patience

    def _not_needed(self) -> bool:
        self.forget()
        return False

    def forget(self) -> None:
        """Note that no job waits for anybody: patience begins anew."""
        self._since = None
