"""Jobs that nobody would run: after a while a coordinator runs them itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from attrs import define, field

from jobmaster._policy.placement import Place, by_place
from jobmaster.carrying import answers
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.models import STANDALONE


@define(eq=False)
class Fallback:
    """Decides for which lanes and priorities a coordinator opens buckets of its own, in the master's rows.

    It does for a place whose due jobs have waited for `patience` seconds while there was no active bucket for them on
    any agent that it can reach; and until there is one again. With each time that there is one, or that nothing waits,
    the patience with that place begins anew.
    """

    cluster_id: str
    master: MasterRepository
    agents: Mapping[str, AgentRepository]
    patience: float
    monotonic: Callable[[], float]
    may_serve: Callable[[Place], bool]
    _since: dict[Place, float] = field(factory=dict, init=False)

    async def run_once(self, open_now: AbstractSet[Place], *, jobs_left: bool) -> frozenset[Place]:
        """Return the places to be served from now on; `jobs_left` says whether due jobs found no room lately."""
        due = await self.master.due_places(self.cluster_id) if jobs_left else frozenset()
        places = frozenset(filter(self.may_serve, due | open_now))
        missing = places - await self._served_by_others(places) if places else places
        waited_long = self._waited_long_enough(missing - open_now)
        return (missing & open_now) | waited_long

    async def _served_by_others(self, places: AbstractSet[Place]) -> frozenset[Place]:
        active = by_place(await self.master.active_buckets(self.cluster_id))
        agents = {place: {bucket.agent for bucket in active.get(place, ())} for place in places}
        reached = await self._reached({name for names in agents.values() for name in names} - {STANDALONE})
        return frozenset(place for place, names in agents.items() if names & reached)

    async def _reached(self, names: Iterable[str]) -> set[str]:
        """Ask agents themselves: workers that are alive run nothing while theirs cannot be given anything."""
        return {
            name for name in sorted(names) if name in set(self.agents) and await answers(self.agents[name])
        }

    def _waited_long_enough(self, places: AbstractSet[Place]) -> frozenset[Place]:
        """Note which places wait; return those that have waited long enough."""
        now = self.monotonic()
        self._since = {place: self._since.get(place, now) for place in places}
        return frozenset(place for place, since in self._since.items() if now - since >= self.patience)

    def forget(self) -> None:
        """Note that no job waits for anybody: patience begins anew."""
        self._since.clear()
