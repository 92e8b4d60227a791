"""The master and agents as one process sees them: every call may fail before or after it happens, be late, or be the last.

Calls are named with their store, as in `jobs.insert`; the repository's own, such as `now`, have plain names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
from attrs import evolve

from jobmaster.contracts import AgentRepository, Capabilities, MasterRepository, NotificationChannel
from jobmaster.errors import StoreUnavailableError, StoreUnreachableError
from jobmaster.hookspecs import JobObserver, hookimpl
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster.models import JobReceipt, NewJob, Report
from jobmaster_testing.simulation.processes import Process
from jobmaster_testing.wrapping import STORES

if TYPE_CHECKING:
    from jobmaster_testing.simulation.world import World

SCHEME = "simulated"
PLAIN = frozenset({"open", "schema.migrate", "schema.pending", "now", "fingerprint"})
"""Calls that may fail, but are neither late nor deadly."""


class Line:
    """The line from one process to the master or an agent (`store`), with the faults of the weather."""

    def __init__(self, world: World, process: Process, store: str) -> None:
        self._world = world
        self._process = process
        self._store = store

    @property
    def notifies(self) -> bool:
        """Whether the scenario has notifications."""
        return self._world.scenario.notifications

    def calls(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a method as it is called over this line."""

        async def call(*args: Any, **kwargs: Any) -> Any:
            await anyio.lowlevel.checkpoint()  # a caller that is cancelled by now has sent nothing
            with anyio.CancelScope(shield=True):  # from here on the call is one unit, as with every provider
                return await self.unit(name, lambda: method(*args, **kwargs), args)

        return call

    async def listen(
        self,
        channel: NotificationChannel,
        topics: Container[str],
        on_notification: Callable[[str], None],
        on_ready: Callable[[], None],
    ) -> None:
        """Listen until the connection breaks; a notification may get lost."""
        self._check_line()
        weather = self._world.weather

        def hear(topic: str) -> None:
            if not self._process.killed and not weather.strikes(weather.faults.lost_notifications):
                on_notification(topic)

        with weather.connected(self._process, self._store) as cut:
            async with anyio.create_task_group() as group:
                group.start_soon(channel.listen, topics, hear, on_ready)
                await cut.wait()
                group.cancel_scope.cancel()
        raise StoreUnavailableError("the connection was cut")

    async def unit(self, name: str, act: Callable[[], Awaitable[Any]], args: Sequence[Any]) -> Any:
        """Make a call, which is one unit of work; return its answer, or raise its error, if that arrives."""
        world, process, weather = self._world, self._process, self._world.weather
        await process.gate()
        self._check_line()
        fate = weather.fate(plain=name in PLAIN)
        world.trace.add(process.name, f"{self._store}.{name}", *args[:2], fate if fate != "fine" else "")
        await self._travel(weather.delay(fate))
        if fate == "late":
            world.later(weather.lateness(), act, f"{process.name} {self._store}.{name}")
        if fate in ("late", "unsent"):
            raise StoreUnavailableError("the connection broke before the answer")
        await self._die_of(fate, "deadly before")
        self._check_line()
        answer, error = await self._acted(name, act, args)
        world.trace.add(process.name, f"{self._store}.{name} =", error or answer)
        await self._die_of(fate, "deadly after")
        await self._travel(weather.delay("fine"))
        if fate == "unanswered" or weather.is_out(process, self._store):
            raise StoreUnavailableError("the connection broke before the answer")
        if error is not None:
            raise error
        return answer

    async def _acted(
        self, name: str, act: Callable[[], Awaitable[Any]], args: Sequence[Any]
    ) -> tuple[Any, Exception | None]:
        self._world.watch.before(self._process, name, args)
        try:
            answer = await act()
        except Exception as error:  # noqa: BLE001 - raised again, if its message arrives
            return None, error
        self._world.watch.after(self._process, self._store, name, args, answer)
        self._world.idle.after(self._process, name, args, answer)
        return answer, None

    def _check_line(self) -> None:
        if self._process.killed or self._world.weather.is_out(self._process, self._store):
            raise StoreUnreachableError(f"{self._store} cannot be reached")
        if self._world.weather.strikes(self._world.weather.faults.unreachable):
            raise StoreUnreachableError(f"no connection to {self._store} was available")

    async def _travel(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        await self._process.gate()

    async def _die_of(self, fate: str, cause: str) -> None:
        if fate == cause:
            self._world.kill(self._process, cause)
            await self._process.gate()


class Connection:
    """Passes the calls of one process to a repository, over its line."""

    def __init__(self, line: Line, inner: Any) -> None:
        self._line = line
        self._inner = inner
        self.notifications = ChannelConnection(line, "notifications", inner.notifications)

    @property
    def name(self) -> str:
        """The agent's name."""
        return str(self._inner.name)

    @property
    def capabilities(self) -> Capabilities:
        """The store's own, except for notifications where the scenario has none."""
        own: Capabilities = self._inner.capabilities
        return evolve(own, notifications=own.notifications and self._line.notifies)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name in STORES:
            store = StoreConnection(self._line, name, attribute)
            setattr(self, name, store)  # it stays the same object: this method is not asked again
            return store
        return self._line.calls(name, attribute) if iscoroutinefunction(attribute) else attribute

    async def close(self) -> None:
        """Close the connection, which cannot fail."""
        await anyio.lowlevel.checkpoint()


class StoreConnection:
    """Passes the calls of one process to a store of a repository (`part`), over its line."""

    def __init__(self, line: Line, part: str, inner: Any) -> None:
        self._line, self._part, self._inner = line, part, inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._line.calls(f"{self._part}.{name}", method) if iscoroutinefunction(method) else method


class ChannelConnection(StoreConnection):
    """Passes notifications to one process, over its line."""

    async def listen(
        self, topics: Container[str], on_notification: Callable[[str], None], on_ready: Callable[[], None]
    ) -> None:
        """Listen until the connection breaks; a notification may get lost."""
        await self._line.listen(self._inner, topics, on_notification, on_ready)


class SimulatedStores:
    """A plug-in that serves `simulated://` URLs to one process, and watches its jobs."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        """Serve `simulated://`."""
        return {SCHEME: "for simulations"}

    @hookimpl
    def jobmaster_master(self, url: str) -> MasterRepository | None:
        """Return the master behind this process's connection."""
        if not url.startswith(f"{SCHEME}://"):
            return None
        inner = MemoryMaster(self._world.master_name, self._world.clock)
        return cast("MasterRepository", Connection(Line(self._world, self._process, "master"), inner))

    @hookimpl
    def jobmaster_agent(self, name: str, url: str) -> AgentRepository | None:
        """Return an agent behind this process's connection."""
        if not url.startswith(f"{SCHEME}://"):
            return None
        inner = MemoryAgent(name, self._world.agent_store(name), self._world.clock)
        return cast("AgentRepository", Connection(Line(self._world, self._process, name), inner))

    @hookimpl
    def jobmaster_observer(self) -> JobObserver:
        """Observe this process's reports."""
        return _Observer(self._world, self._process)


class _Observer:
    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    def on_scheduled(self, new: NewJob, receipt: JobReceipt) -> None:
        """Do nothing: the producer has the receipt."""

    def on_started(self, job: Any) -> None:
        """Do nothing: the handler reports it."""

    def on_reported(self, report: Report, stale: bool) -> None:
        """Record stale reports."""
        if stale:
            self._world.ledger.stale.add((report.job_id, report.attempt))
            self._world.trace.add(self._process.name, "stale", report)
