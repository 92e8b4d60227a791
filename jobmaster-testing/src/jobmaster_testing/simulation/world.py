"""A whole simulation: processes over shared stores, the events, and the end, when all is calm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import anyio
import anyio.abc

from jobmaster.cluster import Cluster, Runtime
from jobmaster.context import JobContext
from jobmaster.memory.mailbox import Mailbox, mailboxes
from jobmaster.memory.rows import Tables, named_tables
from jobmaster.models import JobReceipt
from jobmaster.states import Priority, WorkerMode
from jobmaster_testing.clock import VirtualClock
from jobmaster_testing.simulation.handlers import handlers_of
from jobmaster_testing.simulation.idlewatch import IdleWatch
from jobmaster_testing.simulation.ledger import Asked, Ledger, Run
from jobmaster_testing.simulation.processes import Process
from jobmaster_testing.simulation.producers import Producer
from jobmaster_testing.simulation.scenario import PARALLELISM, PRIORITIES, ProcessSpec, Scenario
from jobmaster_testing.simulation.stores import SCHEME, SimulatedStores
from jobmaster_testing.simulation.trace import Trace
from jobmaster_testing.simulation.watch import Watch
from jobmaster_testing.simulation.weather import Weather

CLUSTER = "Simulated"

_worlds = count(1)


class World:
    """All parts of one simulation. `opened` provides its stores."""

    def __init__(self, scenario: Scenario, clock: VirtualClock) -> None:
        self.scenario = scenario
        self.clock = clock
        self.chance = Random(scenario.seed)
        self.trace = Trace(clock)
        self.ledger = Ledger()
        self.weather = Weather(scenario.faults, Random(scenario.seed + 1), clock)
        self.watch = Watch(self)
        self.idle = IdleWatch(self)
        self.processes: list[Process] = []
        """Every process that ever existed."""
        self.deaths: list[Process] = []
        """Processes that died and have not been handled yet."""
        self.died = anyio.Event()
        self.master_name = f"simulation-{next(_worlds)}"
        self.rows = Tables()
        self.boxes: dict[str, Mailbox] = {}
        self.is_calm = False
        """Whether there are no more requests."""
        self.schedules_left = scenario.schedules
        self._busy: list[Process] = []
        self._numbers = count(1)
        self._names: dict[str, int] = {}
        self._late: list[tuple[float, Callable[[], Awaitable[Any]], str]] = []
        self._late_ones = anyio.Event()
        self._on_their_way = 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Within the block, the world's stores exist."""
        self.rows = named_tables[self.master_name] = Tables()
        for agent in self.scenario.agents:
            self.boxes[agent] = mailboxes[self.agent_store(agent)] = Mailbox(fingerprint=agent)
        try:
            yield
        finally:
            del named_tables[self.master_name]
            for agent in self.scenario.agents:
                del mailboxes[self.agent_store(agent)]

    def agent_store(self, name: str) -> str:
        """Return the name of an agent's store."""
        return f"{self.master_name}-{name}"

    @property
    def heartbeat(self) -> float:
        """The seconds between two heartbeats."""
        return float(self.scenario.settings["heartbeat"])

    # Processes

    def start(self, group: anyio.abc.TaskGroup, spec: ProcessSpec, *, calls: bool = True) -> Process:
        """Start a process; `calls` is whether it schedules according to its specification."""
        number = self._names[spec.name] = self._names.get(spec.name, 0) + 1
        process = Process(f"{spec.name}.{number}", spec, self.clock)
        self.processes.append(process)
        self.trace.add(process.name, "starts", *map(str, spec.modes))
        group.start_soon(process.run, self.cluster, self._produce if calls else _nothing)
        return process

    def cluster(self, process: Process) -> Cluster:
        """Return the cluster as configured in a process."""
        scenario = self.scenario
        cluster = Cluster(CLUSTER, f"{SCHEME}://master", clock=self.clock).configure(**scenario.settings)
        cluster.use(SimulatedStores(self, process)).add_handlers(*handlers_of(self, process))
        for agent in scenario.agents:
            cluster.add_agent(agent, f"{SCHEME}://{agent}")
        for number, mode in enumerate(process.spec.modes, 1):
            cluster.add_worker(**self._worker(process, number, mode))
        return cluster

    def _worker(self, process: Process, number: int, mode: WorkerMode) -> dict[str, Any]:
        place = {"agent": process.spec.agent} if process.spec.agent else {}
        buckets = {priority: 0 for priority in Priority if priority not in PRIORITIES}
        small = {"parallelism": PARALLELISM, "batch_size": 8, "buckets": buckets, "lane": process.spec.lane}
        return {"name": f"{process.name}-{number}", "mode": mode, **place, **small}

    async def _produce(self, process: Process, runtime: Runtime) -> None:
        producer = Producer(self, process, runtime, Random(f"{self.scenario.seed} {process.name}"))
        async with anyio.create_task_group() as group:
            group.start_soon(producer.run, process.spec.calls)
            for load in process.spec.loads if process.is_first else ():
                group.start_soon(producer.bear, load)

    def kill(self, process: Process, why: str) -> None:
        """Let a process die, now."""
        if process.stands or process.still:
            self.trace.add(process.name, "KILLED", why)
            process.kill()
            self.idle.died(process)
            self.deaths.append(process)
            self.died.set()

    @contextmanager
    def busy(self, process: Process) -> Iterator[None]:
        """Within the block, a process makes a request."""
        self._busy.append(process)
        try:
            yield
        finally:
            self._busy.remove(process)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way: no living caller waits for an answer, and no call is late."""
        return not self._on_their_way and all(process.killed for process in self._busy)

    # Late calls

    def later(self, seconds: float, act: Callable[[], Awaitable[Any]], what: str) -> None:
        """Let a call that its caller has given up happen later."""
        self._late.append((seconds, act, what))
        self._on_their_way += 1
        self._late_ones.set()

    async def serve_late_calls(self) -> None:
        """Let late calls happen, whatever has happened to their callers."""
        async with anyio.create_task_group() as group:
            while True:
                await self._late_ones.wait()
                self._late_ones = anyio.Event()
                late, self._late = self._late, []
                for call in late:
                    group.start_soon(self._happen, *call)

    async def _happen(self, seconds: float, act: Callable[[], Awaitable[Any]], what: str) -> None:
        await anyio.sleep(seconds)
        self.trace.add("late", what)
        try:
            await act()
        except Exception as error:  # noqa: BLE001 - there is no caller to tell
            self.trace.add("late", what, type(error).__name__)
        finally:
            self._on_their_way -= 1

    # Reports of handlers and producers

    def next_number(self) -> int:
        """Return a number for a job."""
        return next(self._numbers)

    def accepted(self, process: Process, asked: Asked, receipt: JobReceipt) -> None:
        """Record a receipt."""
        self.trace.add(process.name, "accepted", asked.number, receipt.job_id, receipt.accepted_by)
        self.ledger.receipt(asked, receipt.job_id, created=receipt.created)
        self.watch.accepted(asked, receipt.job_id)

    def started(self, process: Process, job: JobContext) -> Run:
        """Record that a handler begins."""
        place = job.lane, job.priority
        run = Run(job.id, job.attempt, process, self.clock.now(), job.worker, place)
        self.trace.add(process.name, "starts job", job.id, job.attempt, job.data["kind"])
        self.watch.started(run)
        self.watch.due(run, self.ledger.asked.get(job.data["n"]))
        self.idle.started(run)
        return self.ledger.begin(run)

    def ended(self, run: Run, how: str) -> None:
        """Record that a handler ends."""
        if not run.process.killed:
            run.ended, run.ended_at = how, self.clock.now()
            self.idle.ended(run)
            self.trace.add(run.process.name, "ends job", run.job_id, run.attempt, how)

    # Looking into the stores

    def has_letter(self, bucket_id: UUID, job_id: UUID, attempt: int) -> bool:
        """Return whether some agent holds a message."""
        return any((bucket_id, job_id, attempt) in box.letters for box in self.boxes.values())

    def is_at_an_agent(self, job_id: UUID) -> bool:
        """Return whether some agent holds a message of a job."""
        return any(key[1] == job_id for box in self.boxes.values() for key in box.letters)

    def is_waited_for(self) -> bool:
        """Return whether some agent holds a message, even one that is only to be swept up."""
        return any(box.letters for box in self.boxes.values())


async def _nothing(_process: Process, _runtime: Runtime) -> None:
    """Schedule nothing."""
