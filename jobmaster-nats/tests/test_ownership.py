"""Who owns a bucket, and what its owner may have in flight, whatever dies between any two requests to the server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

import anyio
import pytest
from attrs import evolve

from jobmaster.errors import LeaseLostError, StoreUnavailableError
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Claim, Cursor
from jobmaster_nats import NatsAgent
from jobmaster_nats.link import Link, Request
from jobmaster_testing.factories import make_bucket, make_job, make_message
from jobmaster_testing.options import open_agent
from jobmaster_testing.probes import until

pytestmark = [pytest.mark.nats, pytest.mark.anyio]

Step: TypeAlias = Callable[[NatsAgent], Awaitable[object]]
MOST_REQUESTS = 40


@pytest.fixture
async def agent(stream: str) -> AsyncIterator[NatsAgent]:
    async with open_agent("A", stream) as agent:
        assert isinstance(agent, NatsAgent)
        yield agent


@pytest.fixture
async def bucket(agent: NatsAgent) -> Bucket:
    bucket = make_bucket()
    await agent.buckets.create([bucket])
    return bucket


class Fuse:
    """Kills a process, as far as its server can see, before one of its requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.requests = 0
        exchange, send = Link.exchange, Link.send

        async def counted_exchange(link: Link, requests: list[Request]) -> object:
            await self._burn(link)
            return await exchange(link, requests)

        async def fused_send(link: Link, subject: str, payload: bytes = b"", reply: str = "") -> None:
            await self._burn(link)
            await send(link, subject, payload, reply)

        monkeypatch.setattr(Link, "exchange", counted_exchange)
        monkeypatch.setattr(Link, "send", fused_send)

    async def _burn(self, link: Link) -> None:
        self.requests += 1
        if self.left == 0:
            raise StoreUnavailableError(f"{link.address}: dead")
        self.left -= 1


async def pulled(agent: NatsAgent, bucket: Bucket, limit: int = 100) -> list[Claim]:
    return list((await agent.claims.pull(bucket, Cursor(), limit)).claims)


def next_owners(bucket: Bucket, by: int = 1) -> Bucket:
    return evolve(bucket, epoch=bucket.epoch + by)


async def exposed(agent: NatsAgent, bucket: Bucket) -> set[UUID]:
    return {claim.job.id for claim in (await agent.claims.exposed(bucket, 1000)).claims}


