"""What is left on an agent of buckets that nobody reads."""

from __future__ import annotations

import pytest

from jobmaster._upkeep.orphaned_messages import OrphanedMessages
from jobmaster.errors import LeaseLostError
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import Bucket, Cursor
from jobmaster.states import BucketStatus, JobStatus
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.provider import make_world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def depot() -> Depot:
    return Depot(await make_world(MemoryMaster()), MemoryAgent("Agent-1"))


@pytest.fixture
def finder(depot: Depot) -> OrphanedMessages:
    return OrphanedMessages(depot.world.cluster_id, depot.world.master, {"Agent-1": depot.agent})


async def is_there(depot: Depot, bucket: Bucket) -> bool:
    """Return whether the agent has a bucket at its owner's epoch."""
    try:
        await depot.agent.claims.pull(bucket, Cursor(), 1)
    except LeaseLostError:
        return False
    return True


async def test_an_empty_bucket_that_is_over_is_dropped(depot: Depot, finder: OrphanedMessages) -> None:
    over, active = await depot.buckets(2)
    await depot.world.close_bucket(over)

    assert await finder.run_once() == 0

    assert (await is_there(depot, over), await is_there(depot, active)) == (False, True)


@pytest.mark.parametrize("status", [BucketStatus.COMPLETING, BucketStatus.LOST])
async def test_a_bucket_that_somebody_is_to_give_up_stays(
    depot: Depot, finder: OrphanedMessages, status: BucketStatus
) -> None:
    bucket = await depot.bucket()
    await depot.world.master.buckets.set_status(bucket, status)

    await finder.run_once()

    assert await is_there(depot, bucket)


async def test_a_late_message_is_brought_back_and_its_bucket_dropped(
    depot: Depot, finder: OrphanedMessages
) -> None:
    bucket = await depot.bucket()
    await depot.world.close_bucket(bucket)
    message = await depot.push_one(bucket)

    assert await finder.run_once() == 1

    assert await depot.world.status(message.new.job) is JobStatus.HELD_ON_MASTER
    assert not await is_there(depot, bucket)
    assert await depot.holdings() == {}


async def test_an_empty_bucket_of_another_cluster_stays(depot: Depot, finder: OrphanedMessages) -> None:
    other = Depot(await make_world(depot.world.master), depot.agent)
    active, over = await other.buckets(2)
    await other.world.close_bucket(over)

    await finder.run_once()

    assert await is_there(other, active)
    assert await is_there(other, over)
