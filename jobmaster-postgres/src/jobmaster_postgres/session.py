"""One connection to the database, which runs units of work as transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, TypeAlias, TypeVar

import psycopg

from jobmaster_postgres.errors import USELESS
from jobmaster_postgres.statements import Statements
from jobmaster_postgres.wire import Message, Native, TransactionStatus, Wire
from jobmaster_sql import Answer, Batch, Query, Script, Step, UnitFactory

T = TypeVar("T")

_BEGIN: Final = Message(b"BEGIN ISOLATION LEVEL READ COMMITTED")
_COMMIT: Final = Message(b"COMMIT")
_ROLLBACK: Final = Message(b"ROLLBACK")
_OPEN: Final = (TransactionStatus.INTRANS, TransactionStatus.INERROR)

_Messages: TypeAlias = Sequence[Message]


class Watchdog:
    """Calls a function when the watched work is not over at its deadline.

    A timer for each unit of work would cost as much as encoding its statement. So one timer serves many units: when it
    fires, it checks the deadline that is current by then.
    """

    def __init__(self, bite: Callable[[], None]) -> None:
        self._loop, self._bite = asyncio.get_running_loop(), bite
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None

    def watch(self, deadline: float) -> None:
        """Begin to watch until a moment of the event loop's clock."""
        self._deadline = deadline
        if self._timer is None or self._timer.when() > deadline:
            self._set(deadline)

    def rest(self) -> None:
        """End the watch: the watched work is over."""
        self._deadline = None

    def close(self) -> None:
        """Cancel the timer."""
        self.rest()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() >= self._deadline:
            self._bite()
        else:
            self._set(self._deadline)


class Session:
    """A connection in autocommit mode, for one unit of work at a time."""

    def __init__(self, native: Native, statements: Statements, prelude: str | None = None) -> None:
        """`prelude` is an optional statement that every transaction has to begin with."""
        self._wire, self._statements = Wire(native), statements
        self._plain = prelude is None
        self._begin = (_BEGIN,) if prelude is None else (_BEGIN, Message(prelude.encode()))
        self.pid = native.info.backend_pid
        """The id of the server's process."""
        self._watchdog = Watchdog(self._wire.cut)

    @property
    def is_usable(self) -> bool:
        """Whether the connection is alive and not in a transaction."""
        return self._wire.state == TransactionStatus.IDLE

    def close(self) -> None:
        """Close the connection."""
        self._watchdog.close()
        self._wire.close()

    async def run(self, unit: UnitFactory[T], *, read_only: bool, deadline: float) -> T:
        """Run a unit; raises `psycopg.Error` or the unit's own error, and then the unit had no effect.

        At the deadline, by the event loop's clock, the connection is cut.
        """
        self._watchdog.watch(deadline)
        try:
            return await self._transact(unit, read_only=read_only)
        except USELESS:
            self._wire.cut()
            raise
        except BaseException:
            await self._undo()
            raise
        finally:
            self._watchdog.rest()

    async def _undo(self) -> None:
        with suppress(psycopg.Error):
            if self._wire.state in _OPEN:
                await self._wire.ask(_ROLLBACK)

    async def _transact(self, unit: UnitFactory[T], *, read_only: bool) -> T:
        """Send the unit's steps. BEGIN and COMMIT travel with them; steps in a single trip need neither."""
        generator, answer, is_open = unit(), None, False
        try:
            while True:
                steps = generator.send(answer)
                several = steps if isinstance(steps, tuple) else (steps,)
                whole = self._is_whole(several, read_only=read_only) and not is_open
                begins = not (is_open or whole)
                commits = several[-1].last and not whole
                answers = await self._send(several, begins=begins, commits=commits)
                is_open = (is_open or begins) and not commits
                answer = answers if isinstance(steps, tuple) else answers[0]
        except StopIteration as stop:
            if is_open:
                await self._wire.ask(_COMMIT)
            result: T = stop.value
            return result
        finally:
            generator.close()

    def _is_whole(self, steps: Sequence[Step], *, read_only: bool) -> bool:
        """Whether steps are a transaction by themselves: the server makes a transaction of all steps in one trip."""
        if not self._plain:
            return False
        return read_only or (steps[-1].last and not any(isinstance(step, Script) for step in steps))

    async def _send(self, steps: Sequence[Step], *, begins: bool, commits: bool) -> list[Answer]:
        """Send steps in one round trip (migrations: one trip for each)."""
        head, tail = self._begin if begins else (), (_COMMIT,) if commits else ()
        if any(isinstance(step, Script) for step in steps):
            return await self._send_singly(head, steps, tail)
        parts = [self._statements.messages(step) for step in steps if not isinstance(step, Script)]
        answers = iter(await self._wire.ask(*head, *(message for part in parts for message in part), *tail))
        for _ in head:
            next(answers)
        return [_merged(islice(answers, len(part))) for part in parts]

    async def _send_singly(self, head: _Messages, steps: Sequence[Step], tail: _Messages) -> list[Answer]:
        """Send steps that include scripts, which do not travel with others."""
        for message in head:
            await self._wire.ask(message)
        answers = [await self._send_one(step) for step in steps]
        for message in tail:
            await self._wire.ask(message)
        return answers

    async def _send_one(self, step: Query | Batch | Script) -> Answer:
        if isinstance(step, Script):
            await self._wire.run_script(self._statements.script(step))
            return Answer([], 0)
        return _merged(await self._wire.ask(*self._statements.messages(step)))


def _merged(answers: Iterable[Answer]) -> Answer:
    """Return one answer for the rows of a batch."""
    first, *others = answers
    return Answer(first.rows, sum((other.touched for other in others), first.touched)) if others else first
