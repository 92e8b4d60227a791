"""What is required of `AgentRepository`."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack
from uuid import UUID, uuid4

import anyio
import pytest

from jobmaster.contracts import AgentRepository, Message
from jobmaster.errors import LeaseLostError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Claim, Cursor, JobReceipt, NewJob
from jobmaster.plugins import Plugins
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_testing.contracts.base import needs
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import SHORT, World, ids, room
from jobmaster_testing.factories import JobFields, make_new_job, make_report
from jobmaster_testing.options import Options
from jobmaster_testing.probes import until


class AgentContract(MasterTests, suite=True):
    """All that is required of an agent, next to any master.

    A provider overrides `agent_url`; or `agent`, for an agent that is made in another way. The master is
    the in-memory one unless `store_url` is overridden too.
    """

    @pytest.fixture
    def store_url(self) -> str:
        """Return the URL of the master that the agent works with."""
        return f"memory://{uuid4().hex}"

    @pytest.fixture
    def agent_url(self) -> str:
        """Return the URL of the agent under test."""
        raise NotImplementedError(
            "override the fixture agent_url: it returns the URL of the agent under test"
        )

    @pytest.fixture
    def agent(self, world: World, agent_url: str, store_options: Options) -> AgentRepository:
        """Return the agent under test, through its provider's entry point."""
        return Plugins().agent(f"Agent-{world.cluster_id[-8:]}", agent_url, store_options)

    # Pushing

    async def test_nothing_to_push(self, agent: AgentRepository) -> None:
        assert list(await agent.push([])) == []

    async def test_pushed_jobs_are_accepted_in_order(self, world: World, agent: AgentRepository) -> None:
        first, second = await _buckets(world, agent, 2)
        messages = [_message(bucket) for bucket in (first, second, first)]

        receipts = await agent.push(messages)

        assert list(receipts) == [JobReceipt(job_id=m.new.job.id, accepted_by=agent.name) for m in messages]
        assert dict(await agent.holdings()) == {first.id: 2, second.id: 1}

    async def test_pushing_again_changes_nothing(self, world: World, agent: AgentRepository) -> None:
        [bucket] = await _buckets(world, agent)
        message = _message(bucket, key="k")

        receipts = [await agent.push([message, message]), await agent.push([message])]

        expected = JobReceipt(job_id=message.new.job.id, accepted_by=agent.name)
        assert [r for page in receipts for r in page] == [expected] * 3
        assert ids(await _pull(agent, bucket)) == [message.new.job.id]

    async def test_a_key_in_use_gives_the_job_that_has_it(self, world: World, agent: AgentRepository) -> None:
        first, second = await _buckets(world, agent, 2)
        taken, late = _message(first, key="k"), _message(second, key="k")
        await agent.push([taken])

        [receipt] = await agent.push([late])

        assert (receipt.job_id, receipt.created) == (taken.new.job.id, False)
        assert await _pull(agent, second) == []

    async def test_a_message_for_an_unknown_bucket_is_not_lost(
        self, world: World, agent: AgentRepository
    ) -> None:
        bucket_id = new_id()
        message = Message(new=make_new_job(bucket_id, cluster_id=world.cluster_id))

        await agent.push([message])

        assert dict(await agent.holdings()) == {bucket_id: 1}

    async def test_a_message_for_a_closed_bucket_is_not_lost(
        self, world: World, agent: AgentRepository
    ) -> None:
        [bucket] = await _buckets(world, agent)
        await world.close_bucket(bucket)

        await agent.push([_message(bucket)])

        assert dict(await agent.holdings()) == {bucket.id: 1}
        assert not await agent.drop_bucket(bucket.id)

    async def test_an_assigned_job_reaches_its_bucket_once(
        self, world: World, agent: AgentRepository
    ) -> None:
        [bucket] = await _buckets(world, agent)
        job = await world.put_one()
        await world.assign(room(bucket))
        message = Message(new=NewJob(job=job, bucket_id=bucket.id), saved=True)

        for _ in range(2):
            assert [r.job_id for r in await agent.push([message])] == [job.id]

        [claim] = await _pull(agent, bucket)
        assert (claim.job, claim.attempt) == (job, 1)

    # Pulling

    async def test_a_pulled_claim_carries_the_job(self, world: World, agent: AgentRepository) -> None:
        [bucket] = await _buckets(world, agent)
        message = _message(bucket, data={"name": "Ann", "n": 1}, metadata={"m": 2.5})
        await agent.push([message])

        [claim] = await _pull(agent, bucket)

        expected = Claim(
            job=message.new.job, bucket_id=bucket.id, epoch=1, attempt=1, ready_at=claim.ready_at
        )
        assert claim == expected

    async def test_messages_come_by_due_time_and_id(self, world: World, agent: AgentRepository) -> None:
        needs(agent.capabilities.ordered, "ordered")
        [bucket] = await _buckets(world, agent)
        for _ in range(3):
            await agent.push([_message(bucket) for _ in range(3)][::-1])
            await world.tick()

        claims = await _pull(agent, bucket)

        assert [(c.ready_at, c.job.id) for c in claims] == sorted((c.ready_at, c.job.id) for c in claims)
        assert len(claims) == 9

    async def test_messages_wait_until_they_are_due(self, world: World, agent: AgentRepository) -> None:
        [bucket] = await _buckets(world, agent)
        soon, later = _message(bucket, delay=0.1), _message(bucket, delay=60)
        await agent.push([later, soon])

        page = await agent.pull(bucket, Cursor(), 10)
        assert not page.claims
        assert page.next_due_in is not None
        assert page.next_due_in <= 0.1

        assert ids(await until(lambda: _pull(agent, bucket))) == [soon.new.job.id]

    async def test_pulled_pages_follow_one_another(self, world: World, agent: AgentRepository) -> None:
        [bucket] = await _buckets(world, agent)
        messages = [_message(bucket) for _ in range(5)]
        await agent.push(messages)

        cursor, seen, more = Cursor(), list[UUID](), list[bool]()
        for _ in range(3):
            page = await agent.pull(bucket, cursor, 2)
            cursor, seen = page.cursor, seen + ids(page.claims)
            more.append(page.more)

        assert sorted(seen) == [message.new.job.id for message in messages]
        assert more == [True, True, False]

    async def test_pulling_deletes_nothing(self, world: World, agent: AgentRepository) -> None:
        [bucket] = await _buckets(world, agent)
        await agent.push([_message(bucket) for _ in range(3)])

        assert await _pull(agent, bucket) == await _pull(agent, bucket)
        assert dict(await agent.holdings()) == {bucket.id: 3}

    async def test_messages_that_become_visible_late_are_not_skipped(
        self, world: World, agent: AgentRepository
    ) -> None:
        [bucket] = await _buckets(world, agent)
        messages = [_message(bucket) for _ in range(60)]
        seen: set[UUID] = set()

        async def push(start: int) -> None:
            for first in range(start, 60, 12):
                await agent.push(messages[first : first + 3])

        async def read() -> None:
            cursor = Cursor()
            while len(seen) < len(messages):
                page = await agent.pull(bucket, cursor, 7)
                cursor = page.cursor
                seen.update(ids(page.claims))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                for start in (0, 3, 6, 9):
                    group.start_soon(push, start)

        assert seen == {message.new.job.id for message in messages}

    async def test_buckets_may_be_created_again(self, world: World, agent: AgentRepository) -> None:
        [bucket] = await _buckets(world, agent)
        await agent.push([_message(bucket)])

        await agent.create_buckets([bucket])
        await agent.create_buckets([])

        assert len(await _pull(agent, bucket)) == 1

    async def test_a_glance_names_the_buckets_with_something_due(
        self, world: World, agent: AgentRepository
    ) -> None:
        due, empty, later, other = await _buckets(world, agent, 4)
        await agent.push([_message(due), _message(due), _message(later, delay=30), _message(other)])

        assert await agent.due_buckets([due, empty, later]) == {due.id}

    async def test_a_glance_sees_what_is_in_hand_until_it_is_acknowledged(
        self, world: World, agent: AgentRepository
    ) -> None:
        [bucket] = await _buckets(world, agent)
        await agent.push([_message(bucket)])
        [claim] = await _pull(agent, bucket)
        assert await agent.due_buckets([bucket]) == {bucket.id}

        await _finish(world, agent, bucket, claim)

        assert await agent.due_buckets([bucket]) == frozenset()

    # Letting go

    async def test_acknowledged_messages_are_gone(self, world: World, agent: AgentRepository) -> None:
        [bucket] = await _buckets(world, agent)
        await agent.push([_message(bucket) for _ in range(3)])
        done, *rest = await _pull(agent, bucket)

        await _finish(world, agent, bucket, done)
        await agent.acknowledge(bucket, [(done.job.id, done.attempt), (new_id(), 1)])
        await agent.acknowledge(bucket, [])

        assert ids(await _pull(agent, bucket)) == ids(rest)
        assert dict(await agent.holdings()) == {bucket.id: 2}

    async def test_a_next_attempt_outlives_the_one_before(self, world: World, agent: AgentRepository) -> None:
        [bucket] = await _buckets(world, agent)
        await agent.push([_message(bucket)])
        [claim] = await _pull(agent, bucket)
        await _save(world, claim)
        await world.report(claim, JobStatus.ASSIGNED_TO_BUCKET, outcome=AttemptOutcome.FAILED, retries=1)

        again = Message(new=NewJob(job=claim.job, bucket_id=bucket.id), attempt=2, saved=True)
        await agent.push([again])
        await agent.acknowledge(bucket, [(claim.job.id, 1)])

        assert [(c.job.id, c.attempt) for c in await _pull(agent, bucket)] == [(claim.job.id, 2)]

    async def test_a_bucket_is_dropped_once_it_is_empty(self, world: World, agent: AgentRepository) -> None:
        [bucket] = await _buckets(world, agent)
        await agent.push([_message(bucket)])
        [claim] = await _pull(agent, bucket)

        assert not await agent.drop_bucket(bucket.id)
        await _finish(world, agent, bucket, claim)

        assert await agent.drop_bucket(bucket.id)
        assert await agent.drop_bucket(bucket.id)

    # The next owner

    async def test_what_a_former_owner_had_in_hand_is_exposed(
        self, world: World, agent: AgentRepository
    ) -> None:
        [bucket] = await _buckets(world, agent, lease=SHORT)
        await agent.push([_message(bucket) for _ in range(6)])
        page = await agent.pull(bucket, Cursor(), 3)
        done, *in_hand = page.claims
        await _finish(world, agent, bucket, done)

        [taken] = await world.rescue()

        exposed = (await agent.exposed(taken, 100)).claims
        assert set(ids(in_hand)) <= set(ids(exposed))
        assert done.job.id not in ids(exposed)
        assert {claim.epoch for claim in exposed} == {2}

    async def test_a_former_owner_can_pull_no_more(self, world: World, agent: AgentRepository) -> None:
        [former] = await _buckets(world, agent, lease=SHORT)
        await agent.push([_message(former)])
        await agent.pull(former, Cursor(), 10)
        [taken] = await world.rescue()
        await agent.exposed(taken, 10)

        with pytest.raises(LeaseLostError):
            await agent.pull(former, Cursor(), 10)

        assert len(await _pull(agent, taken)) == 1


async def _buckets(world: World, agent: AgentRepository, count: int = 1, lease: float = 60) -> list[Bucket]:
    buckets = await world.buckets(count, lease=lease)
    await agent.create_buckets(buckets)
    return buckets


def _message(bucket: Bucket, *, delay: float = 0.0, **fields: Unpack[JobFields]) -> Message:
    return Message(new=make_new_job(bucket, delay=delay, **fields))


async def _pull(agent: AgentRepository, bucket: Bucket) -> Sequence[Claim]:
    return list((await agent.pull(bucket, Cursor(), 1000)).claims)


async def _save(world: World, claim: Claim) -> None:
    """Let the master know of a job that its agent accepted."""
    await world.master.insert_jobs([NewJob(job=claim.job, bucket_id=claim.bucket_id)])


async def _finish(world: World, agent: AgentRepository, bucket: Bucket, claim: Claim) -> None:
    """Do as an owner does: tell the master first, then the agent."""
    await _save(world, claim)
    await world.master.report([make_report(claim)])
    await agent.acknowledge(bucket, [(claim.job.id, claim.attempt)])
