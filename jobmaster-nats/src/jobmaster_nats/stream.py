"""The stream of an agent over one connection: what JetStream's API is asked, and what its answers mean."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import uuid4

import orjson
from attrs import define, field, frozen
from nats.aio.msg import Msg

from jobmaster.errors import StoreUnavailableError, StoreUnreachableError
from jobmaster_nats.address import Address
from jobmaster_nats.errors import (
    BEING_WRITTEN,
    NO_MESSAGE,
    NO_STREAM,
    WRONG_LAST_SEQUENCE,
    api_error,
    broken,
    no_jetstream,
    stream_missing,
)
from jobmaster_nats.letters import Stored, micros_of
from jobmaster_nats.link import Inbox, Link, Request
from jobmaster_nats.names import Names
from jobmaster_nats.servertime import ServerTime

Answer: TypeAlias = Mapping[str, Any]

BATCH: Final = 500
"""Messages that a reader asks for at once."""
BATCH_BYTES: Final = 8 * 1024 * 1024
_SILENT: Final = 1.0
"""Seconds after which a reader that does not answer counts as gone: servers before 2.11 say nothing about one they do not
know."""
_READER_LIFE: Final = 120.0
"""Seconds after which the server forgets a reader that asks for nothing."""
_SUBJECTS_AT_ONCE: Final = 100_000
_NANOS: Final = 1_000_000_000
_NO_RESPONDERS: Final = "503"
_UNDECIDED: Final = -1
"""Instead of a number: another write to the subject is on its way to the replicas, and may still fail."""
_UNDECIDED_FOR: Final = 0.01
_TOO_MANY_BYTES: Final = "409"


@frozen
class Entry:
    """Something to be stored. `expected` is the number of the message that it replaces, 0 if there is none."""

    subject: str
    payload: bytes
    expected: int | None = None


class ReaderGoneError(Exception):
    """The server knows a reader no more, or may have sent it something that was lost: start another one."""


@define
class Batch:
    """What a reader got: messages, and whether there are no more at the moment."""

    messages: list[Stored] = field(factory=list)
    drained: bool = False


class Stream:
    """The operations on an agent's stream. Raises the errors of `StoreError`, and `SchemaError` without the stream."""

    def __init__(self, link: Link, names: Names, time: ServerTime) -> None:
        self.link, self.names, self.time = link, names, time

    @property
    def address(self) -> Address:
        """Where the stream is."""
        return self.link.address

    # The API

    def request(self, what: str, asked: Mapping[str, Any] | None = None) -> Request:
        """Return a request to the API, such as `STREAM.INFO.name`."""
        return Request(f"{self.address.api}.{what}", b"" if asked is None else orjson.dumps(asked))

    async def ask(self, what: str, asked: Mapping[str, Any] | None = None) -> Answer:
        """Ask the API; return its answer, and raise its error."""
        return self.checked(await self.link.ask(self.request(what, asked)))

    def checked(self, message: Msg, *, but: Iterable[int] = ()) -> Answer:
        """Return an answer of the API; raise its error, unless its code is one of `but`."""
        if status_of(message) == _NO_RESPONDERS:
            raise no_jetstream(self.address)
        answer: Answer = orjson.loads(message.data)
        error = answer.get("error")
        if error and error.get("err_code") not in but:
            raise api_error(self.address, self.names.stream, error)
        return answer

    async def info(self) -> Answer | None:
        """Return the stream's configuration and state; None if it does not exist."""
        message = await self.link.ask(self.request(f"STREAM.INFO.{self.names.stream}"))
        answer = self.checked(message, but=[NO_STREAM])
        return None if "error" in answer else answer

    async def last_number(self) -> int:
        """Return the number of the newest message, of any bucket; the server's time is noted if it comes along."""
        answer = await self.ask(f"STREAM.INFO.{self.names.stream}")
        if told := answer.get("ts"):
            self.time.note_now(micros_of(told))
        return int(answer["state"]["last_seq"])

    async def subjects(self, among: str) -> list[str]:
        """Return the subjects that hold a message, of those that match."""
        found: list[str] = []
        while True:
            asked = {"subjects_filter": among, "offset": len(found)}
            answer = await self.ask(f"STREAM.INFO.{self.names.stream}", asked)
            page = list(answer["state"].get("subjects") or ())
            found += page
            if len(page) < _SUBJECTS_AT_ONCE:
                return found

    async def subjects_of(self, several: Sequence[str]) -> list[str]:
        """Return the subjects that hold a message, of those that match one of several filters for few."""
        what = f"STREAM.INFO.{self.names.stream}"
        requests = [self.request(what, {"subjects_filter": among}) for among in several]
        answers = [self.checked(message) for message in await self.link.exchange(requests)]
        return [subject for answer in answers for subject in answer["state"].get("subjects") or ()]

    async def read_clock(self) -> int:
        """Return the server's time, in microseconds; it is noted for later."""
        answer = await self.ask(f"STREAM.INFO.{self.names.stream}")
        if told := answer.get("ts"):
            now = micros_of(told)
        else:  # before 2.10: the server's time is what it writes on a message
            await self.store([Entry(self.names.clock, b"")])
            [tick] = await self.get([self.names.clock])
            now = micros_of(answer["created"]) if tick is None else tick.at
        self.time.note_now(now)
        return now

    async def observe_clock(self) -> None:
        """Read the server's time if that was not done for a while, for those who compare moments with `time.now`."""
        if self.time.is_old:
            await self.read_clock()

    # Storing, finding and deleting

    async def store(self, entries: Sequence[Entry]) -> list[int | None]:
        """Store messages; return the number of each, None for one whose subject is not as it was `expected`.

        Returns when all are acknowledged. Raises `StoreUnreachableError` if all are refused, another error if some are.
        """
        numbers: list[int | None] = [None] * len(entries)
        todo = list(range(len(entries)))
        while todo:
            wanted = [entries[place] for place in todo]
            answers = await self._try_to_store(wanted)
            for place, answer in zip(todo, answers, strict=True):
                numbers[place] = answer
            todo = [place for place, answer in zip(todo, answers, strict=True) if answer == _UNDECIDED]
            if todo:
                await asyncio.sleep(_UNDECIDED_FOR)
        return numbers

    async def _try_to_store(self, entries: Sequence[Entry]) -> list[int | None]:
        """Do as `store`, with `_UNDECIDED` for subjects that somebody is writing to."""
        requests = [Request(entry.subject, entry.payload, entry.expected) for entry in entries]
        numbers: list[int | None] = []
        refusals: list[StoreUnavailableError] = []
        for message in await self.link.exchange(requests):
            try:
                numbers.append(self._number(message))
            except StoreUnavailableError as error:
                refusals.append(error)
        if refusals and not numbers:
            raise StoreUnreachableError(str(refusals[0]))
        if refusals:
            raise refusals[0]
        return numbers

    def _number(self, message: Msg) -> int | None:
        if status_of(message) == _NO_RESPONDERS:
            missing = stream_missing(self.names.stream)
            raise StoreUnavailableError(f"{self.address}: nobody takes the message; {missing}")
        answer = self.checked(message, but=[WRONG_LAST_SEQUENCE, BEING_WRITTEN])
        if "error" not in answer:
            return int(answer["seq"])
        return _UNDECIDED if answer["error"]["err_code"] == BEING_WRITTEN else None

    async def get(self, subjects: Sequence[str]) -> list[Stored | None]:
        """Return the message of each subject, None if there is none. The stream's leader is asked."""
        what = f"STREAM.MSG.GET.{self.names.stream}"
        requests = [self.request(what, {"last_by_subj": subject}) for subject in subjects]
        return [self.got(message) for message in await self.link.exchange(requests)]

    async def get_numbered(self, numbers: Sequence[int]) -> list[Stored | None]:
        """Return messages by their numbers, None for one that is gone."""
        what = f"STREAM.MSG.GET.{self.names.stream}"
        requests = [self.request(what, {"seq": number}) for number in numbers]
        return [self.got(message) for message in await self.link.exchange(requests)]

    def got(self, message: Msg) -> Stored | None:
        """Return the message in an answer to `STREAM.MSG.GET`."""
        answer = self.checked(message, but=NO_MESSAGE)
        if "error" in answer:
            return None
        found = answer["message"]
        return Stored(
            subject=found["subject"],
            seq=found["seq"],
            at=micros_of(found["time"]),
            payload=base64.b64decode(found.get("data", "")),
        )

    async def delete(self, numbers: Sequence[int]) -> list[bool]:
        """Delete messages by their numbers; return which of them were there."""
        what = f"STREAM.MSG.DELETE.{self.names.stream}"
        requests = [self.request(what, {"seq": number, "no_erase": True}) for number in numbers]
        answers = [self.checked(m, but=NO_MESSAGE) for m in await self.link.exchange(requests)]
        return ["error" not in answer for answer in answers]

    async def purge(self, subjects: str) -> None:
        """Delete all messages whose subjects match."""
        await self.ask(f"STREAM.PURGE.{self.names.stream}", {"filter": subjects})

    async def is_any(self, subjects: str) -> bool:
        """Return whether a message's subject matches."""
        asked = {"subjects_filter": subjects}
        answer = await self.ask(f"STREAM.INFO.{self.names.stream}", asked)
        return bool(answer["state"].get("subjects"))

    # Reading in order

    async def start_reader(self, subjects: str, start: int = 1) -> Reader:
        """Return a reader of the messages whose subjects match, from a number on."""
        name = uuid4().hex
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(1, start),
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": subjects,
            "inactive_threshold": int(_READER_LIFE * _NANOS),
            "mem_storage": True,
            "num_replicas": 1,
        }
        asked = {"stream_name": self.names.stream, "config": config, "action": "create"}
        await self.ask(f"CONSUMER.CREATE.{self.names.stream}.{name}.{subjects}", asked)
        return Reader(self, name)


