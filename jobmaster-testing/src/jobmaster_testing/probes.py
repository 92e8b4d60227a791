"""Waiting for a condition to become true, instead of sleeping."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Generic, TypeVar, overload

import anyio
import anyio.lowlevel

T = TypeVar("T")

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.02


@overload
async def until(
    predicate: Callable[[], Awaitable[T]],
    *,
    timeout: float = ...,  # noqa: ASYNC109 - as below
    what: str = ...,
) -> T: ...
@overload
async def until(
    predicate: Callable[[], T],
    *,
    timeout: float = ...,  # noqa: ASYNC109 - as below
    what: str = ...,
) -> T: ...
async def until(
    predicate: Callable[[], Any],
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - part of the failure's message
    what: str = "",
) -> Any:
    """Call `predicate` (a plain or an async function) until it returns a true value, and return that value.

    It is called frequently at first, and every 20 ms later on. After `timeout` seconds of the event loop's time the test
    fails with a message that contains `what` and the last answer.
    """
    answer = None
    with anyio.move_on_after(timeout):
        pause = _FIRST_PAUSE
        while True:
            answer = await _ask(predicate)
            if answer:
                return answer
            await anyio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
    raise AssertionError(f"waited {timeout:g} s for {what or _name(predicate)}; last answer: {answer!r}")


async def _ask(predicate: Callable[[], Any]) -> Any:
    answer = predicate()
    return await answer if isawaitable(answer) else answer


def _name(predicate: Callable[[], object]) -> str:
    return getattr(predicate, "__qualname__", repr(predicate))


class Seen(Generic[T]):
    """The events so far, in order, for a test that waits for the next one without polling.

    Pass `add` to the observed code (in the same event loop), and await `count`.
    """

    def __init__(self) -> None:
        self.items: list[T] = []
        self._notifications = anyio.Event()

    def add(self, item: T) -> None:
        """Record that `item` happened, and wake up waiting tasks."""
        self.items.append(item)
        self._notifications.set()
        self._notifications = anyio.Event()

    async def count(self, number: int, *, timeout: float = 10.0) -> list[T]:  # noqa: ASYNC109 - as in until
        """Wait until at least `number` items were added and return all of them."""
        with anyio.move_on_after(timeout):
            while len(self.items) < number:
                await self._notifications.wait()
            return list(self.items)
        raise AssertionError(f"waited {timeout:g} s for {number} items; there are: {self.items!r}")
