"""Handovers that are pushed a second time: their jobs run once all the same."""

from collections.abc import Callable, Sequence
from uuid import uuid4

import pytest

from jobmaster import Cluster, JobContext, JobStatus, Runtime, handler
from jobmaster._flow.handover import HandoverPusher
from jobmaster._flow.in_flight import CANCELLED_KEPT
from jobmaster._flow.ownership import Finished
from jobmaster.contracts import Message, Room
from jobmaster.errors import StoreUnreachableError
from jobmaster.ids import new_id
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import Job, JobReceipt, NewJob
from jobmaster.states import Priority
from jobmaster_testing.clock import HandMovedClock
from jobmaster_testing.factories import CLUSTER, make_bucket, make_new_job, make_worker
from jobmaster_testing.probes import until
from jobmaster_testing.reach import Within
from jobmaster_testing.wrapping import with_stores

pytestmark = pytest.mark.anyio

AGENT = "Agent-1"
starts: list[int] = []


@handler("EchoCounts")
async def counts(job: JobContext) -> None:
    starts.append(job.attempt)


async def test_a_message_that_comes_again_after_its_job_has_ended_is_removed_and_not_run(
    producer: Callable[..., Cluster],
) -> None:
    starts.clear()
    agent_url = f"memory://{uuid4().hex}"
    cluster = producer(counts).add_agent(AGENT, agent_url).add_worker(agent=AGENT, parallelism=0.2)
    async with cluster.running() as runtime:
        job = await _run_one(runtime)
        agent = runtime._env.agents[AGENT]
        [bucket] = [b for b in await runtime.list_buckets() if b.priority is Priority.MEDIUM]
        again = Message(new=NewJob(job=job, bucket_id=bucket.id), attempt=1, saved=True)
        await agent.messages.push([again])
        assert await agent.buckets.holdings() == {bucket.id: 1}

        await until(lambda: _is_empty(runtime))

    assert starts == [1]


async def _run_one(runtime: Runtime) -> Job:
    receipt = await runtime.scheduler.once_now(counts, confirm="master")
    record = await runtime.jobs.wait(receipt.job_id, 10)
    assert record.status is JobStatus.SUCCEEDED
    await until(lambda: _is_empty(runtime))
    return record.job


async def _is_empty(runtime: Runtime) -> bool:
    return not await runtime._env.agents[AGENT].buckets.holdings()


async def test_a_handover_that_may_have_arrived_before_is_not_taken_back() -> None:
    """Its agent cannot be reached now, but was when its first pusher pushed it, whose answer got lost."""
    master = MemoryMaster()
    bucket = make_bucket(make_worker(agent=AGENT))
    await master.jobs.insert([make_new_job()])
    room = Room(bucket_id=bucket.id, lane=bucket.lane, priority=bucket.priority, free=1)
    result = await master.handovers.hand_over(CLUSTER, 10.0, [room], new_id())
    away = with_stores(MemoryAgent(AGENT), messages=Away())
    pusher = HandoverPusher(master.handovers, Within({AGENT: away}), HandMovedClock(), patience=10.0)

    assert await pusher.push([(AGENT, one) for one in result.handovers], 0.0, retaken=True) == []
    assert await master.buckets.holdings(CLUSTER) == {bucket.id: 1}

    assert await pusher.push([(AGENT, one) for one in result.handovers], 0.0) == []
    assert await master.buckets.holdings(CLUSTER) == {}


class Away:
    """The messages of an agent that cannot be reached."""

    async def push(self, _: Sequence[Message]) -> Sequence[JobReceipt]:
        raise StoreUnreachableError("the test's agent is away")


def test_what_has_ended_is_remembered_for_a_while() -> None:
    clock = HandMovedClock()
    finished = Finished(10.0, clock)
    first, second, third = (new_id(), 1), (new_id(), 1), (new_id(), 2)
    finished.add(first)
    clock.move(9.0)
    finished.add(second)
    assert first in finished
    assert second in finished

    clock.move(2.0)
    finished.add(third)

    assert first not in finished
    assert second in finished
    assert third in finished


def test_what_was_cancelled_is_remembered_however_long_ago_but_not_without_bound() -> None:
    clock = HandMovedClock()
    finished = Finished(10.0, clock)
    cancelled = [(new_id(), 1) for _ in range(CANCELLED_KEPT + 2)]
    finished.cancel(cancelled[0])
    clock.move(1000.0)
    for key in cancelled[1:-1]:
        finished.cancel(key)
    finished.add((new_id(), 1))

    assert cancelled[0] not in finished
    assert all(key in finished for key in cancelled[1:-1])

    finished.cancel(cancelled[-1])
    assert cancelled[1] in finished, "a push of its message may still be under way"
