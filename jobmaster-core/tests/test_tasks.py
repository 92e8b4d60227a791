"""Contexts of their own, tasks that can be left behind, and telling a Ctrl-C from what code raises."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import sniffio

from jobmaster._process.tasks import LeavableTask, in_own_context, is_ctrl_c, reraise_if_ending, run_to_end
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

variable: ContextVar[str] = ContextVar("variable", default="outside")


# Contexts


async def test_what_a_coroutine_sets_stays_within_it() -> None:
    async def inside() -> str:
        variable.set("inside")
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            assert variable.get() == "inside"
        return "returned"

    assert await in_own_context(inside()) == "returned"
    assert variable.get() == "outside"


async def test_errors_and_cancellations_pass_in_and_out() -> None:
    async def fails() -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError

    async def cleans_up() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append(variable.get())

    cleaned: list[str] = []
    with pytest.raises(LookupError):
        await in_own_context(fails())
    with anyio.move_on_after(0.01) as scope:
        await in_own_context(cleans_up())
    assert scope.cancelled_caught
    assert cleaned == ["outside"]


async def test_one_that_is_never_resumed_is_closed_in_its_context() -> None:
    async def waits() -> None:
        variable.set("inside")
        try:
            await anyio.sleep_forever()
        finally:
            closed.append(variable.get())

    closed: list[str] = []
    driven: Any = in_own_context(waits())
    copy_context().run(driven.send, None) if sniffio.current_async_library() == "trio" else driven.send(None)
    driven.close()
    assert closed == ["inside"]


# Leaving tasks behind


async def swallows() -> None:
    while True:
        try:
            await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001, S112 - what this is about
            continue


async def swallows_in_a_scope() -> None:
    while True:
        try:
            with anyio.move_on_after(60):
                await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001, S112 - what this is about
            continue


@pytest.mark.parametrize("deaf", [swallows, swallows_in_a_scope])
async def test_a_task_that_is_left_is_run_no_further(deaf: Callable[[], Any]) -> None:
    task = LeavableTask("deaf")
    task.start(deaf)
    await anyio.lowlevel.checkpoint()
    task.cancel()
    await anyio.lowlevel.checkpoint()
    assert not task.ended.is_set()

    task.leave()

    assert task.ended.is_set()
    await until(lambda: task.is_gone)


async def test_a_task_with_open_groups_is_left_without_harm() -> None:
    """trio's tree of tasks would break if such a task ended: it stands still instead, and asyncio's ends."""
    release = anyio.Event()

    async def in_a_group() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(release.wait)
            await swallows_until(release)

    async def swallows_until(released: anyio.Event) -> None:
        while not released.is_set():
            try:
                await anyio.sleep(0.001)
            except BaseException:  # noqa: BLE001, S112 - what this is about
                continue

    task = LeavableTask("in a group")
    task.start(in_a_group)
    await anyio.lowlevel.checkpoint()
    if sniffio.current_async_library() == "asyncio":
        task.leave()
        await until(lambda: task.is_gone)
    release.set()
    await task.ended.wait()


async def test_what_a_task_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise LookupError("nobody waits for this one")

    task = LeavableTask("failing")
    task.start(fails)
    await task.ended.wait()
    assert "nobody waits for this one" in caplog.text


# What others wait for


async def test_what_runs_to_its_end_does_so_whoever_is_cancelled() -> None:
    release, done = anyio.Event(), anyio.Event()

    async def work() -> None:
        await release.wait()
        done.set()

    with anyio.move_on_after(0.01):
        async with anyio.create_task_group() as group:
            group.start_soon(run_to_end, work)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
            release.set()
    await done.wait()


# Whose exception it is


async def test_only_a_signal_makes_a_ctrl_c() -> None:
    def raised_by(make: Callable[[], None]) -> BaseException:
        with pytest.raises(BaseException) as caught:
            make()
        return caught.value

    def by_code() -> None:
        raise KeyboardInterrupt

    def in_a_group() -> None:
        raise BaseExceptionGroup("some", [KeyboardInterrupt(), ValueError()])

    assert not is_ctrl_c(raised_by(by_code))
    assert not is_ctrl_c(raised_by(in_a_group))
    assert not is_ctrl_c(KeyboardInterrupt())
    await reraise_if_ending(raised_by(by_code))


def test_a_signal_makes_a_ctrl_c() -> None:
    found: list[bool] = []

    async def main() -> None:
        for _ in range(2):  # asyncio cancels its main task at the first one
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.sleep(5)
            except BaseException as error:  # noqa: BLE001 - any
                found.append(is_ctrl_c(error))

    for backend in ("asyncio", "trio"):
        with suppress(KeyboardInterrupt):
            anyio.run(main, backend=backend)
        assert found[-1]
        found.clear()
