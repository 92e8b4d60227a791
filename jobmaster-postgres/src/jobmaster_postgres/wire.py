"""Statements and answers over one connection, at the level of libpq.

For each statement, psycopg's cursors begin to watch the socket anew, for writing and then for reading, with a timeout, and
stop watching it again. Statements of a job queue are short, so this costs as much as everything else the client does. Here
the event loop watches the socket as long as the connection is open: a statement is sent, and a future waits for the answer.
psycopg still opens the connection, encodes parameters and decodes rows.
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
"""Maximum number of prepared statements on a connection: there are fewer texts, but parameter types differ."""


@frozen
class Message:
    """One statement for the server: its text with `$1`, `$2`…, and its parameters in that order.

    The server prepares a message that is `kept`: for texts that are sent repeatedly.
    """

    text: bytes
    values: Sequence[Any] = ()
    kept: bool = False


@frozen
class _Ready:
    """A message in libpq's format. `name` is that of the prepared statement, if there is one."""

    text: bytes
    name: bytes | None
    values: Sequence[Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[Format]


class Wire:
    """The only user of a connection, in the event loop that opened it. One exchange at a time."""

    def __init__(self, native: Native) -> None:
        self._pgconn = native.pgconn
        self._pgconn.nonblocking = 1
        self._encoder, self._decoder = Transformer(native), Transformer(native)
        self._prepared: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        # Of this connection alone: where a pooler silently shares servers between clients, a name from another connection is
        # unknown, and does not denote a different statement.
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
        """Close the connection. Idempotent."""
        self._lose(psycopg.OperationalError("the connection is closed"))
        self._pgconn.finish()

    def cut(self) -> None:
        """Cut the connection, so that a caller waiting for the server fails at once.

        This does not rely on the event loop seeing it on the socket, which the loop may no longer watch.
        """
        with suppress(OSError), socket.socket(fileno=os.dup(self.socket)) as ours:
            ours.shutdown(socket.SHUT_RDWR)
        self._lose(psycopg.OperationalError("the server did not answer in time"))

    # Exchanges

    async def ask(self, *messages: Message) -> list[Answer]:
        """Send statements in one round trip; return their answers, or raise the first `psycopg.Error`.

        Unless a transaction is open, several statements form one: all of them take effect, or none.
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
                results.append(await self._results())  # noqa: PERF401 - inspected below if a later one fails
            await self._results()  # the end marker
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
        """Yield incoming notifications of channels that were listened to; raises `psycopg.Error` when it breaks."""
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
        """Wait until more can be sent. Incoming data is read meanwhile, so that the server is never blocked by it."""
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
        """Return the results of one statement or script, or of the end of a pipeline."""
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
        with suppress(OSError):  # libpq has closed the socket, which may still be watched for writing
            self._loop.remove_reader(self.socket)

    def _answer(self, results: Sequence[PGresult]) -> Answer:
        """Return rows and count of the last result; raises the error of the first that failed."""
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise _error_in(result)
        result = results[-1]
        if result.status != ExecStatus.TUPLES_OK:
            return Answer([], result.command_tuples or 0)
        self._decoder.set_pgresult(result)
        return Answer(self._decoder.load_rows(0, result.ntuples, tuple), result.command_tuples or 0)


def _pending_on(descriptor: int, loop: asyncio.AbstractEventLoop) -> select.poll | None:
    """Return a poll object that tells whether a socket has more data, for event loops that need it.

    uvloop stops watching a socket once it is reset, after one last call. If that call finds data, the reset after it would
    never be noticed. asyncio's own loops go on until everything is read.
    """
    if isinstance(loop, asyncio.BaseEventLoop):
        return None
    pending = select.poll()
    pending.register(descriptor, select.POLLIN)
    return pending


def _settle(waiter: asyncio.Future[None], error: Exception | None = None) -> None:
    with suppress(asyncio.InvalidStateError):  # the waiting caller was cancelled
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


def _raise_told(*answers: Sequence[PGresult]) -> None:
    """Raise the first error that the server reported, if any: it may have given the reason before it hung up."""
    for result in (result for results in answers for result in results):
        if (
            result.status == ExecStatus.FATAL_ERROR
            and result.error_field(DiagnosticField.SQLSTATE) is not None
        ):
            raise _error_in(result)


def _error_in(result: PGresult) -> psycopg.Error:
    if result.error_field(DiagnosticField.SQLSTATE) is None:  # from libpq, not from the server, which is gone
        return psycopg.OperationalError(result.get_error_message())
    return errors.error_from_result(result)


__all__ = ["Message", "Native", "TransactionStatus", "Wire"]
