"""What a worker knows of the jobs it has in hand, and of those it had a moment ago."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from jobmaster.inline import InlineAgent
from jobmaster.memory import MemoryMaster
from jobmaster.models import Cursor
from jobmaster.ownership import OwnedBucket, WorkerLease
from jobmaster_testing.factories import make_bucket, make_new_job, make_report, make_worker

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("first_to_end", [0, 1])
async def test_a_job_that_ends_while_two_pages_are_on_their_way_is_known_to_both(
    master: MemoryMaster, first_to_end: int
) -> None:
    worker = make_worker(cluster_id="Test-1")
    bucket = make_bucket(worker)
    await master.register_worker(worker, [bucket], 60)
    await master.insert_jobs([make_new_job(bucket)])
    owned = OwnedBucket(bucket, WorkerLease(worker.id, 60, 0), 5, 10)
    [claim] = (await InlineAgent(master, "Test-1").pull(bucket, Cursor(), 1)).claims
    owned.take_in([claim], 0.0)

    reads = [ExitStack(), ExitStack()]
    for read in reads:
        read.enter_context(owned.reading())
    reads.pop(first_to_end).close()
    owned.settled(make_report(claim))

    assert owned.knows(claim)
    reads.pop().close()
    assert not owned.knows(claim)
