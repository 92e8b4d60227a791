"""What a worker knows of the jobs it has in hand, and of those it had a moment ago."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from jobmaster._flow.inline import InlineAgent
from jobmaster._flow.ownership import OwnedBucket, WorkerLease
from jobmaster.memory import MemoryMaster
from jobmaster.models import Claim, Cursor
from jobmaster_testing.factories import make_bucket, make_new_job, make_report, make_worker

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("first_to_end", [0, 1])
async def test_a_job_that_ends_while_two_pages_are_on_their_way_is_known_to_both(
    master: MemoryMaster, first_to_end: int
) -> None:
    worker = make_worker(cluster_id="Test-1")
    bucket = make_bucket(worker)
    await master.workers.register(worker, [bucket], 60)
    await master.jobs.insert([make_new_job(bucket)])
    owned = OwnedBucket(bucket, WorkerLease(worker.id, 60, 0), 5, 10)
    [claim] = (await InlineAgent(master, "Test-1").claims.pull(bucket, Cursor(), 1)).claims
    owned.take_in([claim], 0.0)

    reads = [ExitStack(), ExitStack()]
    for read in reads:
        read.enter_context(owned.reading())
    reads.pop(first_to_end).close()
    owned.settled(make_report(claim))

    assert owned.knows(claim)
    reads.pop().close()
    assert not owned.knows(claim)


MIB = 1024 * 1024


def _claims(owned: OwnedBucket, count: int, size: int) -> list[Claim]:
    jobs = [make_new_job(owned.bucket, data={"text": "x" * size}).job for _ in range(count)]
    return [
        Claim(job=job, bucket_id=owned.id, epoch=1, attempt=1, ready_at=job.scheduled_at, retries=0)
        for job in jobs
    ]


def _owned(batch_bytes: int) -> OwnedBucket:
    worker = make_worker(cluster_id="Test-1")
    lease = WorkerLease(worker.id, 60, 0)
    return OwnedBucket(make_bucket(worker), lease, 5, 1000, batch_bytes=batch_bytes)


@pytest.mark.parametrize(
    ("count", "size", "reads_on"), [(1, MIB // 2, True), (1, MIB, False), (4, 100, True)]
)
async def test_more_is_read_while_what_is_in_line_leaves_room_for_its_bytes(
    count: int, size: int, reads_on: bool
) -> None:
    owned = _owned(2 * MIB - 1)
    assert owned.room

    owned.take_in(_claims(owned, count, size), 0.0)
    assert bool(owned.room) is reads_on

    while owned.next_in_line():
        pass
    assert owned.room, "with nothing in line, one job is read, however large"


async def test_no_more_is_read_while_ends_of_many_bytes_are_on_their_way() -> None:
    owned = _owned(MIB)
    claims = _claims(owned, 4, MIB - 100)
    owned.take_in(claims, 0.0)
    while held := owned.next_in_line():
        held.ended = True
    assert not owned.room

    owned.settled(make_report(claims[0]))
    assert owned.room


async def test_a_large_job_that_will_not_run_is_noted_without_its_data() -> None:
    owned = _owned(MIB)
    [claim] = _claims(owned, 1, MIB)

    owned.take_aside(claim, 0.0)

    assert owned.knows(claim)
    assert owned.in_flight[claim.job.id].claim.job.data.size < 100
