"""Reading a number at intervals while something else runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from attrs import define, field

EVERY = 5.0
"""Seconds between two samples."""


@define
class Sampler:
    """Samples in a thread."""

    read: Callable[[], int | None]
    seen: list[int] = field(factory=list)
    _stop: Event = field(factory=Event)

    @property
    def most(self) -> int:
        """The greatest number seen."""
        return max(self.seen, default=0)

    @contextmanager
    def running(self) -> Iterator[Sampler]:
        """Sample during the block, and once more at its end."""
        thread = Thread(target=self._loop)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()
            self._sample()

    def _loop(self) -> None:
        while not self._stop.wait(EVERY):
            self._sample()

    def _sample(self) -> None:
        self.seen.append(self.read() or 0)
