"""Messages as they lie in the stream.

A message's payload is three lines of JSON: what belongs to neither metadata nor data, the metadata, and the data. The last
two are as they were given: they are neither decoded nor encoded on the way. A message that exceeds what a server takes has
these two in parts of its own, and only the first line is its payload.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from attrs import evolve, frozen

from jobmaster.clock import from_micros, to_micros
from jobmaster.contracts import Message
from jobmaster.data import MessageData, Metadata
from jobmaster.errors import StoreError
from jobmaster.models import Bucket, Claim, Job, NewJob
from jobmaster.states import Priority
from jobmaster_nats.names import Key, place_of

_VERSION: Final = 1
_MILLION: Final = 1_000_000


@frozen(kw_only=True)
class Stored:
    """A message of the stream, of any kind: its subject, number, time in microseconds, and payload."""

    subject: str
    seq: int
    at: int
    payload: bytes


@frozen(kw_only=True)
class Letter:
    """A message in its bucket. `parts` are the number of its parts, and what their subjects begin with."""

    subject: str
    seq: int
    message: Message
    key: Key
    due: int
    """When it is due, in microseconds of the server's clock."""
    pushed: int
    """When it was pushed."""
    size: int
    parts: tuple[int, str] | None = None

    @property
    def bucket_id(self) -> UUID:
        """The bucket that it lies in."""
        return place_of(self.subject)[0]

    def as_of(self, now: int) -> Message:
        """Return the message with the delay that is left."""
        left = (self.due - now) / _MILLION
        new = evolve(self.message.new, delay=max(0.0, left))
        return evolve(self.message, new=new, waited=max(0.0, -left))

    def claim(self, bucket: Bucket) -> Claim:
        """Return the message as a claim of its bucket's owner."""
        message = self.message
        return Claim(
            job=message.new.job,
            bucket_id=bucket.id,
            epoch=bucket.epoch,
            attempt=message.attempt,
            ready_at=from_micros(self.due),
            retries=message.retries,
            crashes=message.crashes,
            suspect=message.suspect,
            saved=message.saved,
        )

    def with_body(self, body: bytes) -> Letter:
        """Return the letter with what its parts hold."""
        metadata, _, data = body.partition(b"\n")
        job = evolve(self.message.new.job, data=MessageData(data), metadata=Metadata(metadata))
        return evolve(
            self, message=evolve(self.message, new=evolve(self.message.new, job=job)), size=len(body)
        )


def head_of(
    message: Message, *, times: tuple[int, int] | None = None, parts: tuple[int, str] | None = None
) -> bytes:
    """Return the first line of a message. `times` are when it is due and was pushed, if that is known already."""
    job, new = message.new.job, message.new
    return orjson.dumps(
        [
            _VERSION,
            job.cluster_id,
            job.definition_id,
            job.lane,
            int(job.priority),
            to_micros(job.scheduled_at),
            to_micros(job.created_at),
            None if job.timeout is None else round(job.timeout * _MILLION),
            job.max_retries,
            job.key,
            message.saved,
            message.retries,
            message.crashes,
            message.suspect,
            message.placed,
            round(new.delay * _MILLION),
            times,
            parts,
        ]
    )


def body_of(job: Job) -> bytes:
    """Return the other lines of a message."""
    return job.metadata.encoded + b"\n" + job.data.encoded


def letter_of(stored: Stored) -> Letter:
    """Return what a stored message says; raises `StoreError` if newer code wrote it."""
    head, _, body = stored.payload.partition(b"\n")
    said: list[Any] = orjson.loads(head)
    if said[0] != _VERSION:
        msg = f"the message {stored.subject} was written by a newer JobMaster; upgrade this one"
        raise StoreError(msg)
    bucket_id, key = place_of(stored.subject)
    due, pushed = said[16] or (stored.at + said[15], stored.at)
    metadata, _, data = body.partition(b"\n")
    job = Job(
        id=key[0],
        cluster_id=said[1],
        definition_id=said[2],
        lane=said[3],
        priority=Priority(said[4]),
        scheduled_at=from_micros(said[5]),
        created_at=from_micros(said[6]),
        timeout=None if said[7] is None else said[7] / _MILLION,
        max_retries=said[8],
        data=MessageData(data or b"{}"),
        metadata=Metadata(metadata or b"{}"),
        key=said[9],
    )
    message = Message(
        new=NewJob(job=job, delay=said[15] / _MILLION, bucket_id=bucket_id),
        attempt=key[1],
        saved=said[10],
        retries=said[11],
        crashes=said[12],
        suspect=said[13],
        placed=said[14],
    )
    parts = said[17] and (int(said[17][0]), str(said[17][1]))
    return Letter(
        subject=stored.subject,
        seq=stored.seq,
        message=message,
        key=key,
        due=due,
        pushed=pushed,
        size=len(stored.payload),
        parts=parts,
    )


def micros_of(moment: str) -> int:
    """Return a time as JetStream writes it, in microseconds since 1970."""
    return to_micros(datetime.fromisoformat(moment))
