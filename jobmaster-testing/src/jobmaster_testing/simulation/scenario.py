"""The plan of one simulation: all of it drawn from one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from attrs import evolve, field, frozen

from jobmaster.retry import ExponentialBackoff, RetryPolicy
from jobmaster.states import Priority, WorkerMode

PRIORITIES = (Priority.MEDIUM, Priority.HIGH)
PARALLELISM = 0.25
"""Workers have few slots, one of medium priority and two of high, so that the distribution of jobs matters."""
BACKOFF = ExponentialBackoff(base=0.4, cap=3.0, jitter=0.5)

MIXES: Sequence[Sequence[WorkerMode]] = (
    [WorkerMode.FULL, WorkerMode.FULL],
    [WorkerMode.FULL, WorkerMode.FULL, WorkerMode.FULL],
    [WorkerMode.FULL, WorkerMode.EXECUTION, WorkerMode.EXECUTION],
    [WorkerMode.COORDINATOR, WorkerMode.EXECUTION, WorkerMode.EXECUTION],
    [WorkerMode.COORDINATOR, WorkerMode.FULL, WorkerMode.EXECUTION, WorkerMode.DRAIN],
    [WorkerMode.COORDINATOR, WorkerMode.COORDINATOR, WorkerMode.FULL, WorkerMode.FULL],
)


@frozen(kw_only=True)
class Faults:
    """How often each fault of a store call occurs, as a share of all calls; delays are in seconds.

    Attributes:
        unreachable: no connection was available, so that nothing happened.
        unsent: the call fails and did not happen.
        unanswered: the call happened but fails nevertheless.
        late: the call fails, and happens some time later.
        slow: the call takes up to `slowest`.
        deadly: the process dies before the call, or before its answer.
        lost_notifications: a notification does not arrive.
    """

    unreachable: float = 0.0
    unsent: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    slow: float = 0.0
    deadly: float = 0.0
    lost_notifications: float = 0.0
    usual: float = 0.002
    slowest: float = 1.5
    latest: float = 3.0


@frozen(kw_only=True)
class Load:
    """Jobs that are scheduled as specified, not drawn.

    Attributes:
        at: when the first ones are scheduled, in seconds from the start.
        count: the number of jobs.
        every: the seconds between one job and the next; 0 for all in one call.
        seconds: the median duration of a job.
        spread: how much the duration varies between jobs, as the sigma of a log-normal distribution.
        delay: the seconds until a job is due; `within` is the maximum of additional seconds, drawn for each.
        kind: what the jobs do; jobs that are to be retried do it `times` times.
    """

    at: float
    count: int
    every: float = 0.0
    seconds: float = 0.0
    spread: float = 0.0
    delay: float = 0.0
    within: float = 0.0
    kind: str = "plain"
    times: int = 1
    definition: str = "Simulated"
    lane: str = "default"
    priority: Priority = Priority.MEDIUM


@frozen(kw_only=True)
class ProcessSpec:
    """One process, and its successors after restarts: the workers in it, and what it schedules.

    It makes `calls` random calls, and schedules its `loads`. It starts `starts` seconds after the others.
    """

    name: str
    modes: Sequence[WorkerMode] = ()
    agent: str | None = None
    knows_rare: bool = True
    calls: int = 0
    loads: Sequence[Load] = ()
    starts: float = 0.0
    lane: str = "default"


@frozen(kw_only=True)
class Event:
    """An event for a process (by its place in the list) or a store, `at` seconds from the start.

    `what` is `kill`, `lose` (a kill without a replacement), `freeze`, `restart`, `stop` (without a replacement), `roll` (all
    are restarted in turn) or `outage`.
    """

    at: float
    what: str
    process: int = 0
    store: str | None = None
    lasting: float = 0.0


@frozen(kw_only=True)
class Scenario:
    """A whole simulation. `Scenario.drawn(seed)` draws one from a number; every part of it can also be set."""

    seed: int
    situation: str | None = None
    """The name of the situation that it was made for, if any."""
    processes: Sequence[ProcessSpec]
    faults: Faults = field(factory=Faults)
    events: Sequence[Event] = ()
    agents: Sequence[str] = ()
    settings: Mapping[str, Any] = field(factory=dict)
    notifications: bool = True
    duration: float = 20.0
    schedules: int = 0
    quiet: bool = False
    """Whether there are no faults, so that nothing may be lost or interrupted either."""

    @classmethod
    def drawn(cls, seed: int, *, agents: bool | None = None) -> Scenario:
        """Draw a scenario; `agents` is whether the cluster has agents (None: the seed decides)."""
        chance = Random(seed)
        duration = chance.uniform(8.0, 30.0)
        names = _agents(chance, wanted=agents)
        processes = _processes(chance, names)
        quiet = chance.random() < 0.1
        weather = Faults() if quiet else _faults(chance)
        return cls(
            seed=seed,
            processes=processes,
            faults=weather,
            events=_events(chance, duration, len(processes), names, quiet=quiet),
            agents=names,
            settings=_settings(chance, duration),
            notifications=chance.random() < 0.8,
            duration=duration,
            schedules=chance.choice((0, 0, 1, 2)),
            quiet=quiet,
        )

    def but(self, **changes: Any) -> Scenario:
        """Return the scenario with changes."""
        return evolve(self, **changes)


def _agents(chance: Random, *, wanted: bool | None) -> Sequence[str]:
    number = chance.choice((1, 2, 2, 3))
    distributed = chance.random() < 0.5
    return [f"Agent-{n}" for n in range(1, number + 1)] if (distributed if wanted is None else wanted) else ()


def _processes(chance: Random, agents: Sequence[str]) -> Sequence[ProcessSpec]:
    """Draw the workers, and one or two processes that only schedule."""
    workers = [
        ProcessSpec(
            name=f"W{number}",
            modes=[mode, WorkerMode.EXECUTION] if chance.random() < 0.15 else [mode],
            agent=chance.choice(agents) if agents else None,
            knows_rare=chance.random() < 0.6,
            calls=chance.choice((0, 0, chance.randint(1, 10))),
        )
        for number, mode in enumerate(chance.choice(MIXES), 1)
    ]
    producers = [
        ProcessSpec(name=f"P{n}", calls=chance.randint(8, 25)) for n in range(1, chance.randint(1, 2) + 1)
    ]
    return [*workers, *producers]


def _settings(chance: Random, duration: float) -> Mapping[str, Any]:
    lease = chance.choice((2.0, 4.0, 6.0))
    return {
        "lease": lease,
        "heartbeat": lease * chance.choice((0.2, 0.33)),
        "poll_interval": chance.choice((0.3, 1.0)),
        "beat": chance.choice((0.2, 1.0)),
        "stop_grace": chance.choice((0.2, 2.0)),
        "transient_threshold": 10.0,
        "misfire_grace": chance.choice((1.0, duration)),
        "store_timeout": 2.0,
        "retry": RetryPolicy(default=BACKOFF),
        "time_zone": "UTC",
    }


def _faults(chance: Random) -> Faults:
    """Draw which kinds of faults there are, and how often they occur."""
    kinds = ("unreachable", "unsent", "unanswered", "late", "slow")
    chosen = {kind: chance.choice((0.0, 0.0, 0.01, 0.05)) for kind in kinds}
    return Faults(
        **chosen,
        deadly=chance.choice((0.0, 0.0, 0.002, 0.01)),
        lost_notifications=chance.choice((0.0, 0.0, 0.1, 0.5)),
        usual=chance.choice((0.0005, 0.002, 0.02)),
    )


def _events(
    chance: Random, duration: float, processes: int, agents: Sequence[str], *, quiet: bool
) -> Sequence[Event]:
    """Draw the events for processes and stores."""
    kinds = (
        ("restart", "roll") if quiet else ("kill", "kill", "freeze", "freeze", "restart", "roll", "outage")
    )
    events = [
        Event(
            at=chance.uniform(0.5, duration),
            what=chance.choice(kinds),
            process=chance.randrange(processes),
            store=chance.choice([None, "master", *agents]),
            lasting=chance.uniform(0.2, 9.0),
        )
        for _ in range(chance.choice((0, 1, 2, 4, 6)))
    ]
    return sorted(events, key=lambda event: event.at)
