"""The host's clock goes back: what is due now runs, and what is scheduled waits for its moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobmaster import ids
from jobmaster._flow.inline import InlineAgent
from jobmaster._flow.ownership import OwnedBucket, WorkerLease
from jobmaster._pipeline.claim import ClaimJobs
from jobmaster.clock import SystemClock
from jobmaster.contracts import MasterRepository
from jobmaster.models import Cursor, NewJob
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_testing.factories import CLUSTER, make_bucket, make_job, make_message, make_report, make_worker
from jobmaster_testing.options import open_agent, open_master

pytestmark = pytest.mark.anyio

DAY = 86_400.0

Step = Callable[[float], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Step:
    """Return what sets the clock of this process to so many seconds ahead of the right time."""
    real = time.time_ns
    # Ids never go back: without this, those of the tests that follow would be ahead, too.
    monkeypatch.setattr(ids, "_last_millis", ids._last_millis)

    def set_clock(seconds: float) -> None:
        def moved() -> int:
            return real() + int(seconds * 1e9)

        monkeypatch.setattr(time, "time_ns", moved)
        monkeypatch.setattr(ids, "_time_ns", moved)

    return set_clock


def moment(ahead: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=ahead)


async def _due_in(master: MasterRepository, job_id: Any) -> float:
    record = await master.jobs.get(CLUSTER, job_id)
    assert record is not None
    assert record.ready_at is not None
    return (record.ready_at - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("anew", [False, True], ids=["seen", "by-the-next-process"])
@pytest.mark.parametrize("ahead", [3600.0, DAY, 40 * DAY])
async def test_what_is_due_now_is_due_when_the_clock_goes_back(
    url: str, set_clock: Step, ahead: float, anew: bool
) -> None:
    """Held or in a bucket, new or tried again. What has a moment keeps it: by the clock, it is as far away as it is."""
    set_clock(ahead)
    worker = make_worker()
    bucket = make_bucket(worker)
    now = moment(ahead)
    waiting, held, tried = (make_job(created_at=now, scheduled_at=now) for _ in range(3))
    later = make_job(created_at=moment(ahead), scheduled_at=moment(ahead + 60))
    async with open_master(url) as master:
        await master.workers.register(worker, [bucket], 15.0)
        await master.workers.heartbeat([worker.id], {}, 15.0)
        await master.jobs.insert([NewJob(job=tried, bucket_id=bucket.id)])
        (claim,) = (await master.claims.pull(bucket, Cursor(), 10)).claims
        retry = make_report(
            claim,
            JobStatus.HELD_ON_MASTER,
            outcome=AttemptOutcome.FAILED,
            finished_at=moment(ahead),
            delay=30.0,
        )
        await master.outcomes.report([retry])
        await master.jobs.insert([NewJob(job=waiting, bucket_id=bucket.id), NewJob(job=held)])
        await master.jobs.insert([NewJob(job=later, bucket_id=bucket.id, delay=60.0)])
        set_clock(0.0)
        if not anew:
            await master.workers.heartbeat([worker.id], {}, 15.0)
    async with open_master(url) as master:
        if anew:
            await master.workers.heartbeat([worker.id], {}, 15.0)

        (claim,) = (await master.claims.pull(bucket, Cursor(), 10)).claims
        assert claim.job.id == waiting.id
        assert await _due_in(master, held.id) <= 0
        assert 0 < await _due_in(master, tried.id) <= 31
        assert await _due_in(master, later.id) > ahead


@pytest.mark.parametrize("anew", [False, True], ids=["seen", "by-the-next-process"])
async def test_an_agents_messages_are_due_when_the_clock_goes_back(
    url: str, set_clock: Step, anew: bool
) -> None:
    set_clock(DAY)
    bucket = make_bucket()
    at_once, later = make_message(bucket), make_message(bucket, delay=60.0)
    async with open_agent("Agent-1", url) as agent:
        await agent.buckets.create([bucket])
        if not anew:
            await agent.claims.pull(bucket, Cursor(), 10)
        await agent.messages.push([at_once, later])
        set_clock(0.0)

        page = await agent.claims.pull(bucket, Cursor(), 10)

        assert [claim.job.id for claim in page.claims] == [at_once.new.job.id]
        assert page.next_due_in is not None
        assert page.next_due_in > DAY


async def test_a_clock_that_goes_on_changes_nothing(url: str, set_clock: Step) -> None:
    """A host suspended, or set right: what waits for its moment waits."""
    worker = make_worker()
    later = make_job(created_at=moment(0), scheduled_at=moment(DAY))
    async with open_master(url) as master:
        await master.workers.register(worker, [], 1e7)
        await master.jobs.insert([NewJob(job=later, delay=DAY)])
        before = await _due_in(master, later.id)
        for seconds in (0.0, 3600.0, 0.0):
            set_clock(seconds)
            await master.workers.heartbeat([worker.id], {}, 1e7)

        assert await _due_in(master, later.id) == pytest.approx(before, abs=5)


async def test_what_comes_after_the_clock_went_back_is_read_at_once(url: str, set_clock: Step) -> None:
    """It lies behind where its owner has read to: that would be read from its start within half a minute."""
    worker = make_worker()
    bucket = make_bucket(worker)
    set_clock(DAY)
    async with open_master(url) as master:
        await master.workers.register(worker, [bucket], 1e7)
        owned = OwnedBucket(bucket, WorkerLease(worker.id, 1e7, time.monotonic()), 5, 10)
        agent = InlineAgent(master, CLUSTER)
        claim = ClaimJobs(agent.claims, owned, {"TestJob"}, lambda *_: None, lambda *_: None, SystemClock())
        await claim.run_once()
        set_clock(0.0)
        await master.jobs.insert([NewJob(job=make_job(), bucket_id=bucket.id)])

        first, second = await claim.run_once(), await claim.run_once()

    assert (first.taken, first.wait, second.taken) == (0, 0.0, 1)
