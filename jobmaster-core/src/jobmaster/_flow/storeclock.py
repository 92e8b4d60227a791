"""The master's clock as observed by one process: what it can be trusted for."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import define, field

from jobmaster._policy.steadiness import Reading, Steadiness, newest_of

if TYPE_CHECKING:
    from jobmaster.clock import Clock
    from jobmaster.contracts import MasterRepository

log = logging.getLogger("jobmaster.clock")


@define(eq=False)
class StoreClock:
    """Compares a master's clock with this host's monotonic one, for everything in a process that expires by it."""

    cluster_id: str
    master: MasterRepository
    clock: Clock
    _steadiness: Steadiness = field(factory=Steadiness, init=False)

    async def look(self) -> None:
        """Read the master's time; raises `StoreError`."""
        asked_at = self.clock.monotonic()
        now = await self.master.now()
        reading = Reading(now, asked_at, self.clock.monotonic())
        if self._steadiness.begun:
            self._note(reading)
            return
        newest = newest_of(await self.master.workers.list_all(self.cluster_id), now)
        if not self._steadiness.begun:
            self._steadiness.begin(reading, newest)

    def heard(self, now: datetime, asked_at: float) -> None:
        """Note the master's clock as returned with the answer to a query made at a monotonic moment."""
        if self._steadiness.begun:
            self._note(Reading(now, asked_at, self.clock.monotonic()))

    def cutoff(self, age: float) -> datetime | None:
        """Return the moment before which things `age` seconds old may expire, as of the last look; None: nothing may."""
        return self._steadiness.cutoff(age)

    def wait(self, age: float) -> float:
        """Return for how many seconds the clock has to run steadily, as of the last look, until there is a cutoff."""
        return self._steadiness.wait(age)

    def is_calm(self, seconds: float, least: float = 0.0) -> bool:
        """Return whether the clock has not been seen to jump by `least` seconds or more for the last `seconds`."""
        return self._steadiness.is_calm(self.clock.monotonic(), seconds, least)

    def _note(self, reading: Reading) -> None:
        if jump := self._steadiness.note(reading):
            log.warning(
                "the master's clock jumped by %+.0f s, to %s: nothing is deleted by age until it has been steady "
                "for a while",
                jump,
                reading.store.isoformat(timespec="seconds"),
            )
