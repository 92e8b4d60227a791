"""Producers: what they schedule, when, and which answers they get."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

import anyio
from attrs import define

from jobmaster import Overlap
from jobmaster.cluster import Runtime
from jobmaster.definitions import JobDefinition, JobRequest
from jobmaster.errors import (
    InvalidTransitionError,
    JobNotFoundError,
    KeyTakenError,
    StoreUnavailableError,
)
from jobmaster_testing.simulation.handlers import COMMON, RARE, STUCK_TIMEOUT, data_of
from jobmaster_testing.simulation.ledger import Asked
from jobmaster_testing.simulation.processes import Process
from jobmaster_testing.simulation.scenario import PRIORITIES, Load

if TYPE_CHECKING:
    from jobmaster_testing.simulation.world import World

KINDS: Final = {
    "plain": 8,
    "tidy": 2,
    "flaky": 3,
    "again": 1,
    "snooze": 2,
    "hopeless": 1,
    "discard": 1,
    "stuck": 1,
}
DEFINITIONS: Final = {COMMON: 6, RARE: 1}
KEYS: Final = 4
"""Number of idempotency keys: few, so that they collide."""
LONGEST_JOB: Final = 2.5
FARTHEST: Final = 25.0
"""Seconds until the farthest due time: beyond the transient threshold, so that some jobs are held."""

OVERLAPS: Final = ("skip", "queue", "allow", "cancel_running")

Order = tuple[Asked, JobRequest]


def drawn(chance: Random, weights: Mapping[Any, int]) -> Any:
    """Return one of the keys, with probabilities proportional to the weights."""
    return chance.choices(list(weights), weights=list(weights.values()))[0]


@define(eq=False)
class Producer:
    """Makes calls from one process."""

    world: World
    process: Process
    runtime: Runtime
    chance: Random

    async def run(self, calls: int) -> None:
        """Make this many calls, with pauses."""
        for _ in range(calls):
            await anyio.sleep(self.chance.expovariate(1.0) * self.world.scenario.duration / (calls + 1))
            await self.process.gate()
            if self.world.is_calm:
                return
            with self.world.busy(self.process):
                await drawn(self.chance, CALLS)(self)

    async def bear(self, load: Load) -> None:
        """Schedule a load."""
        await anyio.sleep(max(0.0, load.at - self.world.clock.monotonic()))
        calls, size = (load.count, 1) if load.every else (1, load.count)
        for _ in range(calls):
            await self.process.gate()
            if self.world.is_calm:
                return
            with self.world.busy(self.process):
                await self._submit([self._order_of(load) for _ in range(size)])
            await anyio.sleep(load.every)

    # Scheduling

    async def one(self) -> None:
        """Schedule a job."""
        await self._submit([self._order()])

    async def keyed(self) -> None:
        """Schedule a job with a key, and again if no answer came."""
        order = self._order(f"key-{self.chance.randrange(KEYS)}")
        if not await self._submit([order]):
            await self._submit([order])

    async def many(self) -> None:
        """Schedule some jobs in one call."""
        await self._submit([self._order() for _ in range(self.chance.randint(2, 6))])

    async def _submit(self, orders: Sequence[Order]) -> bool:
        """Schedule jobs in one call and record the caller's answer; return whether there was one."""
        try:
            receipts = await self.runtime.scheduler.once_many([request for _, request in orders])
        except StoreUnavailableError:
            return False
        except KeyTakenError:  # keys are few, and another definition may have this one: nothing was stored
            return True
        await self.process.gate()
        for (asked, _), receipt in zip(orders, receipts, strict=True):
            self.world.accepted(self.process, asked, receipt)
        return True

    def _order(self, key: str | None = None) -> Order:
        """Draw a job; return its record, and the request."""
        kind, retries, times = self._kind()
        number, delay, now = self.world.next_number(), self._delay(), self.world.clock.now()
        due = now + timedelta(seconds=delay)
        asked = Asked(number, kind, times, [due], retries, key)
        self.world.ledger.note(asked)
        options: dict[str, Any] = {
            "max_retries": retries,
            "priority": self.chance.choice(PRIORITIES),
            "key": key,
        }
        if delay:
            options |= {"at": due} if self.chance.getrandbits(1) else {"after": delay}
        if kind == "stuck":
            options["timeout"] = STUCK_TIMEOUT
        data = data_of(number, kind, times, 0.0 if kind == "stuck" else self._seconds())
        request: JobRequest = JobDefinition(drawn(self.chance, DEFINITIONS)).request(data, **options)
        return asked, request

    def _order_of(self, load: Load) -> Order:
        """Make a job of a load; return its record, and the request."""
        number, delay = self.world.next_number(), load.delay + self.chance.uniform(0.0, load.within)
        due = self.world.clock.now() + timedelta(seconds=delay)
        asked = Asked(number, load.kind, load.times, [due], load.times)
        self.world.ledger.note(asked)
        seconds = load.seconds * self.chance.lognormvariate(0.0, load.spread)
        data = data_of(number, load.kind, load.times, seconds)
        options: dict[str, Any] = {"max_retries": load.times, "priority": load.priority, "lane": load.lane}
        if delay:
            options["after"] = delay
        return asked, JobDefinition(load.definition).request(data, **options)

    def _kind(self) -> tuple[str, int, int]:
        """Draw the kind of a job, how often it may be retried, and how often it does its special behaviour."""
        kind, retries = drawn(self.chance, KINDS), self.chance.choice((0, 1, 3))
        times = self.chance.randint(1, 3)
        return kind, max(retries, times) if kind in ("flaky", "again") else retries, times

    def _delay(self) -> float:
        farthest = self.chance.choice((0.0, 0.0, 1.0, FARTHEST))
        return self.chance.uniform(0.0, farthest)

    def _seconds(self) -> float:
        longest = self.chance.choice((0.0, 0.0, 0.3, LONGEST_JOB))
        return self.chance.uniform(0.0, longest)

    async def recurring(self) -> None:
        """Schedule a recurring job, if the scenario has any left."""
        if self.world.schedules_left <= 0:
            return
        self.world.schedules_left -= 1
        every, overlap = (
            timedelta(seconds=self.chance.choice((1, 2, 3))),
            Overlap(self.chance.choice(OVERLAPS)),
        )
        data = data_of(0, "plain", 0, self.chance.choice((0.0, 0.5, LONGEST_JOB)))
        with self._answered():
            await self.runtime.scheduler.recurring(JobDefinition(COMMON), every, data, overlap=overlap)

    # Changing

    async def cancel(self) -> None:
        """Cancel a job."""
        if asked := self._known():
            asked.cancels.append(None)
            place = len(asked.cancels) - 1
            with self._answered():
                asked.cancels[place] = await self.runtime.scheduler.cancel(asked.known_id)

    async def reschedule(self) -> None:
        """Reschedule a job."""
        if asked := self._known():
            delay = self.chance.uniform(0.0, self.chance.choice((2.0, FARTHEST)))
            due = self.world.clock.now() + timedelta(seconds=delay)
            asked.dues.append(due)
            asked.reschedules += 1
            with self._answered():
                await self.runtime.scheduler.reschedule(asked.known_id, delay)
                if asked.reschedules == 1:
                    asked.dues = [due]

    async def retry(self) -> None:
        """Run a finished job again."""
        if asked := self._known():
            asked.retried = True
            with self._answered():
                await self.runtime.scheduler.retry(asked.known_id)

    def _known(self) -> Asked | None:
        found = self.world.ledger.accepted()
        return self.chance.choice(found) if found else None

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Within the block, treat a refusal or an outage as an answer."""
        try:
            yield
        except (StoreUnavailableError, InvalidTransitionError, JobNotFoundError) as error:
            self.world.trace.add(self.process.name, "refused", type(error).__name__)


CALLS: Final[Mapping[Callable[[Producer], Awaitable[None]], int]] = {
    Producer.one: 10,
    Producer.many: 4,
    Producer.keyed: 3,
    Producer.recurring: 3,
    Producer.cancel: 2,
    Producer.reschedule: 2,
    Producer.retry: 1,
}
