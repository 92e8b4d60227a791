"""The common part of all systems' scripts: the command line, the JSON lines, clocks and counters.

Only the standard library is used here, because each script runs in its own environment. Moments are `time.monotonic()`,
which the processes of one Linux machine share.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from time import monotonic, monotonic_ns, process_time
from typing import Any, NoReturn

PAYLOAD_BYTES = 200
"""Size of every job's data, as compact JSON."""

_TEXT = "x" * PAYLOAD_BYTES
_ENVELOPE = len('{"sent":,"text":""}')
_BRIEFLY = 0.005
_NANOS_PER_MS = 1_000_000
_LATE = 1_000_000_000
"""Nanoseconds that a job waits only if its worker is gone (measure R)."""

COMMANDS = (
    "setup",
    "schedule",
    "work",
    "latency-worker",
    "latency-producer",
    "idle",
    "count",
    "nap-worker",
    "nap-producer",
)


@dataclass(frozen=True)
class About:
    """A system's description of itself, for the report."""

    packages: Sequence[str]
    """Packages whose versions are reported."""
    settings: Mapping[str, Any]
    """The system's settings that differ from its defaults."""
    history: str
    """What the system keeps of a finished job."""
    bulk: bool = True
    """Whether there is a call that schedules many jobs."""
    concurrent: bool = True
    """Whether several callers in one process are measured."""
    uvloop: bool = False
    """Whether it is run on uvloop."""
    leaves: bool = False
    """Whether a worker must leave in good order, so that the next one does not wait for what it held."""

    def reply(self) -> dict[str, Any]:
        """Return the reply to the harness once the system is set up."""
        versions = {name: metadata.version(name) for name in self.packages}
        return {"versions": versions, "settings": self.settings, "history": self.history, "bulk": self.bulk}


@dataclass(frozen=True)
class Options:
    """The options that the harness passes to a script."""

    command: str
    url: str
    mode: str
    jobs: int
    callers: int
    batch: int
    rate: float
    backend: str
    worker: int
    workers: int
    agent: str
    held: bool
    slots: int
    plan: Path
    trace: Path


def parse_options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--url", required=True, help="the database, empty but for what setup made")
    parser.add_argument("--mode", choices=("one", "concurrent", "bulk"), default="one")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--callers", type=int, default=100, help="callers in mode concurrent")
    parser.add_argument("--batch", type=int, default=1000, help="jobs a call in mode bulk")
    parser.add_argument("--rate", type=float, default=50.0, help="jobs a second of the producer")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    parser.add_argument("--worker", type=int, default=0, help="number of this worker process")
    parser.add_argument("--workers", type=int, default=1, help="how many worker processes there are")
    parser.add_argument("--agent", default="", help="the database of an agent, where a system has one")
    parser.add_argument(
        "--held", action="store_true", help="jobs are to be where no worker has claimed a place"
    )
    parser.add_argument("--slots", type=int, default=0, help="jobs at once in a nap-worker; 0: as by default")
    parser.add_argument("--plan", type=Path, default=Path(), help="file: what a nap-producer sends, and when")
    parser.add_argument("--trace", type=Path, default=Path(), help="file: where a nap-worker notes its jobs")
    return Options(**vars(parser.parse_args()))


def emit(**fields: Any) -> None:
    """Send the harness one line of JSON."""
    print(json.dumps(fields), flush=True)


def finish(**fields: Any) -> NoReturn:
    """Send the harness the result and end at once: the time that a system takes to stop is not measured."""
    emit(**fields)
    os._exit(0)


def unsupported(reason: str) -> NoReturn:
    """Tell the harness that the system has no such call."""
    finish(unsupported=reason)


def wait_for_go() -> None:
    """Report that everything is imported and connected, and wait until the harness says go."""
    emit(ready=True)
    sys.stdin.readline()


def wait_for_end() -> None:
    """Wait until the harness closes our standard input, or ends."""
    sys.stdin.read()


def payload(sent: int = 0) -> dict[str, Any]:
    """Return a job's data: 200 bytes of JSON with the moment it was sent (nanoseconds)."""
    return {"sent": sent, "text": _TEXT[: PAYLOAD_BYTES - _ENVELOPE - len(str(sent))]}


def stamped() -> dict[str, Any]:
    """Return the data of a job that is sent now."""
    return payload(monotonic_ns())


