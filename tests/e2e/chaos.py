"""Chaos: a distributed cluster at work while its processes, servers and connections fail, by a plan."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread
from attrs import define, field, frozen

from jobmaster import JobRequest, Runtime, StoreUnavailableError
from jobmaster_testing.servers import Wire
from tests.e2e.audit import Audit, rescue_times
from tests.e2e.config import Config
from tests.e2e.faults import Fault, Kind, Whom, waves
from tests.e2e.processes import Process, registered
from tests.e2e.scenario import Scenario, eventually
from tests.e2e.stores import NewDatabase, OwnPostgres, wired
from tests.e2e.workload import calls, delayed_jobs, keyed_jobs, short_jobs, shuffled

SETTINGS = {"lease": 2.0, "heartbeat": 0.4, "store_timeout": 2.0, "fallback_patience": 2.0}
WORKERS = 4
BULK = 20
"""Jobs in one scheduling call."""
UNDER_WAY = 0.2
MOSTLY_DONE = 0.7
"""Shares of a step's jobs: started before its fault, and before the next step."""
LIMIT = 180.0
"""Seconds until chaos that makes no progress has failed."""


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


@define
class Producer:
    """Schedules jobs, each call until it is answered, and counts the jobs of those that were not."""

    scenario: Scenario
    runtime: Runtime
    unanswered: int = 0

    async def schedule(self, requests: Sequence[JobRequest]) -> None:
        """Schedule all requests."""
        for chunk in calls(requests, BULK):
            while not await self._try(chunk):
                self.unanswered += len(chunk)

    async def _try(self, chunk: Sequence[JobRequest]) -> bool:
        try:
            await self.scenario.schedule(self.runtime, chunk)
        except StoreUnavailableError:
            return False
        return True


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


async def run(scenario: Scenario, servers: Servers, seed: int, jobs: int, faults: Sequence[Fault]) -> str:
    """Let all faults happen, wave after wave, while jobs are scheduled and run; check all, and sum up."""
    planned = waves(seed, faults)
    async with at_work(scenario, servers) as (world, runtime):
        producer = Producer(scenario, runtime)
        for number, wave in enumerate(planned):
            share = jobs // len(planned) + (number < jobs % len(planned))
            await step(world, producer, wave, workload(seed * 1000 + number, share))
        await scenario.finished(runtime, LIMIT)
        audit = await scenario.audit(runtime, unacknowledged=True, poison=True)
    check_extra(audit, producer)
    rescues = [rescue_times(audit.entries, process.pid, process.ended_at or 0) for process in world.killed]
    recovered = [times[0] for times in rescues if times]
    return f"{len(faults)} faults, {producer.unanswered} jobs unanswered, {audit.summary(recovered)}"


def workload(seed: int, count: int) -> list[JobRequest]:
    """Return a mix: for now and for soon, with and without keys."""
    keyed, later = keyed_jobs(f"chaos-{seed}", count // 10), delayed_jobs(seed, count // 10, 0.5, 5.0)
    return shuffled(seed, short_jobs(seed, count - len(keyed) - len(later)), keyed, later)


async def step(
    world: World, producer: Producer, wave: Sequence[Fault], requests: Sequence[JobRequest]
) -> None:
    """Schedule a share of the jobs: half of them before a wave of faults, and half while it is on.

    The faults come when jobs are under way, and have to be got over.
    """
    print(f"  {len(requests)} jobs,", " and ".join(map(str, wave)), flush=True)  # noqa: T201
    before = len(world.scenario.ledger.starts())
    half = len(requests) // 2
    async with anyio.create_task_group() as group:
        group.start_soon(producer.schedule, requests[:half])
        await starts(world.scenario, before + int(len(requests) * UNDER_WAY))
        for fault in wave:
            group.start_soon(world.inflict, fault)
        group.start_soon(producer.schedule, requests[half:])
    await starts(world.scenario, before + int(len(requests) * MOSTLY_DONE))


async def starts(scenario: Scenario, count: int) -> None:
    """Wait until so many jobs have been started in all."""

    async def reached() -> bool:
        return len(scenario.ledger.starts()) >= count

    await eventually(reached, pause=0.02, what=f"{count} starts, after {len(scenario.ledger.starts())}")


def check_extra(audit: Audit, producer: Producer) -> None:
    """Assert that jobs without a receipt come from calls that were not answered."""
    extra = len(audit.tables.definitions) - len(set(audit.accepted))
    assert extra <= producer.unanswered, f"{extra} jobs without a receipt, {producer.unanswered} unanswered"
