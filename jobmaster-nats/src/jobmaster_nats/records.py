"""What the stream says about a bucket: who owns it, and what that owner may have in flight.

It is one message for each bucket, and every change of it names the number of the message that it replaces. So of two changes
one fails, and no process needs two steps to take a bucket over.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import orjson
from attrs import evolve, frozen

from jobmaster.errors import LeaseLostError
from jobmaster.models import Bucket
from jobmaster_nats.letters import Letter, Stored
from jobmaster_nats.stream import Entry, Stream

ALLOWANCE: Final = 200_000
"""Microseconds past a pull for which its bound holds, while the owner keeps up: so often is it written at most."""


_SIZE: Final = 256
"""Bytes of a note, with spaces, and of the number in its header: a full stream takes what is no larger than before."""


@frozen
class Bound:
    """Everything that the owner of a bucket may have in flight was due at `moment` and is numbered up to `seq`.

    Without a moment nobody has read anything yet; without a number it may be any message due by then.
    """

    moment: int | None = None
    seq: int | None = None

    def covers(self, letter: Letter) -> bool:
        """Return whether a message may be in flight."""
        return (
            self.moment is not None
            and letter.due <= self.moment
            and (self.seq is None or letter.seq <= self.seq)
        )


@frozen
class Move:
    """Messages, by their numbers, that are on their way into the bucket `aside` since a moment: they are not the owner's."""

    aside: UUID
    since: int
    numbers: tuple[int, ...]


@frozen(kw_only=True)
class BucketNote:
    """The epoch of a bucket and the bound of its owner; `seq` is the number of the message that says so.

    `taken` counts the changes of `move`: whoever has read the bucket before such a change has to read it anew.
    """

    epoch: int
    bound: Bound = Bound()
    taken: int = 0
    move: Move | None = None
    seq: int = 0

    def owns(self, letter: Letter) -> bool:
        """Return whether a message of the bucket may be handed out to the owner."""
        return self.move is None or letter.seq not in self.move.numbers

    def check(self, bucket: Bucket) -> None:
        """Raise `LeaseLostError` if the bucket belongs to another epoch."""
        if self.epoch != bucket.epoch:
            raise lost(bucket)


def lost(bucket: Bucket) -> LeaseLostError:
    """Return the error for an owner whose bucket belongs to somebody else, or is gone."""
    return LeaseLostError(f"bucket {bucket.id} is no longer owned at epoch {bucket.epoch}")


def note_of(stored: Stored | None) -> BucketNote | None:
    """Return what a stored note says."""
    if stored is None:
        return None
    epoch, moment, seq, taken, move = orjson.loads(stored.payload)
    return BucketNote(
        epoch=epoch,
        bound=Bound(moment, seq),
        taken=taken,
        move=move and Move(UUID(move[0]), move[1], tuple(move[2])),
        seq=stored.seq,
    )


async def read_note(stream: Stream, bucket_id: UUID) -> BucketNote | None:
    """Return what the stream says about a bucket; None if it was not made, or dropped."""
    return note_of((await stream.get([stream.names.bucket(bucket_id)]))[0])


def entry_of(stream: Stream, bucket_id: UUID, note: BucketNote) -> Entry:
    """Return the message that replaces the one that `note` was read from."""
    move = note.move and [note.move.aside.hex, note.move.since, note.move.numbers]
    payload = orjson.dumps([note.epoch, note.bound.moment, note.bound.seq, note.taken, move])
    padded = payload.ljust(_SIZE - len(str(note.seq)))
    return Entry(stream.names.bucket(bucket_id), padded, expected=note.seq)


async def write_note(stream: Stream, bucket_id: UUID, note: BucketNote) -> BucketNote | None:
    """Replace what the stream says about a bucket; return it as written, or None if it has changed since it was read."""
    [seq] = await stream.store([entry_of(stream, bucket_id, note)])
    return None if seq is None else evolve(note, seq=seq)


async def take_bucket(stream: Stream, bucket: Bucket) -> Bound:
    """Make a bucket belong to its epoch, whether it was made or not; return what earlier owners may have in flight.

    Raises `LeaseLostError` if it belongs to a later epoch.
    """
    while True:
        note = await read_note(stream, bucket.id) or BucketNote(epoch=0)
        if note.epoch > bucket.epoch:
            raise lost(bucket)
        if note.epoch == bucket.epoch:
            return note.bound
        if await write_note(stream, bucket.id, evolve(note, epoch=bucket.epoch)) is not None:
            return note.bound
