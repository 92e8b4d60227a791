"""The coordinator's step: few large refills, no question asked twice, patience where there is no room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from jobmaster._flow.handover import HandoverPusher
from jobmaster._flow.inline import InlineAgent
from jobmaster._pipeline.assign import FIRST_PAUSE, LONGEST_PAUSE, UNSERVED_PAUSE, Assign
from jobmaster._policy.refill import Refills
from jobmaster._policy.sharing import Silence
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.models import STANDALONE, Bucket, Cursor, Load
from jobmaster.plugins import Plugins
from jobmaster.weighing import AT_ONCE
from jobmaster_testing.clock import HandMovedClock
from jobmaster_testing.factories import (
    CLUSTER,
    make_bucket,
    make_cluster,
    make_new_job,
    make_report,
    make_worker,
)
from jobmaster_testing.options import Options
from jobmaster_testing.probes import until
from jobmaster_testing.reach import Within

pytestmark = pytest.mark.anyio

TARGET = 8


@pytest.fixture
async def master() -> AsyncIterator[MasterRepository]:
    made = Plugins().master(f"memory://{uuid4().hex}", Options())
    await made.open()
    await made.schema.migrate()
    await made.clusters.register(make_cluster())
    yield made
    await made.close()


@pytest.fixture
def step(master: MasterRepository) -> Assign:
    return assigning(master, Refills(TARGET, 2, TARGET))


def assigning(
    master: MasterRepository,
    refills: Refills,
    agents: Mapping[str, AgentRepository] | None = None,
    silence: Silence | None = None,
) -> Assign:
    clock = HandMovedClock()
    known = Within({STANDALONE: InlineAgent(master, CLUSTER), **(agents or {})})
    return Assign(
        cluster_id=CLUSTER,
        assignments=master.assignments,
        buckets=master.buckets,
        handovers=master.handovers,
        agents=known,
        pusher=HandoverPusher(master.handovers, known, clock, patience=10.0),
        workers=Pushing(),
        ahead=120.0,
        refills=refills,
        silence=silence or Silence(60.0),
        clock=clock,
    )


class Pushing:
    """Workers that push under an id of their own."""

    def __init__(self) -> None:
        self._id = uuid4()

    def pusher_id(self) -> UUID:
        return self._id


async def hold(master: MasterRepository, count: int, *, lane: str = "default", delay: float = 0.0) -> None:
    await master.jobs.insert([make_new_job(lane=lane, delay=delay) for _ in range(count)])


async def bucket_of(master: MasterRepository) -> Bucket:
    worker = make_worker()
    bucket = make_bucket(worker)
    await master.workers.register(worker, [bucket], 60.0)
    return bucket


async def finish(master: MasterRepository, bucket: Bucket, count: int) -> None:
    page = await master.claims.pull(bucket, Cursor(), count)
    assert not await master.outcomes.report([make_report(claim) for claim in page.claims])


async def test_a_bucket_is_filled_up_to_the_target(master: MasterRepository, step: Assign) -> None:
    bucket = await bucket_of(master)
    await hold(master, TARGET + 5)

    result = await step.run_once()

    assert result.assigned == {bucket.id: STANDALONE}
    assert await master.buckets.holdings(CLUSTER) == {bucket.id: TARGET}
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
    assert await master.buckets.holdings(CLUSTER) == {bucket.id: TARGET}


async def test_a_bucket_that_is_worked_off_at_once_is_given_more_each_time(master: MasterRepository) -> None:
    step, bucket = assigning(master, Refills(4, 2, 50)), await bucket_of(master)
    await hold(master, 200)

    given = []
    for _ in range(6):
        await step.run_once()
        given.append((await master.buckets.holdings(CLUSTER))[bucket.id])
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

    assert await master.buckets.holdings(CLUSTER) == {bucket.id: 4}


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


async def test_what_comes_due_in_a_served_lane_does_not_wait_for_what_nobody_serves(
    master: MasterRepository, step: Assign
) -> None:
    await bucket_of(master)
    await hold(master, 1, lane="nobody's")
    await hold(master, 1, delay=123.0)  # in reach in 3 s
    await hold(master, 1, lane="nobody's", delay=121.0)

    for _ in range(2):
        wait = (await step.run_once()).wait
        assert wait is not None
        assert 2.0 < wait <= 3.0


async def test_a_full_bucket_is_looked_at_again_soon_whatever_else_waits(
    master: MasterRepository, step: Assign
) -> None:
    await bucket_of(master)
    await hold(master, 2 * TARGET)
    await hold(master, 1, lane="nobody's")
    await step.run_once()

    assert (await step.run_once()).wait == FIRST_PAUSE


async def test_without_any_bucket_it_waits_for_notifications(master: MasterRepository, step: Assign) -> None:
    await hold(master, 1)

    result = await step.run_once()

    assert (result.wait, result.starving) == (None, True)


async def test_it_waits_until_the_next_job_comes_into_reach(master: MasterRepository, step: Assign) -> None:
    await bucket_of(master)
    await hold(master, 1, delay=180.0)

    wait = (await step.run_once()).wait

    assert wait is not None
    assert 55.0 < wait <= 60.0


# What owners offer


async def buckets_of(master: MasterRepository, *offers: int | None) -> list[Bucket]:
    """Return buckets that do the same work, whose owners have told what they would have."""
    buckets = [await bucket_of(master) for _ in offers]
    offered = {b.id: Load(offered=o) for b, o in zip(buckets, offers, strict=True) if o is not None}
    await master.buckets.note_loads(offered)
    return buckets


async def given_to(master: MasterRepository, buckets: Sequence[Bucket]) -> list[int]:
    holdings = await master.buckets.holdings(CLUSTER)
    return [holdings.get(bucket.id, 0) for bucket in buckets]


@pytest.mark.parametrize(
    ("offers", "given"),
    [
        ((3, 5), [3, 5]),
        ((3, 5, None), [3, 5, 4]),  # like the others
        ((0, 5), [1, 5]),
        ((3, 50), [3, TARGET]),
        ((None, None), [TARGET, TARGET]),
        ((3,), [TARGET]),  # there is nobody else to do it
    ],
)
async def test_owners_are_given_no_more_than_they_offer(
    master: MasterRepository, step: Assign, offers: Sequence[int | None], given: list[int]
) -> None:
    buckets = await buckets_of(master, *offers)
    await hold(master, 10 * TARGET)

    for _ in range(3):
        await step.run_once()

    assert await given_to(master, buckets) == given


async def test_what_an_owner_has_counts_as_part_of_what_it_offers(
    master: MasterRepository, step: Assign
) -> None:
    """It is given as much as that leaves room for, however little: its slots may be free."""
    slow, _ = await buckets_of(master, 5, 5)
    await hold(master, 10 * TARGET)
    await step.run_once()
    assert not (await step.run_once()).assigned

    await finish(master, slow, 1)

    assert (await step.run_once()).assigned == {slow.id: STANDALONE}
    assert (await master.buckets.holdings(CLUSTER))[slow.id] == 5


async def test_an_owner_that_offers_more_than_before_is_given_more(
    master: MasterRepository, step: Assign
) -> None:
    buckets = await buckets_of(master, 2, 2)
    await hold(master, 10 * TARGET)
    await step.run_once()

    await master.buckets.note_loads({buckets[1].id: Load(offered=6)})
    await step.run_once()

    assert await given_to(master, buckets) == [2, 6]


# Who is silent


async def test_an_owner_that_leaves_jobs_unread_is_given_nothing_until_it_shows_a_sign_of_life(
    master: MasterRepository,
) -> None:
    step = assigning(master, Refills(TARGET, 2, TARGET))
    buckets = await buckets_of(master, None, None)
    await master.buckets.mark_silent([buckets[0].id])
    await hold(master, 10 * TARGET)

    await step.run_once()
    assert await given_to(master, buckets) == [0, TARGET]

    await master.buckets.note_loads({buckets[0].id: Load(in_flight=1, running=1)})
    await step.run_once()
    assert await given_to(master, buckets) == [TARGET, TARGET]


async def test_who_is_not_heard_of_is_given_nothing(master: MasterRepository) -> None:
    """Long before its lease runs out."""
    step = assigning(master, Refills(TARGET, 2, TARGET), silence=Silence(0.2))
    silent, living = await buckets_of(master, None, None)
    await hold(master, 10 * TARGET)
    await until(lambda: is_unheard(master, silent, 0.3))
    await master.workers.heartbeat([living.worker_id], {}, 60.0)

    await step.run_once()

    assert await given_to(master, [silent, living]) == [0, TARGET]


async def is_unheard(master: MasterRepository, bucket: Bucket, seconds: float) -> bool:
    return all(b.unheard > seconds for b in await master.buckets.list_active(CLUSTER) if b.id == bucket.id)


async def test_a_silent_owner_is_given_what_nobody_else_would_do(master: MasterRepository) -> None:
    step, bucket = assigning(master, Refills(TARGET, 2, TARGET)), await bucket_of(master)
    await master.buckets.mark_silent([bucket.id])
    await hold(master, 1)

    assert (await step.run_once()).assigned == {bucket.id: STANDALONE}


async def test_large_jobs_are_handed_over_a_few_at_a_time(master: MasterRepository) -> None:
    agent = Plugins().agent("A", f"memory://{uuid4().hex}", Options())
    await agent.open()
    worker = make_worker(agent="A")
    bucket = make_bucket(worker, agent="A")
    await master.workers.register(worker, [bucket], 60.0)
    await agent.buckets.create([bucket])
    step = assigning(master, Refills(100, 2, 100), {"A": agent})
    text = "x" * (AT_ONCE // 3)

    holdings = []
    for _ in range(3):
        await master.jobs.insert([make_new_job(data={"text": text}) for _ in range(4)])
        await step.run_once()
        holdings.append((await agent.buckets.holdings())[bucket.id])

    assert holdings == [4, 6, 8]
    await agent.close()
