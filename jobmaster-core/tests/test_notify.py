"""Notifications gather while they are announced, and none is left behind at the end."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from jobmaster import Cluster
from jobmaster._runtime.notifier import Notifier
from jobmaster.contracts import MasterRepository
from jobmaster.errors import StoreUnavailableError
from jobmaster_testing.probes import Seen, until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]


class Recorder:
    """Stands where announcements go; takes them when it is let."""

    def __init__(self) -> None:
        self.seen: Seen[Sequence[str]] = Seen()
        self.open = anyio.Event()
        self.notifications = self

    async def announce(self, topics: Sequence[str]) -> None:
        self.seen.add(topics)
        await self.open.wait()

    class capabilities:  # noqa: N801 - an attribute of the contract
        notifications = False


async def test_what_comes_during_an_announcement_goes_out_in_one() -> None:
    recorder = Recorder()
    notify = Notifier(cast("MasterRepository", recorder))
    async with anyio.create_task_group() as group:
        group.start_soon(notify.run)
        notify.tell("a")
        await recorder.seen.count(1)
        for _ in range(50):
            notify.tell("b")
            notify.tell("c")
            await anyio.lowlevel.checkpoint()
        recorder.open.set()

        assert await recorder.seen.count(2) == [["a"], ["b", "c"]]
        group.cancel_scope.cancel()


async def test_a_flush_waits_for_the_announcement_under_way_and_sends_the_rest() -> None:
    recorder = Recorder()
    notify = Notifier(cast("MasterRepository", recorder))
    flushed = anyio.Event()

    async def flush() -> None:
        await notify.flush()
        flushed.set()

    async with anyio.create_task_group() as group:
        group.start_soon(notify.run)
        notify.tell("a")
        await recorder.seen.count(1)
        notify.tell("b")
        group.start_soon(flush)
        await anyio.wait_all_tasks_blocked()
        assert not flushed.is_set()
        recorder.open.set()
        await flushed.wait()

        assert recorder.seen.items == [["a"], ["b"]]
        group.cancel_scope.cancel()


async def test_the_last_notifications_of_a_process_that_leaves_reach_others(producer: Build) -> None:
    heard: list[str] = []
    async with producer().running() as watcher:
        notify = watcher._env.notify
        await until(lambda: notify.listening, what="the watcher to listen")
        with notify.subscribed("first", heard.append), notify.subscribed("last", heard.append):
            async with producer().running() as leaving:
                leaving._env.notify.tell("first")
                await until(lambda: "first" in heard)
                leaving._env.notify.tell("last")
            await until(lambda: "last" in heard, timeout=5)


class Broken(Recorder):
    """A store whose listeners hear of nothing, and are cut off when it breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.breaks = anyio.Event()

    async def listen(
        self,
        topics: Container[str],  # noqa: ARG002 - as the contract has it
        on_notification: Callable[[str], None],  # noqa: ARG002 - as the contract has it
        on_ready: Callable[[], None],
    ) -> None:
        if self.breaks.is_set():
            await anyio.sleep_forever()
        on_ready()
        await self.breaks.wait()
        raise StoreUnavailableError("the connection broke")

    class capabilities:  # noqa: N801 - an attribute of the contract
        notifications = True


async def test_who_waits_long_because_of_notifications_looks_when_they_do_not_come_any_more() -> None:
    store, heard = Broken(), Seen[bool]()
    notify = Notifier(cast("MasterRepository", store))
    async with anyio.create_task_group() as group:
        with notify.subscribed("a", lambda _: heard.add(notify.listening)):
            group.start_soon(notify.run)
            assert await heard.count(1) == [True]
            store.breaks.set()
            assert await heard.count(2) == [True, False]
            group.cancel_scope.cancel()
