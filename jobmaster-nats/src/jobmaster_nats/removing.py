"""Removing messages from the stream."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from jobmaster_nats.desks import Desk
from jobmaster_nats.letters import Letter, letter_of
from jobmaster_nats.names import Key
from jobmaster_nats.parts import remove_parts
from jobmaster_nats.stream import Stream


async def remove_messages(stream: Stream, desk: Desk | None, bucket_id: UUID, keys: Sequence[Key]) -> None:
    """Remove the messages of a bucket that are there. The owner's desk knows their numbers; or the server is asked."""
    wanted = list(dict.fromkeys(keys))
    known = [letter for key in wanted if desk is not None and (letter := desk.find(key)) is not None]
    gone = {letter.key for letter in await remove_letters(stream, known)}
    rest = [key for key in wanted if key not in gone]
    await remove_letters(stream, await find_letters(stream, bucket_id, rest))
    if desk is not None:
        desk.remove(wanted)


async def find_letters(stream: Stream, bucket_id: UUID, keys: Sequence[Key]) -> list[Letter]:
    """Return those messages of a bucket that are there, without the content of their parts."""
    found = await stream.get([stream.names.message(bucket_id, key) for key in keys])
    return [letter_of(stored) for stored in found if stored is not None]


async def remove_letters(stream: Stream, letters: Sequence[Letter]) -> list[Letter]:
    """Remove messages as they were read, and their parts; return those that were still there."""
    were_there = await stream.delete([letter.seq for letter in letters])
    gone = [letter for letter, was_there in zip(letters, were_there, strict=True) if was_there]
    await remove_parts(stream, [letter.parts for letter in gone])
    return gone
