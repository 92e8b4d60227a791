"""Every verb refuses where it cannot work: in another event loop, in a forked child, and after the end."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
import pytest

from jobmaster import Cluster, JobDefinition, NotRunningError, Runtime, SyncScheduler
from jobmaster.cluster import find_runtime

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

NOTE = JobDefinition("Note")
VALUES: dict[str, Any] = {
    "handler": NOTE,
    "at": datetime(2100, 1, 1, tzinfo=UTC),
    "after": 60,
    "requests": [NOTE.request()],
    "job_id": UUID(int=1),
    "job_ids": [UUID(int=1)],
    "schedule_id": UUID(int=1),
    "expression": "every hour",
    "subject": "job",
    "subject_id": "1",
    "mode": "passive",
    "lane": "default",
    "name": "w1",
}
"""A value for each argument that some verb needs: a new verb may want another one here."""


def verbs(thing: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the public coroutine methods and asynchronous generators of an object, each ready to be called."""
    for name, function in inspect.getmembers(type(thing), inspect.isroutine):
        is_verb = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if not name.startswith("_") and is_verb:
            yield f"{type(thing).__name__}.{name}", partial(_called, getattr(thing, name))


def _called(method: Callable[..., Any]) -> Any:
    needed = [p for p in inspect.signature(method).parameters.values() if p.default is p.empty]
    given = [p for p in needed if p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}]
    return method(*(VALUES[parameter.name] for parameter in given))


def all_verbs(runtime: Runtime) -> list[tuple[str, Callable[[], Any]]]:
    things = (runtime, runtime.scheduler, runtime.jobs, runtime.schedules)
    return [verb for thing in things for verb in verbs(thing)]


async def refusals(runtime: Runtime) -> dict[str, str]:
    """Call every verb; return what each said, or what it did instead of refusing."""
    return {name: await _refusal(call) for name, call in all_verbs(runtime)}


async def _refusal(call: Callable[[], Any]) -> str:
    try:
        with anyio.fail_after(5):
            made = call()
            if isinstance(made, AsyncIterator):
                return repr([one async for one in made])
            return repr(await made)
    except NotRunningError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001 - that is what is asked for
        return f"raised {error!r}"


@pytest.fixture
async def runtime(producer: Build) -> AsyncIterator[Runtime]:
    async with producer().running(workers=False) as runtime:
        yield runtime


async def test_all_verbs_are_seen(runtime: Runtime) -> None:
    names = {name for name, _ in all_verbs(runtime)}
    assert {"Scheduler.once_now", "Jobs.all", "Schedules.upcoming", "Runtime.move"} <= names
    assert len(names) > 35


async def test_no_verb_works_after_the_end(producer: Build) -> None:
    async with producer().running() as runtime:
        pass
    said = await refusals(runtime)
    assert {name: text for name, text in said.items() if "is not running any more" not in text} == {}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_no_verb_works_in_another_loop(runtime: Runtime, backend: str) -> None:
    said = await anyio.to_thread.run_sync(lambda: anyio.run(refusals, runtime, backend=backend))
    assert {name: text for name, text in said.items() if "runs in another event loop" not in text} == {}
    assert await runtime.jobs.count() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_no_verb_works_in_a_forked_child(runtime: Runtime) -> None:
    def fork() -> bytes:
        reading, writing = os.pipe()
        if os.fork() == 0:
            said = asyncio.run(refusals(runtime))
            wrong = {name: text for name, text in said.items() if "runs in the parent process" not in text}
            os.write(writing, repr(wrong).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            return answer.read()

    assert await anyio.to_thread.run_sync(fork) == b"{}"
    assert await runtime.jobs.count() == 0


async def test_a_runtime_is_found_in_its_loop_only(runtime: Runtime, producer: Build) -> None:
    async def look() -> str:
        try:
            found = find_runtime(runtime.id)
        except NotRunningError as error:
            return str(error)
        return repr(found)

    async def look_beside_another() -> bool:
        async with producer().running(workers=False) as other:
            return find_runtime(other.id) is other

    assert find_runtime(runtime.id) is runtime
    assert "runs in another event loop" in await anyio.to_thread.run_sync(lambda: anyio.run(look))
    assert await anyio.to_thread.run_sync(lambda: anyio.run(look_beside_another))
    assert find_runtime(runtime.id) is runtime
    assert await anyio.to_thread.run_sync(find_runtime, runtime.id) is runtime, "a plain handler looks for it"


def test_a_scheduler_without_a_loop_refuses_with_every_verb(producer: Build) -> None:
    made = producer().sync_scheduler()
    with made:
        pass
    names = [name for name, _ in inspect.getmembers(SyncScheduler, inspect.isfunction) if name[0] != "_"]
    assert len(names) > 12
    for name in names:
        with pytest.raises(NotRunningError, match="as a context manager"):
            _called(getattr(made, name))
