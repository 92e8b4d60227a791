"""Requirements for an agent that can find and withdraw single messages."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from uuid import UUID

import anyio
import pytest

from jobmaster.contracts import AgentRepository
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Cursor
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.base import needs
from jobmaster_testing.contracts.depot import Depot, job_ids, keys
from jobmaster_testing.contracts.world import ids
from jobmaster_testing.factories import make_message

DELAYS = [0.0, 0.0005, 0.002, 0.005, 30.0]
"""Seconds: due before, during and after a withdrawal."""


class WithdrawingContract(AgentTests, suite=True):
    """`messages.find` and `messages.withdraw`."""

    @pytest.fixture
    def addressed(self, depot: Depot) -> Depot:
        """Return the agent if it can find single messages."""
        needs(depot.agent.capabilities.addressable, "addressable")
        return depot

    # Finding

    async def test_nothing_to_find(self, depot: Depot) -> None:
        assert list(await depot.agent.messages.find([])) == []
        assert list(await depot.agent.messages.find([new_id()])) == []

    async def test_messages_are_found_wherever_they_lie(self, addressed: Depot) -> None:
        depot = addressed
        first, second = await depot.buckets(2)
        orphan = new_id()
        due, later = await depot.push_one(first), await depot.push_one(second, delay=30)
        lost = await depot.push_one(orphan)
        await depot.push(first)

        found = await depot.agent.messages.find(job_ids([due, later, lost]))

        assert {m.new.job.id: m.new.bucket_id for m in found} == {
            due.new.job.id: first.id,
            later.new.job.id: second.id,
            lost.new.job.id: orphan,
        }

    async def test_a_found_message_says_what_it_said(self, addressed: Depot) -> None:
        depot = addressed
        bucket = await depot.bucket()
        job = depot.job()
        said = make_message(bucket, job, attempt=3, saved=True, retries=2, crashes=1, suspect=True, delay=30)
        await depot.agent.messages.push([said])

        [found] = await depot.agent.messages.find([job.id])

        assert 20 < found.new.delay <= 30
        assert (found.new.job, found.attempt, found.saved) == (job, 3, True)
        assert (found.retries, found.crashes, found.suspect) == (2, 1, True)

    async def test_every_message_of_a_job_is_found(self, addressed: Depot) -> None:
        depot = addressed
        first, second = await depot.buckets(2)
        job = depot.job()
        await depot.agent.messages.push(
            [make_message(first, job), make_message(second, job, attempt=2, saved=True)]
        )

        found = await depot.agent.messages.find([job.id, job.id])

        assert sorted((m.new.bucket_id, m.attempt) for m in found if m.new.bucket_id) == sorted(
            [(first.id, 1), (second.id, 2)]
        )

    async def test_acknowledged_messages_are_not_found(self, addressed: Depot) -> None:
        depot = addressed
        bucket = await depot.bucket()
        claim = await depot.claim(bucket)
        assert job_ids(await depot.agent.messages.find([claim.job.id])) == [claim.job.id]

        await depot.finish(bucket, claim)

        assert list(await depot.agent.messages.find([claim.job.id])) == []

    # Withdrawing

    async def test_a_message_that_is_not_due_is_withdrawn(self, addressed: Depot) -> None:
        depot = addressed
        bucket = await depot.bucket()
        gone, kept = await depot.push(bucket, 2, delay=30)

        assert await depot.agent.messages.withdraw(bucket.id, keys([gone])) == {gone.new.job.id}

        assert job_ids(await depot.agent.messages.read_all(bucket.id, 10)) == [kept.new.job.id]
        assert list(await depot.agent.messages.find([gone.new.job.id])) == []

    async def test_nothing_is_withdrawn_twice(self, addressed: Depot) -> None:
        depot = addressed
        bucket = await depot.bucket()
        [message] = await depot.push(bucket, delay=30)

        answers = [await depot.agent.messages.withdraw(bucket.id, keys([message, message])) for _ in range(2)]

        assert answers == [{message.new.job.id}, frozenset()]
        assert await depot.agent.messages.withdraw(bucket.id, []) == frozenset()
        assert await depot.agent.messages.withdraw(new_id(), [(new_id(), 1)]) == frozenset()

    async def test_a_withdrawn_message_can_be_pushed_again(self, addressed: Depot) -> None:
        depot = addressed
        bucket = await depot.bucket()
        [message] = await depot.push(bucket, delay=30)
        await depot.agent.messages.withdraw(bucket.id, keys([message]))

        await depot.agent.messages.push([message])

        assert job_ids(await depot.agent.messages.read_all(bucket.id, 10)) == [message.new.job.id]

    async def test_a_message_that_is_due_is_left(self, addressed: Depot) -> None:
        depot = addressed
        bucket = await depot.bucket()
        due, later = await depot.push_one(bucket), await depot.push_one(bucket, delay=30)

        assert await depot.agent.messages.withdraw(bucket.id, keys([due, later])) == {later.new.job.id}

        assert ids(await depot.pull(bucket)) == [due.new.job.id]

    async def test_a_message_in_hand_is_left(self, addressed: Depot) -> None:
        depot = addressed
        bucket = await depot.bucket()
        claim = await depot.claim(bucket)

        assert await depot.agent.messages.withdraw(bucket.id, [(claim.job.id, claim.attempt)]) == frozenset()

        assert ids(await depot.exposed(await depot.take_over(bucket))) == [claim.job.id]

    async def test_only_what_was_named_is_withdrawn(self, addressed: Depot) -> None:
        depot = addressed
        first, second = await depot.buckets(2)
        [message] = await depot.push(first, delay=30)
        [(job_id, attempt)] = keys([message])

        assert await depot.agent.messages.withdraw(second.id, [(job_id, attempt)]) == frozenset()
        assert await depot.agent.messages.withdraw(first.id, [(job_id, attempt + 1)]) == frozenset()

        assert await depot.holdings() == {first.id: 1}

    async def test_of_concurrent_withdrawals_one_gets_a_message(
        self, addressed: Depot, agent_peer: AgentRepository
    ) -> None:
        depot = addressed
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 20, delay=30)
        got: list[UUID] = []

        async def withdraw(agent: AgentRepository) -> None:
            got.extend(await agent.messages.withdraw(bucket.id, keys(messages)))

        async with anyio.create_task_group() as group:
            for agent in [depot.agent, agent_peer] * 2:
                group.start_soon(withdraw, agent)

        assert sorted(got) == sorted(job_ids(messages))

    async def test_what_is_withdrawn_is_never_pulled(
        self, addressed: Depot, agent_peer: AgentRepository
    ) -> None:
        depot = addressed
        bucket = await depot.bucket()
        messages = [make_message(bucket, delay=delay) for delay in DELAYS * 30]
        race = _Race(depot.agent, agent_peer, bucket)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(race.pull_until, len(messages))
                for message in messages:
                    await agent_peer.messages.push([message])
                    await race.withdraw(keys([message]))

        assert race.withdrawn.isdisjoint(race.pulled)
        assert race.withdrawn | race.pulled == set(job_ids(messages))
        assert race.withdrawn
        assert race.pulled


class _Race:
    """One caller withdraws messages while their bucket's owner pulls them."""

    def __init__(self, owner: AgentRepository, other: AgentRepository, bucket: Bucket) -> None:
        self._owner, self._other, self._bucket = owner, other, bucket
        self.pulled: set[UUID] = set()
        self.withdrawn: set[UUID] = set()

    async def pull_until(self, count: int) -> None:
        while len(self.pulled) + len(self.withdrawn) < count:
            page = await self._owner.claims.pull(self._bucket, Cursor(), 1000)
            self.pulled.update(ids(page.claims))

    async def withdraw(self, keys: list[tuple[UUID, int]]) -> None:
        self.withdrawn |= await self._other.messages.withdraw(self._bucket.id, keys)
