"""Probes wait no longer than they must, and say what they waited for."""

from collections.abc import Callable

import anyio
import pytest

from jobmaster_testing import Seen, until

pytestmark = pytest.mark.anyio


async def test_until_returns_what_came_true() -> None:
    answers = iter([None, 0, "", "yes"])

    assert await until(lambda: next(answers)) == "yes"


async def test_until_asks_async_functions_too() -> None:
    answers = iter([False, True])

    async def ask() -> bool:
        await anyio.lowlevel.checkpoint()
        return next(answers)

    assert await until(ask)


async def test_until_fails_with_what_was_waited_for() -> None:
    with pytest.raises(AssertionError, match=r"waited 0\.01 s for the moon; last answer: 0"):
        await until(lambda: 0, timeout=0.01, what="the moon")


async def test_until_names_the_function_otherwise() -> None:
    def never() -> bool:
        return False

    with pytest.raises(AssertionError, match="never"):
        await until(never, timeout=0.01)


async def test_until_fails_as_the_function_does() -> None:
    def broken() -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await until(broken)


async def test_seen_wakes_up_when_enough_happened() -> None:
    seen: Seen[int] = Seen()

    async def happen(add: Callable[[int], None]) -> None:
        for number in range(3):
            add(number)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(happen, seen.add)
        assert await seen.count(3) == [0, 1, 2]

    assert seen.items == [0, 1, 2]


async def test_seen_fails_with_what_there_is() -> None:
    seen: Seen[str] = Seen()
    seen.add("one")

    with pytest.raises(AssertionError, match=r"waited 0\.01 s for 2 items; there are: \['one'\]"):
        await seen.count(2, timeout=0.01)
