"""The picture of active buckets is renewed as it ages and as buckets come and go, more seldom the larger it is."""

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster._runtime.directory import Directory
from jobmaster.errors import StoreUnavailableError
from jobmaster.models import Bucket
from jobmaster_testing import make_bucket, make_new_job

pytestmark = pytest.mark.anyio

SMALL, LARGE = 10, 5000


class Town:
    """A cluster with buckets, and who looks at it."""

    def __init__(self, size: int) -> None:
        self.buckets = [make_bucket() for _ in range(size)]
        self.time = 100.0
        self.looks = 0
        self.away = False
        self.while_looking: Callable[[], None] | None = None
        self.directory = Directory(self.look, lambda: self.time, self._in_background)

    async def look(self) -> Sequence[Bucket]:
        self.looks += 1
        if self.away:
            raise StoreUnavailableError("away")
        found = list(self.buckets)
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


def _chosen(directory: Directory) -> UUID | None:
    return directory.place([make_new_job()], threshold=60.0)[0].bucket_id
