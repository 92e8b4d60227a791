"""Notifications: within the process at once; to other processes through the store, soon and in few messages."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import anyio

from jobmaster._process.signals import Signal
from jobmaster._process.tasks import Contained
from jobmaster.contracts import AgentRepository, MasterRepository, Topics
from jobmaster.errors import StoreError
from jobmaster.loops import start_in

log = logging.getLogger("jobmaster.notify")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0

SPACING = 0.003
"""Seconds between two announcements: after a quiet time notifications go out at once; those of a stream of calls gather,
because each announcement costs the store as much as the call itself."""

OnTopic = Callable[[str], None]


class Notifier:
    """Routes topics of one cluster, or those of the buckets on one agent.

    Subscribers in this process are called at once. Notifications for other processes gather while the last announcement
    is under way and a moment longer, so that a burst becomes a few messages. A lost notification only costs time:
    every process also polls.
    """

    def __init__(self, store: MasterRepository | AgentRepository) -> None:
        self._store = store
        self._subscribers: dict[str, list[OnTopic]] = {}
        self._exact: set[OnTopic] = set()
        self._own: set[str] = set()
        self._watchers: list[OnTopic] = []
        self._to_announce: dict[str, None] = {}
        self._pending = Signal()
        self._announcing = anyio.Lock()
        self.listening = False
        self._pause = FIRST_PAUSE

    @contextmanager
    def subscribed(
        self, topic: str, on_topic: OnTopic, *, own: bool = False, exact: bool = False
    ) -> Iterator[None]:
        """Within the block, call `on_topic(topic)` for notifications.

        An `own` topic concerns only this process. An `exact` subscriber is not called for notifications without a
        specific topic.
        """
        if exact:
            self._exact.add(on_topic)
        self._subscribers.setdefault(topic, []).append(on_topic)
        if own:
            self._own.add(topic)
        try:
            yield
        finally:
            self._subscribers[topic].remove(on_topic)
            if not self._subscribers[topic]:
                del self._subscribers[topic]
                self._own.discard(topic)

    @contextmanager
    def waking(self, signal: Signal, topics: Iterable[str]) -> Iterator[None]:
        """Within the block, set a signal on notifications of these topics."""
        with ExitStack() as subscriptions:
            for topic in topics:
                subscriptions.enter_context(self.subscribed(topic, lambda _: signal.set()))
            yield

    @contextmanager
    def watching_buckets(self, on_topic: OnTopic) -> Iterator[None]:
        """Within the block, call `on_topic(topic)` for notifications about buckets that this process does not own."""
        self._watchers.append(on_topic)
        try:
            yield
        finally:
            self._watchers.remove(on_topic)

    def __contains__(self, topic: object) -> bool:
        """Return whether this process subscribes to a topic."""
        return topic in self._subscribers or (bool(self._watchers) and Topics.is_bucket(str(topic)))

    def tell(self, *topics: str) -> None:
        """Send notifications, here at once and elsewhere soon."""
        for topic in topics:
            self.hear(topic)
            if topic not in self._own:
                self._to_announce[topic] = None
                self._pending.set()

    def hear(self, topic: str) -> None:
        """Call the subscribers of a topic, or of all topics for `Topics.ANY`."""
        if topic == Topics.ANY:
            self.hear_all()
            return
        for on_topic in tuple(self._subscribers.get(topic, ())):
            on_topic(topic)
        if self._watchers and Topics.is_bucket(topic) and topic not in self._own:
            for on_topic in tuple(self._watchers):
                on_topic(topic)

    def hear_all(self) -> None:
        """Call every subscriber to look for itself: notifications may have been missed."""
        for topic, subscribers in list(self._subscribers.items()):
            for on_topic in tuple(subscribers):
                if on_topic not in self._exact:
                    on_topic(topic)
        for on_topic in tuple(self._watchers):
            on_topic(Topics.ANY)

    async def run(self, *, listen: bool = True) -> None:
        """Announce, and listen to other processes, until cancelled."""
        async with anyio.create_task_group() as group:
            start_in(group, self._announce_forever)
            if listen and self._store.capabilities.notifications:
                start_in(group, self._listen_forever)

    async def _announce_forever(self) -> None:
        while True:
            await self._pending.wait()
            await self.flush()
            await anyio.sleep(SPACING)

    async def flush(self) -> None:
        """Announce what has gathered, once the announcement under way is done: the last thing a process does."""
        async with self._announcing:
            topics, self._to_announce = list(self._to_announce), {}
            if topics:
                await self._announce(topics)

    async def _announce(self, topics: Iterable[str]) -> None:
        async with Contained("announcing news", log):
            try:
                await self._store.notifications.announce(list(topics))
            except StoreError as error:
                log.debug("notifications could not be sent; others will poll: %s", error)

    async def _listen_forever(self) -> None:
        while True:
            async with Contained("listening for notifications", log):
                await self._listen()
            if self.listening:
                self.listening = False
                self.hear_all()  # long waits that rely on notifications must end now
            await anyio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)

    async def _listen(self) -> None:
        try:
            await self._store.notifications.listen(self, self.hear, self._on_ready)
        except StoreError as error:
            if self.listening:
                log.warning("listening for notifications was interrupted, polling meanwhile: %s", error)

    def _on_ready(self) -> None:
        self.listening, self._pause = True, FIRST_PAUSE
        self.hear_all()
