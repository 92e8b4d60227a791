"""Which buckets take new jobs: a short-lived view of the cluster for scheduling calls."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from attrs import frozen

from jobmaster._flow.in_flight import NEVER
from jobmaster._policy.placement import Place, Ranking, agent_for
from jobmaster._process.tasks import Contained
from jobmaster.errors import StoreError
from jobmaster.models import STANDALONE, Bucket, NewJob

log = logging.getLogger("jobmaster.directory")

STALE = 2.0
"""Seconds after which the view is renewed in the background while it stays in use; longer in a large cluster."""
USELESS = 5
"""How many times that age a view may reach before a caller waits for a new one."""
BUCKETS_A_SECOND = 250
"""How many buckets of a view are renewed per second. Processes grow with buckets: if each process read all of them
every two seconds, the master's work would grow with the square of the cluster's size."""
FULL = 100
"""How many more jobs other buckets get before a bucket whose owner has enough."""
HASTE = 10
"""How many times as often a large view may be renewed while buckets come and go, as they do by the hundred in a rollout."""


@frozen
class ClusterView:
    """The buckets that may take new jobs, and the places whose older jobs wait on the master for their turn."""

    buckets: Sequence[Bucket]
    waiting: frozenset[Place] = frozenset()


InBackground = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
"""Starts work that nothing waits for."""


class Directory:
    """The active buckets by agent, lane and priority, with an estimate of their load."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[ClusterView]],
        monotonic: Callable[[], float],
        in_background: InBackground,
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._in_background = in_background
        self._agents: Mapping[str, Mapping[Place, Ranking]] = {}
        self._view = ClusterView(())
        self._under_way: Counter[tuple[str, Place]] = Counter()
        self._turn = random.getrandbits(32)  # different in each process
        self._fetched_at = -NEVER
        self._outdated = False
        self._stale = STALE
        self._known = False
        self._fetching = False

    def invalidate(self, _topic: str = "") -> None:
        """Buckets came or went: the next caller waits for a new view."""
        self._outdated = True

    async def ready(self) -> None:
        """Make sure that the view is fresh enough to use; raises `StoreError` if there has never been one.

        While the master is away an old view serves: its errors cost time, but lose no job.
        """
        age = self._monotonic() - self._fetched_at
        if age >= self._useful_for:
            await self._refresh_or_make_do()
        elif age >= self._stale and not self._fetching:
            self._fetching = True
            self._in_background(self._refresh_quietly)

    @property
    def _useful_for(self) -> float:
        """The age in seconds up to which callers use the view as it is."""
        if not self._outdated:
            return USELESS * self._stale
        return self._stale / HASTE if self._stale > STALE else 0.0

    async def refresh(self) -> None:
        """Get a new view."""
        asked_at = self._monotonic()
        self._outdated = False  # changes announced from here on may be missing from it
        view = await self._fetch()
        self._agents, self._view = _ranked(view, self._turn), view
        self._stale = max(STALE, len(view.buckets) / BUCKETS_A_SECOND)
        self._fetched_at, self._known = asked_at, True

    def wait_for_nobody(self) -> None:
        """The master is away: jobs that wait there make no progress, so new jobs need not queue behind them."""
        if self._view.waiting:
            self._view = ClusterView(self._view.buckets)
            self._agents = _ranked(self._view, self._turn)

    async def _refresh_or_make_do(self) -> None:
        try:
            await self.refresh()
        except StoreError:
            if not self._known:
                raise
            self.wait_for_nobody()
            self._fetched_at = self._monotonic() - STALE  # ask again, but let no caller wait for it

    async def _refresh_quietly(self) -> None:
        try:
            async with Contained("renewing the list of buckets", log):
                await self._refresh_unless_away()
        finally:
            self._fetching = False

    async def _refresh_unless_away(self) -> None:
        try:
            await self.refresh()
        except StoreError as error:
            log.debug("the list of buckets could not be renewed: %s", error)
            self.wait_for_nobody()
            self._fetched_at = self._monotonic()

    # Choosing

    def agent_for(self, jobs: Sequence[NewJob], weights: Mapping[str, float]) -> str | None:
        """Return the agent whose buckets take all of these jobs, or None if no agent can."""
        wanted = {(new.job.lane, new.job.priority) for new in jobs}
        return agent_for(wanted, {name: self._burdens(name, wanted) for name in weights}, weights)

    def _burdens(self, agent: str, wanted: set[Place]) -> Mapping[Place, float]:
        places, more = self._agents.get(agent, {}), self._under_way
        return {place: places[place].average_with(more[agent, place]) for place in wanted if place in places}

    @contextmanager
    def sending(self, agent: str, jobs: Sequence[NewJob]) -> Iterator[None]:
        """Within the block, count jobs as load of the agent that was chosen for them.

        They get their buckets with the next flush. Without this, concurrent callers would all choose the same agent
        until then.
        """
        counts = Counter((agent, (new.job.lane, new.job.priority)) for new in jobs)
        self._under_way.update(counts)
        try:
            yield
        finally:
            self._under_way -= counts

    def place_on(self, agent: str, jobs: Sequence[NewJob]) -> list[NewJob] | None:
        """Give each job a bucket of its lane and priority on an agent; None if there is none for one of them."""
        placed = self.place(jobs, float("inf"), agent)
        return None if any(new.bucket_id is None for new in placed) else placed

    def place(self, jobs: Sequence[NewJob], threshold: float, agent: str = STANDALONE) -> list[NewJob]:
        """Give each job due within `threshold` seconds a bucket of its lane and priority, if there is one."""
        if len(jobs) == 1:
            return [self._place_one(jobs[0], threshold, agent)]
        wanted = Counter((n.job.lane, n.job.priority) for n in jobs if n.delay <= threshold)
        chosen = {place: iter(self._choose(agent, place, count)) for place, count in wanted.items()}
        return [
            _placed(n, next(chosen[n.job.lane, n.job.priority], None)) if n.delay <= threshold else n
            for n in jobs
        ]

    def _place_one(self, new: NewJob, threshold: float, agent: str) -> NewJob:
        if new.delay > threshold:
            return new
        chosen = self._choose(agent, (new.job.lane, new.job.priority), 1)
        return _placed(new, chosen[0]) if chosen else new

    def _choose(self, agent: str, place: Place, count: int) -> list[UUID]:
        ranking = self._agents.get(agent, {}).get(place)
        return [] if ranking is None else ranking.choose(count)


def _ranked(view: ClusterView, start: int) -> Mapping[str, Mapping[Place, Ranking]]:
    """Rank buckets by load, for each agent and place.

    Where older jobs wait on the master, new ones go there as well: in a bucket they would overtake the older ones.
    """
    agents: dict[str, dict[Place, list[tuple[int, UUID]]]] = {}
    for bucket in view.buckets:
        if (bucket.lane, bucket.priority) in view.waiting:
            continue
        places = agents.setdefault(bucket.agent, {})
        places.setdefault((bucket.lane, bucket.priority), []).append((_burden(bucket), bucket.id))
    return {
        agent: {place: Ranking(loads, start) for place, loads in places.items()}
        for agent, places in agents.items()
    }


def _burden(bucket: Bucket) -> int:
    """Return a bucket's load, much increased once its owner has as many jobs as it offers to start within a second."""
    full = bucket.offered is not None and bucket.load >= bucket.offered
    return bucket.load + FULL if full else bucket.load


def _placed(new: NewJob, bucket_id: UUID | None) -> NewJob:
    return new if bucket_id is None else NewJob(job=new.job, delay=new.delay, bucket_id=bucket_id)
