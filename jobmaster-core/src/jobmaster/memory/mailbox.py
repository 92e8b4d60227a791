"""The content of an in-memory agent: messages in buckets, and the epochs of the buckets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from threading import RLock
from typing import TypeAlias
from uuid import UUID, uuid4

from attrs import define, evolve, field

from jobmaster.contracts import Message
from jobmaster.memory.grouped import Grouped
from jobmaster.models import Bucket, Claim, Job, Position
from jobmaster.notifications import NotificationHub

Key: TypeAlias = tuple[UUID, UUID, int]
"""Bucket, job and attempt: they identify a message."""


@define
class Letter:
    """A message in its bucket."""

    message: Message
    ready_at: datetime
    pushed_at: datetime
    handed_out: bool = False
    """Whether an owner of the bucket may have it in flight."""

    @property
    def position(self) -> tuple[datetime, UUID]:
        """Its place in the bucket: due time first."""
        return self.ready_at, self.message.new.job.id

    @property
    def job(self) -> Job:
        """The job that it is about."""
        return self.message.new.job

    @property
    def pushed(self) -> Position:
        """Its place in the order of pushes."""
        return Position(self.pushed_at, self.message.new.job.id)

    def as_of(self, now: datetime) -> Message:
        """Return the message with the remaining delay."""
        left = (self.ready_at - now).total_seconds()
        new = evolve(self.message.new, delay=max(0.0, left))
        return evolve(self.message, new=new, waited=max(0.0, -left))

    def claim(self, bucket: Bucket) -> Claim:
        """Return the message as a claim of the bucket's owner."""
        message = self.message
        return Claim(
            job=message.new.job,
            bucket_id=bucket.id,
            epoch=bucket.epoch,
            attempt=message.attempt,
            ready_at=self.ready_at,
            retries=message.retries,
            crashes=message.crashes,
            suspect=message.suspect,
            saved=message.saved,
        )


@define
class Mailbox:
    """All messages of one named store, and the epoch of each bucket that was made."""

    lock: RLock = field(factory=RLock)
    notifications: NotificationHub = field(factory=NotificationHub)
    fingerprint: str = field(factory=lambda: uuid4().hex)
    epochs: dict[UUID, int] = field(factory=dict)
    letters: Grouped[Key, UUID, Letter] = field(factory=lambda: Grouped(lambda key, _: key[0]))

    def in_bucket(self, bucket_id: UUID) -> Sequence[Letter]:
        """Return the messages in a bucket, in order."""
        return sorted(self.letters.among(bucket_id), key=lambda letter: letter.position)


mailboxes: dict[str, Mailbox] = {}
