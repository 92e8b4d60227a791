"""Taking messages out of a bucket that another process may be reading.

The bucket's note says first which messages go. That is one step, which fails if the owner has written the note
meanwhile; and an owner that has not must read the note again before it hands anything out that its bound does not cover.
So a message goes one way or the other. What is then left to do, copying and removing, can be done by anybody, and more
than once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final
from uuid import UUID

from attrs import evolve, frozen

from jobmaster_nats.letters import Letter, letter_of
from jobmaster_nats.parts import entries_of, loaded, remove_parts
from jobmaster_nats.records import BucketNote, Move, read_note, write_note
from jobmaster_nats.removing import remove_letters
from jobmaster_nats.scanning import scan
from jobmaster_nats.stream import Entry, Stream

_MOST: Final = 1000
"""Messages that one note names."""


@frozen
class Choice:
    """Which unread messages go: those due for `waited` microseconds, but the first `keep`, and none of the jobs `but`.

    At most `limit` go.
    """

    waited: int
    keep: int
    limit: int
    but: frozenset[UUID]

    def of(self, unread: Sequence[Letter]) -> list[Letter]:
        """Return the messages that go."""
        ordered = sorted(unread, key=lambda letter: (letter.due, letter.key[0]))[self.keep :]
        return [letter for letter in ordered if letter.key[0] not in self.but][: min(self.limit, _MOST)]


async def take_out(stream: Stream, bucket_id: UUID, aside: UUID, choice: Choice) -> int:
    """Move unread messages of a bucket into the bucket `aside`; return how many."""
    while (note := await read_note(stream, bucket_id)) is not None:
        if note.move is not None:
            await finish_move(stream, bucket_id, note)
            continue
        going = choice.of(await _unread(stream, bucket_id, note, choice.waited))
        if not going:
            return 0
        move = Move(aside, stream.time.now(), tuple(letter.seq for letter in going))
        written = await write_note(stream, bucket_id, evolve(note, taken=note.taken + 1, move=move))
        if written is not None:
            await finish_move(stream, bucket_id, written)
            return len(going)
    return 0


async def finish_move(stream: Stream, bucket_id: UUID, note: BucketNote) -> None:
    """Copy and remove the messages that a note names, and take them off the note."""
    if note.move is None:
        return
    found = await stream.get_numbered(note.move.numbers)
    lying = [letter_of(stored) for stored in found if stored is not None]
    letters = [whole for letter in lying if (whole := await loaded(stream, letter)) is not None]
    await copy_to(stream, note.move.aside, letters)
    await remove_letters(stream, letters)
    await write_note(stream, bucket_id, evolve(note, taken=note.taken + 1, move=None))


async def is_unread(stream: Stream, bucket_id: UUID, waited: int) -> bool:
    """Return whether a bucket holds a message, due for so many microseconds, that its owner has not read."""
    note = await read_note(stream, bucket_id)
    return note is not None and bool(await _unread(stream, bucket_id, note, waited, most=1))


async def _unread(
    stream: Stream, bucket_id: UUID, note: BucketNote, waited: int, most: int | None = None
) -> list[Letter]:
    found: list[Letter] = []
    async with aclosing(scan(stream, stream.names.messages_in(bucket_id))) as letters:
        async for letter in letters:
            is_due = letter.due <= stream.time.now() - waited
            if is_due and not note.bound.covers(letter) and note.owns(letter):
                found.append(letter)
                if len(found) == most:
                    break
    return found


async def copy_to(stream: Stream, aside: UUID, letters: Sequence[Letter]) -> None:
    """Store copies of messages in another bucket, as old as they are; older copies there are replaced."""
    subjects = [stream.names.message(aside, letter.key) for letter in letters]
    former = await stream.get(subjects)
    entries: list[Entry] = []
    for subject, letter in zip(subjects, letters, strict=True):
        message = evolve(letter.message, new=evolve(letter.message.new, bucket_id=aside))
        payload, pieces, _ = entries_of(stream, subject, message, (letter.due, letter.pushed))
        await stream.store(pieces)
        entries.append(Entry(subject, payload))
    await stream.store(entries)
    await remove_parts(stream, [letter_of(stored).parts for stored in former if stored is not None])