class Reader:
    """Reads messages in the order of the stream, each once: an ephemeral consumer without acknowledgements.

    Nothing depends on it: what it delivered is neither removed nor marked. If it is gone, or anything may have been lost on
    the way, a new one reads again.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        """Start it with `Stream.start_reader`."""
        self.stream, self._name = stream, name
        self._next = 1
        self._used_at = asyncio.get_running_loop().time()
        self._is_sound = True
        self._inbox: Inbox | None = None
        self._current: Fetch | None = None

    @property
    def is_usable(self) -> bool:
        """Whether the reader can go on: its connection is open, and the server has not forgotten it."""
        unused = asyncio.get_running_loop().time() - self._used_at
        return self._is_sound and self.stream.link.is_open and unused < _READER_LIFE / 2

    async def ask_for(self, limit: int = BATCH) -> Fetch:
        """Ask for messages that are there; return the fetch in progress, to be awaited by `Fetch.result`.

        Until all of it has arrived the reader is not usable: what the server sent and nobody received would be missed.
        """
        link = self.stream.link
        self._used_at = asyncio.get_running_loop().time()
        self._is_sound = False
        if self._inbox is None:
            self._inbox = await link.open_inbox(self._take)
        self._current = Fetch(self, limit)
        subject = f"{self.stream.address.api}.CONSUMER.MSG.NEXT.{self.stream.names.stream}.{self._name}"
        asked = {"batch": limit, "no_wait": True, "max_bytes": BATCH_BYTES}
        await link.send(subject, orjson.dumps(asked), reply=self._inbox.subject)
        return self._current

    async def fetch(self, limit: int = BATCH) -> Batch:
        """Return messages that are there, at most `limit`; raises `ReaderGoneError`."""
        return await (await self.ask_for(limit)).result()

    def _take(self, message: Msg) -> None:
        if self._current is not None:
            self._current.take(message)

    def accept(self, number: int) -> bool:
        """Note a delivery's number among those to this reader; return whether none was lost before it."""
        expected, self._next = self._next, number + 1
        return number == expected

    def complete(self) -> None:
        """Note that everything that was asked for has arrived."""
        self._is_sound, self._current = True, None

    async def stop(self) -> None:
        """Tell the server that the reader is not needed any more. It would forget it soon in any case."""
        self._is_sound, self._current = False, None
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            await inbox.close()
        if self.stream.link.is_open:
            names, api = self.stream.names, self.stream.address.api
            await self.stream.link.send(f"{api}.CONSUMER.DELETE.{names.stream}.{self._name}")


