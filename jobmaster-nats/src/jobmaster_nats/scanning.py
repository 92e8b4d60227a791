"""Reading the messages of a bucket in the order of their push, without owning it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from jobmaster_nats.letters import Letter, letter_of
from jobmaster_nats.stream import BATCH, Reader, ReaderGoneError, Stream

_FIRST_BATCH = 64


async def scan(
    stream: Stream, subjects: str, start: int = 1, first: int = _FIRST_BATCH
) -> AsyncGenerator[Letter]:
    """Yield the messages whose subjects match, from a number on, without the content of their parts.

    `first` is the size of the first batch: no more than that is read if the caller soon has enough.
    """
    limit, drained = min(first, BATCH), False
    while not drained:
        async with _reader(stream, subjects, start) as reader:
            try:
                while not drained:
                    batch = await reader.fetch(limit)
                    limit, drained = BATCH, batch.drained
                    for stored in batch.messages:
                        start = stored.seq + 1
                        yield letter_of(stored)
            except ReaderGoneError:
                continue


@asynccontextmanager
async def _reader(stream: Stream, subjects: str, start: int) -> AsyncIterator[Reader]:
    reader = await stream.start_reader(subjects, start)
    try:
        yield reader
    finally:
        await reader.stop()


async def first_of(stream: Stream, subjects: str, count: int) -> list[Letter]:
    """Return the first messages whose subjects match, at most `count`."""
    found: list[Letter] = []
    async with aclosing(scan(stream, subjects, first=count)) as letters:
        async for letter in letters:
            found.append(letter)
            if len(found) == count:
                break
    return found
