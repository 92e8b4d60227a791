"""S: how work is shared among workers that come, go and are busy, compared with the ideal schedule.

The runs of each worker are read from its notes, so that the runs of a killed worker are known too.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define

from bench.ideal import Presence, Work
from bench.played import Note, Played, Run, dip_figures, figures, runs_noted, wait_figures
from bench.scripts import Running
from bench.systems import System
from bench.trials import Bench, Sample, Trial, VerificationError

SLOTS = 5
"""Jobs that a worker runs at once, on any machine; as many as its processors allow in S-kill."""
SETTLING = 2.0
"""Seconds in which a worker that has joined comes to rest, and becomes known to producers."""
PAUSE = 0.05
"""Seconds between two looks at what the workers have noted."""

JOINING = 1.0
"""Seconds after the first call at which the late workers join (S-late): the first worker has read all jobs by then."""
QUICK_ONES = 40
QUICK_PAUSE = 0.1
QUICK_SECONDS = 0.1
BEFORE_QUICK = 4.0
"""Seconds from the long jobs to the first quick one; the other worker joins meanwhile (S-long)."""
KILL_RATE = 200
KILL_JOB = 0.01
BEFORE_KILL = 5.0
SCALED_JOB = 0.5
SCALED_WORKERS = 8

Planned = tuple[float, float]
"""The seconds after which a job is sent, and the seconds that its handler takes."""


def late_joiners(bench: Bench, system: System) -> Sample:
    """S-late: jobs of one second are scheduled while one worker runs; three more join.

    The clock runs from the first call to the return of the last handler.
    """
    plan = [(0.0, 1.0)] * bench.sizes.late_jobs
    with staged(bench, system, plan, workers=4) as stage:
        stage.join(0)
        time.sleep(SETTLING)
        stage.send()
        time.sleep(JOINING)
        stage.join(1, 2, 3)
        return figures(stage.played())


def mixed_durations(bench: Bench, system: System) -> Sample:
    """S-mixed: jobs of log-normal durations are scheduled at once while four workers run."""
    plan = [(0.0, seconds) for seconds in log_normal(bench.sizes.mixed_jobs)]
    with staged(bench, system, plan, workers=4) as stage:
        stage.join(0, 1, 2, 3)
        time.sleep(SETTLING)
        stage.send()
        return figures(stage.played())


def log_normal(jobs: int) -> list[float]:
    """Return the same durations on every call: half below 0.2 s, one in six above 0.9 s, none above 5 s."""
    chance = random.Random(14)
    return [min(5.0, 0.2 * chance.lognormvariate(0, 1.5)) for _ in range(jobs)]


def long_among_quick(bench: Bench, system: System) -> Sample:
    """S-long: long jobs fill one worker, another one is idle; the following jobs are quick, and should start at once."""
    long = [(0.0, float(bench.sizes.long_seconds))] * SLOTS
    quick = [(BEFORE_QUICK + number * QUICK_PAUSE, QUICK_SECONDS) for number in range(QUICK_ONES)]
    with staged(bench, system, long + quick, workers=2) as stage:
        stage.join(0)
        time.sleep(SETTLING)
        stage.send()
        stage.wait_until(lambda: len(stage.members[0].runs()) == SLOTS)
        stage.join(1)
        played = stage.played()
        return {**figures(played), **wait_figures(played, range(len(long), len(played.jobs)))}


def killed_worker(bench: Bench, system: System) -> Sample:
    """S-kill: one of two workers is killed under a steady load; the effect on the other jobs.

    The clock runs from the kill, or from the call of a job that came later.
    """
    jobs = KILL_RATE * bench.sizes.kill_seconds
    plan = [(number / KILL_RATE, KILL_JOB) for number in range(jobs)]
    with staged(bench, system, plan, workers=2, slots=0) as stage:
        stage.join(0, 1)
        time.sleep(SETTLING)
        stage.send()
        time.sleep(BEFORE_KILL)
        victim = stage.members[0]
        victim.kill()
        return dip_figures(stage.played(), victim.left, KILL_RATE)


def scaled(bench: Bench, system: System) -> Sample:
    """S-scale: a worker has a backlog, seven more join, and leave again in good order before it is done.

    The number of jobs is what one worker does before the others come, plus what eight do until they leave, plus what one
    does in five times that.
    """
    phase = bench.sizes.scale_seconds
    jobs = int((1 + SCALED_WORKERS + 5) * SLOTS * phase / SCALED_JOB)
    others = range(1, SCALED_WORKERS)
    with staged(bench, system, [(0.0, SCALED_JOB)] * jobs, workers=SCALED_WORKERS) as stage:
        stage.join(0)
        time.sleep(SETTLING)
        stage.send()
        time.sleep(phase)
        stage.join(*others)
        time.sleep(phase - SCALED_JOB / 2)  # between two rounds of jobs
        stage.leave(*others)
        return figures(stage.played())


@define
class Member:
    """A worker process: first imported and waiting, then active, then gone."""

    running: Running
    slots: int
    trace: Path
    joined: float = inf
    left: float = inf
    killed: bool = False

    def has_joined(self) -> bool:
        """Return whether its system knows it, according to its own notes."""
        moments = [moment for what, _, moment in self._notes() if what == "joined"]
        self.joined = min(moments, default=inf)
        return bool(moments)

    def leave(self) -> None:
        """Ask it to stop, like a signal that ends a worker in good order."""
        self.left = min(self.left, time.monotonic())
        self.running.leave()

    def kill(self) -> None:
        """Kill it as a crash does."""
        self.left, self.killed = time.monotonic(), True
        self.running.kill()

    def check(self) -> None:
        """Raise its error if it died unexpectedly."""
        if self.left == inf and self.running.process.poll() is not None:
            self.running.result()

    def runs(self) -> list[Run]:
        """Return its runs so far, according to its own notes."""
        return runs_noted(self._notes())

    def _notes(self) -> list[Note]:
        text = self.trace.read_text(encoding="ascii") if self.trace.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()  # the last line may be incomplete
        return [(what, int(number), float(moment)) for what, number, moment in map(str.split, lines)]


@define
class Stage:
    """Workers and a producer on a new database, with the means to control them."""

    trial: Trial
    plan: Sequence[Planned]
    producer: Running
    members: Sequence[Member]

    def send(self) -> None:
        """Start sending the jobs, each at its moment; do not wait for that."""
        self.producer.go()

    def join(self, *numbers: int) -> None:
        """Let these workers connect and register, and wait until they have."""
        members = [self.members[number] for number in numbers]
        for member in members:
            member.running.go()
        self.wait_until(lambda: all(member.has_joined() for member in members))

    def leave(self, *numbers: int) -> None:
        """Ask these workers to stop."""
        for number in numbers:
            self.members[number].leave()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that the workers are to bring about."""
        started = time.monotonic()
        while not condition():
            for member in self.members:
                member.check()
            if time.monotonic() - started > self.trial.script.time_limit:
                raise VerificationError("some jobs were never run")
            time.sleep(PAUSE)

    def played(self) -> Played:
        """Wait until all jobs have been run and the store agrees, and return what happened.

        Unless a worker was killed, each job must have been run once.
        """
        sent = self.producer.result()["sent"]
        self.trial.waiting += len(self.plan)
        self.wait_until(lambda: len(self._ended()) == len(self.plan))
        left = [member.left for member in self.members]
        self.trial.await_empty()
        self.producer.leave()
        self.leave(*range(len(self.members)))
        runs = [member.runs() for member in self.members]
        if any(member.killed for member in self.members):
            self.trial.emptied()
        else:
            self.trial.drained(sum(map(len, runs)))
        return Played(
            [Work(due, seconds) for due, (_, seconds) in zip(sent, self.plan, strict=True)],
            [Presence(one.slots, one.joined, end) for one, end in zip(self.members, left, strict=True)],
            runs,
        )

    def _ended(self) -> set[int]:
        return {run.number for member in self.members for run in member.runs() if run.ended is not None}


@contextmanager
def staged(
    bench: Bench, system: System, plan: Sequence[Planned], workers: int, slots: int = SLOTS
) -> Iterator[Stage]:
    """Set a system up on a new database, with workers and a producer that wait for the start signal."""
    with ExitStack() as stack:
        trial = stack.enter_context(bench.trial(system))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-sharing-")))
        (folder / "plan").write_text(json.dumps(plan), encoding="ascii")
        members = []
        for number in range(workers):
            trace = folder / f"trace-{number}"
            started = trial.script.started("nap-worker", f"--slots={slots}", f"--trace={trace}")
            members.append(Member(stack.enter_context(started), slots, trace))
        producer = stack.enter_context(trial.script.started("nap-producer", f"--plan={folder / 'plan'}"))
        for running in [producer, *(member.running for member in members)]:
            running.wait_ready()
        yield Stage(trial, plan, producer, members)
