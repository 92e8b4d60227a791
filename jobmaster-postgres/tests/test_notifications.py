"""LISTEN and NOTIFY, and doing without them behind PgBouncer."""

import anyio
import psycopg
import pytest

from jobmaster.contracts import Topics
from jobmaster.errors import StoreUnavailableError
from jobmaster_postgres.notifications import payloads
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.options import open_master
from jobmaster_testing.probes import Seen
from jobmaster_testing.servers import Wire

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

Observer = psycopg.Connection[tuple[object, ...]]


def test_topics_travel_in_few_messages() -> None:
    topics = [f"topic-{number:05}-ü" for number in range(2000)]

    messages = list(payloads([*topics, *topics]))

    assert [topic for message in messages for topic in message.split("\n")] == topics
    assert all(len(message.encode()) < 8000 for message in messages)
    assert len(messages) == 4
    assert list(payloads([])) == []


async def test_many_topics_arrive_elsewhere(database: str) -> None:
    topics = [f"topic-{number:05}" for number in range(1500)]
    heard: Seen[str] = Seen()
    ready = anyio.Event()

    async with (
        open_master(database) as here,
        open_master(database) as there,
        anyio.create_task_group() as group,
    ):
        group.start_soon(there.notifications.listen, [Topics.ANY], heard.add, ready.set)
        await ready.wait()
        await here.notifications.announce(topics)

        assert await heard.count(1500) == topics
        group.cancel_scope.cancel()


async def test_own_notifications_are_heard_once(database: str) -> None:
    heard: Seen[str] = Seen()
    ready = anyio.Event()

    async with (
        open_master(database) as here,
        open_master(database) as there,
        anyio.create_task_group() as group,
    ):
        group.start_soon(here.notifications.listen, [Topics.ANY], heard.add, ready.set)
        await ready.wait()
        await here.notifications.announce(["mine"])
        await there.notifications.announce(["theirs"])

        assert await heard.count(2) == ["mine", "theirs"]
        group.cancel_scope.cancel()


async def test_a_broken_listener_says_so(wired: str, wire: Wire) -> None:
    ready = anyio.Event()

    async with open_master(wired) as master:

        async def listen() -> None:
            with pytest.raises(StoreUnavailableError, match="listens for notifications"):
                await master.notifications.listen([Topics.ANY], lambda _: None, ready.set)

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await ready.wait()
            wire.cut()
        wire.connect()


async def test_listening_to_a_server_that_is_gone(wired: str, wire: Wire) -> None:
    async with open_master(wired) as master:
        wire.cut()
        with pytest.raises(StoreUnavailableError):
            await master.notifications.listen([Topics.ANY], lambda _: None, lambda: None)
        wire.connect()


async def test_behind_pgbouncer_only_own_notifications_are_heard(database: str) -> None:
    heard: Seen[str] = Seen()
    url = f"{database}{'&' if '?' in database else '?'}pgbouncer=transaction"

    async with open_master(url) as master, anyio.create_task_group() as group:
        assert not master.capabilities.notifications
        ready = anyio.Event()
        group.start_soon(master.notifications.listen, ["mine"], heard.add, ready.set)
        await ready.wait()
        await master.notifications.announce(["other", "mine"])

        assert await heard.count(1) == ["mine"]
        group.cancel_scope.cancel()


async def test_behind_pgbouncer_nothing_of_a_transaction_stays_with_the_connection(
    database: str, observer: Observer
) -> None:
    separator = "&" if "?" in database else "?"
    url = f"{database}{separator}pgbouncer=transaction&connections=1&application_name=pooled"
    async with open_master(url) as master:
        world = await make_world(master)
        bucket = await world.bucket()
        for _ in range(10):
            await world.finished(bucket)

        [row] = observer.execute(
            "SELECT pid, state FROM pg_stat_activity WHERE application_name = 'pooled'"
        ).fetchall()
        assert row[1] == "idle"
