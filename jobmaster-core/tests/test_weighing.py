"""What goes to a store at once is bounded by bytes as well as by jobs, for one caller and for several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise, repeat
from typing import cast
from uuid import UUID, uuid4

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import (
    Cluster,
    InvalidArgumentsError,
    InvalidQueryError,
    JobContext,
    JobReceipt,
    MetadataFilter,
    Operator,
    handler,
)
from jobmaster._flow.ownership import OwnedBucket, WorkerLease
from jobmaster._pipeline.buffer import Buffer
from jobmaster._pipeline.report import Reporter
from jobmaster.contracts import OutcomeStore
from jobmaster.models import Claim, NewJob, Report
from jobmaster.weighing import AT_ONCE, MOST_JOBS, MOST_TOGETHER, in_parts, new_weight
from jobmaster_testing.factories import make_bucket, make_log_line, make_new_job, make_report, make_worker

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

MIB = 1024 * 1024
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@handler("Weighing.Keep")
async def keep(_: JobContext, text: str = "") -> None: ...


@given(st.lists(st.integers(0, 30)), st.integers(1, 40))
def test_parts_are_in_order_and_within_their_bound(weights: list[int], most: int) -> None:
    parts = list(in_parts(weights, lambda weight: weight, most))

    assert [weight for part in parts for weight in part] == weights
    assert all(sum(part) <= most or len(part) == 1 for part in parts)
    assert all(sum(a) + b[0] > most for a, b in pairwise(parts))


class Store:
    """Takes flushes down. Those of a job that weighs more than it should are refused; the first one waits."""

    def __init__(self) -> None:
        self.flushes: list[Sequence[NewJob]] = []
        self.opened = anyio.Event()

    async def flush(self, jobs: Sequence[NewJob]) -> Sequence[JobReceipt]:
        self.flushes.append(jobs)
        if len(self.flushes) == 1:
            await self.opened.wait()
        if any(new.job.lane == "refused" for new in jobs):
            raise InvalidArgumentsError("refused")
        return [JobReceipt(job_id=new.job.id, accepted_by="store") for new in jobs]


def heavy(mib: int, lane: str = "default") -> NewJob:
    return make_new_job(cluster_id="C", lane=lane, data={"text": "x" * (mib * MIB)})


async def test_callers_share_a_flush_as_long_as_there_is_room_in_it() -> None:
    store = Store()
    buffer = Buffer(store.flush)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(buffer.submit, [heavy(6)])
        await anyio.wait_all_tasks_blocked()
        store.opened.set()

    weights = [sum(map(new_weight, jobs)) for jobs in store.flushes]
    assert sum(map(len, store.flushes)) == 10
    assert max(weights) <= AT_ONCE
    assert len(weights) == 6


async def test_a_call_of_many_bytes_holds_up_nobody_and_its_refusal_fails_nobody() -> None:
    store = Store()
    buffer = Buffer(store.flush)
    refused: list[Exception] = []

    async def large() -> None:
        try:
            await buffer.submit([heavy(9, "refused"), heavy(9)])
        except InvalidArgumentsError as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(large)
        await anyio.wait_all_tasks_blocked()
        assert await buffer.submit([heavy(0)])
        store.opened.set()

    assert len(refused) == 1


async def test_a_bulk_call_over_the_bound_is_refused_at_once_and_stores_nothing(cluster: Build) -> None:
    text = "x" * (16 * MIB)
    async with cluster(keep).configure(max_message_bytes=17 * MIB).running() as runtime:
        requests = [keep.request(text=text) for _ in range(MOST_TOGETHER // len(text))]
        with pytest.raises(InvalidArgumentsError, match="over 256 MiB of data and metadata"):
            await runtime.scheduler.once_many(requests)
        assert await runtime.jobs.count() == 0
        assert await runtime.scheduler.once_many(requests[:1])


async def test_endless_lists_are_refused(cluster: Build) -> None:
    async with cluster(keep).running() as runtime:
        with pytest.raises(InvalidArgumentsError, match=f"over {MOST_JOBS:,} jobs are too many"):
            await runtime.scheduler.once_many(repeat(keep.request()))
        with pytest.raises(InvalidQueryError, match="over 10,000 ids are too many"):
            await runtime.scheduler.cancel_many(repeat(uuid4()))
        for ask in (
            lambda: runtime.jobs.count(status=repeat("failed")),
            lambda: runtime.jobs.count(metadata=repeat(5)),  # type: ignore[arg-type]
            lambda: runtime.schedules.query(status=repeat("active")),
            lambda: runtime.jobs.count(metadata=[MetadataFilter("v", Operator.IN, repeat(5))]),
        ):
            with pytest.raises(InvalidQueryError, match="too many"):
                await ask()


async def test_reports_go_in_writes_that_are_bounded() -> None:
    written: list[int] = []

    class Counting:
        async def report(self, reports: Sequence[Report]) -> frozenset[UUID]:
            written.append(len(reports))
            return frozenset()

    worker = make_worker()
    bucket = make_bucket(worker)
    owned = OwnedBucket(bucket, WorkerLease(worker.id, 60, 0), 5, 10)
    reporter = Reporter(cast("OutcomeStore", Counting()))
    for _ in range(40):
        claim = Claim(
            job=make_new_job(bucket).job, bucket_id=bucket.id, epoch=1, attempt=1, ready_at=NOW, retries=0
        )
        reporter.submit(owned, make_report(claim, logs=[make_log_line(message="x" * MIB)]))
    while await reporter.run_once():
        pass

    assert sum(written) == 40
    assert max(written) <= 16
