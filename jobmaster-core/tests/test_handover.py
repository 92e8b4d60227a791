"""Pushing handovers: what certainly did not arrive is held again, and what may have arrived is never."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from uuid import uuid4

import pytest

from jobmaster._flow.handover import HandoverPusher, return_bucket
from jobmaster._upkeep.handovers import Handovers
from jobmaster.contracts import Message, MessageStore
from jobmaster.errors import LeaseLostError, StoreUnavailableError, StoreUnreachableError
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import Bucket, Claim, Cursor, JobReceipt
from jobmaster.states import JobStatus
from jobmaster_testing.clock import HandMovedClock
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World, room
from jobmaster_testing.factories import make_report
from jobmaster_testing.reach import Within
from jobmaster_testing.wrapping import Passing

pytestmark = pytest.mark.anyio


class Moody(MemoryAgent):
    """Can be out of reach, or take messages without saying so."""

    away = False
    mute = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.messages = cast("MessageStore", MoodyMessages(self.messages, self))


class MoodyMessages(Passing[MessageStore]):
    def __init__(self, inner: MessageStore, agent: Moody) -> None:
        super().__init__(inner)
        self._agent = agent

    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        if self._agent.away:
            raise StoreUnreachableError("the test's agent is away")
        receipts = await self.inner.push(messages)
        if self._agent.mute:
            raise StoreUnavailableError("the test's agent does not answer")
        return receipts


@pytest.fixture
async def world() -> World:
    return await make_world(MemoryMaster())


@pytest.fixture
def agent() -> Moody:
    return Moody("Agent-1")


@pytest.fixture
async def bucket(world: World, agent: Moody) -> Bucket:
    return await Depot(world, agent).bucket()


@pytest.fixture
def pusher(world: World, agent: Moody) -> HandoverPusher:
    return HandoverPusher(
        world.master.handovers, Within({agent.name: agent}), HandMovedClock(), patience=10.0
    )


@pytest.fixture
def handovers(world: World, pusher: HandoverPusher) -> Handovers:
    master = world.master
    return Handovers(
        world.cluster_id, master.handovers, master.buckets, pusher, age=0.0, clock=HandMovedClock()
    )


async def carry(world: World, pusher: HandoverPusher, bucket: Bucket) -> None:
    result = await world.master.handovers.hand_over(world.cluster_id, 1, [room(bucket)], uuid4())
    await pusher.push([(bucket.agent, one) for one in result.handovers], 0.0)


async def pull(agent: Moody, bucket: Bucket) -> Sequence[Claim]:
    return (await agent.claims.pull(bucket, Cursor(), 10)).claims


async def test_what_certainly_did_not_arrive_is_held_again(
    world: World, agent: Moody, bucket: Bucket, pusher: HandoverPusher, handovers: Handovers
) -> None:
    job = await world.put_one()
    agent.away = True

    await carry(world, pusher, bucket)

    assert await world.status(job) is JobStatus.HELD_ON_MASTER
    assert await handovers.run_once(uuid4()) == {}


async def test_what_may_have_arrived_is_not_held_again_though_its_agent_is_away_now(
    world: World, agent: Moody, bucket: Bucket, pusher: HandoverPusher, handovers: Handovers
) -> None:
    job = await world.put_one()
    agent.mute = True
    await carry(world, pusher, bucket)
    [claim] = await pull(agent, bucket)

    agent.mute, agent.away = False, True
    assert await handovers.run_once(uuid4()) == {}

    assert (await world.record(job)).bucket_id == bucket.id
    assert await world.master.outcomes.report([make_report(claim)]) == frozenset()


async def test_what_did_not_arrive_is_pushed_when_its_agent_is_back(
    world: World, agent: Moody, bucket: Bucket, handovers: Handovers
) -> None:
    job = await world.put_one()
    await world.master.handovers.hand_over(world.cluster_id, 1, [room(bucket)], uuid4())
    agent.away = True
    assert await handovers.run_once(uuid4()) == {}
    assert await pull(agent, bucket) == []

    agent.away = False
    assert await handovers.run_once(uuid4()) == {bucket.id: agent.name}

    assert [claim.job.id for claim in await pull(agent, bucket)] == [job.id]
    assert await handovers.run_once(uuid4()) == {}


# Giving up a bucket


async def test_who_gives_up_a_bucket_that_was_taken_over_removes_nothing(
    world: World, agent: Moody, bucket: Bucket
) -> None:
    """By its messages the new owner tells what may have been running."""
    depot = Depot(world, agent)
    message = await depot.push_one(bucket)
    await depot.take_over(bucket)

    with pytest.raises(LeaseLostError):
        await return_bucket(world.master, agent, bucket)

    assert [one.new.job.id for one in await agent.messages.read_all(bucket.id, 10)] == [message.new.job.id]
