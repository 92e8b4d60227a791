"""Repositories and stores of which a test takes some calls to itself, and passes on the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from inspect import iscoroutinefunction
from typing import Any, Generic, TypeVar, cast

from attrs import fields

from jobmaster.contracts import AgentRepository, MasterRepository, Repository

R = TypeVar("R", bound=Repository)
S = TypeVar("S")

Act = Callable[[], Awaitable[Any]]
Around = Callable[[str, Act], Awaitable[Any]]

STORES = {
    field.name
    for kind in (MasterRepository, AgentRepository)
    for field in fields(kind)
    if field.name != "name"
}
"""The names of the stores of masters and agents."""


class Passing(Generic[S]):
    """Passes all calls on to a store (or a repository), except for those that a subclass defines."""

    def __init__(self, inner: S) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def with_stores(repository: R, **stores: object) -> R:
    """Return a repository like the given one, with other stores in place of those of these names.

    Both use the same connections; a store in memory is the same one.
    """
    if unknown := stores.keys() - STORES:
        raise ValueError(f"no repository has stores of these names: {sorted(unknown)}")
    found = copy(repository)
    for name, store in stores.items():
        setattr(found, name, store)
    return found


class Intercepted:
    """A repository, each call of which goes through a function; so do those of its stores.

    The function gets the name of the call ("outcomes.report" for a store's, "now" for the repository's own) and what
    makes the call. It is not asked about `close` and what is no coroutine.
    """

    def __init__(self, inner: Any, around: Around, prefix: str = "") -> None:
        self._inner, self._around, self._prefix = inner, around, prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not self._prefix and name in STORES:
            return Intercepted(found, self._around, f"{name}.")
        if not iscoroutinefunction(found) or self._prefix + name == "close":
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._around(self._prefix + name, lambda: found(*args, **kwargs))

        return call


def intercepted(repository: R, around: Around) -> R:
    """Return a repository whose calls go through `around`, as with `Intercepted`."""
    return cast("R", Intercepted(repository, around))


__all__ = ["Intercepted", "Passing", "intercepted", "with_stores"]
