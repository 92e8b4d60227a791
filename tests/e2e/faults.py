"""What chaos does to a cluster: a plan of faults, made from a seed and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Literal

from attrs import frozen

Kind = Literal["kill", "freeze", "restart", "hang", "cut", "stall"]
Whom = Literal["workers", "coordinators", "server"]
Store = Literal["", "master", "agent"]
Direction = Literal["", "both", "to_server", "to_client"]


@frozen(kw_only=True)
class Fault:
    """One fault.

    A process is named by its `number` among the `workers` or `coordinators`, modulo how many there are. On a line,
    the other end is a `store`: the master, or the agent that the process serves. A `stall` is silence in a
    `direction`. A `store`'s server can be restarted, in a `mode` of PostgreSQL, and it can hang. What lasts does so
    for `leases`.
    """

    kind: Kind
    whom: Whom
    number: int = 0
    store: Store = ""
    leases: float = 0.0
    direction: Direction = ""
    mode: str = ""

    def __str__(self) -> str:
        """Return what happens, in words."""
        who = f"{self.store} server" if self.whom == "server" else f"{self.whom} {self.number}"
        line = f" <-> {self.store}" if self.store and self.whom != "server" else ""
        lasting = f" for {self.leases:.1f} leases" if self.leases else ""
        return " ".join(filter(None, (self.kind, who + line, self.direction, self.mode))) + lasting


Make = Callable[[random.Random], Fault]


def _kill(whom: Whom) -> Make:
    return lambda chance: Fault(kind="kill", whom=whom, number=chance.randrange(100))


def _freeze(chance: random.Random) -> Fault:
    number, leases = chance.randrange(100), chance.uniform(1.2, 2.0)
    return Fault(kind="freeze", whom="workers", number=number, leases=leases)


def _restart(store: Store) -> Make:
    return lambda chance: Fault(
        kind="restart", whom="server", store=store, mode=chance.choice(["fast", "immediate"])
    )


def _hang(store: Store) -> Make:
    return lambda chance: Fault(kind="hang", whom="server", store=store, leases=_any_length(chance))


def _cut(whom: Whom, store: Store) -> Make:
    return lambda chance: Fault(
        kind="cut", whom=whom, store=store, number=chance.randrange(100), leases=_any_length(chance)
    )


def _stall(whom: Whom, store: Store) -> Make:
    return lambda chance: Fault(
        kind="stall",
        whom=whom,
        store=store,
        number=chance.randrange(100),
        leases=_any_length(chance),
        direction=chance.choice(["both", "to_server", "to_client"]),
    )


def _any_length(chance: random.Random) -> float:
    """Return a time in leases: well within one, or well beyond."""
    return chance.choice([chance.uniform(0.1, 0.6), chance.uniform(1.2, 2.0)])


_LINES: Sequence[tuple[Whom, Store]] = (
    ("workers", "agent"),
    ("workers", "master"),
    ("coordinators", "master"),
)
KINDS: Sequence[Make] = (
    _kill("workers"),
    _kill("coordinators"),
    _freeze,
    _restart("agent"),
    _restart("master"),
    _hang("agent"),
    _hang("master"),
    *(make(*line) for make in (_cut, _stall) for line in _LINES),
)


def plan(seed: int, count: int) -> list[Fault]:
    """Return so many faults. Every kind comes before any comes again; the order is the seed's."""
    chance = random.Random(seed)
    kinds: list[Make] = []
    while len(kinds) < count:
        kinds += chance.sample(KINDS, len(KINDS))
    return [make(chance) for make in kinds[:count]]


def waves(seed: int, faults: Sequence[Fault]) -> list[Sequence[Fault]]:
    """Return the faults in the order of the plan, together those that come at once: first one by one, then often two."""
    chance = random.Random(seed)
    found: list[Sequence[Fault]] = []
    left = list(faults)
    while left:
        size = 1 if len(found) < len(KINDS) else chance.choice([1, 2])
        found.append(left[:size])
        del left[:size]
    return found
