"""Requirements for an agent when its buckets are emptied and given up, by any caller."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import anyio
import pytest

from jobmaster.contracts import AgentRepository, Backlog, Message
from jobmaster.errors import LeaseLostError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Cursor
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.base import needs
from jobmaster_testing.contracts.depot import PLENTY, Depot, job_ids, keys
from jobmaster_testing.contracts.world import MOMENT, ids
from jobmaster_testing.factories import make_bucket, make_message
from jobmaster_testing.probes import until


class DrainingContract(AgentTests, suite=True):
    """`messages.read_all`, `buckets.holdings` and `buckets.backlog`."""

    async def test_an_empty_bucket_is_drained_at_once(self, depot: Depot) -> None:
        bucket = await depot.bucket()

        assert list(await depot.agent.messages.read_all(bucket.id, 10)) == []
        assert list(await depot.agent.messages.read_all(new_id(), 10)) == []

    async def test_everything_is_drained_due_or_not(self, depot: Depot) -> None:
        bucket, other = await depot.buckets(2)
        due, later = await depot.push_one(bucket), await depot.push_one(bucket, delay=30)
        await depot.push(other)

        found = {m.new.job.id: m for m in await depot.agent.messages.read_all(bucket.id, 10)}

        assert found.keys() == {due.new.job.id, later.new.job.id}
        assert found[due.new.job.id].new.delay == 0
        assert 20 < found[later.new.job.id].new.delay <= 30

    async def test_a_drained_message_keeps_what_it_says(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = [
            make_message(bucket, depot.job(), attempt=4, saved=saved, retries=2, crashes=1, suspect=True)
            for saved in (True, False)
        ]
        await depot.agent.messages.push(messages)

        found = await depot.agent.messages.read_all(bucket.id, 10)

        assert _by_job(found) == _by_job(messages)

    async def test_messages_in_hand_are_drained_too(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 3)
        await depot.pull(bucket)

        assert sorted(job_ids(await depot.agent.messages.read_all(bucket.id, 10))) == job_ids(messages)

    async def test_draining_deletes_nothing(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket, 3)

        for _ in range(2):
            assert len(await depot.agent.messages.read_all(bucket.id, 2)) == 2
        assert await depot.holdings() == {bucket.id: 3}

    async def test_draining_goes_on_with_what_is_not_acknowledged(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = [*await depot.push(bucket, 3), *await depot.push(bucket, 2, delay=30)]

        assert sorted(job_ids(await depot.drain(bucket, page=2))) == sorted(job_ids(messages))
        assert await depot.holdings() == {}

    async def test_a_bucket_that_nobody_registered_is_drained(self, depot: Depot) -> None:
        orphan = make_bucket(cluster_id=depot.world.cluster_id, epoch=77)
        messages = await depot.push(orphan, 3)
        assert await depot.holdings() == {orphan.id: 3}

        assert sorted(job_ids(await depot.drain(orphan))) == job_ids(messages)

        assert await depot.holdings() == {}

    async def test_a_message_that_comes_while_others_are_drained_is_drained(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        first = await depot.push(bucket, 2)
        await depot.agent.messages.acknowledge(
            bucket, keys(await depot.agent.messages.read_all(bucket.id, 10))
        )

        second = await depot.push(bucket)

        assert job_ids(await depot.drain(bucket)) == job_ids(second)
        assert first != second

    async def test_a_message_that_comes_after_it_was_acknowledged_is_there(self, depot: Depot) -> None:
        """Its owner knows that it came late, or that it is to run after all: an agent forgets removed messages."""
        bucket = await depot.bucket()
        late, again = make_message(bucket, depot.job()), make_message(bucket, depot.job(), saved=True)
        await depot.agent.messages.push([again])
        await depot.agent.messages.acknowledge(bucket, keys([late, again]))
        assert await depot.holdings() == {}

        await depot.agent.messages.push([late, again])

        assert sorted(ids(await depot.pull(bucket))) == sorted(job_ids([late, again]))

    async def test_concurrent_drains_leave_nothing_and_miss_nothing(
        self, depot: Depot, agent_peer: AgentRepository
    ) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 60)
        seen: set[UUID] = set()

        async def drain(one: Depot) -> None:
            seen.update(job_ids(await one.drain(bucket, page=7)))

        async with anyio.create_task_group() as group:
            for agent in [depot.agent, agent_peer] * 2:
                group.start_soon(drain, Depot(depot.world, agent))

        assert seen == set(job_ids(messages))
        assert await depot.holdings() == {}

    # Counting

    async def test_a_backlog_counts_what_is_unsaved_and_how_long(self, depot: Depot) -> None:
        both, saved, empty = await depot.buckets(3)
        unregistered = new_id()
        await depot.agent.messages.push(
            [
                make_message(both, depot.job()),
                make_message(both, depot.job(), saved=True),
                make_message(saved, depot.job(), saved=True),
            ]
        )
        await depot.push(unregistered, 2, delay=30)

        found = await depot.backlog()

        assert {b: (f.messages, f.save_pending) for b, f in found.items()} == {
            both.id: (2, 1),
            saved.id: (1, 0),
            unregistered: (2, 2),
        }
        assert found[saved.id] == Backlog(messages=1)
        assert empty.id not in found
        assert {b: f.messages for b, f in found.items()} == await depot.holdings()

    async def test_a_backlog_is_that_of_one_cluster(self, depot: Depot) -> None:
        ours, theirs = await depot.buckets(2)
        await depot.push(ours)
        await depot.push(theirs, 3, cluster_id=f"{depot.world.cluster_id}-2")

        assert (await depot.backlog()).keys() == {ours.id}
        assert (await depot.holdings()).keys() == {ours.id, theirs.id}

    async def test_a_backlog_grows_old(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket)

        async def is_old() -> bool:
            found = (await depot.backlog())[bucket.id].oldest_save_pending
            assert found is not None
            assert 0 <= found < 30
            return found > 0.1

        await until(is_old, what="the oldest message to grow old")
        await depot.push(bucket)
        assert await is_old()


class DroppingContract(AgentTests, suite=True):
    """`buckets.drop`, and the remains of a bucket whose owner is gone."""

    async def test_dropping_never_deletes_a_message(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        message = await depot.push_one(bucket, delay=30)

        assert not await depot.agent.buckets.drop(bucket.id)

        assert job_ids(await depot.agent.messages.read_all(bucket.id, 10)) == [message.new.job.id]
        assert (await depot.agent.claims.pull(bucket, Cursor(), 10)).next_due_in is not None

    async def test_a_bucket_that_nobody_made_is_gone(self, depot: Depot) -> None:
        assert await depot.agent.buckets.drop(new_id())

    async def test_a_message_for_a_dropped_bucket_is_found_and_drained(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        assert await depot.agent.buckets.drop(bucket.id)

        message = await depot.push_one(bucket)

        assert await depot.holdings() == {bucket.id: 1}
        assert not await depot.agent.buckets.drop(bucket.id)
        assert job_ids(await depot.drain(bucket)) == [message.new.job.id]
        assert await depot.agent.buckets.drop(bucket.id)

    async def test_a_dropped_bucket_is_nobodys(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.agent.buckets.drop(bucket.id)
        await depot.push(bucket)

        with pytest.raises(LeaseLostError):
            await depot.agent.claims.pull(bucket, Cursor(), 10)

    async def test_a_message_pushed_while_a_bucket_is_dropped_is_not_lost(
        self, depot: Depot, agent_peer: AgentRepository
    ) -> None:
        buckets = await depot.buckets(10)
        messages = [make_message(bucket) for bucket in buckets]

        async with anyio.create_task_group() as group:
            for bucket, message in zip(buckets, messages, strict=True):
                group.start_soon(depot.agent.buckets.drop, bucket.id)
                group.start_soon(agent_peer.messages.push, [message])

        assert await depot.holdings() == {bucket.id: 1 for bucket in buckets}

    async def test_of_a_bucket_that_is_said_to_be_dropped_nothing_is_left(
        self, depot: Depot, agent_peer: AgentRepository
    ) -> None:
        """This holds even if the message that kept it from being dropped is acknowledged at that moment."""
        buckets = await depot.buckets(10)
        messages = [(bucket, await depot.push_one(bucket)) for bucket in buckets]
        dropped: list[Bucket] = []

        async def drop(bucket: Bucket) -> None:
            if await depot.agent.buckets.drop(bucket.id):
                dropped.append(bucket)

        async with anyio.create_task_group() as group:
            for bucket, message in messages:
                group.start_soon(
                    agent_peer.messages.acknowledge, bucket, [(message.new.job.id, message.attempt)]
                )
                group.start_soon(drop, bucket)

        for bucket in dropped:
            with pytest.raises(LeaseLostError):
                await depot.agent.claims.pull(bucket, Cursor(), 10)

    # The next owner

    async def test_every_message_of_a_page_is_exposed(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket, 7)
        first = await depot.agent.claims.pull(bucket, Cursor(), 2)
        second = await depot.agent.claims.pull(bucket, first.cursor, 3)

        exposed = await depot.exposed(await depot.take_over(bucket))

        assert {*ids(first.claims), *ids(second.claims)} <= set(ids(exposed))

    async def test_exposed_messages_say_what_they_said(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        job = depot.job()
        message = make_message(bucket, job, attempt=3, saved=True, retries=2, crashes=1, suspect=True)
        await depot.agent.messages.push([message])
        [claim] = await depot.pull(bucket)
        taken = await depot.take_over(bucket)

        [exposed] = await depot.exposed(taken)

        assert (exposed.job, exposed.attempt, exposed.saved, exposed.epoch) == (job, 3, True, taken.epoch)
        assert (exposed.retries, exposed.crashes, exposed.suspect) == (2, 1, True)
        assert exposed.ready_at == claim.ready_at

    async def test_exposed_messages_come_in_pages(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 5)
        await depot.pull(bucket)
        taken = await depot.take_over(bucket)

        pages: list[list[UUID]] = []
        while claims := (page := await depot.agent.claims.exposed(taken, 2)).claims:
            assert page.more == (len(claims) == 2)
            pages.append(ids(claims))
            await depot.agent.messages.acknowledge(taken, [(c.job.id, c.attempt) for c in claims])

        assert [len(page_ids) for page_ids in pages] == [2, 2, 1]
        assert sorted(job_id for page_ids in pages for job_id in page_ids) == job_ids(messages)

    async def test_messages_that_nobody_can_have_had_are_not_exposed(self, depot: Depot) -> None:
        needs(depot.agent.capabilities.ordered, "ordered")
        bucket = await depot.bucket()
        in_hand = await depot.push_one(bucket)
        await depot.push(bucket, delay=30)
        await depot.pull(bucket)
        taken = await depot.take_over(bucket)
        await depot.exposed(taken)
        await depot.tick()
        await depot.push(bucket)

        assert ids(await depot.exposed(taken)) == [in_hand.new.job.id]

    async def test_messages_that_came_a_moment_after_the_last_one_was_read_are_not_exposed(
        self, depot: Depot
    ) -> None:
        bucket = await depot.bucket()
        in_hand = await depot.push_one(bucket)
        await depot.pull(bucket)
        late = await depot.push_one(bucket, delay=MOMENT)
        await until(lambda: _is_due(depot, bucket, late), what="the late message to be due")

        assert ids(await depot.exposed(await depot.take_over(bucket))) == [in_hand.new.job.id]

    async def test_the_next_rescuer_finds_what_the_first_one_left(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 3)
        await depot.pull(bucket)
        first = await depot.take_over(bucket)
        done, *_ = await depot.exposed(first)
        await depot.finish(first, done)

        second = await depot.take_over(first)

        assert set(ids(await depot.exposed(second))) == set(job_ids(messages)) - {done.job.id}

    async def test_a_former_rescuer_is_fenced_off(self, depot: Depot) -> None:
        first = await depot.take_over(await depot.bucket())
        await depot.exposed(first)
        await depot.exposed(await depot.take_over(first))

        with pytest.raises(LeaseLostError):
            await depot.agent.claims.exposed(first, 10)

    async def test_a_bucket_that_was_never_made_can_be_taken_over(self, depot: Depot) -> None:
        bucket = await depot.world.bucket(agent=depot.agent.name)
        await depot.push(bucket, 2)

        taken = await depot.take_over(bucket)

        assert len(await depot.exposed(taken)) <= 2
        assert len(await depot.agent.messages.read_all(taken.id, PLENTY)) == 2


async def _is_due(depot: Depot, bucket: Bucket, message: Message) -> bool:
    found = {lying.new.job.id: lying for lying in await depot.agent.messages.read_all(bucket.id, PLENTY)}
    return found[message.new.job.id].new.delay <= 0


def _by_job(messages: Sequence[Message]) -> dict[UUID, Message]:
    return {message.new.job.id: message for message in messages}
