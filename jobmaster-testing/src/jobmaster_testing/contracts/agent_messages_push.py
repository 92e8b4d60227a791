"""Requirements for `AgentRepository` when messages come in."""
# ruff: noqa: D102, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from jobmaster.ids import new_id
from jobmaster.models import JobReceipt
from jobmaster.weighing import AT_ONCE
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.depot import Depot, job_ids
from jobmaster_testing.contracts.world import ids, room
from jobmaster_testing.factories import make_message


class PushingContract(AgentTests, suite=True):
    """`messages.push` and `buckets.create`."""

    async def test_nothing_to_push(self, depot: Depot) -> None:
        assert list(await depot.agent.messages.push([])) == []

    async def test_pushed_jobs_are_accepted_in_order(self, depot: Depot) -> None:
        first, second = await depot.buckets(2)
        messages = [make_message(bucket) for bucket in (first, second, first)]

        receipts = await depot.agent.messages.push(messages)

        assert list(receipts) == [
            JobReceipt(job_id=m.new.job.id, accepted_by=depot.agent.name) for m in messages
        ]
        assert await depot.holdings() == {first.id: 2, second.id: 1}

    async def test_pushing_again_changes_nothing(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        message = make_message(bucket)

        receipts = [
            await depot.agent.messages.push([message, message]),
            await depot.agent.messages.push([message]),
        ]

        expected = JobReceipt(job_id=message.new.job.id, accepted_by=depot.agent.name)
        assert [r for page in receipts for r in page] == [expected] * 3
        assert ids(await depot.pull(bucket)) == [message.new.job.id]
        assert await depot.holdings() == {bucket.id: 1}

    async def test_pushing_again_does_not_move_the_due_time(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        job = depot.job()
        await depot.agent.messages.push([make_message(bucket, job)])

        await depot.agent.messages.push([make_message(bucket, job, delay=60)])

        assert ids(await depot.pull(bucket)) == [job.id]

    async def test_many_messages_in_one_call(self, depot: Depot) -> None:
        bucket = await depot.bucket()

        messages = await depot.push(bucket, 1500)

        assert await depot.holdings() == {bucket.id: len(messages)}

    async def test_a_message_for_an_unknown_bucket_is_not_lost(self, depot: Depot) -> None:
        bucket_id = new_id()

        await depot.push(bucket_id)

        assert await depot.holdings() == {bucket_id: 1}

    async def test_a_message_for_a_closed_bucket_is_not_lost(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.world.close_bucket(bucket)

        await depot.push(bucket)

        assert await depot.holdings() == {bucket.id: 1}
        assert not await depot.agent.buckets.drop(bucket.id)

    async def test_an_assigned_job_reaches_its_bucket_once(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        job = await depot.world.put_one()
        await depot.world.assign(room(bucket))
        message = make_message(bucket, job, saved=True)

        for _ in range(2):
            assert [r.job_id for r in await depot.agent.messages.push([message])] == [job.id]

        [claim] = await depot.pull(bucket)
        assert (claim.job, claim.attempt, claim.saved) == (job, 1, True)

    async def test_buckets_may_be_created_again(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket)

        await depot.agent.buckets.create([bucket])
        await depot.agent.buckets.create([])

        assert ids(await depot.pull(bucket)) == job_ids(messages)

    async def test_messages_of_many_bytes_are_pushed_in_one_call(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        text = "x" * (AT_ONCE // 2)
        messages = [make_message(bucket, depot.job(data={"text": text, "n": n})) for n in range(3)]

        await depot.agent.messages.push(messages)
        receipts = await depot.agent.messages.push(messages)

        assert [receipt.job_id for receipt in receipts] == [message.new.job.id for message in messages]
        assert await depot.holdings() == {bucket.id: len(messages)}
