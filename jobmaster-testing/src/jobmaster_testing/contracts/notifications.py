"""Requirements for `NotificationChannel`."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import uuid4

import anyio
import pytest

from jobmaster.contracts import AgentRepository, MasterRepository, Topics
from jobmaster.ids import new_id
from jobmaster_testing.contracts.base import needs
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.probes import Seen, until

Telling: TypeAlias = MasterRepository | AgentRepository
"""A store that carries notifications."""


class NotificationsContract(MasterTests, suite=True):
    """Announcing and listening. Notifications may be lost, so a test announces again until one is heard."""

    @pytest.fixture
    def teller(self, master: MasterRepository) -> Telling:
        """Return the store whose notifications are under test."""
        return master

    @pytest.fixture
    def other_teller(self, peer: MasterRepository) -> Telling:
        """Return a second opening of that store."""
        return peer

    async def test_a_listener_hears_what_its_own_repository_announces(self, teller: Telling) -> None:
        topic = Topics.bucket(new_id())

        async with _listening(teller, [topic]) as heard:
            await _announce_until_heard(teller, topic, heard)

    async def test_a_listener_hears_what_another_repository_announces(
        self, teller: Telling, other_teller: Telling
    ) -> None:
        needs(teller.capabilities.notifications, "notifications")
        topic = Topics.held(f"Clüster-{uuid4().hex}")

        async with _listening(other_teller, [topic]) as heard:
            await _announce_until_heard(teller, topic, heard)

    async def test_nothing_is_missed_once_the_listener_is_in_place(self, teller: Telling) -> None:
        for _ in range(20):
            topic = Topics.bucket(new_id())
            async with _listening(teller, [topic]) as heard:
                await teller.notifications.announce([topic])
                await heard.count(1)

    async def test_every_listener_hears(self, teller: Telling) -> None:
        topic = Topics.buckets(uuid4().hex)

        async with _listening(teller, [topic]) as first, _listening(teller, [topic]) as second:
            await _announce_until_heard(teller, topic, first)
            await _announce_until_heard(teller, topic, second)

    async def test_a_listener_hears_what_it_asked_for(self, teller: Telling) -> None:
        wanted, other = Topics.bucket(new_id()), Topics.bucket(new_id())

        async with _listening(teller, [wanted]) as heard:
            await teller.notifications.announce([other])
            await _announce_until_heard(teller, wanted, heard)

        assert set(heard.items) <= {wanted, Topics.ANY}

    async def test_what_a_listener_asks_for_may_change(self, teller: Telling, other_teller: Telling) -> None:
        needs(teller.capabilities.notifications, "notifications")
        first, second = Topics.bucket(new_id()), Topics.bucket(new_id())
        wanted = {first}

        async with _listening(other_teller, wanted) as heard:
            await _announce_until_heard(teller, first, heard)
            wanted.add(second)
            await _announce_until_heard(teller, second, heard)
            wanted.discard(first)
            heard.items.clear()
            await teller.notifications.announce([first])
            await _announce_until_heard(teller, second, heard)

        assert first not in heard.items

    async def test_several_topics_in_one_call(self, teller: Telling) -> None:
        topics = [Topics.bucket(new_id()) for _ in range(1000)]

        async with _listening(teller, topics) as heard:

            async def announce() -> bool:
                await teller.notifications.announce(topics)
                return set(topics) <= set(heard.items) or Topics.ANY in heard.items

            await until(announce, what="all topics to be heard")

    async def test_nobody_has_to_listen(self, teller: Telling) -> None:
        await teller.notifications.announce([Topics.held(uuid4().hex)])
        await teller.notifications.announce([])

    async def test_a_listener_ends_when_it_is_cancelled(self, teller: Telling) -> None:
        topic = Topics.bucket(new_id())
        async with _listening(teller, [topic]) as heard:
            await _announce_until_heard(teller, topic, heard)
        count = len(heard.items)

        await teller.notifications.announce([topic])
        async with _listening(teller, [topic]) as again:
            await _announce_until_heard(teller, topic, again)

        assert len(heard.items) == count


@asynccontextmanager
async def _listening(teller: Telling, topics: Container[str]) -> AsyncIterator[Seen[str]]:
    """Listen to topics within the block, starting when the listener is in place."""
    heard: Seen[str] = Seen()
    ready = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(teller.notifications.listen, topics, heard.add, ready.set)
        with anyio.fail_after(10):
            await ready.wait()
        yield heard
        group.cancel_scope.cancel()


async def _announce_until_heard(teller: Telling, topic: str, heard: Seen[str]) -> None:
    async def announce() -> bool:
        await teller.notifications.announce([topic])
        return topic in heard.items or Topics.ANY in heard.items

    await until(announce, what=f"news of {topic}")
