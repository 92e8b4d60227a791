"""Situations in which the distribution of jobs matters: scenarios made for the rule of sharing, with default settings.

Their contents are fixed; numbers, durations and times are drawn from the seed. Workers have one slot of medium priority, and
two of high priority.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from attrs import evolve, frozen

from jobmaster.retry import RetryPolicy
from jobmaster.states import Priority, WorkerMode
from jobmaster_testing.simulation.handlers import COMMON, RARE
from jobmaster_testing.simulation.scenario import BACKOFF, Event, Faults, Load, ProcessSpec, Scenario

QUIET_EVENTS: Final = {"freeze": "kill", "outage": "stop"}
"""Replacements for events that would excuse a cluster."""
SETTINGS: Final[Mapping[str, Any]] = {
    "lease": 15.0,
    "heartbeat": 5.0,
    "poll_interval": 2.0,
    "retry": RetryPolicy(default=BACKOFF),
    "time_zone": "UTC",
}
"""The defaults, as far as they matter."""


@frozen(kw_only=True)
class Plan:
    """The workers, the loads, and the events."""

    workers: Sequence[ProcessSpec]
    loads: Sequence[Load]
    events: Sequence[Event] = ()
    duration: float = 12.0


def made(name: str, seed: int, *, agents: bool | None = None) -> Scenario:
    """Return the scenario of a situation; `agents` is whether the cluster has agents (None: the seed decides)."""
    chance = Random(f"{name} {seed}")
    by_seed = chance.random() < 0.5  # always drawn, so that everything after it stays the same
    distributed = by_seed if agents is None else agents
    names = [f"Agent-{n}" for n in range(1, chance.choice((1, 1, 2)) + 1)] if distributed else []
    if name == CALM:
        return evolve(_calm(seed, agents=distributed), situation=name)
    plan = SITUATIONS[name](chance)
    workers = [
        evolve(spec, agent=names[n % len(names)] if names else None) for n, spec in enumerate(plan.workers)
    ]
    return Scenario(
        seed=seed,
        situation=name,
        processes=[*workers, ProcessSpec(name="P1", loads=plan.loads)],
        faults=Faults(usual=chance.choice((0.0005, 0.002, 0.01))),
        events=plan.events,
        agents=names,
        settings=SETTINGS,
        notifications=chance.random() < 0.8,
        duration=plan.duration,
        quiet=all(event.what not in ("kill", "lose") for event in plan.events),
    )


def _calm(seed: int, *, agents: bool) -> Scenario:
    """Return a drawn scenario in which processes are killed, stopped and replaced, and nothing else goes wrong."""
    drawn = Scenario.drawn(seed, agents=agents)
    events = [evolve(event, what=QUIET_EVENTS.get(event.what, event.what)) for event in drawn.events]
    first = len(drawn.processes) - 1  # a process that only schedules is not stopped: there would be no work
    events = [event for event in events if event.what != "stop" or event.process not in (0, first)]
    return drawn.but(faults=Faults(usual=drawn.faults.usual), events=events, quiet=False)


def _workers(count: int, *, later: Sequence[float] = (), **each: Any) -> list[ProcessSpec]:
    """Return workers, of which the last ones join this many seconds after the first."""
    starts = [0.0] * (count - len(later)) + list(later)
    return [
        ProcessSpec(name=f"W{n}", modes=[WorkerMode.FULL], starts=start, **each)
        for n, start in enumerate(starts, 1)
    ]


# The situations


def late_joiners(chance: Random) -> Plan:
    """One worker has a backlog of long jobs when others join."""
    later = sorted(chance.uniform(1.5, 4.0) for _ in range(chance.choice((1, 2, 3))))
    backlog = Load(at=1.0, count=chance.randint(15, 40), seconds=chance.uniform(0.5, 1.5))
    return Plan(workers=_workers(1 + len(later), later=later), loads=[backlog], duration=15.0)


def one_long_among_short(chance: Random) -> Plan:
    """A long job fills the only slot of one worker, and short ones keep coming."""
    long = Load(at=1.0, count=1, seconds=chance.uniform(8.0, 12.0))
    short = Load(at=chance.uniform(1.05, 1.5), count=40, seconds=0.05, every=chance.choice((0.0, 0.05, 0.15)))
    return Plan(workers=_workers(chance.choice((2, 3))), loads=[long, short])


def mixed_durations(chance: Random) -> Plan:
    """Durations are log-normal, on four workers, for both priorities."""
    medium = Load(at=1.0, count=40, seconds=0.3, spread=1.3)
    high = evolve(medium, at=1.5, priority=Priority.HIGH, every=chance.choice((0.0, 0.05)))
    return Plan(workers=_workers(4), loads=[medium, high], duration=20.0)


def killed_under_load(chance: Random) -> Plan:
    """One of several workers dies under steady load without a replacement: its lease has a long time to go."""
    steady = Load(at=1.0, count=120, seconds=0.05, every=0.08)
    at = chance.uniform(3.0, 6.0)
    lost = Event(at=at, what="lose", process=chance.randrange(2))
    return Plan(workers=_workers(chance.choice((2, 3))), loads=[steady], events=[lost], duration=18.0)


def killed_with_backlog(chance: Random) -> Plan:
    """Workers that have far more than they have read die, and are replaced."""
    backlog = Load(at=1.0, count=chance.randint(30, 60), seconds=chance.uniform(0.2, 0.8))
    events = [
        Event(at=chance.uniform(2.0, 5.0), what="kill", process=n) for n in range(chance.choice((1, 2)))
    ]
    return Plan(workers=_workers(3), loads=[backlog], events=events, duration=25.0)


def scaled_down(chance: Random) -> Plan:
    """Workers are stopped during a backlog, one after another, while long jobs run there."""
    long = Load(at=1.0, count=2, seconds=chance.uniform(6.0, 10.0))
    backlog = Load(at=1.1, count=chance.randint(30, 60), seconds=chance.uniform(0.1, 0.5))
    events = [Event(at=chance.uniform(1.5, 3.0), what="stop", process=n) for n in (0, 1)]
    return Plan(workers=_workers(4), loads=[long, backlog], events=events, duration=15.0)


def up_and_down(chance: Random) -> Plan:
    """From one worker to eight, and back to one, during a backlog."""
    later = [chance.uniform(2.0, 3.0) for _ in range(7)]
    events = [Event(at=chance.uniform(5.0, 7.0), what="stop", process=n) for n in range(1, 8)]
    loads = [
        Load(at=1.0, count=60, seconds=0.8),
        Load(at=4.0, count=30, seconds=0.3, every=0.1, priority=Priority.HIGH),
    ]
    return Plan(workers=_workers(8, later=later), loads=loads, events=events, duration=15.0)


def near_future(chance: Random) -> Plan:
    """Jobs are due soon, far within the transient threshold; the workers that run them join before that."""
    later = [chance.uniform(2.0, 4.0) for _ in range(2)]
    loads = [
        Load(at=1.0, count=20, seconds=0.7, delay=5.0, within=chance.choice((0.0, 4.0))),
        Load(at=1.5, count=10, seconds=0.2, delay=0.5, within=3.0, priority=Priority.HIGH),
    ]
    return Plan(workers=_workers(3, later=later), loads=loads, duration=15.0)


def retries_behind_long(chance: Random) -> Plan:
    """Jobs are to run again in a moment, when a long job occupies the slot that they ran in."""
    kind = chance.choice(("again", "snooze", "flaky"))
    loads = [
        Load(at=1.0, count=8, seconds=0.02, kind=kind, times=2),
        Load(at=1.4, count=1, seconds=chance.uniform(7.0, 10.0)),
        Load(at=2.0, count=20, seconds=0.02, kind=kind, times=2, every=0.2),
    ]
    return Plan(workers=_workers(2), loads=loads)


def known_to_some(chance: Random) -> Plan:
    """Some handlers are known only to some processes, and one of those is busy or joins late."""
    later = chance.uniform(2.0, 4.0)
    knowing, late = _workers(2, later=[later])
    ignorant = [
        evolve(spec, name=f"I{n}", knows_rare=False)
        for n, spec in enumerate(_workers(chance.choice((1, 2))), 1)
    ]
    loads = [
        Load(at=1.0, count=12, seconds=chance.uniform(0.3, 1.0), definition=RARE),
        Load(at=1.0, count=20, seconds=0.1, definition=COMMON, every=0.1),
        Load(at=chance.uniform(3.0, 6.0), count=12, seconds=0.1, definition=RARE, every=0.1),
    ]
    return Plan(workers=[knowing, late, *ignorant], loads=loads)


def lanes(chance: Random) -> Plan:
    """Two lanes, one of which has a backlog when a worker joins; the workers of the other may stay idle."""
    later = chance.uniform(1.5, 3.0)
    other = [evolve(spec, name=f"O{n}", lane="other") for n, spec in enumerate(_workers(2, later=[later]), 1)]
    loads = [
        Load(at=1.0, count=15, seconds=0.8, lane="other"),
        Load(at=1.0, count=20, seconds=0.1, every=0.2),
    ]
    return Plan(workers=[*_workers(2), *other], loads=loads)


def executors_only(chance: Random) -> Plan:
    """One process coordinates and runs nothing; the executing workers join late, and one is lost."""
    later = [chance.uniform(1.5, 3.0) for _ in range(2)]
    workers = [evolve(spec, modes=[WorkerMode.EXECUTION]) for spec in _workers(3, later=later)]
    coordinator = ProcessSpec(name="C1", modes=[WorkerMode.COORDINATOR])
    loads = [
        Load(at=1.0, count=25, seconds=0.6),
        Load(at=4.0, count=60, seconds=0.05, every=0.1, priority=Priority.HIGH),
    ]
    lost = Event(at=chance.uniform(5.0, 8.0), what="lose", process=1)
    return Plan(workers=[*workers, coordinator], loads=loads, events=[lost], duration=20.0)


CALM: Final = "calm_stores"
SITUATIONS: Final[Mapping[str, Callable[[Random], Plan]]] = {
    plan.__name__: plan
    for plan in (
        late_joiners,
        one_long_among_short,
        mixed_durations,
        killed_under_load,
        killed_with_backlog,
        scaled_down,
        up_and_down,
        near_future,
        retries_behind_long,
        known_to_some,
        lanes,
        executors_only,
    )
}
NAMES: Final = (*SITUATIONS, CALM)
"""The names of the situations. `calm_stores` is drawn: processes die and are replaced, and nothing else fails."""
