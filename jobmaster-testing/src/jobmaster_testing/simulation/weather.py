"""The faults between processes and stores, and when they occur."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import anyio
from attrs import define, field

from jobmaster.clock import Clock
from jobmaster_testing.simulation.processes import Process
from jobmaster_testing.simulation.scenario import Faults

STORE_TIMEOUT = 2.0


@define(eq=False)
class Outage:
    """A time in which a process (None: every process) cannot reach a store (None: any store)."""

    process: Process | None
    store: str | None

    def hits(self, process: Process, store: str) -> bool:
        """Return whether the outage concerns this connection."""
        return self.process in (None, process) and self.store in (None, store)


@define(eq=False)
class Weather:
    """Draws the fate of each call. `calm` ends all faults."""

    faults: Faults
    chance: Random
    clock: Clock
    outages: list[Outage] = field(factory=list)
    _lines: list[tuple[Process, str, anyio.Event]] = field(factory=list)

    def strikes(self, share: float) -> bool:
        """Draw whether something with this probability happens."""
        return share > 0 and self.chance.random() < share

    def fate(self, *, plain: bool = False) -> str:
        """Draw the fate of a call: fine, unsent, unanswered, late, slow, or deadly before or after it."""
        faults, drawn = self.faults, self.chance.random()
        for kind in ("unsent", "unanswered", "slow"):
            drawn -= getattr(faults, kind)
            if drawn < 0:
                return kind
        if plain:
            return "fine"
        for kind, share in (
            ("late", faults.late),
            ("deadly before", faults.deadly / 2),
            ("deadly after", faults.deadly / 2),
        ):
            drawn -= share
            if drawn < 0:
                return kind
        return "fine"

    def delay(self, fate: str) -> float:
        """Draw how long the way to or from the store takes."""
        if fate == "slow":
            return self.chance.uniform(0.05, self.faults.slowest)
        return self.chance.expovariate(1.0) * self.faults.usual

    def lateness(self) -> float:
        """Draw how much later a call happens that its caller has given up."""
        return self.chance.uniform(0.0, self.faults.latest)

    def is_out(self, process: Process, store: str) -> bool:
        """Return whether a process cannot reach a store now."""
        return any(outage.hits(process, store) for outage in self.outages)

    def begin(self, outage: Outage) -> None:
        """Cut connections."""
        self.outages.append(outage)
        for process, store, cut in self._lines:
            if outage.hits(process, store):
                cut.set()

    def end(self, outage: Outage) -> None:
        """Allow connections again."""
        if outage in self.outages:
            self.outages.remove(outage)

    def calm(self) -> None:
        """End all faults."""
        self.outages.clear()
        self.faults = Faults(usual=self.faults.usual)

    @contextmanager
    def connected(self, process: Process, store: str) -> Iterator[anyio.Event]:
        """Within the block there is a lasting connection; the event is set when it is cut."""
        line = process, store, anyio.Event()
        self._lines.append(line)
        try:
            yield line[2]
        finally:
            self._lines.remove(line)
