"""A take-over that nobody answers, and that comes to be later: its buckets are brought back all the same."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from jobmaster._upkeep.rescue import DOUBT, Rescue
from jobmaster.errors import StoreUnavailableError
from jobmaster.inline import InlineAgent
from jobmaster.memory import MemoryMaster
from jobmaster.models import STANDALONE, Bucket
from jobmaster.states import BucketStatus
from jobmaster_testing.factories import CLUSTER, make_bucket, make_new_job, make_worker

pytestmark = pytest.mark.anyio


class Late(MemoryMaster):
    """A master that lets the first take-over happen when it is told to, and not when it is asked."""

    asked: UUID | None = None

    async def take_lost_buckets(self, *args: Any, **kwargs: Any) -> Sequence[Bucket]:
        rescuer = (*args, *kwargs)[1]
        if self.asked is None:
            self.asked = rescuer
            raise StoreUnavailableError("no answer came")
        return []

    async def happen(self) -> None:
        assert self.asked is not None
        await super().take_lost_buckets(CLUSTER, self.asked, 10)


async def test_buckets_that_were_taken_after_all_are_brought_back() -> None:
    master, clock = Late(), [0.0]
    worker, rescuer = make_worker(), make_worker()
    bucket = make_bucket(worker)
    await master.register_worker(rescuer, [], 3600)
    await master.register_worker(worker, [bucket], 3600)
    await master.retire_worker(worker.id)
    await master.insert_jobs([make_new_job(bucket)])
    rescue = Rescue(
        cluster_id=CLUSTER,
        master=master,
        agents={STANDALONE: InlineAgent(master, CLUSTER)},
        reachable=lambda: [STANDALONE],
        rescuer=lambda: rescuer.id,
        now=lambda: datetime.now(UTC),
        monotonic=lambda: clock[0],
    )

    with pytest.raises(StoreUnavailableError):
        await rescue.run_once()
    clock[0] = DOUBT / 4
    assert (await rescue.run_once()).released == 0
    await master.happen()
    clock[0] = DOUBT / 2
    await rescue.run_once()

    [stored] = await master.list_buckets(CLUSTER)
    assert stored.status is BucketStatus.READY_TO_DELETE
    assert await master.bucket_holdings(CLUSTER) == {}