class Fetch:
    """One request of a reader, and what has arrived for it."""

    def __init__(self, reader: Reader, limit: int) -> None:
        """`limit` is the number of messages that are asked for."""
        self._reader, self._limit = reader, limit
        self._batch = Batch()
        self._is_gone = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def result(self) -> Batch:
        """Wait until everything is here; raises `ReaderGoneError`, and `StoreUnavailableError` if the connection breaks."""
        with self._reader.stream.link.watched() as watch:
            while not self._ended.done():
                seen = len(self._batch.messages)
                await asyncio.wait([self._ended, watch], timeout=_SILENT, return_when=asyncio.FIRST_COMPLETED)
                if watch.done():
                    raise broken(self._reader.stream.address)
                if not self._ended.done() and len(self._batch.messages) == seen:
                    raise ReaderGoneError
        if self._is_gone:
            raise ReaderGoneError
        self._reader.complete()
        return self._batch

    def take(self, message: Msg) -> None:
        """Take a message of the stream, or the status that ends the request."""
        if self._ended.done():
            return
        if (status := status_of(message)) is not None:
            self._end(status, message)
            return
        # $JS.ACK.[domain.account.]stream.consumer.deliveries.seq.delivered.time.pending[.token]
        tokens = message.reply.split(".")
        at = 4 if len(tokens) == _SHORT_REPLY else 6
        seq, number, nanos, pending = (int(token) for token in tokens[at + 1 : at + 5])
        if not self._reader.accept(number):
            self._is_gone = True
            self._ended.set_result(None)
            return
        micros = nanos // 1000
        self._reader.stream.time.note_past(micros)
        found = Stored(subject=message.subject, seq=seq, at=micros, payload=message.data)
        self._batch.messages.append(found)
        self._batch.drained = pending == 0
        if pending == 0 or len(self._batch.messages) == self._limit:
            self._ended.set_result(None)

    def _end(self, status: str, message: Msg) -> None:
        told = (message.headers or {}).get("Description", "")
        if status in ("404", "408"):
            self._batch.drained = True
        elif status != _TOO_MANY_BYTES or "MaxBytes" not in told:
            self._is_gone = True
        self._ended.set_result(None)


_SHORT_REPLY: Final = 9
"""Parts of the reply subject of servers that do not name domain and account in it."""


def status_of(message: Msg) -> str | None:
    """Return the status in a message's headers; None if it is an ordinary message."""
    if message.headers is None or message.data:
        return None
    return message.headers.get("Status")
