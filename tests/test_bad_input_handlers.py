"""What a user sees when a handler is wrong: an error when it is declared, with its remedy."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from jobmaster import (
    Cluster,
    ConfigurationError,
    DuplicateDefinitionError,
    JobContext,
    JobDefinition,
    JobHandler,
    UnknownHandlerError,
    handler,
)
from tests.refusals import refused, run


@handler("Thumbnail")
async def thumbnail(_: JobContext) -> None: ...


def undecorated(_: JobContext) -> None: ...


def made_by(*arguments: Any, **settings: Any) -> Callable[[], object]:
    return lambda: handler(*arguments, **settings)(undecorated)


def defined_by(**settings: Any) -> Callable[[], object]:
    return lambda: JobDefinition("X", **settings)


class Plain:
    pass


class CallableObject:
    def __call__(self, _: JobContext) -> None: ...


class WithoutHandle(JobHandler):
    pass


def no_context() -> None: ...


def keyword_context(*, job: JobContext) -> None: ...


def positional(_: JobContext, url: str, /) -> None: ...


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (made_by("X", timeuot=3), "handler 'X': there is no setting 'timeuot'; did you mean 'timeout'?"),
        (made_by("a b"), "definition id: 'a b' is not a valid name; use letters, digits and single"),
        (made_by("X", timeout=0), "definition 'X': timeout: 0 is out of range; give positive seconds, a"),
        (made_by("X", timeout=math.nan), "timeout: nan is not a duration"),
        (made_by("X", max_retries=-1), "definition 'X': max_retries: -1 is out of range; it must be a whole"),
        (made_by("X", priority="hihg"), "definition 'X': priority: 'hihg' is not a Priority; use"),
        (made_by("X", lane="a b"), "definition 'X': lane: 'a b' is not a valid name"),
        (made_by("X", metadata={"a": [1]}), "definition 'X': metadata 'a' is list: metadata cannot nest;"),
        (
            made_by("X", metadata=[1]),
            "definition 'X': metadata: [1] is not a mapping of names to values; write",
        ),
        (
            made_by("X", retry="x"),
            "retry: 'x' is not a backoff; give seconds, a timedelta, or an object with delay(retry, random)",
        ),
        (made_by("X", retry=-1), "retry: -1 is not a backoff; give seconds, a timedelta, or an object with"),
        (lambda: handler(undecorated), 'write @handler("SomeId"), with the definition id in parentheses'),  # type: ignore[arg-type]
        (lambda: handler("X")(no_context), "handler 'X': it must take the JobContext as its first parameter"),  # type: ignore[arg-type]
        (lambda: handler("X")(keyword_context), "handler 'X': it must take the JobContext as its first"),  # type: ignore[arg-type]
        (lambda: handler("X")(positional), "handler 'X': parameter 'url' must not be positional-only"),
        (lambda: handler("X")(Plain), "handler 'X': class Plain must derive from JobHandler"),  # type: ignore[type-var]
        (lambda: handler("X")(WithoutHandle), "handler 'X': class WithoutHandle must define handle(self,"),
        (lambda: handler("X")(5), "handler 'X': 5 is neither a function nor a class"),  # type: ignore[call-overload]
        (lambda: handler("X")(functools.partial(undecorated)), "is not a function; decorate a function that"),
        (lambda: handler("X")(CallableObject()), "CallableObject object at 0x"),
        (defined_by(timeot=5), "definition 'X': there is no setting 'timeot'; did you mean 'timeout'?"),
        (defined_by(settings={}), "definition 'X': there is no setting 'settings' (available: lane, max_"),
        (lambda: JobDefinition("X", priority=3), "definition 'X': priority: 3 is not a Priority; use"),  # type: ignore[arg-type]
    ],
)
def test_handlers_that_cannot_be_served(make: Callable[[], object], message: str) -> None:
    with refused(ConfigurationError, message):
        make()


@pytest.mark.anyio
async def test_two_handlers_with_one_definition_id() -> None:
    @handler("Thumbnail")
    async def other(_: JobContext) -> None: ...

    where = r"used by both \S*thumbnail \(\S+\) and \S*other \(\S+\); give one of them another id in @handler"
    with pytest.raises(DuplicateDefinitionError, match=where):
        await run(Cluster.standalone("Local-1", "memory://").add_handlers(thumbnail, other))


@pytest.mark.anyio
async def test_a_handler_list_with_something_else_in_it() -> None:
    with refused(UnknownHandlerError, "undecorated is not a handler; decorate it with @handler("):
        await run(Cluster.standalone("Local-1", "memory://").add_handlers(undecorated))  # type: ignore[arg-type]


def test_a_handler_with_a_yield_is_refused_rather_than_never_run() -> None:
    def generator(_: JobContext) -> Iterator[int]:
        yield 1

    async def async_generator(_: JobContext) -> AsyncIterator[int]:
        yield 1

    class Yields(JobHandler):
        async def handle(self, _: JobContext) -> AsyncIterator[int]:
            yield 1

    for target in (generator, async_generator, Yields):
        with refused(ConfigurationError, "'Gen'", "has a yield", "remove the yield"):
            handler("Gen")(target)
