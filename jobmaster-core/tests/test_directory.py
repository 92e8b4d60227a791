"""The picture of active buckets is renewed as it ages and as buckets come and go, more seldom the larger it is."""

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster._policy.placement import Place
from jobmaster._runtime.directory import FULL, ClusterView, Directory
from jobmaster.errors import StoreUnavailableError
from jobmaster.models import Bucket
from jobmaster.states import Priority
from jobmaster_testing import make_bucket, make_new_job

pytestmark = pytest.mark.anyio

SMALL, LARGE = 10, 5000


class Town:
    """A cluster with buckets, and who looks at it."""

    def __init__(self, size: int = 0) -> None:
        self.buckets = [make_bucket() for _ in range(size)]
        self.waiting: frozenset[Place] = frozenset()
        self.time = 100.0
        self.looks = 0
        self.away = False
        self.while_looking: Callable[[], None] | None = None
        self.directory = Directory(self.look, lambda: self.time, self._in_background)

    async def look(self) -> ClusterView:
        self.looks += 1
        if self.away:
            raise StoreUnavailableError("away")
        found = ClusterView(list(self.buckets), self.waiting)
        if self.while_looking is not None:
            self.while_looking()
        return found

    def _in_background(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._later = call

    async def later(self) -> None:
        """Do what was left to the background."""
        await self._later()

    async def looks_after(self, seconds: float) -> int:
        """Return how many more looks a caller waits for who comes so much later."""
        before, self.time = self.looks, self.time + seconds
        await self.directory.ready()
        return self.looks - before


@pytest.fixture(params=[SMALL, LARGE])
async def town(request: pytest.FixtureRequest) -> Town:
    town = Town(request.param)
    assert await town.looks_after(0) == 1
    return town


async def test_a_young_picture_is_used(town: Town) -> None:
    assert await town.looks_after(1.9) == 0


async def test_an_old_one_is_renewed_in_the_background(town: Town) -> None:
    age = 2.0 if len(town.buckets) == SMALL else 20.0
    assert await town.looks_after(age) == 0
    await town.later()
    assert town.looks == 2


async def test_a_large_one_serves_longer() -> None:
    town = Town(LARGE)
    await town.directory.ready()
    assert await town.looks_after(19.9) == 0
    with pytest.raises(AttributeError):  # nothing was left to the background
        await town.later()


async def test_a_very_old_one_is_waited_for(town: Town) -> None:
    age = 10.0 if len(town.buckets) == SMALL else 100.0
    assert await town.looks_after(age) == 1


async def test_callers_wait_for_what_has_changed() -> None:
    town = Town(SMALL)
    await town.directory.ready()
    town.directory.invalidate()
    assert await town.looks_after(0) == 1
    assert await town.looks_after(0) == 0


async def test_a_rollout_of_a_large_cluster_does_not_mean_a_look_for_each_bucket() -> None:
    town = Town(LARGE)
    await town.directory.ready()
    looks = 0
    for _ in range(40):
        town.directory.invalidate()
        looks += await town.looks_after(0.25)
    assert looks == 5


async def test_what_changes_during_a_look_is_looked_at_again() -> None:
    town = Town(SMALL)
    town.while_looking = town.directory.invalidate
    assert await town.looks_after(0) == 1
    town.while_looking = None
    assert await town.looks_after(0) == 1


async def test_an_old_picture_serves_while_the_master_is_away() -> None:
    town = Town(SMALL)
    await town.directory.ready()
    town.away = True
    town.directory.invalidate()
    assert await town.looks_after(60) == 1
    assert _chosen(town.directory) in {bucket.id for bucket in town.buckets}


async def test_without_any_picture_the_master_is_needed() -> None:
    town = Town(SMALL)
    town.away = True
    with pytest.raises(StoreUnavailableError):
        await town.directory.ready()


async def test_processes_do_not_all_begin_with_the_same_bucket() -> None:
    towns = [Town(SMALL) for _ in range(30)]
    for town in towns:
        town.buckets = towns[0].buckets
    async with anyio.create_task_group() as group:
        for town in towns:
            group.start_soon(town.directory.ready)

    first = Counter(_chosen(town.directory) for town in towns)

    assert len(first) > 1


def _chosen(directory: Directory, lane: str = "default") -> UUID | None:
    return directory.place([make_new_job(lane=lane)], threshold=60.0)[0].bucket_id


# Where older jobs wait


async def town_of(*buckets: Bucket, waiting: frozenset[Place] = frozenset()) -> Town:
    town = Town()
    town.buckets, town.waiting = list(buckets), waiting
    await town.directory.ready()
    return town


@pytest.mark.parametrize("count", [1, 3])
async def test_new_jobs_are_held_where_older_ones_wait(count: int) -> None:
    """In a bucket they would overtake these."""
    bucket, other = make_bucket(lane="slow"), make_bucket()
    town = await town_of(bucket, other, waiting=frozenset({("slow", Priority.MEDIUM)}))

    def chosen(lane: str) -> set[UUID | None]:
        placed = town.directory.place([make_new_job(lane=lane) for _ in range(count)], threshold=60.0)
        return {new.bucket_id for new in placed}

    assert chosen("slow") == {None}
    assert chosen("default") == {other.id}
    town.waiting = frozenset()
    await town.directory.refresh()
    assert chosen("slow") == {bucket.id}


async def test_older_jobs_of_another_priority_are_in_nobodys_way() -> None:
    town = await town_of(bucket := make_bucket(), waiting=frozenset({("default", Priority.HIGH)}))
    assert _chosen(town.directory) == bucket.id


async def test_no_agent_is_chosen_where_older_jobs_wait() -> None:
    town = await town_of(make_bucket(agent="A"), waiting=frozenset({("default", Priority.MEDIUM)}))
    jobs, weights = [make_new_job()], {"A": 1.0}

    assert town.directory.agent_for(jobs, weights) is None
    assert town.directory.place_on("A", jobs) is None
    town.waiting = frozenset()
    await town.directory.refresh()
    assert town.directory.agent_for(jobs, weights) == "A"


# Whose owners have enough


async def test_who_has_enough_is_given_less_than_others() -> None:
    """A bucket with as much as its owner begins within a second is passed over, until others have a lot more."""
    full = make_bucket(load=8, offered=8)
    busy = make_bucket(load=9, offered=20)
    town = await town_of(full, busy)

    first = {_chosen(town.directory) for _ in range(FULL - 1)}
    later = {_chosen(town.directory) for _ in range(4)}

    assert first == {busy.id}
    assert later == {full.id, busy.id}


async def test_who_offers_nothing_goes_by_its_load() -> None:
    town = await town_of(loaded := make_bucket(load=8), idle := make_bucket(load=7))
    assert [_chosen(town.directory) for _ in range(2)].count(idle.id) >= 1
    assert {_chosen(town.directory) for _ in range(4)} == {loaded.id, idle.id}
