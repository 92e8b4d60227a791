"""What this process knows of the buckets that it reads: the messages it has got, and how far it is."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Final
from uuid import UUID

from attrs import define, field

from jobmaster.clock import from_micros, to_micros
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Cursor, Position
from jobmaster_nats.letters import Letter, Stored, letter_of
from jobmaster_nats.names import Key
from jobmaster_nats.records import BucketNote
from jobmaster_nats.stream import BATCH, Batch, Fetch, Reader, ReaderGoneError, Stream

_FORGET_AFTER: Final = 600.0
"""Seconds after which what is known of a bucket that nobody reads is forgotten."""


@define(eq=False)
class Known:
    """A message that this process has read. `place` is its place in the order of handing out; None until it is due."""

    letter: Letter
    round: int
    place: int | None = None


@define(eq=False)
class Desk:
    """The messages of a bucket that its owner has read, until they are acknowledged.

    The server is asked for further messages when there are not enough here. Messages get a place in the order of handing out
    as they become due: that is what a cursor counts.
    """

    bucket_id: UUID
    epoch: int
    id: UUID = field(factory=new_id, init=False)
    lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    used_at: float = field(default=0.0, init=False)
    handed_out: int = field(default=0, init=False)
    """The highest number of a message that was handed out from here."""
    noted_at: int | None = field(default=None, init=False)
    """The number of the bucket's note, if everything that it covers was handed out from here."""
    complete_to: int | None = field(default=None, init=False)
    """The stream's last number when everything in the bucket was here."""
    drained: bool = field(default=False, init=False)
    """Whether all that was in the bucket at the last fetch is here."""
    taken: int = field(default=0, init=False)
    """What the bucket's note counted as taken out before the messages here were read."""
    _reader: Reader | None = field(default=None, init=False)
    _round: int = field(default=0, init=False)
    _known: dict[Key, Known] = field(factory=dict, init=False)
    _waiting: list[tuple[int, int, Key]] = field(factory=list, init=False)
    _places: list[int] = field(factory=list, init=False)
    _in_place: dict[int, Key] = field(factory=dict, init=False)
    _next_place: int = field(default=1, init=False)

    # Reading

    async def fetch(self, stream: Stream, limit: int) -> int:
        """Get further messages from the server; return how many. `drained` says whether these are all."""
        while True:
            try:
                batch = await (await self.begin_fetch(stream, limit)).result()
            except ReaderGoneError:
                continue
            self.take_in(batch)
            return len(batch.messages)

    async def begin_fetch(self, stream: Stream, limit: int) -> Fetch:
        """Ask the server for further messages; the result goes to `take_in`."""
        if self._reader is None or not self._reader.is_usable or self._reader.stream.link is not stream.link:
            await self._start_anew(stream)
        if self._reader is None:
            raise ReaderGoneError
        return await self._reader.ask_for(min(BATCH, max(1, limit)))

    async def _start_anew(self, stream: Stream) -> None:
        """Read the bucket from its beginning: the server may have lost what this process had counted on."""
        former, self._reader = self._reader, None
        if former is not None and former.stream.link.is_open:
            await former.stop()
        self._round += 1
        self.drained = False
        self._reader = await stream.start_reader(stream.names.messages_in(self.bucket_id))

    def take_in(self, batch: Batch) -> None:
        """Add the messages of a batch. After a whole new round, what did not come again is forgotten."""
        for stored in batch.messages:
            self._add(stored)
        if batch.drained and not self.drained:
            self.remove([key for key, known in self._known.items() if known.round != self._round])
        self.drained = batch.drained

    def _add(self, stored: Stored) -> None:
        letter = letter_of(stored)
        known = self._known.get(letter.key)
        if known is not None and known.letter.seq == letter.seq:
            known.round = self._round
            return
        self.remove([letter.key])
        self._known[letter.key] = Known(letter, self._round)
        heappush(self._waiting, (letter.due, letter.seq, letter.key))

    async def renew(self, note: BucketNote) -> None:
        """Read the bucket anew after messages were taken out of it; what was handed out stays."""
        self.taken = note.taken
        self.complete_to = None
        self.remove([key for key, known in self._known.items() if not note.bound.covers(known.letter)])
        await self.stop()

    async def stop(self) -> None:
        """Stop reading."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.stop()

    # Due messages

    def ripen(self, now: int) -> None:
        """Give the messages that are due their places."""
        while self._waiting and (self._waiting[0][0] <= now or self._is_gone(self._waiting[0])):
            entry = heappop(self._waiting)
            if not self._is_gone(entry):
                place, self._next_place = self._next_place, self._next_place + 1
                self._known[entry[2]].place = place
                self._places.append(place)
                self._in_place[place] = entry[2]

    def _is_gone(self, entry: tuple[int, int, Key]) -> bool:
        known = self._known.get(entry[2])
        return known is None or known.letter.seq != entry[1]

    def next_due(self) -> int | None:
        """Return when the first message that is not due yet will be, as far as `ripen` has been called."""
        return self._waiting[0][0] if self._waiting else None

    def place_in(self, cursor: Cursor) -> int:
        """Return the place up to which a cursor has read; 0 for a cursor of another reading."""
        if cursor.after is None or cursor.after.job_id != self.id:
            return 0
        return to_micros(cursor.after.ready_at)

    def cursor_at(self, place: int) -> Cursor:
        """Return the cursor that has read up to a place."""
        return Cursor(after=Position(from_micros(place), self.id))

    def beyond(self, place: int) -> Iterator[Known]:
        """Yield due messages beyond a place, in order."""
        for at in range(bisect_right(self._places, place), len(self._places)):
            key = self._in_place.get(self._places[at])
            if key is not None:
                yield self._known[key]

    def count_beyond(self, place: int, most: int) -> int:
        """Return how many due messages are beyond a place, `most` if there are more."""
        count = 0
        for _ in self.beyond(place):
            count += 1
            if count == most:
                break
        return count

    @property
    def has_due(self) -> bool:
        """Whether there is a due message, as far as `ripen` has been called."""
        return bool(self._in_place)

    @property
    def is_empty(self) -> bool:
        """Whether no message is known."""
        return not self._known

    def letters(self) -> list[Letter]:
        """Return all messages, in the order of their push."""
        return sorted((known.letter for known in self._known.values()), key=lambda letter: letter.seq)

    # Removed messages

    def find(self, key: Key) -> Letter | None:
        """Return the message of a job and attempt, if it is known."""
        known = self._known.get(key)
        return None if known is None else known.letter

    def remove(self, keys: Iterable[Key]) -> None:
        """Forget messages."""
        for key in keys:
            known = self._known.pop(key, None)
            if known is not None and known.place is not None:
                del self._in_place[known.place]
        if len(self._places) > 2 * len(self._in_place) + BATCH:
            self._places = [place for place in self._places if place in self._in_place]


class Desks:
    """The desks of the buckets that this process reads."""

    def __init__(self) -> None:
        self._desks: dict[UUID, Desk] = {}

    async def of(self, bucket: Bucket) -> Desk:
        """Return the desk of a bucket at its epoch."""
        now = asyncio.get_running_loop().time()
        desk = self._desks.get(bucket.id)
        if desk is None or desk.epoch != bucket.epoch:
            former, desk = desk, Desk(bucket.id, bucket.epoch)
            desk.used_at = now
            self._desks[bucket.id] = desk
            if former is not None:
                await former.stop()
            await self._forget_old(now)
        desk.used_at = now
        return desk

    def known(self, bucket_id: UUID) -> Desk | None:
        """Return the desk of a bucket, if there is one."""
        return self._desks.get(bucket_id)

    async def drop(self, bucket_id: UUID) -> None:
        """Forget a bucket."""
        desk = self._desks.pop(bucket_id, None)
        if desk is not None:
            await desk.stop()

    def clear(self) -> None:
        """Forget all buckets."""
        self._desks.clear()

    async def _forget_old(self, now: float) -> None:
        for bucket_id in [id_ for id_, desk in self._desks.items() if now - desk.used_at > _FORGET_AFTER]:
            await self.drop(bucket_id)
