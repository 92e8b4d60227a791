"""The coordinator's step: few large refills, no question asked twice, patience where there is no room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from jobmaster._pipeline.assign import FIRST_PAUSE, LONGEST_PAUSE, UNSERVED_PAUSE, Assign
from jobmaster._policy.refill import Refills
from jobmaster.carrying import Carrier
from jobmaster.contracts import MasterRepository
from jobmaster.inline import InlineAgent
from jobmaster.models import STANDALONE, Bucket, Cursor
from jobmaster.plugins import Plugins
from jobmaster_testing.factories import (
    CLUSTER,
    make_bucket,
    make_cluster,
    make_new_job,
    make_report,
    make_worker,
)
from jobmaster_testing.options import Options

pytestmark = pytest.mark.anyio

TARGET = 8


@pytest.fixture
async def master() -> AsyncIterator[MasterRepository]:
    made = Plugins().master(f"memory://{uuid4().hex}", Options())
    await made.open()
    await made.migrate()
    await made.register_cluster(make_cluster())
    yield made
    await made.close()


@pytest.fixture
def step(master: MasterRepository) -> Assign:
    return assigning(master, Refills(TARGET, 2, TARGET))


def assigning(master: MasterRepository, refills: Refills) -> Assign:
    agents = {STANDALONE: InlineAgent(master, CLUSTER)}
    carrier = Carrier(master, agents, lambda _: None, lambda: 0.0, patience=10.0)
    return Assign(CLUSTER, master, agents, lambda: list(agents), carrier, uuid4, lambda: 120.0, refills)


async def hold(master: MasterRepository, count: int, *, lane: str = "default", delay: float = 0.0) -> None:
    await master.insert_jobs([make_new_job(lane=lane, delay=delay) for _ in range(count)])


async def bucket_of(master: MasterRepository) -> Bucket:
    worker = make_worker()
    bucket = make_bucket(worker)
    await master.register_worker(worker, [bucket], 60.0)
    return bucket


async def finish(master: MasterRepository, bucket: Bucket, count: int) -> None:
    page = await master.read_bucket(bucket, Cursor(), count)
    assert not await master.report([make_report(claim) for claim in page.claims])


async def test_a_bucket_is_filled_up_to_the_target(master: MasterRepository, step: Assign) -> None:
    bucket = await bucket_of(master)
    await hold(master, TARGET + 5)

    result = await step.run_once()

    assert result.assigned == {bucket.id: STANDALONE}
    assert await master.bucket_holdings(CLUSTER) == {bucket.id: TARGET}
    assert result.wait == 0


async def test_a_bucket_is_filled_again_once_a_quarter_of_it_is_done(
    master: MasterRepository, step: Assign
) -> None:
    bucket = await bucket_of(master)
    await hold(master, 2 * TARGET)
    await step.run_once()

    await finish(master, bucket, TARGET // 4 - 1)
    assert not (await step.run_once()).assigned
    await finish(master, bucket, 1)
    assert (await step.run_once()).assigned == {bucket.id: STANDALONE}
    assert await master.bucket_holdings(CLUSTER) == {bucket.id: TARGET}


async def test_a_bucket_that_is_worked_off_at_once_is_given_more_each_time(master: MasterRepository) -> None:
    step, bucket = assigning(master, Refills(4, 2, 50)), await bucket_of(master)
    await hold(master, 200)

    given = []
    for _ in range(6):
        await step.run_once()
        given.append((await master.bucket_holdings(CLUSTER))[bucket.id])
        await finish(master, bucket, given[-1])

    assert given == [4, 8, 16, 32, 50, 50]


async def test_the_next_backlog_finds_a_bucket_as_if_it_were_new(master: MasterRepository) -> None:
    step, bucket = assigning(master, Refills(4, 2, 50)), await bucket_of(master)
    await hold(master, 12)
    for _ in range(3):
        await step.run_once()
        await finish(master, bucket, 8)

    await step.run_once()
    await hold(master, 12)
    await step.run_once()

    assert await master.bucket_holdings(CLUSTER) == {bucket.id: 4}


async def test_the_pause_grows_while_there_is_no_room_and_starts_anew_after_that(
    master: MasterRepository, step: Assign
) -> None:
    bucket = await bucket_of(master)
    await hold(master, 3 * TARGET)
    await step.run_once()

    pauses = [(await step.run_once()).wait for _ in range(8)]
    await finish(master, bucket, TARGET)
    assert (await step.run_once()).wait == 0
    after = (await step.run_once()).wait

    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert after == FIRST_PAUSE


async def test_jobs_of_a_lane_without_a_worker_are_looked_for_with_patience(
    master: MasterRepository, step: Assign
) -> None:
    await bucket_of(master)
    await hold(master, 1, lane="nobody's")

    assert [(await step.run_once()).wait for _ in range(2)] == [UNSERVED_PAUSE] * 2
    step.ahead = lambda: 12.0  # what is due later is to be found in time
    assert (await step.run_once()).wait == 6.0


async def test_a_full_bucket_is_looked_at_again_soon_whatever_else_waits(
    master: MasterRepository, step: Assign
) -> None:
    await bucket_of(master)
    await hold(master, 2 * TARGET)
    await hold(master, 1, lane="nobody's")
    await step.run_once()

    assert (await step.run_once()).wait == FIRST_PAUSE


async def test_without_any_bucket_it_waits_for_news(master: MasterRepository, step: Assign) -> None:
    await hold(master, 1)

    result = await step.run_once()

    assert (result.wait, result.starving) == (None, True)


async def test_it_waits_until_the_next_job_comes_into_reach(master: MasterRepository, step: Assign) -> None:
    await bucket_of(master)
    await hold(master, 1, delay=180.0)

    wait = (await step.run_once()).wait

    assert wait is not None
    assert 55.0 < wait <= 60.0
