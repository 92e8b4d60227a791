"""Notifications inside one process, and the delivery of those from others, in the event loops of listeners."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock, get_ident
from typing import Self, TypeAlias
from weakref import WeakSet

from attrs import define

from jobmaster.contracts.topics import Topics
from jobmaster.forks import in_forked_child
from jobmaster.loops import LoopCaller, loop_caller

OnNotification: TypeAlias = Callable[[str], None]


@define(eq=False)
class _Listener:
    topics: Container[str]
    on_notification: OnNotification
    thread: int
    call_soon: LoopCaller

    def wants(self, topic: str) -> bool:
        return topic in self.topics or topic == Topics.ANY or Topics.ANY in self.topics

    def hear(self, topic: str) -> None:
        if get_ident() == self.thread:
            self.on_notification(topic)
        else:
            self.call_soon(lambda: self.on_notification(topic))


_hubs: WeakSet[NotificationHub] = WeakSet()


class NotificationHub:
    """Delivers topics from senders to listeners, also between event loops of one process."""

    def __init__(self) -> None:
        self._begin_anew()
        _hubs.add(self)

    def _begin_anew(self) -> None:
        self._listeners: list[_Listener] = []
        self._lock = Lock()

    def tell(self, topics: Iterable[str]) -> None:
        """Call every listener of each topic. May be called from any thread."""
        with self._lock:
            listeners = list(self._listeners)
        for topic in topics:
            for listener in listeners:
                if listener.wants(topic):
                    listener.hear(topic)

    @contextmanager
    def listener(self, topics: Container[str], on_notification: OnNotification) -> Iterator[None]:
        """Within the block, call `on_notification(topic)` in this event loop for each of `topics` that is sent.

        Membership in `topics` is checked when a topic is sent.
        """
        listener = _Listener(topics, on_notification, get_ident(), loop_caller())
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)


def _begin_anew() -> None:
    """In a forked child nothing listens yet, and a lock that a thread of the parent held is never released."""
    for hub in list(_hubs):
        hub._begin_anew()  # noqa: SLF001 - same module


in_forked_child(_begin_anew)


class Delivery:
    """Delivers notifications from the place where they arrive to the listener's event loop.

    Notifications under way when the block ends are not delivered.
    """

    def __init__(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Create it in the listener's event loop."""
        self._topics = topics
        self._on_notification, self._on_ready = on_notification, on_ready
        self._call_soon = loop_caller()
        self._open = False

    def __enter__(self) -> Self:
        self._open = True
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False

    def ready(self) -> None:
        """Report that the listener is in place. May be called from any thread."""
        self._call_soon(self._on_ready)

    def notifications(self, topics: Iterable[str]) -> None:
        """Deliver those of some topics that the listener wants. May be called from any thread."""
        if Topics.ANY in self._topics:
            wanted = list(topics)
        else:
            wanted = [topic for topic in topics if topic in self._topics or topic == Topics.ANY]
        if wanted:
            self._call_soon(partial(self._hand_over, wanted))

    def _hand_over(self, topics: Iterable[str]) -> None:
        for topic in topics:
            if self._open:
                self._on_notification(topic)
