"""The messages of an in-memory agent, and the steps that its stores share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from attrs import define

from jobmaster.clock import Clock
from jobmaster.memory.mailbox import Letter, Mailbox


@define(eq=False, repr=False, slots=False)
class AgentMail:
    """The messages of the agent `name`, by the clock of one process. Callers of its methods are within a `unit`."""

    name: str
    box: Mailbox
    clock: Clock

    @contextmanager
    def unit(self) -> Iterator[Mailbox]:
        """Within the block, no other thread reads or changes the messages."""
        with self.box.lock:
            yield self.box

    def now(self) -> datetime:
        """Return the time of the clock."""
        return self.clock.now()

    def later(self, delay: float) -> datetime:
        """Return the moment in `delay` seconds."""
        return self.now() + timedelta(seconds=delay)

    def unread(self, bucket_id: UUID, waited: float) -> list[Letter]:
        """Return due messages in a bucket that were never handed out to its owner."""
        due = self.later(-waited)
        return [
            letter
            for letter in self.box.in_bucket(bucket_id)
            if letter.ready_at <= due and not letter.handed_out
        ]
