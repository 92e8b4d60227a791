"""What is required of `NewsListener`."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import anyio

from jobmaster.contracts import MasterRepository, Topics
from jobmaster.ids import new_id
from jobmaster_testing.contracts.base import needs
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.probes import Seen, until


class NewsContract(MasterTests, suite=True):
    """Telling and hearing. News may be lost, so a test announces again until somebody has heard."""

    async def test_a_listener_hears_what_its_own_repository_announces(self, master: MasterRepository) -> None:
        topic = Topics.bucket(new_id())

        async with _listening(master, [topic]) as heard:
            await _announce_until_heard(master, topic, heard)

    async def test_a_listener_hears_what_another_repository_announces(
        self, master: MasterRepository, peer: MasterRepository
    ) -> None:
        needs(master.capabilities.notifications, "notifications")
        topic = Topics.held(f"Clüster-{uuid4().hex}")

        async with _listening(peer, [topic]) as heard:
            await _announce_until_heard(master, topic, heard)

    async def test_nothing_is_missed_once_the_listener_is_in_place(self, master: MasterRepository) -> None:
        for _ in range(20):
            topic = Topics.bucket(new_id())
            async with _listening(master, [topic]) as heard:
                await master.announce([topic])
                await heard.count(1)

    async def test_every_listener_hears(self, master: MasterRepository) -> None:
        topic = Topics.buckets(uuid4().hex)

        async with _listening(master, [topic]) as first, _listening(master, [topic]) as second:
            await _announce_until_heard(master, topic, first)
            await _announce_until_heard(master, topic, second)

    async def test_a_listener_hears_what_it_asked_for(self, master: MasterRepository) -> None:
        wanted, other = Topics.bucket(new_id()), Topics.bucket(new_id())

        async with _listening(master, [wanted]) as heard:
            await master.announce([other])
            await _announce_until_heard(master, wanted, heard)

        assert set(heard.items) <= {wanted, Topics.ANY}

    async def test_several_topics_in_one_call(self, master: MasterRepository) -> None:
        topics = [Topics.bucket(new_id()) for _ in range(1000)]

        async with _listening(master, topics) as heard:

            async def announce() -> bool:
                await master.announce(topics)
                return set(topics) <= set(heard.items) or Topics.ANY in heard.items

            await until(announce, what="all topics to be heard")

    async def test_nobody_has_to_listen(self, master: MasterRepository) -> None:
        await master.announce([Topics.held(uuid4().hex)])
        await master.announce([])

    async def test_a_listener_ends_when_it_is_cancelled(self, master: MasterRepository) -> None:
        topic = Topics.bucket(new_id())
        async with _listening(master, [topic]) as heard:
            await _announce_until_heard(master, topic, heard)
        count = len(heard.items)

        await master.announce([topic])
        async with _listening(master, [topic]) as again:
            await _announce_until_heard(master, topic, again)

        assert len(heard.items) == count


@asynccontextmanager
async def _listening(master: MasterRepository, topics: Sequence[str]) -> AsyncIterator[Seen[str]]:
    """Listen to topics within the block, from when the listener says that it is in place."""
    heard: Seen[str] = Seen()
    ready = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(master.listen, topics, heard.add, ready.set)
        with anyio.fail_after(10):
            await ready.wait()
        yield heard
        group.cancel_scope.cancel()


async def _announce_until_heard(master: MasterRepository, topic: str, heard: Seen[str]) -> None:
    async def announce() -> bool:
        await master.announce([topic])
        return topic in heard.items or Topics.ANY in heard.items

    await until(announce, what=f"news of {topic}")
