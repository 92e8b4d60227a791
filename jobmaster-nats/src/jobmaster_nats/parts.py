"""Large messages: their parts are stored before them, and removed after them.

A push that was interrupted, or lost to another push of the same message, may leave parts that belong to no message. They are
removed by `remove_stray`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import uuid4

from jobmaster.contracts import Message
from jobmaster.errors import StoreError
from jobmaster_nats.letters import Letter, body_of, head_of, letter_of
from jobmaster_nats.stream import Entry, Stream

LARGEST: Final = 512 * 1024
"""Bytes of a message that is stored in one piece, and of a part."""
_HEADROOM: Final = 16 * 1024
_STRAY_AFTER: Final = 3600 * 1_000_000
"""Microseconds after which a push of parts has certainly ended."""


def entries_of(
    stream: Stream, subject: str, message: Message, times: tuple[int, int] | None = None
) -> tuple[bytes, list[Entry], tuple[int, str] | None]:
    """Return the payload of a message, the parts to be stored before it, and what their subjects begin with."""
    body = body_of(message.new.job)
    most = max(1024, min(LARGEST, stream.link.max_payload - _HEADROOM))
    if len(body) + _HEADROOM <= most:
        return head_of(message, times=times) + b"\n" + body, [], None
    prefix = stream.names.parts_of(subject, uuid4().hex)
    pieces = [body[start : start + most] for start in range(0, len(body), most)]
    parts = [Entry(f"{prefix}.{number}", piece) for number, piece in enumerate(pieces)]
    return head_of(message, times=times, parts=(len(parts), prefix)), parts, (len(parts), prefix)


async def loaded(stream: Stream, letter: Letter) -> Letter | None:
    """Return a letter with what its parts hold; None if it was removed meanwhile."""
    if letter.parts is None:
        return letter
    count, prefix = letter.parts
    found = await stream.get([f"{prefix}.{number}" for number in range(count)])
    pieces = [part.payload for part in found if part is not None]
    if len(pieces) == count:
        return letter.with_body(b"".join(pieces))
    [current] = await stream.get([letter.subject])
    if current is None or letter_of(current).parts != letter.parts:
        return None
    msg = f"parts of the message {letter.subject} are missing in the stream; remove the message with the nats tool"
    raise StoreError(msg)


async def remove_parts(stream: Stream, several: Iterable[tuple[int, str] | None]) -> None:
    """Remove the parts of messages that are gone."""
    for parts in several:
        if parts is not None:
            await stream.purge(f"{parts[1]}.*")


async def remove_stray(stream: Stream) -> None:
    """Remove parts that were stored an hour ago or earlier, and that belong to no message."""
    subjects: Sequence[str] = await stream.subjects(stream.names.parts)
    if subjects:
        await stream.observe_clock()
    prefixes = {subject.rpartition(".")[0] for subject in subjects if subject.endswith(".0")}
    for prefix in prefixes:
        [first] = await stream.get([f"{prefix}.0"])
        if first is None or first.at > stream.time.now() - _STRAY_AFTER:
            continue
        key = prefix.removeprefix(f"{stream.names.stream}.p.").rpartition(".")[0]
        [owner] = await stream.get([f"{stream.names.stream}.m.{key}"])
        letter = None if owner is None else letter_of(owner)
        if letter is None or letter.parts is None or letter.parts[1] != prefix:
            await stream.purge(f"{prefix}.*")