async def test_an_owner_that_dies_in_a_pull_leaves_no_message_behind_the_bound(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before every request once: whatever was handed out is exposed."""
    fuse = Fuse(monkeypatch)
    for left in range(MOST_REQUESTS):
        bucket, got = make_bucket(), set[UUID]()
        async with open_agent("A", stream) as owner, open_agent("A", stream) as rescuer:
            assert isinstance(owner, NatsAgent)
            assert isinstance(rescuer, NatsAgent)
            await owner.buckets.create([bucket])
            messages = [make_message(bucket) for _ in range(7)]
            await owner.messages.push(messages)
            fuse.left, survived = left, True
            try:
                for limit in (2, 3):
                    got.update(claim.job.id for claim in await pulled(owner, bucket, limit))
            except StoreUnavailableError:
                survived = False
            fuse.left = -1

            assert got <= await exposed(rescuer, next_owners(bucket))
            assert len(await rescuer.messages.read_all(bucket.id, 100)) == 7
            with pytest.raises(LeaseLostError):
                await pulled(owner, bucket)
        if survived:
            return
    pytest.fail("the pulls did not come to an end")


async def test_a_rescuer_that_dies_in_taking_over_is_followed_by_another(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse = Fuse(monkeypatch)
    for left in range(MOST_REQUESTS):
        bucket = make_bucket()
        async with open_agent("A", stream) as owner, open_agent("A", stream) as rescuer:
            assert isinstance(owner, NatsAgent)
            assert isinstance(rescuer, NatsAgent)
            await owner.buckets.create([bucket])
            await owner.messages.push([make_message(bucket) for _ in range(3)])
            got = {claim.job.id for claim in await pulled(owner, bucket)}
            fuse.left, survived = left, True
            try:
                await exposed(rescuer, next_owners(bucket))
            except StoreUnavailableError:
                survived = False
            fuse.left = -1

            assert await exposed(rescuer, next_owners(bucket, by=2)) == got
            for former in (bucket, next_owners(bucket)):
                with pytest.raises(LeaseLostError):
                    await pulled(owner, former)
        if survived:
            return
    pytest.fail("taking over did not come to an end")


async def test_who_dies_in_setting_aside_loses_nothing_and_hands_nothing_out_twice(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse = Fuse(monkeypatch)
    monkeypatch.setattr("jobmaster_nats.claims._MOVE_LASTS", -1)
    for left in range(MOST_REQUESTS):
        bucket, aside = make_bucket(), new_id()
        async with open_agent("A", stream) as owner, open_agent("A", stream) as other:
            assert isinstance(owner, NatsAgent)
            assert isinstance(other, NatsAgent)
            await owner.buckets.create([bucket])
            messages = [make_message(bucket) for _ in range(4)]
            await owner.messages.push(messages)
            fuse.left, survived = left, True
            try:
                await other.asides.set_aside(bucket, aside, 0, 1, 2)
            except StoreUnavailableError:
                survived = False
            fuse.left = -1

            kept = {claim.job.id for claim in await pulled(owner, bucket)}
            gone = {message.new.job.id for message in await other.messages.read_all(aside, 100)}
            assert kept.isdisjoint(gone)
            assert kept | gone == {message.new.job.id for message in messages}
            assert len(gone) in (0, 2)
        if survived:
            assert len(gone) == 2
            return
    pytest.fail("setting aside did not come to an end")


async def test_who_gives_messages_back_and_dies_leaves_them_somewhere(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse = Fuse(monkeypatch)
    for left in range(MOST_REQUESTS):
        bucket, aside = make_bucket(), new_id()
        async with open_agent("A", stream) as owner:
            assert isinstance(owner, NatsAgent)
            await owner.buckets.create([bucket])
            large = make_job(data={"text": "x" * 1_200_000})
            messages = [make_message(bucket), make_message(bucket, large)]
            await owner.messages.push(messages)
            keys = [(claim.job.id, 1) for claim in await pulled(owner, bucket)]
            fuse.left, survived = left, True
            try:
                await owner.asides.put(bucket, aside, keys)
            except StoreUnavailableError:
                survived = False
            fuse.left = -1

            found = [
                message.new.job
                for place in (bucket.id, aside)
                for message in await owner.messages.read_all(place, 100)
            ]
            assert {job.id for job in found} == {job_id for job_id, _ in keys}
            assert all(job == large for job in found if job.id == large.id)
        if survived:
            assert len(found) == 2
            return
    pytest.fail("giving back did not come to an end")


async def test_a_backlog_behind_the_page_is_not_suspected(agent: NatsAgent, bucket: Bucket) -> None:
    messages = [make_message(bucket) for _ in range(50)]
    await agent.messages.push(messages)
    page = await agent.claims.pull(bucket, Cursor(), 10)
    next_page = await agent.claims.pull(bucket, page.cursor, 10)

    handed_out = {claim.job.id for claim in (*page.claims, *next_page.claims)}
    assert await exposed(agent, next_owners(bucket)) == handed_out


async def test_messages_that_are_not_due_do_not_keep_due_ones_out(agent: NatsAgent, bucket: Bucket) -> None:
    await agent.messages.push([make_message(bucket, delay=60) for _ in range(1500)])
    due = make_message(bucket)
    await agent.messages.push([due])

    page = await agent.claims.pull(bucket, Cursor(), 5)

    assert [claim.job.id for claim in page.claims] == [due.new.job.id]
    assert not page.more
    assert page.next_due_in is not None
    assert 30 < page.next_due_in <= 60


async def test_a_message_comes_when_it_is_due(agent: NatsAgent, bucket: Bucket) -> None:
    await agent.messages.push([make_message(bucket, delay=0.3)])
    page = await agent.claims.pull(bucket, Cursor(), 5)
    assert page.next_due_in is not None
    await anyio.sleep(page.next_due_in)

    [claim] = await until(lambda: pulled(agent, bucket), what="the message to be due", timeout=0.1)

    assert claim.ready_at <= await agent.now()


async def test_one_pull_after_another_shares_a_write(agent: NatsAgent, bucket: Bucket) -> None:
    """While the owner keeps up, its bound is written five times a second at most."""
    await agent.messages.push([make_message(bucket)])
    await pulled(agent, bucket)
    noted = noted_at(agent, bucket)

    await agent.messages.push([make_message(bucket)])
    assert len(await pulled(agent, bucket)) == 2

    assert noted_at(agent, bucket) == noted


async def test_a_message_that_is_pushed_again_after_it_left_is_new(agent: NatsAgent, bucket: Bucket) -> None:
    """No window of message ids swallows it, however soon it comes."""
    message = make_message(bucket)
    for _ in range(3):
        await agent.messages.push([message])
        await agent.messages.push([message])
        assert len(await pulled(agent, bucket)) == 1
        await agent.messages.acknowledge(bucket, [(message.new.job.id, 1)])
        assert await pulled(agent, bucket) == []

    await agent.messages.push([message])
    await agent.asides.put(bucket, new_id(), [(message.new.job.id, 1)])
    await agent.messages.push([message])
    assert len(await pulled(agent, bucket)) == 1


async def test_what_another_process_acknowledged_is_forgotten_in_time(
    agent: NatsAgent, bucket: Bucket, stream: str
) -> None:
    message = make_message(bucket)
    await agent.messages.push([message])
    await pulled(agent, bucket)
    async with open_agent("A", stream) as other:
        await other.messages.acknowledge(bucket, [(message.new.job.id, 1)])

    assert len(await pulled(agent, bucket)) == 1  # twice rather than never
    await agent.messages.acknowledge(bucket, [(message.new.job.id, 1)])
    assert await pulled(agent, bucket) == []


async def test_messages_are_found_by_their_jobs(agent: NatsAgent, bucket: Bucket) -> None:
    large, job, other = make_job(data={"text": "x" * 1_000_000}), make_job(), make_job()
    orphan = new_id()
    messages = [make_message(bucket, large), make_message(bucket, job), make_message(orphan, job, attempt=2)]
    await agent.messages.push([*messages, make_message(bucket, other)])

    found = await agent.messages.find([job.id, large.id, job.id, new_id()])

    assert sorted(m.new.job.id for m in found) == sorted([job.id, job.id, large.id])
    assert {m.new.bucket_id for m in found if m.new.job == job} == {bucket.id, orphan}
    assert [m.new.bucket_id for m in found if m.new.job == large] == [bucket.id]


async def test_idle_owners_ask_little(agent: NatsAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = [make_bucket() for _ in range(5)]
    await agent.buckets.create(buckets)
    await agent.claims.due(buckets)
    await agent.claims.due(buckets)
    fuse = Fuse(monkeypatch)

    for _ in range(10):
        assert await agent.claims.due(buckets) == frozenset()

    assert fuse.requests <= 11
    await agent.messages.push([make_message(buckets[3])])
    assert await agent.claims.due(buckets) == {buckets[3].id}


def noted_at(agent: NatsAgent, bucket: Bucket) -> int | None:
    desk = agent._desks.known(bucket.id)
    assert desk is not None
    return desk.noted_at
