"""A distributed cluster in reach of faults: its processes, its servers, and the lines between them."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread
from attrs import define, field, frozen

from jobmaster import Runtime
from jobmaster_testing.servers import Wire
from tests.e2e.config import Config
from tests.e2e.faults import Fault, Kind, Whom
from tests.e2e.processes import Process, registered
from tests.e2e.scenario import Scenario
from tests.e2e.stores import NewDatabase, OwnPostgres, wired

SETTINGS = {"lease": 2.0, "heartbeat": 0.4, "store_timeout": 2.0, "fallback_patience": 2.0}
WORKERS = 4


@frozen
class Servers:
    """The servers that can be restarted, and databases on one that cannot."""

    master: OwnPostgres
    agent: OwnPostgres
    new_database: NewDatabase


def make_scenario(servers: Servers, folder: Path) -> Scenario:
    """Return a cluster whose master and first agent are on servers of our own, with two more agents elsewhere."""
    agents = {
        "Postgres-1": servers.agent.new_database(),
        "Postgres-2": servers.new_database(),
        "Sqlite-3": f"sqlite:///{folder}/agent-3.db",
    }
    return Scenario(servers.master.new_database(), folder, f"Chaos-{uuid4().hex[:8]}", SETTINGS, agents)


@define
class Member:
    """A process of the cluster, with lines of its own to the master and to its agent."""

    process: Process
    lines: Mapping[str, Wire]


@define
class World:
    """The processes of a cluster, in reach of faults. Each is started anew when it is killed."""

    scenario: Scenario
    servers: Servers
    members: dict[Whom, list[Member]] = field(factory=lambda: {"workers": [], "coordinators": []})
    killed: list[Process] = field(factory=list)
    _one_at_a_time: anyio.Lock = field(factory=anyio.Lock, init=False)

    def start(self) -> Iterator[Process]:
        """Start a coordinator, and workers on all agents, some of which coordinate as well."""
        agents = list(self.scenario.agents)
        yield self._start("coordinators", "Coordinator", "", "coordinator", "trio")
        for n in range(WORKERS):
            mode, backend = ("execution", "full")[n % 2], ("asyncio", "trio")[n // 2 % 2]
            yield self._start("workers", f"W-{n + 1}", agents[n % len(agents)], mode, backend)

    def _start(self, whom: Whom, name: str, agent: str, mode: str, backend: str) -> Process:
        config, lines = with_lines(self.scenario.config)
        process = self.scenario.fleet.start(
            worker=name,
            serves=(agent,) if agent else (),
            mode=mode,
            backend=backend,
            url=config.url,
            agents=config.agents,
        )
        own = {"master": lines["master"], **({"agent": lines[agent]} if agent in lines else {})}
        self.members[whom].append(Member(process, own))
        return process

    def close(self) -> None:
        """Take down all lines."""
        for line in [line for group in self.members.values() for one in group for line in one.lines.values()]:
            line.cut()

    # Faults

    async def inflict(self, fault: Fault) -> None:
        """Let a fault happen, and be over."""
        kinds: Mapping[Kind, Callable[[Fault], Awaitable[None]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "restart": self._restart,
            "hang": self._hang,
            "cut": self._cut,
            "stall": self._stall,
        }
        await kinds[fault.kind](fault)

    async def _kill(self, fault: Fault) -> None:
        member = self._member(fault)
        member.process.kill()
        self.killed.append(member.process)
        member.process = self.scenario.fleet.restart(member.process)

    async def _freeze(self, fault: Fault) -> None:
        process = self._member(fault).process
        process.freeze()
        await self._lasting(fault)
        process.thaw()

    async def _restart(self, fault: Fault) -> None:
        async with self._one_at_a_time:
            await anyio.to_thread.run_sync(self._server(fault).restart, fault.mode)

    async def _hang(self, fault: Fault) -> None:
        async with self._one_at_a_time:
            self._server(fault).signal(signal.SIGSTOP)
            try:
                await self._lasting(fault)
            finally:
                self._server(fault).signal(signal.SIGCONT)

    def _server(self, fault: Fault) -> OwnPostgres:
        return self.servers.master if fault.store == "master" else self.servers.agent

    async def _cut(self, fault: Fault) -> None:
        line = self._member(fault).lines[fault.store]
        line.cut()
        await self._lasting(fault)
        line.connect()

    async def _stall(self, fault: Fault) -> None:
        line = self._member(fault).lines[fault.store]
        line.fall_silent(to_server=fault.direction != "to_client", to_client=fault.direction != "to_server")
        await self._lasting(fault)
        line.connect()

    def _member(self, fault: Fault) -> Member:
        able = [m for m in self.members[fault.whom] if not fault.store or fault.store in m.lines]
        return able[fault.number % len(able)]

    async def _lasting(self, fault: Fault) -> None:
        await anyio.sleep(fault.leases * self.scenario.lease)


def with_lines(config: Config) -> tuple[Config, dict[str, Wire]]:
    """Return a configuration that reaches its PostgreSQL databases through lines of its own, and these by store."""
    urls, lines = {"master": config.url, **config.agents}, {}
    for store, url in urls.items():
        if url.startswith("postgresql"):
            lines[store], urls[store] = wired(url)
    return config.but(url=urls.pop("master"), agents=urls), lines


@asynccontextmanager
async def at_work(scenario: Scenario, servers: Servers) -> AsyncIterator[tuple[World, Runtime]]:
    """Within the block the cluster is there, with all its processes."""
    world = World(scenario, servers)
    async with scenario.watching() as runtime:
        with _closing(world):
            await registered(runtime, *list(world.start()))
            yield world, runtime


@contextmanager
def _closing(world: World) -> Iterator[None]:
    try:
        yield
    finally:
        world.close()
