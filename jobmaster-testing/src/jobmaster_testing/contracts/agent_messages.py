"""Requirements for an agent with its own messages: they come out as they went in, and none is lost."""
# ruff: noqa: D102, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import anyio
import pytest

from jobmaster.contracts import AgentRepository, Message
from jobmaster.models import Claim
from jobmaster.states import JobStatus
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.depot import PLENTY, Depot, job_ids, keys
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import ids
from jobmaster_testing.factories import make_message


class CarryingContract(AgentTests, suite=True):
    """What a message preserves on its way."""

    @pytest.mark.parametrize("saved", [False, True])
    async def test_a_claim_says_what_its_message_said(self, depot: Depot, saved: bool) -> None:
        bucket = await depot.bucket()
        job = depot.job()
        before = await depot.agent.now()
        message = make_message(bucket, job, saved=saved, attempt=3, retries=2, crashes=1, suspect=True)
        await depot.agent.messages.push([message])
        after = await depot.agent.now()

        [claim] = await depot.pull(bucket)

        assert before <= claim.ready_at <= after
        assert claim == Claim(
            job=job,
            bucket_id=bucket.id,
            epoch=1,
            ready_at=claim.ready_at,
            saved=saved,
            attempt=3,
            retries=2,
            crashes=1,
            suspect=True,
        )

    async def test_a_new_job_is_on_its_first_attempt_and_not_saved(self, depot: Depot) -> None:
        claim = await depot.claim(await depot.bucket())

        assert (claim.attempt, claim.saved, claim.suspect, claim.cancel_requested) == (1, False, False, False)

    async def test_a_job_comes_out_as_it_went_in(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        job = depot.job(
            definition_id="Grüße · 🚀",
            timeout=None,
            max_retries=0,
            scheduled_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
            data={"text": 'it\'s "ä" %s \\', "raw": b"\0\xff", "price": Decimal("1.10"), "id": uuid4()},
            metadata={"day": date(2026, 2, 28), "ok": True, "n": 2**53 + 1},
        )

        await depot.agent.messages.push([make_message(bucket, job)])

        assert [claim.job for claim in await depot.pull(bucket)] == [job]
        assert [message.new.job for message in await depot.agent.messages.read_all(bucket.id, 10)] == [job]

    async def test_a_large_message_is_carried(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        data = {"text": "ä" * 500_000, "bytes": b"\0" * 500_000}

        await depot.push(bucket, data=data)

        assert [dict(claim.job.data) for claim in await depot.pull(bucket)] == [data]

    async def test_a_job_may_lie_in_two_buckets_and_attempts(self, depot: Depot) -> None:
        first, second = await depot.buckets(2)
        job = depot.job()

        await depot.agent.messages.push([make_message(first, job), make_message(second, job, saved=True)])
        await depot.agent.messages.push([make_message(second, job, attempt=2, saved=True)])

        assert await depot.holdings() == {first.id: 1, second.id: 2}
        await depot.agent.messages.acknowledge(second, [(job.id, 1)])
        assert [c.attempt for c in await depot.pull(second)] == [2]
        assert [c.attempt for c in await depot.pull(first)] == [1]

    async def test_a_message_says_first_what_it_is(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        job = depot.job()
        await depot.agent.messages.push([make_message(bucket, job)])

        await depot.agent.messages.push([make_message(bucket, job, saved=True, retries=1)])

        assert [(c.saved, c.retries) for c in await depot.pull(bucket)] == [(False, 0)]

    async def test_another_opening_reads_the_same_messages(
        self, depot: Depot, agent_peer: AgentRepository
    ) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 3)

        assert ids(await Depot(depot.world, agent_peer).pull(bucket)) == job_ids(messages)

    async def test_buckets_of_two_clusters_do_not_mix(self, depot: Depot) -> None:
        other = Depot(await make_world(depot.world.master), depot.agent)
        mine, theirs = await depot.bucket(), await other.bucket()
        first, second = await depot.push_one(mine), await other.push_one(theirs)

        await depot.finish(mine, *await depot.pull(mine))

        assert (first.new.job.cluster_id, second.new.job.cluster_id) == (mine.cluster_id, theirs.cluster_id)
        [claim] = await other.pull(theirs)
        assert claim.job == second.new.job

    # Units of work

    async def test_concurrent_pushes_of_the_same_messages_store_each_once(
        self, depot: Depot, agent_peer: AgentRepository
    ) -> None:
        bucket = await depot.bucket()
        messages = [make_message(bucket) for _ in range(20)]

        async with anyio.create_task_group() as group:
            for agent in [depot.agent, agent_peer] * 3:
                group.start_soon(agent.messages.push, messages)
                group.start_soon(agent.messages.push, messages[::-1])

        assert await depot.holdings() == {bucket.id: len(messages)}
        assert sorted(ids(await depot.pull(bucket))) == sorted(job_ids(messages))

    async def test_a_cancelled_push_happened_or_did_not(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        batches = [[make_message(bucket) for _ in range(3)] for _ in range(40)]

        for number, batch in enumerate(batches):
            with anyio.move_on_after(number * 0.00025):
                await depot.agent.messages.push(batch)

        stored = set(job_ids(await depot.agent.messages.read_all(bucket.id, PLENTY)))
        whole = [batch for batch in batches if set(job_ids(batch)) <= stored]
        assert len(stored) == 3 * len(whole)
        await _check_usable(depot)

    async def test_a_cancelled_acknowledgement_happened_or_did_not(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 120)
        batches = [messages[first : first + 3] for first in range(0, 120, 3)]

        for number, batch in enumerate(batches):
            with anyio.move_on_after(number * 0.00025):
                await depot.agent.messages.acknowledge(bucket, keys(batch))

        left = set(job_ids(await depot.agent.messages.read_all(bucket.id, PLENTY)))
        assert sum(3 for batch in batches if set(job_ids(batch)) <= left) == len(left)
        await _check_usable(depot)

    async def test_many_calls_at_once_to_an_agent_all_come_back(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages: list[Message] = [make_message(bucket, depot.job()) for _ in range(60)]

        async def use_the_agent(message: Message) -> None:
            await depot.agent.messages.push([message])
            mine = next(c for c in await depot.pull(bucket) if c.job.id == message.new.job.id)
            await depot.finish(bucket, mine)
            await depot.holdings()

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for message in messages:
                    group.start_soon(use_the_agent, message)

        assert await depot.holdings() == {}
        assert {await depot.world.status(m.new.job) for m in messages} == {JobStatus.SUCCEEDED}


async def _check_usable(depot: Depot) -> None:
    """Check that messages can still be pushed and acknowledged: no connection, lock or transaction is left over."""
    with anyio.fail_after(20):
        bucket = await depot.bucket()
        await depot.push(bucket, 5)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(depot.pull, bucket)
        await depot.finish(bucket, *await depot.pull(bucket))
        assert await depot.agent.buckets.drop(bucket.id)
