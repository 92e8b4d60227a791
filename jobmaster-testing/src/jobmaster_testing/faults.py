"""Masters and agents that fail on demand: the connection breaks before a call or its answer, or is not available at all.

`Cluster.use(Faults(...))` serves `faulty+<url>` as `<url>`, for masters and agents alike.

Methods are named with their store, as in `jobs.insert`; the repository's own (`open`, `now`, `fingerprint`,
`durability_risks`) have plain names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import iscoroutinefunction
from typing import Any, Literal, cast

import anyio
from attrs import define, field, frozen

from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.errors import StoreUnavailableError, StoreUnreachableError
from jobmaster.hookspecs import hookimpl
from jobmaster.plugins import Plugins
from jobmaster_testing.wrapping import STORES

MASTER = "master"
"""The store name in calls of the master; calls of an agent have the agent's name instead."""

When = Literal["before", "after"]
Act = Callable[[], Awaitable[Any]]


@define
class Fault:
    """Fails `count` calls of one method, starting with call number `first`, before or after the store did its work.

    `method` is a name such as `outcomes.report` or `now`. `store` is the master, an agent by its name, or any (None).
    """

    method: str
    when: When = "before"
    first: int = 1
    count: int = 1
    store: str | None = None
    error: type[Exception] = StoreUnavailableError
    calls: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    def concerns(self, store: str, method: str) -> bool:
        """Return whether the fault is about this method of this store."""
        return method == self.method and self.store in (None, store)

    def strikes(self) -> bool:
        """Count a call; return whether it fails."""
        self.calls += 1
        strikes = self.first <= self.calls < self.first + self.count
        self.hits += strikes
        return strikes

    async def around(self, act: Act) -> Any:
        """Make a call, or interrupt it."""
        strikes = self.strikes()
        if strikes and self.when == "before":
            raise self.error("the connection broke before the call")
        result = await act()
        if strikes:
            raise self.error("the connection broke before the answer")
        return result


@frozen
class Call:
    """A call of a method, such as `jobs.insert`, that the master or an agent has answered."""

    store: str
    method: str
    args: tuple[Any, ...]


@define
class Gate:
    """A point where calls of one method wait until the gate is opened, before the store has done any work for them."""

    store: str
    method: str
    reached: anyio.Event = field(factory=anyio.Event, init=False)
    opened: anyio.Event = field(factory=anyio.Event, init=False)

    async def pass_through(self) -> None:
        """Report that a call has arrived, and wait."""
        self.reached.set()
        await self.opened.wait()


@define(eq=False)
class Faults:
    """The faults to inject, and the calls that were made.

    `away` names the stores that cannot be reached now. `calls` lists the answered calls, in that order.
    """

    faults: list[Fault] = field(factory=list)
    away: set[str] = field(factory=set, init=False)
    calls: list[Call] = field(factory=list, init=False)
    _gates: list[Gate] = field(factory=list, init=False)

    def add(self, *faults: Fault) -> None:
        """Add faults from now on."""
        self.faults += faults

    @contextmanager
    def held_up(self, store: str, method: str) -> Iterator[Gate]:
        """Within the block, let calls of a method wait at a gate; the gate is opened at its end."""
        gate = Gate(store, method)
        self._gates.append(gate)
        try:
            yield gate
        finally:
            self._gates.remove(gate)
            gate.opened.set()

    def made(self, store: str, *methods: str) -> list[str]:
        """Return the methods of the master or an agent that were called and answered, in that order.

        Only the given ones, such as `jobs.insert`, or all.
        """
        return [c.method for c in self.calls if c.store == store and (not methods or c.method in methods)]

    async def call(self, store: str, method: str, act: Act, args: tuple[Any, ...]) -> Any:
        """Call a store, applying all gates and faults for the call."""
        self._check_reached(store)
        for gate in [gate for gate in self._gates if (gate.store, gate.method) == (store, method)]:
            await gate.pass_through()
            self._check_reached(store)
        for fault in [fault for fault in self.faults if fault.concerns(store, method)]:
            act = _around(fault, act)
        answer = await act()
        self.calls.append(Call(store, method, args))
        return answer

    def _check_reached(self, store: str) -> None:
        if store in self.away:
            raise StoreUnreachableError(f"{store} cannot be reached")

    # Serving

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        """Serve the stores for tests."""
        return {"faulty+memory": "for tests", "faulty+sqlite": "for tests"}

    @hookimpl
    def jobmaster_master(self, url: str, options: Any) -> MasterRepository | None:
        """Return a master with these faults."""
        inner = _inner(url)
        return inner and cast("MasterRepository", FaultyStore(MASTER, Plugins().master(inner, options), self))

    @hookimpl
    def jobmaster_agent(self, name: str, url: str, options: Any) -> AgentRepository | None:
        """Return an agent with these faults."""
        inner = _inner(url)
        return inner and cast(
            "AgentRepository", FaultyStore(name, Plugins().agent(name, inner, options), self)
        )


class FaultyStore:
    """Passes every call to a real master or agent, or to one of its stores, and applies the faults for it.

    `prefix` is what the names of the methods begin with: `jobs.` for the store `jobs`, nothing for the master itself.
    """

    def __init__(self, store: str, inner: Any, faults: Faults, prefix: str = "") -> None:
        """Pass the calls for the master or agent `store` to `inner`."""
        self._store, self._inner, self._faults, self._prefix = store, inner, faults, prefix

    def __getattr__(self, name: str) -> Any:
        attribute, qualified = getattr(self._inner, name), self._prefix + name
        if qualified in STORES:
            faulty = FaultyStore(self._store, attribute, self._faults, f"{name}.")
            setattr(self, name, faulty)  # a store stays the same object: this method is not asked again
            return faulty
        if not iscoroutinefunction(attribute) or qualified == "close":
            return attribute

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._faults.call(self._store, qualified, lambda: attribute(*args, **kwargs), args)

        return call


def _around(fault: Fault, act: Act) -> Act:
    return lambda: fault.around(act)


def _inner(url: str) -> Any:
    before, faulty, inner = url.partition("faulty+")
    return None if before or not faulty else inner


__all__ = ["MASTER", "Call", "Fault", "Faults", "FaultyStore", "Gate"]
