"""Reading the buckets of an agent on NATS."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import aclosing
from typing import Final
from uuid import UUID

from attrs import evolve, frozen

from jobmaster.contracts import ClaimStore
from jobmaster.models import Bucket, BucketPage, Claim, Cursor
from jobmaster.weighing import PAGE_BYTES
from jobmaster_nats.desks import Desk, Desks, Known
from jobmaster_nats.driver import NatsDriver
from jobmaster_nats.letters import Letter
from jobmaster_nats.moving import finish_move, is_unread
from jobmaster_nats.names import bucket_of
from jobmaster_nats.parts import loaded
from jobmaster_nats.records import (
    ALLOWANCE,
    Bound,
    BucketNote,
    lost,
    read_note,
    take_bucket,
    write_note,
)
from jobmaster_nats.scanning import scan
from jobmaster_nats.stream import ReaderGoneError, Stream

_MILLION: Final = 1_000_000
_MOVE_LASTS: Final = 10 * _MILLION
"""Microseconds after which an owner finishes what another process has begun to take out of its bucket."""
_GLANCE: Final = 50
"""Messages that are read at once to see whether one is due."""


class NatsClaims(ClaimStore):
    """Reading the buckets of an agent on NATS.

    The owner gets messages from a reader, which marks nothing on the server. What it may have in flight is on the bucket's
    note, which is written before messages beyond its bound are handed out, and in one step with a check of the epoch.
    """

    def __init__(self, driver: NatsDriver, desks: Desks) -> None:
        """`desks` are shared with the other stores of the agent."""
        self._driver, self._desks = driver, desks

    async def pull(
        self, bucket: Bucket, cursor: Cursor, limit: int, known: Collection[UUID] = ()
    ) -> BucketPage:
        async def work(stream: Stream) -> BucketPage:
            desk = await self._desks.of(bucket)
            async with desk.lock:
                return await _Pull(stream, bucket, desk, known).page(cursor, limit)

        return await self._driver.run(work)

    async def due(self, buckets: Sequence[Bucket]) -> frozenset[UUID]:
        async def work(stream: Stream) -> frozenset[UUID]:
            newest = await stream.last_number()
            await stream.observe_clock()
            return frozenset([bucket.id for bucket in buckets if await self._is_due(stream, bucket, newest)])

        return await self._driver.run(work) if buckets else frozenset()

    async def _is_due(self, stream: Stream, bucket: Bucket, newest: int) -> bool:
        """Return whether a bucket holds a due message. It is not read again if nothing was stored since it was."""
        desk = await self._desks.of(bucket)
        async with desk.lock:
            desk.ripen(stream.time.now())
            while not desk.has_due and desk.complete_to != newest:
                count = await desk.fetch(stream, _GLANCE)
                desk.ripen(stream.time.now())
                if desk.drained and not count:
                    desk.complete_to = newest
            return desk.has_due

    async def exposed(self, bucket: Bucket, limit: int) -> BucketPage:
        async def work(stream: Stream) -> BucketPage:
            bound = await take_bucket(stream, bucket)
            claims: list[Claim] = []
            if bound.moment is None:
                return BucketPage(claims=claims, cursor=Cursor())
            size = 0
            async with aclosing(
                scan(stream, stream.names.messages_in(bucket.id), first=limit + 1)
            ) as letters:
                async for lying in letters:
                    if not bound.covers(lying):
                        continue
                    if len(claims) == limit or size > PAGE_BYTES:
                        return BucketPage(claims=claims, cursor=Cursor(), more=True)
                    letter = await loaded(stream, lying)
                    if letter is not None:
                        claims.append(letter.claim(bucket))
                        size += letter.size
            return BucketPage(claims=claims, cursor=Cursor())

        return await self._driver.run(work)

    async def unread(self, buckets: Sequence[Bucket], waited: float) -> frozenset[UUID]:
        async def work(stream: Stream) -> frozenset[UUID]:
            await stream.observe_clock()
            filled = set(map(bucket_of, await stream.subjects(stream.names.messages)))
            filled &= {bucket.id for bucket in buckets}
            return frozenset(
                [id_ for id_ in filled if await is_unread(stream, id_, round(waited * _MILLION))]
            )

        return await self._driver.run(work) if buckets else frozenset()


@frozen
class _Pull:
    """One pull of a bucket's owner."""

    stream: Stream
    bucket: Bucket
    desk: Desk
    known: Collection[UUID]

    async def page(self, cursor: Cursor, limit: int) -> BucketPage:
        await self.stream.observe_clock()
        place = self.desk.place_in(cursor)
        limit = max(1, limit - self._known_before(place))
        while True:
            note = await self._read(place, limit)
            chosen, more = await self._choose(note, place, limit)
            if await self._record(note, [known.letter for known, _ in chosen], more=more):
                break
        claims = [letter.claim(self.bucket) for _, letter in chosen if letter is not None]
        last = max([place, *(known.place or 0 for known, _ in chosen)])
        next_due = self.desk.next_due()
        left = None if next_due is None else max(0.0, (next_due - self.stream.time.now()) / _MILLION)
        return BucketPage(
            claims=claims, cursor=self.desk.cursor_at(last), more=more, next_due_in=None if more else left
        )

    def _known_before(self, place: int) -> int:
        """Return how many of the messages that the owner counts in its limit are not beyond the cursor."""
        if not self.known:
            return 0
        beyond = {known.letter.key[0] for known in self.desk.beyond(place)}
        return sum(1 for job_id in self.known if job_id not in beyond)

    async def _read(self, place: int, limit: int) -> BucketNote:
        """Check the owner, and get messages until there are more than `limit` due ones, or no more in the bucket.

        All of them were asked for when nothing had been taken out of the bucket but what the note says.
        """
        stream, desk = self.stream, self.desk
        desk.ripen(stream.time.now())
        note: BucketNote | None = None
        while (count := desk.count_beyond(place, limit + 1)) <= limit:
            try:
                fetch = await desk.begin_fetch(stream, limit + 1 - count)
                if note is None:
                    note = await self._check()
                    if note.taken != desk.taken:
                        await desk.renew(note)
                        continue
                desk.take_in(await fetch.result())
            except ReaderGoneError:
                continue
            desk.ripen(stream.time.now())
            if desk.drained:
                break
        if note is not None:
            return note
        note = await self._check()
        if note.taken == desk.taken:
            return note
        await desk.renew(note)
        return await self._read(place, limit)

    async def _check(self) -> BucketNote:
        """Return the bucket's note; raise `LeaseLostError` if the bucket is another owner's, or dropped."""
        note = await read_note(self.stream, self.bucket.id)
        if note is None:
            raise lost(self.bucket)
        note.check(self.bucket)
        if note.move is not None and note.move.since < self.stream.time.now() - _MOVE_LASTS:
            await finish_move(self.stream, self.bucket.id, note)
            return await self._check()
        return note

    async def _choose(
        self, note: BucketNote, place: int, limit: int
    ) -> tuple[list[tuple[Known, Letter | None]], bool]:
        """Return the messages of the page, without the content of those that the owner has, and whether there are more."""
        chosen: list[tuple[Known, Letter | None]] = []
        gone, size, more = [], 0, False
        for known in list(self.desk.beyond(place)):
            if len(chosen) == limit or size > PAGE_BYTES:
                more = True
                break
            if not note.owns(known.letter):
                gone.append(known.letter.key)
                continue
            if known.letter.key[0] in self.known:
                chosen.append((known, None))
                continue
            letter = await loaded(self.stream, known.letter)
            if letter is None:
                gone.append(known.letter.key)
                continue
            chosen.append((known, letter))
            size += letter.size
        self.desk.remove(gone)
        return chosen, more

    async def _record(self, note: BucketNote, letters: Sequence[Letter], *, more: bool) -> bool:
        """Make sure that the bucket's note covers messages before they are handed out; return False if it has changed."""
        desk = self.desk
        if not all(map(note.bound.covers, letters)):
            is_mine = note.bound.moment is None or note.seq == desk.noted_at
            wider = evolve(note, bound=self._wider(note.bound, letters, ends_here=more and is_mine))
            written = await write_note(self.stream, self.bucket.id, wider)
            if written is None:
                return False
            desk.noted_at = written.seq if is_mine else None
        desk.handed_out = max([desk.handed_out, *(letter.seq for letter in letters)])
        return True

    def _wider(self, bound: Bound, letters: Sequence[Letter], *, ends_here: bool) -> Bound:
        """Return the bound that covers what was handed out and what will be.

        While the owner keeps up, it covers what becomes due within the next moment, so that consecutive messages share a
        write; under a backlog it ends with the page, so that what lies behind is no suspect. That is known only if
        everything was handed out from this desk.
        """
        moment = max([bound.moment or 0, self.stream.time.now(), *(letter.due for letter in letters)])
        if ends_here:
            return Bound(moment, max([self.desk.handed_out, *(letter.seq for letter in letters)]))
        return Bound(moment + ALLOWANCE)
