"""One connection to a server: many requests at once, and their answers.

nats-py's own JetStream client is not used. Its `publish_async` swallows cancellation and changes the caller's headers, its
`fetch` is slow for single messages, and a cancelled `fetch` leaves its request behind, whose messages nobody expects. Here
every request has an answer address of its own, which is forgotten when its caller stops waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import UnexpectedEOF

from jobmaster_nats.address import Address
from jobmaster_nats.errors import NativeError, broken, connect_error, refuses_login

log = logging.getLogger("jobmaster.nats")

Take: TypeAlias = Callable[[Msg], None]

_IN_FLIGHT: Final = 1000
"""Requests that wait for their answers at once: servers drop what exceeds their queues."""
_BYTES_IN_FLIGHT: Final = 8 * 1024 * 1024
_CONNECT_TIMEOUT: Final = 2
"""Seconds for one server to answer."""
_ATTEMPTS: Final = 4
_OPEN_TIMEOUT: Final = 6.0
"""Seconds to find one that does."""
_PING_EVERY: Final = 10
"""Seconds between pings; a server that leaves two of them unanswered is gone."""


@frozen
class Request:
    """What is sent to a subject. `expected` is the last sequence number that its subject must have, 0 for none."""

    subject: str
    payload: bytes = b""
    expected: int | None = None

    def headers(self) -> dict[str, str] | None:
        """Return the headers to send, made anew for each call."""
        if self.expected is None:
            return None
        return {"Nats-Expected-Last-Subject-Sequence": str(self.expected)}


class Link:
    """A connection, from its opening until it breaks. It is not opened again: the driver opens another one."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.client = Client()
        self.lost = asyncio.Event()
        self._told = ""
        self._inbox = ""
        self._count = 0
        self._takers: dict[str, Take] = {}
        self._watches: set[asyncio.Future[None]] = set()

    # Opening and closing

    async def open(self) -> None:
        """Connect. Raises `StoreUnreachableError`, or `ConfigurationError` if the server refuses the login."""
        options = await asyncio.to_thread(self.address.connect_options)
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT):
                await self._connect(options)
                self._inbox = self.client.new_inbox()
                await self.client.subscribe(
                    f"{self._inbox}.*", cb=self._on_answer, pending_msgs_limit=-1, pending_bytes_limit=-1
                )
        except NativeError as error:
            await self.close()
            raise connect_error(self.address, error, self._told) from self.address.veil.cause(error)
        except BaseException:
            await self.close()
            raise

    async def _connect(self, options: Mapping[str, Any]) -> None:
        """Connect. A server that refuses a login hangs up, which may be all that is seen of it: so it is asked again."""
        for attempt in range(_ATTEMPTS):
            try:
                await self.client.connect(
                    **options,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=_CONNECT_TIMEOUT,
                    ping_interval=_PING_EVERY,
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    name="jobmaster",
                )
            except (ConnectionResetError, BrokenPipeError, UnexpectedEOF) as error:
                if attempt + 1 == _ATTEMPTS or refuses_login(error) or refuses_login(self._told):
                    raise
                await self.client.close()
                self.client, self.lost = Client(), asyncio.Event()
            else:
                return

    async def close(self) -> None:
        """Close the connection. May be called again, and does not raise."""
        self._break()
        try:
            async with asyncio.timeout(1):
                await self.client.close()
        except NativeError as error:
            log.debug("closing a connection failed: %s", self.address.veil.text(str(error)))

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self.client.is_connected and not self.lost.is_set()

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, in bytes."""
        return int(self.client.max_payload)

    async def _on_error(self, error: Exception) -> None:
        self._told = str(error)
        log.debug("%s: %s", self.address, self.address.veil.text(self._told))

    async def _on_closed(self) -> None:
        self._break()

    def _break(self) -> None:
        self.lost.set()
        for waiting in self._watches:
            if not waiting.done():
                waiting.set_exception(broken(self.address))
                waiting.exception()  # seen: its caller may be gone

    # Requests

    async def exchange(self, requests: Sequence[Request]) -> list[Msg]:
        """Send requests, many at once; return the answers, in order. Raises `StoreUnavailableError` if it breaks."""
        answers = _Answers(len(requests))
        tokens: list[str] = []
        watch = self._watch()
        try:
            for place, request in enumerate(requests):
                tokens.append(self._await_answer(_AnswerTaker(answers, place, len(request.payload))))
                answers.bytes += len(request.payload)
                await self._send(request, tokens[-1])
                if place + 1 - answers.count >= _IN_FLIGHT or answers.bytes >= _BYTES_IN_FLIGHT:
                    await answers.wait_for(max(answers.count + 1, place + 1 - _IN_FLIGHT // 2), watch)
            await answers.wait_for(len(requests), watch)
        finally:
            self._forget(tokens, watch)
        return answers.found

    async def ask(self, request: Request) -> Msg:
        """Send one request and return its answer."""
        return (await self.exchange([request]))[0]

    async def send(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        """Send a message. Answers go to `reply`, if there are any."""
        await self._sent(self.client.publish(subject, payload, reply=reply))

    async def open_inbox(self, taker: Take) -> Inbox:
        """Return an answer address of its own, whose messages `taker` gets: those of the stream keep their subjects."""
        subject = self.client.new_inbox()

        async def on_message(message: Msg) -> None:
            taker(message)

        try:
            subscription = await self.client.subscribe(
                subject, cb=on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
            )
        except NativeError as error:
            raise broken(self.address) from self.address.veil.cause(error)
        return Inbox(self, subject, subscription)

    @contextmanager
    def watched(self) -> Iterator[asyncio.Future[None]]:
        """Within the block, there is a future that fails when the connection breaks."""
        watch = self._watch()
        try:
            yield watch
        finally:
            self._forget((), watch)

    def _watch(self) -> asyncio.Future[None]:
        if not self.is_open:
            raise broken(self.address)
        watch: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watches.add(watch)
        return watch

    def _await_answer(self, taker: Take) -> str:
        self._count += 1
        token = str(self._count)
        self._takers[token] = taker
        return token

    def _forget(self, tokens: Sequence[str], watch: asyncio.Future[None]) -> None:
        for token in tokens:
            self._takers.pop(token, None)
        self._watches.discard(watch)
        watch.cancel()

    async def _send(self, request: Request, token: str) -> None:
        reply = f"{self._inbox}.{token}"
        await self._sent(
            self.client.publish(request.subject, request.payload, reply=reply, headers=request.headers())
        )

    async def _sent(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except NativeError as error:
            raise broken(self.address) from self.address.veil.cause(error)

    async def _on_answer(self, answer: Msg) -> None:
        taker = self._takers.get(answer.subject.rpartition(".")[2])
        if taker is not None:
            taker(answer)


@frozen
class Inbox:
    """An address for the messages of one reader."""

    link: Link
    subject: str
    _subscription: Subscription

    async def close(self) -> None:
        """Receive nothing any more. May be called again."""
        if self.link.is_open:
            with suppress(*NativeError):
                await self._subscription.unsubscribe()


@define(eq=False)
class _Answers:
    """The answers to some requests, as they come."""

    size: int
    found: list[Msg] = field(init=False)
    count: int = field(default=0, init=False)
    bytes: int = field(default=0, init=False)
    _wanted: int = field(default=0, init=False)
    _turn: asyncio.Future[None] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.found = [_NONE] * self.size

    def take(self, place: int, weight: int, answer: Msg) -> None:
        if self.found[place] is _NONE:
            self.found[place] = answer
            self.count += 1
            self.bytes -= weight
        if self._turn is not None and self.count >= self._wanted and not self._turn.done():
            self._turn.set_result(None)

    async def wait_for(self, count: int, watch: asyncio.Future[None]) -> None:
        """Wait until there are `count` answers; raise what `watch` raises."""
        while self.count < count:
            self._wanted = count
            self._turn = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._turn, watch], return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()


@frozen
class _AnswerTaker:
    answers: _Answers
    place: int
    weight: int

    def __call__(self, answer: Msg) -> None:
        self.answers.take(self.place, self.weight, answer)


_NONE: Final = Msg(_client=Client(), subject="")
"""No answer yet."""
