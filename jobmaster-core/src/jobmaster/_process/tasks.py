"""Running user code: in its own context, and in tasks that can be left behind.

An event loop cannot stop a coroutine that swallows its cancellation. But it resumes the coroutine by calling `send` or
`throw`, and those calls can pass through an object of ours: it can run them in its own context, and it can stop making
them, so that the task ends although the coroutine never does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import TracebackType
from types import coroutine as coroutine_of_generator
from typing import Any, Final, TypeVar, TypeVarTuple

import anyio
import anyio.lowlevel
import sniffio

from jobmaster.loops import cannot_end, spawn_on_trio, stands_still

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = logging.getLogger("jobmaster.tasks")

_SIGNAL_HANDLERS: Final = frozenset({"asyncio.runners", "trio._core._ki"})
"""Modules whose signal handlers raise `KeyboardInterrupt` in whatever runs at that moment."""

_left: Final[list[Coroutine[Any, Any, Any]]] = []
"""Coroutines that were left behind. Kept, because a collected coroutine is closed, which runs it again."""
_going_on: Final[set[asyncio.Task[None]]] = set()
"""Tasks to which there may be no other reference."""


# Kinds of exceptions


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether an exception, or one within a group, is a user's Ctrl-C, not a `KeyboardInterrupt` raised by code."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_ctrl_c(one) for one in error.exceptions)
    if not isinstance(error, KeyboardInterrupt) or error.__traceback__ is None:
        return False
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    return last.tb_frame.f_globals.get("__name__") in _SIGNAL_HANDLERS


async def reraise_if_ending(error: BaseException) -> None:
    """Raise `error` again if this task is to end: it was cancelled from outside, or a user pressed Ctrl-C.

    For `except` clauses that treat every other error as the failure of one job, or one round.
    """
    if is_ctrl_c(error):
        raise error
    await anyio.lowlevel.checkpoint_if_cancelled()
    if isinstance(error, asyncio.CancelledError) and _is_cancelled_natively():
        raise error


class Contained:
    """Within the block, log every error, unless this task is to end: the code after the block continues.

    Errors that are `expected` are not even logged.
    """

    def __init__(self, what: str, log: logging.Logger, *expected: type[Exception]) -> None:
        self._what, self._log, self._expected = what, log, expected

    async def __aenter__(self) -> None: ...

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if error is not None and not isinstance(error, self._expected):
            await reraise_if_ending(error)
            self._log.error("%s: unexpected failure", self._what, exc_info=error)
        return True


def _is_cancelled_natively() -> bool:
    """Return whether `Task.cancel` was called on this task, as the end of `asyncio.run` does with all tasks."""
    task = asyncio.current_task() if sniffio.current_async_library() == "asyncio" else None
    return task is not None and task.cancelling() > 0


# Running to the end


async def run_to_end(function: Callable[[*Ts], Coroutine[Any, Any, None]], *args: *Ts) -> None:
    """Await `function(*args)`, which others wait for as well: it runs to its end even if the caller is cancelled.

    asyncio cancels tasks regardless of shields (as `asyncio.wait_for` does), so there it is a separate task.
    """
    with anyio.CancelScope(shield=True):
        if sniffio.current_async_library() != "asyncio":
            await function(*args)
            return
        task = asyncio.get_running_loop().create_task(function(*args))
        _going_on.add(task)
        task.add_done_callback(_going_on.discard)
        await asyncio.shield(task)


# Separate contexts


def in_own_context(coroutine: Coroutine[Any, Any, T]) -> Awaitable[T]:
    """Return an awaitable that runs a coroutine in a copy of the current context.

    Context variables that the coroutine sets are visible only to it and to what it starts. It runs in the task that
    awaits it: half a microsecond for each coroutine, instead of a task for each.
    """
    return _within(copy_context(), coroutine)


@coroutine_of_generator
def _within(context: Context, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Forward what the event loop sends to a coroutine, each time in the same context."""
    run, send = context.run, coroutine.send
    try:
        wanted = run(send, None)
        while True:
            try:
                answer = yield wanted
            except GeneratorExit:
                run(coroutine.close)
                raise
            except BaseException as error:  # noqa: BLE001 - every error is for the coroutine
                wanted = run(coroutine.throw, error)
            else:
                wanted = run(send, answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


# A task that can be left behind


class _Leavable(Coroutine[Any, Any, Any]):
    """Forwards what the event loop sends to a coroutine, until told to leave it behind."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine, self.left = coroutine, False

    def __getattr__(self, name: str) -> Any:
        """Look like the coroutine to debuggers and to the event loop."""
        return getattr(self._coroutine, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def __iter__(self) -> _Leavable:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        return self._leave() if self.left else self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        if self.left:
            return self._leave()
        if isinstance(error[0], GeneratorExit):
            # From a future: thrown unchanged, it would close the whole coroutine.
            return self._coroutine.throw(RuntimeError("the awaited call raised GeneratorExit"))
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def _leave(self) -> Any:
        """End the task. A task that trio cannot end without harm to its task tree is suspended forever instead."""
        _left.append(self._coroutine)
        if cannot_end():
            return stands_still()
        raise StopIteration


class LeavableTask:
    """A task outside any task group, which can be cancelled, and can be left behind.

    The code that starts it makes sure that it ends.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ended = anyio.Event()
        """Set once the task has ended, or was left behind."""
        self._gone = anyio.Event()
        self._scope = anyio.CancelScope(shield=True)  # trio cancels system tasks when its main task ends
        self._leavable: _Leavable | None = None
        self._native: asyncio.Task[Any] | None = None

    def start(self, function: Callable[[*Ts], Coroutine[Any, Any, None]], *args: *Ts) -> None:
        """Run `function(*args)`, in a copy of the current context. Its errors are logged."""

        async def run() -> None:
            with self._scope:
                await self._logged(function(*args))

        self._leavable = _Leavable(run())
        if sniffio.current_async_library() == "trio":
            spawn_on_trio(self._watched, self.name)
        else:
            loop = asyncio.get_running_loop()
            self._native = loop.create_task(self._leavable, name=self.name)
            self._native.add_done_callback(lambda _: self._end())

    @property
    def is_gone(self) -> bool:
        """Whether the event loop has dropped it: after it was left, that takes a moment."""
        return self._gone.is_set()

    def cancel(self) -> None:
        """Cancel it."""
        self._scope.cancel()

    def leave(self) -> None:
        """Cancel it, and do not run it any further, even if it ignores that.

        Under trio a task that waits within a shield, for example for a thread, stays until that is over.
        """
        if self.ended.is_set() or self._leavable is None:
            return
        self._scope.cancel()
        self._leavable.left = True
        if self._native is not None:
            self._native.cancel()
        self.ended.set()

    async def _watched(self) -> None:
        try:
            if self._leavable is not None:
                await self._leavable
        finally:
            self._end()

    def _end(self) -> None:
        self._gone.set()
        self.ended.set()

    async def _logged(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except BaseException as error:
            await reraise_if_ending(error)
            log.exception("%s: unexpected end", self.name)
