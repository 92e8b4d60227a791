"""Statements and answers over one connection, at the level of libpq.

psycopg's cursors begin to watch the socket anew for each statement, for writing and then for reading, with a
timeout, and stop watching it again. Statements of a job queue are short, so that this costs as much as all
else the client does. Here the event loop watches the socket as long as the connection is open: a statement is
sent, and a future waits for what comes back. Opening the connection, encoding parameters and decoding rows
stay with psycopg.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import psycopg
from attrs import frozen
from psycopg import errors
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import DiagnosticField, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.pq.misc import PGnotify

from jobmaster_sql import Answer

Native: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

_MOST_PREPARED: Final = 300
"""Statements that a connection has prepared, at most: there are fewer texts, but types of parameters differ."""


@frozen
class Message:
    """One statement for the server: its text with `$1`, `$2`…, and its parameters in that order.

    The server prepares one that is `kept`: for texts that come again and again.
    """

    text: bytes
    values: Sequence[Any] = ()
    kept: bool = False


@frozen
class _Ready:
    """A message as libpq takes it. `name` is that of the prepared statement, if there is one."""

    text: bytes
    name: bytes | None
    values: Sequence[Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[Format]


class Wire:
    """The only user of a connection, in the event loop that made it. One exchange at a time."""

    def __init__(self, native: Native) -> None:
        self._pgconn = native.pgconn
        self._pgconn.nonblocking = 1
        self._encoder, self._decoder = Transformer(native), Transformer(native)
        self._prepared: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        # Of this connection alone: where a pooler shares servers between clients unasked, a name of another one's
        # is unknown, and stands for no other statement.
        self._token = os.urandom(4).hex().encode()
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._failure: psycopg.Error | None = None
        self._loop, self.socket = asyncio.get_running_loop(), self._pgconn.socket
        self._pending = _pending_on(self.socket, self._loop)
        self._loop.add_reader(self.socket, self._on_readable)

    @property
    def state(self) -> int:
        """Whether the connection is idle, in a transaction, in an exchange, or lost: a `TransactionStatus`."""
        return self._pgconn.transaction_status if self._failure is None else TransactionStatus.UNKNOWN

    def close(self) -> None:
        """Let go of the connection. Idempotent."""
        self._lose(psycopg.OperationalError("the connection is closed"))
        self._pgconn.finish()

    def cut(self) -> None:
        """End the connection, so that whoever waits for the server fails at once.

        Nobody has to see that on the socket: an event loop may have lost sight of it.
        """
        with suppress(OSError), socket.socket(fileno=os.dup(self.socket)) as ours:
            ours.shutdown(socket.SHUT_RDWR)
        self._lose(psycopg.OperationalError("the server did not answer in time"))

    # Exchanges

    async def ask(self, *messages: Message) -> list[Answer]:
        """Send statements in one round trip; return their answers, or raise the first `psycopg.Error`.

        Unless a transaction is open, several statements are one: all of them happen, or none.
        """
        ready = [await self._made_ready(message) for message in messages]
        if len(ready) == 1:
            self._send(ready[0])
            await self._flush()
            return [self._answer(await self._results())]
        return [self._answer(results) for results in await self._piped(ready)]

    async def _piped(self, ready: Sequence[_Ready]) -> list[list[PGresult]]:
        self._pgconn.enter_pipeline_mode()
        for one in ready:
            self._send(one)
        self._pgconn.pipeline_sync()
        await self._flush()
        results: list[list[PGresult]] = []
        try:
            for _ in ready:
                results.append(await self._results())  # noqa: PERF401 - looked at below if a later one fails
            await self._results()  # the mark of the end
            if self._failure is not None:
                raise self._failure
        except psycopg.Error:
            _raise_told(*results)
            raise
        self._pgconn.exit_pipeline_mode()
        return results

    async def run_script(self, text: str) -> None:
        """Run any number of statements without parameters; raises `psycopg.Error`."""
        self._pgconn.send_query(text.encode())
        await self._flush()
        self._answer(await self._results())

    async def notifications(self) -> AsyncIterator[PGnotify]:
        """Yield what comes in for channels that were listened to; raises `psycopg.Error` when it breaks."""
        while True:
            while (notification := self._pgconn.notifies()) is not None:
                yield notification
            await self._readable()

    # Sending

    async def _made_ready(self, message: Message) -> _Ready:
        encoder = self._encoder
        values = encoder.dump_sequence(message.values, [PyFormat.AUTO] * len(message.values))
        types, formats = encoder.types or (), encoder.formats or ()
        name = None
        if message.kept:
            name = self._prepared.get((message.text, types)) or await self._prepare(message.text, types)
        return _Ready(message.text, name, values, types, formats)

    async def _prepare(self, text: bytes, types: tuple[int, ...]) -> bytes | None:
        if len(self._prepared) == _MOST_PREPARED:
            return None
        name = b"jm_%s_%d" % (self._token, len(self._prepared))
        self._pgconn.send_prepare(name, text, types)
        await self._flush()
        self._answer(await self._results())
        self._prepared[text, types] = name
        return name

    def _send(self, ready: _Ready) -> None:
        if ready.name is None:
            self._pgconn.send_query_params(
                ready.text, ready.values, ready.types, ready.formats, Format.BINARY
            )
        else:
            self._pgconn.send_query_prepared(ready.name, ready.values, ready.formats, Format.BINARY)

    async def _flush(self) -> None:
        while self._pgconn.flush():
            await self._room()

    async def _room(self) -> None:
        """Wait until more can be sent. What comes in meanwhile is taken, so the server is never stuck with it."""
        if self._failure is not None:
            raise self._failure
        writable = self._writable = self._loop.create_future()
        self._loop.add_writer(self.socket, _settle, writable)
        try:
            await writable
        finally:
            self._loop.remove_writer(self.socket)

    # Receiving

    async def _results(self) -> list[PGresult]:
        """Return what came back for one statement or script, or for the end of a pipeline."""
        results: list[PGresult] = []
        while True:
            while self._pgconn.is_busy():
                await self._readable_after(results)
            result = self._pgconn.get_result()
            if result is None:
                return results
            results.append(result)
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results

    async def _readable_after(self, results: Sequence[PGresult]) -> None:
        try:
            await self._readable()
        except psycopg.Error:
            _raise_told(results)
            raise

    async def _readable(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        await self._waiter

    def _on_readable(self) -> None:
        try:
            self._pgconn.consume_input()
            while self._pending is not None and self._pending.poll(0):
                self._pgconn.consume_input()
        except psycopg.Error as error:
            self._lose(error)
        if self._waiter is not None:
            _settle(self._waiter, self._failure)

    def _lose(self, error: psycopg.Error) -> None:
        if self._failure is not None:
            return
        self._failure = error
        for waiter in (self._waiter, self._writable):
            if waiter is not None:
                _settle(waiter, error)
        with suppress(OSError):  # libpq has closed the socket, which can still be waited for to be written to
            self._loop.remove_reader(self.socket)

    def _answer(self, results: Sequence[PGresult]) -> Answer:
        """Return rows and count of the last result; raises the error in the first that failed."""
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise _error_in(result)
        result = results[-1]
        if result.status != ExecStatus.TUPLES_OK:
            return Answer([], result.command_tuples or 0)
        self._decoder.set_pgresult(result)
        return Answer(self._decoder.load_rows(0, result.ntuples, tuple), result.command_tuples or 0)


def _pending_on(descriptor: int, loop: asyncio.AbstractEventLoop) -> select.poll | None:
    """Return what tells whether a socket has more to say, for event loops that need to be asked.

    uvloop stops to watch a socket once it is reset, after a last call. If that finds data, nobody would ever learn of
    the reset behind it. asyncio's own loops go on until all is read.
    """
    if isinstance(loop, asyncio.BaseEventLoop):
        return None
    pending = select.poll()
    pending.register(descriptor, select.POLLIN)
    return pending


def _settle(waiter: asyncio.Future[None], error: Exception | None = None) -> None:
    with suppress(asyncio.InvalidStateError):  # somebody cancelled who waits
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


def _raise_told(*answers: Sequence[PGresult]) -> None:
    """Raise the first error that the server told of, if there is one: before it hung up it may have said why."""
    for result in (result for results in answers for result in results):
        if (
            result.status == ExecStatus.FATAL_ERROR
            and result.error_field(DiagnosticField.SQLSTATE) is not None
        ):
            raise _error_in(result)


def _error_in(result: PGresult) -> psycopg.Error:
    if result.error_field(DiagnosticField.SQLSTATE) is None:  # not the server says so, but libpq: it is gone
        return psycopg.OperationalError(result.get_error_message())
    return errors.error_from_result(result)


__all__ = ["Message", "Native", "TransactionStatus", "Wire"]
