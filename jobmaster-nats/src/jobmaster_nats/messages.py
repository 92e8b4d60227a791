"""The messages of an agent on NATS."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from uuid import UUID

from jobmaster.clock import from_micros, to_micros
from jobmaster.contracts import Message, MessageStore, SavePending
from jobmaster.models import Bucket, JobReceipt, Position
from jobmaster.weighing import PAGE_BYTES, new_weight, patience_for
from jobmaster_nats.desks import Desks
from jobmaster_nats.driver import NatsDriver
from jobmaster_nats.letters import Letter, letter_of
from jobmaster_nats.parts import entries_of, loaded, remove_parts
from jobmaster_nats.removing import remove_messages
from jobmaster_nats.scanning import scan
from jobmaster_nats.stream import Entry, Stream

_NOBODY = UUID(int=0)


class NatsMessages(MessageStore):
    """The messages of an agent on NATS. It is not addressable: single messages are found, but do not change or leave."""

    def __init__(self, name: str, driver: NatsDriver, desks: Desks) -> None:
        """`name` is the agent's; `desks` are shared with the other stores of the agent."""
        self._name, self._driver, self._desks = name, driver, desks

    # Arriving

    async def push(self, messages: Sequence[Message]) -> Sequence[JobReceipt]:
        """Store messages, each only if its subject is empty; return when the server has acknowledged all of them."""

        async def work(stream: Stream) -> None:
            await push_all(stream, messages)

        for message in messages:
            if message.new.bucket_id is None:
                msg = f"the message of job {message.new.job.id} names no bucket; jobs without one are held on the master"
                raise ValueError(msg)
        if messages:
            size = sum(new_weight(message.new) for message in messages)
            await self._driver.run(work, time_limit=patience_for(size))
        return [JobReceipt(job_id=m.new.job.id, accepted_by=self._name) for m in messages]

    # Leaving

    async def acknowledge(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        async def work(stream: Stream) -> None:
            await remove_messages(stream, self._desks.known(bucket.id), bucket.id, messages)

        if messages:
            await self._driver.run(work)

    async def find(self, job_ids: Sequence[UUID]) -> Sequence[Message]:
        """Return the messages of these jobs, although none can be withdrawn: so users see what only an agent knows."""

        async def work(stream: Stream) -> list[Message]:
            await stream.observe_clock()
            names = stream.names
            subjects = await stream.subjects_of(
                [names.messages_of(job_id) for job_id in dict.fromkeys(job_ids)]
            )
            found = [letter_of(stored) for stored in await stream.get(subjects) if stored is not None]
            letters = [whole for letter in found if (whole := await loaded(stream, letter)) is not None]
            return [letter.as_of(stream.time.now()) for letter in letters]

        return await self._driver.run(work) if job_ids else []

    async def withdraw(self, bucket_id: UUID, messages: Sequence[tuple[UUID, int]]) -> frozenset[UUID]:  # noqa: ARG002
        """Return none: an owner may be about to hand out what it has read."""
        return frozenset()

    async def note_saved(self, bucket: Bucket, messages: Sequence[tuple[UUID, int]]) -> None:
        """Do nothing: messages do not change."""

    # Reading

    async def read_all(self, bucket_id: UUID, limit: int) -> Sequence[Message]:
        async def work(stream: Stream) -> list[Message]:
            await stream.observe_clock()
            found: list[Message] = []
            size = 0
            async with aclosing(scan(stream, stream.names.messages_in(bucket_id), first=limit)) as letters:
                async for lying in letters:
                    letter = await loaded(stream, lying)
                    if letter is not None:
                        found.append(letter.as_of(stream.time.now()))
                        size += letter.size
                    if len(found) == limit or size > PAGE_BYTES:
                        break
            return found

        return await self._driver.run(work)

    async def read_unsaved(
        self, bucket: Bucket, age: float, after: Position | None, limit: int
    ) -> SavePending:
        async def work(stream: Stream) -> SavePending:
            start = 0 if after is None else to_micros(after.ready_at)
            await stream.observe_clock()
            desk = await self._desks.of(bucket)
            async with desk.lock:
                if (
                    desk.drained or desk.is_empty
                ):  # otherwise there is a backlog, which is not to be read ahead
                    await desk.fetch(stream, limit)
                here = desk.letters() if desk.drained else None
            pushed_by = stream.time.now() - round(age * 1_000_000)
            found = await _Unsaved(stream, bucket.id, start, pushed_by, limit).read(here)
            place = Position(from_micros(found[-1].seq), _NOBODY) if found else after
            now = stream.time.now()
            return SavePending(messages=[letter.as_of(now) for letter in found], after=place)

        return await self._driver.run(work)


class _Unsaved:
    """Reads messages that the master does not know, up to an age."""

    def __init__(self, stream: Stream, bucket_id: UUID, start: int, pushed_by: int, limit: int) -> None:
        self._stream, self._bucket_id, self._start = stream, bucket_id, start
        self._pushed_by, self._limit = pushed_by, limit

    async def read(self, here: Sequence[Letter] | None) -> list[Letter]:
        """Return the messages, from all that are in the bucket if these are given."""
        found: list[Letter] = []
        if here is not None:
            for letter in here:
                if not await self._goes_on(letter, found):
                    break
            return found
        subjects = self._stream.names.messages_in(self._bucket_id)
        async with aclosing(scan(self._stream, subjects, self._start + 1, self._limit)) as letters:
            async for letter in letters:
                if not await self._goes_on(letter, found):
                    break
        return found

    async def _goes_on(self, lying: Letter, found: list[Letter]) -> bool:
        """Add a letter if it is one of them; return whether there may be more: they come in the order of their push."""
        if lying.seq <= self._start or (lying.message.saved and lying.pushed <= self._pushed_by):
            return True
        if lying.pushed > self._pushed_by:
            return False
        letter = await loaded(self._stream, lying)
        if letter is not None:
            found.append(letter)
        return len(found) < self._limit


async def push_all(stream: Stream, messages: Sequence[Message]) -> None:
    """Store messages that are not there yet, with their parts before them."""
    entries, large = list[Entry](), dict[int, tuple[int, str]]()
    for message in messages:
        subject = stream.names.message(_bucket_of(message), (message.new.job.id, message.attempt))
        payload, pieces, parts = entries_of(stream, subject, message)
        if parts is not None:
            await stream.store(pieces)
            large[len(entries)] = parts
        entries.append(Entry(subject, payload, expected=0))
    numbers = await stream.store(entries)
    await remove_parts(stream, [parts for place, parts in large.items() if numbers[place] is None])


def _bucket_of(message: Message) -> UUID:
    return message.new.bucket_id or _NOBODY
