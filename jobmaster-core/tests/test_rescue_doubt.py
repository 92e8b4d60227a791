"""A take-over that nobody answers, and that comes to be later: its buckets are brought back all the same."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from jobmaster._flow.inline import InlineAgent
from jobmaster._upkeep.rescue import DOUBT, Rescue
from jobmaster.contracts import RescueStore
from jobmaster.errors import StoreUnavailableError
from jobmaster.memory import MemoryMaster
from jobmaster.models import STANDALONE, Bucket
from jobmaster.states import BucketStatus
from jobmaster_testing.clock import HandMovedClock
from jobmaster_testing.factories import CLUSTER, make_bucket, make_new_job, make_worker
from jobmaster_testing.reach import Within
from jobmaster_testing.wrapping import Passing, with_stores

pytestmark = pytest.mark.anyio


class Late(Passing[RescueStore]):
    """Lets the first take-over happen when it is told to, and not when it is asked."""

    asked: UUID | None = None

    async def take_lost_buckets(self, *args: Any, **kwargs: Any) -> Sequence[Bucket]:
        rescuer = (*args, *kwargs)[1]
        if self.asked is None:
            self.asked = rescuer
            raise StoreUnavailableError("no answer came")
        return []

    async def happen(self) -> None:
        assert self.asked is not None
        await self.inner.take_lost_buckets(CLUSTER, self.asked, 10)


async def test_buckets_that_were_taken_after_all_are_brought_back() -> None:
    master, clock = MemoryMaster(), HandMovedClock()
    late = Late(master.rescue)
    worker, rescuer = make_worker(), make_worker()
    bucket = make_bucket(worker)
    await master.workers.register(rescuer, [], 3600)
    await master.workers.register(worker, [bucket], 3600)
    await master.workers.retire(worker.id)
    await master.jobs.insert([make_new_job(bucket)])
    rescue = Rescue(
        cluster_id=CLUSTER,
        master=with_stores(master, rescue=late),
        agents=Within({STANDALONE: InlineAgent(master, CLUSTER)}),
        clock=clock,
    )

    with pytest.raises(StoreUnavailableError):
        await rescue.run_once(rescuer.id)
    clock.move(DOUBT / 4)
    assert (await rescue.run_once(rescuer.id)).released == 0
    await late.happen()
    clock.move(DOUBT / 4)
    await rescue.run_once(rescuer.id)

    [stored] = await master.buckets.list_all(CLUSTER)
    assert stored.status is BucketStatus.READY_TO_DELETE
    assert await master.buckets.holdings(CLUSTER) == {}
