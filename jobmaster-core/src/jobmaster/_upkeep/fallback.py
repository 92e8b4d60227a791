"""Jobs that no worker would run: after a while a coordinator runs them itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

from attrs import define, field

from jobmaster._flow.handover import answers
from jobmaster._policy.placement import Place, by_place

if TYPE_CHECKING:
    from jobmaster.clock import Clock
    from jobmaster.contracts import AgentRepository, AssignmentStore, BucketStore

MOST: Final = 32
"""Most places that one process serves at once: callers choose the names of lanes, and each place costs a worker."""
SHORTEST_TURN, LONGEST_TURN = 2.0, 30.0
"""Seconds for which a place is served while others wait: if it has nothing left to do, and if it has more."""


@define(eq=False)
class Fallback:
    """Decides for which lanes and priorities a coordinator opens buckets of its own, in the master's rows.

    It does so for a place whose due jobs have waited for `patience` seconds without an active bucket on any agent that
    it can reach, until there is such a bucket again. Whenever there is one, or nothing waits, the patience for that
    place starts anew. Of more places than `MOST`, those that are urgent or have waited longest come first, and make
    room for the next ones: `is_idle` says whether a served place has nothing in flight.
    """

    cluster_id: str
    assignments: AssignmentStore
    buckets: BucketStore
    agents: Mapping[str, AgentRepository]
    patience: float
    clock: Clock
    may_serve: Callable[[Place], bool]
    is_idle: Callable[[Place], bool] = lambda _: True
    waiting: int = field(default=0, init=False)
    """How many places wait for their turn."""
    _since: dict[Place, float] = field(factory=dict, init=False)
    _opened: dict[Place, float] = field(factory=dict, init=False)

    async def run_once(self, open_now: AbstractSet[Place], *, jobs_left: bool) -> frozenset[Place]:
        """Return the places to serve from now on; `jobs_left` says whether due jobs found no room recently."""
        due = await self.assignments.due_places(self.cluster_id) if jobs_left else frozenset()
        places = frozenset(filter(self.may_serve, due | open_now))
        missing = places - await self._served_by_others(places) if places else places
        waited_long = self._waited_long_enough(missing - open_now)
        return self._in_turn(missing & open_now, waited_long, due)

    def _in_turn(
        self, served: frozenset[Place], waiting: frozenset[Place], due: frozenset[Place]
    ) -> frozenset[Place]:
        """Return the places to serve now, from those already served and those that have waited long enough."""
        now = self.clock.monotonic()
        if (over := len(served) + len(waiting) - MOST) > 0:
            ripe = [place for place in served if self._has_had_its_turn(place, now, idle=place not in due)]
            left = frozenset(sorted(ripe, key=lambda place: self._opened.get(place, now))[:over])
            # They need not wait for `patience` again, but they come after those that wait already.
            self._since |= dict.fromkeys(left & due, now - self.patience)
            served = served - left
        ordered = sorted(waiting, key=lambda place: (-place[1], self._since[place]))
        chosen = frozenset(ordered[: max(0, MOST - len(served))])
        self.waiting = len(waiting) - len(chosen)
        self._opened = {place: self._opened.get(place, now) for place in served | chosen}
        return served | chosen

    def _has_had_its_turn(self, place: Place, now: float, *, idle: bool) -> bool:
        lasted = now - self._opened.get(place, now)
        return lasted >= (SHORTEST_TURN if idle and self.is_idle(place) else LONGEST_TURN)

    async def _served_by_others(self, places: AbstractSet[Place]) -> frozenset[Place]:
        active = by_place(await self.buckets.list_active(self.cluster_id))
        agents = {
            place: {bucket.agent for bucket in active.get(place, ()) if bucket.is_on_agent}
            for place in places
        }
        reached = await self._reached({name for names in agents.values() for name in names})
        return frozenset(place for place, names in agents.items() if names & reached)

    async def _reached(self, names: Iterable[str]) -> set[str]:
        """Ask the agents themselves: even live workers run nothing while their agent cannot be reached."""
        return {
            name for name in sorted(names) if name in set(self.agents) and await answers(self.agents[name])
        }

    def _waited_long_enough(self, places: AbstractSet[Place]) -> frozenset[Place]:
        """Note which places wait; return those that have waited long enough."""
        now = self.clock.monotonic()
        self._since = {place: self._since.get(place, now) for place in places}
        return frozenset(place for place, since in self._since.items() if now - since >= self.patience)

    def forget(self) -> None:
        """Note that no job waits for a worker: patience starts anew."""
        self._since.clear()
        self.waiting = 0