def peak_mb() -> float:
    """Return the peak resident memory of this process, in MiB.

    Not `getrusage`: its peak includes that of the process we were forked from.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def planned(path: Path) -> list[tuple[float, float]]:
    """Read a plan: the seconds after which each job is sent, and the seconds that its handler takes."""
    return [(at, seconds) for at, seconds in json.loads(path.read_text(encoding="ascii"))]


def nap_data(number: int, seconds: float) -> dict[str, Any]:
    """Return the data of a job that takes a while."""
    return {**payload(), "number": number, "seconds": seconds}


class Trace:
    """Records in a file when a worker has joined, and when each job began and ended, so that a kill loses nothing."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def joined(self) -> None:
        """Record that the worker is known to its system, and ready to take jobs."""
        self._note("joined", 0)

    def began(self, number: int) -> None:
        """Record that the handler of a job starts."""
        self._note("began", number)

    def ended(self, number: int) -> None:
        """Record that the handler is about to return."""
        self._note("ended", number)

    def _note(self, what: str, number: int) -> None:
        os.write(self._file, f"{what} {number} {monotonic()}\n".encode())


@dataclass
class Drain:
    """Counts the handlers that start, and knows when checking the store is worthwhile."""

    jobs: int
    handled: int = 0
    first: float | None = None
    last: float = 0.0
    _go: float = field(default_factory=monotonic)
    _cpu: float = field(default_factory=process_time)

    def __call__(self, _job: Any) -> None:
        """Record that a handler starts."""
        self.last = monotonic()
        if self.first is None:
            self.first = self.last
        self.handled += 1

    def may_be_over(self) -> bool:
        """Return whether every job has started, or none has for much longer than they take."""
        if self.handled >= self.jobs:
            return True
        gap = (self.last - self.first) / self.handled if self.first is not None else 0.0
        return monotonic() - self.last > max(_BRIEFLY, 5 * gap)

    def result(self, end: float) -> dict[str, Any]:
        """Return the reply to the harness for a drain that ended at `end`."""
        return {
            "go": self._go,
            "first": self.first,
            "end": end,
            "handled": self.handled,
            "cpu_s": process_time() - self._cpu,
            "peak_mb": peak_mb(),
        }


@dataclass
class Latencies:
    """Times from scheduling call to handler start."""

    pairs: list[tuple[int, int]] = field(default_factory=list)

    def add(self, sent: int) -> None:
        """Record the start of a handler whose job was sent at `sent` (nanoseconds)."""
        self.pairs.append((sent, monotonic_ns() - sent))

    def result(self) -> dict[str, Any]:
        """Return percentiles in milliseconds, for all jobs and each tenth of the time, and when late ones started."""
        pairs = sorted(self.pairs)
        times = [time for _, time in pairs]
        return {
            "handled": len(times),
            **_percentiles(times),
            "tenths_p99": _tenths(pairs),
            "late_starts": sorted(sent + time for sent, time in pairs if time >= _LATE),
        }


def _percentiles(times: list[int]) -> dict[str, float]:
    return {f"p{share}": percentile(times, share) for share in (50, 95, 99)} | {"max": percentile(times, 100)}


def percentile(times: Sequence[int], share: int) -> float:
    """Return the time (ms) that `share` percent of `times` (ns) do not exceed: nearest rank."""
    if not times:
        return 0.0
    rank = max(1, -(-len(times) * share // 100))
    return sorted(times)[rank - 1] / _NANOS_PER_MS


def _tenths(pairs: Sequence[tuple[int, int]]) -> list[float]:
    if not pairs:
        return []
    start, end = pairs[0][0], pairs[-1][0]
    parts: list[list[int]] = [[] for _ in range(10)]
    for sent, time in pairs:
        parts[min(9, (sent - start) * 10 // max(1, end - start))].append(time)
    return [percentile(part, 99) for part in parts]


class Pacer:
    """Decides when the next jobs are sent, independently of the earlier ones (an open loop)."""

    def __init__(self, rate: float, jobs: int) -> None:
        self._rate = rate
        self._left = jobs
        self._started = monotonic()
        self._sent = 0

    @property
    def over(self) -> bool:
        """Whether all jobs were sent."""
        return self._left == 0

    def due(self) -> int:
        """Return how many jobs to send now."""
        wanted = int((monotonic() - self._started) * self._rate) + 1 - self._sent
        number = max(0, min(wanted, self._left))
        self._sent += number
        self._left -= number
        return number

    def pause(self) -> float:
        """Return the seconds until the next job is due."""
        return max(0.0, self._started + self._sent / self._rate - monotonic())


def batches(jobs: int, size: int) -> list[int]:
    """Return the sizes of the batches that make up `jobs`."""
    whole, rest = divmod(jobs, size)
    return [size] * whole + ([rest] if rest else [])
