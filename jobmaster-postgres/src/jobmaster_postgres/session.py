"""One connection to the database, and how a unit of work runs on it as one transaction."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from jobmaster_postgres.statements import Statements
from jobmaster_sql import Answer, Query, Script, Step, UnitFactory

T = TypeVar("T")
Native: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]
_Cursor: TypeAlias = psycopg.AsyncCursor[tuple[Any, ...]]

_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_COMMIT: Final = "COMMIT"
_OPEN: Final = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


class Session:
    """A connection in autocommit mode, for one unit of work at a time."""

    def __init__(self, native: Native, statements: Statements, prelude: str | None = None) -> None:
        """`prelude` is a statement that every transaction has to begin with, if there is one."""
        self._native, self._statements, self._prelude = native, statements, prelude

    @property
    def is_usable(self) -> bool:
        """Whether the connection is alive and in no transaction."""
        return self._native.info.transaction_status == TransactionStatus.IDLE

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        return self._native.info.backend_pid

    async def close(self) -> None:
        """Let go of the connection."""
        with suppress(psycopg.Error):
            await self._native.close()

    def abort(self) -> None:
        """Cut the connection, so that whatever waits for the server fails at once."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._native.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    async def run(self, unit: UnitFactory[T], *, read_only: bool, deadline: float) -> T:
        """Run a unit; raises `psycopg.Error` or what the unit raises, and then nothing of it has happened.

        At the deadline, by the event loop's clock, the connection is cut.
        """
        watchdog = asyncio.get_running_loop().call_at(deadline, self.abort)
        try:
            return await self._transact(unit, read_only=read_only)
        except psycopg.errors.ReadOnlySqlTransaction:
            self.abort()  # the server has become a standby: the next connection finds the primary
            raise
        except BaseException:
            await self._undo()
            raise
        finally:
            watchdog.cancel()

    async def _undo(self) -> None:
        with suppress(psycopg.Error):
            if self._native.info.transaction_status in _OPEN:
                await self._native.execute("ROLLBACK")

    async def _transact(self, unit: UnitFactory[T], *, read_only: bool) -> T:
        """Send the unit's steps. BEGIN and COMMIT travel with them, and one statement alone needs neither."""
        generator, answer, is_open = unit(), None, False
        at_once = self._prelude is None
        try:
            while True:
                steps = generator.send(answer)
                several = steps if isinstance(steps, tuple) else (steps,)
                ends = several[-1].last
                needless = at_once and (read_only or (ends and self._is_one_statement(several)))
                begins = not (is_open or needless)
                commits = ends and (is_open or begins)
                answers = await self._send(several, begins=begins, commits=commits)
                is_open = (is_open or begins) and not commits
                answer = answers if isinstance(steps, tuple) else answers[0]
        except StopIteration as stop:
            if is_open:
                await self._native.execute(_COMMIT)
            result: T = stop.value
            return result
        finally:
            generator.close()

    def _is_one_statement(self, steps: Sequence[Step]) -> bool:
        return len(steps) == 1 and self._statements.is_one(steps[0])

    async def _send(self, steps: Sequence[Step], *, begins: bool, commits: bool) -> list[Answer]:
        """Send steps in one round trip."""
        if len(steps) == 1 and not begins and not commits:
            return [await _answer(await self._execute(steps[0]))]
        async with self._native.pipeline():
            if begins:
                await self._begin()
            cursors = [await self._execute(step) for step in steps]
            if commits:
                await self._native.execute(_COMMIT, prepare=False)
        return [await _answer(cursor) for cursor in cursors]

    async def _begin(self) -> None:
        await self._native.execute(_BEGIN, prepare=False)
        if self._prelude is not None:
            await self._native.execute(self._prelude)

    async def _execute(self, step: Step) -> _Cursor:
        if isinstance(step, Script):
            # Without parameters and in text format, one string may hold many statements.
            return await self._native.execute(step.text)
        statement = self._statements.get(step.name)
        cursor = self._native.cursor(binary=True)
        if isinstance(step, Query):
            return await cursor.execute(statement.text, statement.params(step))
        if statement.arrays:
            return await cursor.execute(statement.text, statement.columns(step))
        rows = [dict(zip(step.columns, row, strict=True)) for row in step.rows]
        await cursor.executemany(statement.text, rows)
        return cursor


async def _answer(cursor: _Cursor) -> Answer:
    rows = [] if cursor.description is None else await cursor.fetchall()
    return Answer(rows, cursor.rowcount)
