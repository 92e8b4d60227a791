"""Real processes: started, killed, frozen, thawed, and never left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from jobmaster import Runtime, WorkerStatus
from jobmaster_testing.probes import until
from tests.e2e.config import Config

ROOT = Path(__file__).parents[2]
START_LIMIT = 30.0
"""Seconds a worker process may take until it is registered; a busy machine starts Python slowly."""


class Process:
    """One run of a module as a process of its own. Its output goes to a file."""

    def __init__(self, module: str, config: Config, log: Path) -> None:
        self.module = module
        self.config = config
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env=config.environment(),
                stdout=subprocess.DEVNULL,
                stderr=output,
            )
        self.pid = self._popen.pid
        self.ended_at: float | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs (a frozen one does)."""
        return self._popen.poll() is None

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; return the monotonic moment just before."""
        moment = time.monotonic()
        self._popen.send_signal(number)
        return moment

    def freeze(self) -> float:
        """Stop the process where it stands."""
        return self.signal(signal.SIGSTOP)

    def thaw(self) -> float:
        """Let a frozen process go on."""
        return self.signal(signal.SIGCONT)

    def terminate(self) -> float:
        """Ask the process to stop gracefully."""
        return self.signal(signal.SIGTERM)

    def kill(self) -> float:
        """Kill the process at once and wait until it is gone; return the moment of the signal."""
        moment = self.ended_at = self.signal(signal.SIGKILL)
        self._popen.wait(10)
        return moment

    async def wait(self, limit: float = 30.0) -> int:
        """Wait until the process has ended by itself; return its exit code."""
        with anyio.fail_after(limit + 1):
            return await anyio.to_thread.run_sync(self._popen.wait, limit)

    def tail(self, lines: int = 40) -> str:
        """Return the end of what the process logged."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


class Fleet:
    """The processes of a scenario. At its end all are killed; after a failure their logs are shown."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config = config
        self._folder = folder
        self.processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            if process.is_alive:
                process.kill()
        if kind is not None:
            for process in self.processes:
                print(f"--- {process.log.name} (pid {process.pid})\n{process.tail()}")  # noqa: T201

    def start(self, module: str = "tests.e2e.worker_app", /, **changes: object) -> Process:
        """Start a process with changes to the scenario's configuration."""
        return self._run(module, self.config.but(**changes))

    def _run(self, module: str, config: Config) -> Process:
        log = self._folder / f"{config.worker}-{len(self.processes)}.log"
        process = Process(module, config, log)
        self.processes.append(process)
        return process

    def start_workers(self, count: int, name: str = "W", **changes: object) -> list[Process]:
        """Start worker processes W-1, W-2, …, every second one under trio, each with a worker on one agent."""
        backends, agents = ("asyncio", "trio"), list(self.config.agents)
        told = [
            {"backend": backends[n % 2], "serves": (agents[n % len(agents)],) if agents else (), **changes}
            for n in range(count)
        ]
        return [self.start(worker=f"{name}-{n}", **each) for n, each in enumerate(told, 1)]

    def restart(self, process: Process) -> Process:
        """Start a process again, as a new one that is told the same."""
        return self._run(process.module, process.config)

    def alive(self) -> Iterator[Process]:
        """Iterate over the processes that run."""
        return (process for process in self.processes if process.is_alive)


def kill_all(processes: Sequence[Process]) -> float:
    """Kill processes, one right after another; return the moment of the first signal."""
    return min([process.kill() for process in processes])


async def registered(runtime: Runtime, *processes: Process) -> None:
    """Wait until each of these processes has a worker in the cluster that takes jobs."""

    async def all_there() -> bool:
        active = {w.pid for w in await runtime.list_workers() if w.status is WorkerStatus.ACTIVE}
        gone = [process.log.name for process in processes if not process.is_alive]
        assert not gone, f"ended before they were registered: {gone}"
        return {process.pid for process in processes} <= active

    await until(all_there, timeout=START_LIMIT, what="all workers to be registered")
