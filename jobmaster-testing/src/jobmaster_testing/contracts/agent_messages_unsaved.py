"""Requirements for an agent that reports which of its jobs the master does not know yet."""
# ruff: noqa: D102, PLR2004, S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from uuid import UUID

from attrs import evolve

from jobmaster.contracts import Message
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Position
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.base import needs
from jobmaster_testing.contracts.depot import Depot, job_ids, keys
from jobmaster_testing.contracts.world import ids
from jobmaster_testing.factories import make_message
from jobmaster_testing.probes import until


class UnsavedContract(AgentTests, suite=True):
    """`messages.read_unsaved`."""

    async def test_nothing_is_unsaved(self, depot: Depot) -> None:
        found = await depot.agent.messages.read_unsaved(await depot.bucket(), 0, None, 10)

        assert (list(found.messages), found.after) == ([], None)

    async def test_unsaved_messages_come_in_the_order_of_their_push(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        pushed = []
        for delay in (20, 0, 10):
            pushed.append(await depot.push_one(bucket, delay=delay))
            await depot.tick()

        assert await depot.unsaved(bucket) == job_ids(pushed)

    async def test_an_unsaved_message_keeps_what_it_says(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        message = make_message(bucket, depot.job(), delay=30, retries=2, crashes=1, suspect=True)
        await depot.agent.messages.push([message])

        [found] = (await depot.agent.messages.read_unsaved(bucket, 0, None, 10)).messages

        assert 20 < found.new.delay <= 30
        assert _without_delay(found) == _without_delay(message)

    async def test_what_was_pushed_a_moment_ago_is_left_alone(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        message = await depot.push_one(bucket)

        assert await depot.unsaved(bucket, age=30) == []

        found = await until(lambda: depot.unsaved(bucket, age=0.1), what="the message to be that old")
        assert found == [message.new.job.id]

    async def test_messages_that_are_old_enough_come_without_younger_ones(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        old = await depot.push_one(bucket)
        await until(lambda: depot.unsaved(bucket, age=0.3), what="the first message to be old")
        await depot.push_one(bucket)

        assert await depot.unsaved(bucket, age=0.3) == [old.new.job.id]

    async def test_saved_messages_are_left_out(self, depot: Depot) -> None:
        bucket, other = await depot.buckets(2)
        await depot.agent.messages.push([make_message(bucket, saved=True)])
        await depot.push(other)
        unsaved = await depot.push_one(bucket)

        assert await depot.unsaved(bucket) == [unsaved.new.job.id]

    async def test_messages_in_hand_are_unsaved_until_they_are_acknowledged(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 2)
        done, in_hand = await depot.pull(bucket)
        assert sorted(await depot.unsaved(bucket)) == job_ids(messages)

        await depot.finish(bucket, done)

        assert await depot.unsaved(bucket) == [in_hand.job.id]

    async def test_pages_of_unsaved_messages_follow_one_another(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 3)
        await depot.tick()
        messages += await depot.push(bucket, 2)

        pages, after = await _pages(depot, bucket, 2, 3)

        assert [len(page) for page in pages] == [2, 2, 1]
        assert sorted(job_id for page in pages for job_id in page) == job_ids(messages)
        assert not (await depot.agent.messages.read_unsaved(bucket, 0, after, 2)).messages

    async def test_going_on_finds_what_was_pushed_since(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket, 2)
        seen = await depot.agent.messages.read_unsaved(bucket, 0, None, 10)
        nothing_new = await depot.agent.messages.read_unsaved(bucket, 0, seen.after, 10)
        await depot.tick()
        late = await depot.push_one(bucket)

        found = await depot.agent.messages.read_unsaved(bucket, 0, nothing_new.after, 10)

        assert not nothing_new.messages
        assert job_ids(found.messages) == [late.new.job.id]

    async def test_going_on_does_not_mind_what_has_left(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        messages = await depot.push(bucket, 4)
        first = await depot.agent.messages.read_unsaved(bucket, 0, None, 2)
        await depot.agent.messages.acknowledge(bucket, keys(first.messages))

        rest = await depot.agent.messages.read_unsaved(bucket, 0, first.after, 10)

        assert sorted(job_ids([*first.messages, *rest.messages])) == job_ids(messages)

    async def test_asking_for_unsaved_messages_deletes_nothing(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket, 3)

        assert await depot.unsaved(bucket) == await depot.unsaved(bucket)
        assert len(await depot.pull(bucket)) == 3


class NotingContract(AgentTests, suite=True):
    """`messages.note_saved`."""

    async def test_what_the_master_knows_is_saved_from_then_on(self, depot: Depot) -> None:
        needs(depot.agent.capabilities.addressable, "addressable")
        bucket = await depot.bucket()
        known, unknown = await depot.push(bucket, 2, data={"n": 1})

        await depot.agent.messages.note_saved(bucket, keys([known]))

        assert await depot.unsaved(bucket) == [unknown.new.job.id]
        assert {c.job.id: c.saved for c in await depot.pull(bucket)} == {
            known.new.job.id: True,
            unknown.new.job.id: False,
        }
        drained = {m.new.job.id: m for m in await depot.agent.messages.read_all(bucket.id, 10)}
        assert [drained[job_id].saved for job_id in job_ids([known, unknown])] == [True, False]
        backlog = (await depot.backlog())[bucket.id]
        assert (backlog.messages, backlog.save_pending) == (2, 1)

    async def test_noting_changes_nothing_else(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        message = make_message(bucket, depot.job(), attempt=2, retries=1, crashes=1, suspect=True)
        await depot.agent.messages.push([message])
        [before] = await depot.pull(bucket)

        for _ in range(2):
            await depot.agent.messages.note_saved(bucket, keys([message]))

        [after] = await depot.pull(bucket)
        assert after == evolve(before, saved=after.saved)

    async def test_a_noted_message_is_not_pushed_anew(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        message = await depot.push_one(bucket)
        await depot.agent.messages.note_saved(bucket, keys([message]))

        await depot.agent.messages.push([message])

        assert ids(await depot.pull(bucket)) == [message.new.job.id]
        assert await depot.holdings() == {bucket.id: 1}

    async def test_what_is_not_there_is_not_noted(self, depot: Depot) -> None:
        bucket, other = await depot.buckets(2)
        message = await depot.push_one(bucket)
        [(job_id, attempt)] = keys([message])

        await depot.agent.messages.note_saved(bucket, [])
        await depot.agent.messages.note_saved(bucket, [(job_id, attempt + 1), (new_id(), 1)])
        await depot.agent.messages.note_saved(other, [(job_id, attempt)])

        assert await depot.unsaved(bucket) == [job_id]
        assert await depot.holdings() == {bucket.id: 1}

    async def test_a_noted_message_in_hand_is_exposed_as_saved(self, depot: Depot) -> None:
        needs(depot.agent.capabilities.addressable, "addressable")
        bucket = await depot.bucket()
        claim = await depot.claim(bucket)
        await depot.agent.messages.note_saved(bucket, [(claim.job.id, claim.attempt)])

        [exposed] = await depot.exposed(await depot.take_over(bucket))

        assert (exposed.job.id, exposed.saved) == (claim.job.id, True)


async def _pages(
    depot: Depot, bucket: Bucket, limit: int, count: int
) -> tuple[list[list[UUID]], Position | None]:
    """Read some pages of unsaved messages; return their job ids, and the position to continue from."""
    pages, after = list[list[UUID]](), None
    for _ in range(count):
        found = await depot.agent.messages.read_unsaved(bucket, 0, after, limit)
        pages.append(job_ids(found.messages))
        after = found.after
    return pages, after


def _without_delay(message: Message) -> Message:
    return make_message(
        message.new.bucket_id or UUID(int=0),
        message.new.job,
        attempt=message.attempt,
        saved=message.saved,
        retries=message.retries,
        crashes=message.crashes,
        suspect=message.suspect,
    )
