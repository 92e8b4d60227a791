"""Checks a simulation against the rule of sharing: reports the actions of its stores and processes to an `Idleness`.

A slot is idle for at most a second while a due job that it may run (same lane, handler known, its priority's slots free) has
not begun elsewhere. Faults excuse a cluster, so only scenarios are watched in which stores and notifications work, and
processes are started, stopped, replaced and killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import anyio
from attrs import define, evolve, field

from jobmaster.config import Settings, WorkerSettings
from jobmaster.models import Bucket, BucketPage, Job, WorkerRecord
from jobmaster_testing.simulation.handlers import known_to
from jobmaster_testing.simulation.idleness import Idleness, Place
from jobmaster_testing.simulation.ledger import Attempt, Run
from jobmaster_testing.simulation.processes import Process
from jobmaster_testing.simulation.scenario import PARALLELISM, Faults, Scenario

if TYPE_CHECKING:
    from jobmaster_testing.simulation.world import World

RULE: Final = 1.5
"""Seconds in total for which a slot may be idle beside a job that it may run, with default settings and notifications: the
rule is a second at a time, and a job that waits for long may see several such times, each of them shorter."""
PARKING: Final = 1.5
"""Additional seconds if some worker does not know every handler: coordinators do not know that, and a worker that received
only jobs it cannot run waits for a moment before it offers its free slots again, each time for longer."""
GAPS: Final = 0.15
"""Seconds that may pass between jobs for each busy second: a backlog may take 1.15 times as long as necessary."""
DEATH: Final = 1.0
"""Seconds in which a cluster with notifications has to notice a death: jobs that the dead worker had not read begin within
`RULE` more."""
CALLS: Final = 40
"""Trips to or from a store that a job may wait for in addition: some of ten calls, one after another, are slow."""
LOOKS: Final = 3
"""Polls that replace notifications: by an overloaded worker, by a coordinator, and by an idle worker."""
TICK: Final = 0.05
"""Seconds between two looks into the stores. These find only waiting jobs: starts and ends are noticed as they happen."""
MOST_TOLD: Final = 5
"""Number of jobs that are reported: where many wait beside idle slots, the first ones show why."""
ACCUSED: Final = 2
"""Number of crashes from which a job runs alone among its kind, and waits for its turn."""
HARMLESS: Final = frozenset({"kill", "lose", "restart", "roll", "stop"})


def is_watched(scenario: Scenario) -> bool:
    """Return whether the rule is checked in a scenario: its processes may die, and nothing else goes wrong."""
    calm = evolve(scenario.faults, deadly=0.0) == Faults(usual=scenario.faults.usual)
    return calm and all(event.what in HARMLESS for event in scenario.events)


def bound_of(scenario: Scenario) -> float:
    """Return the seconds for which a slot may be idle beside a job that it may run.

    `RULE`, `PARKING` where a worker knows only some handlers, and the time of `CALLS` trips in this scenario. Without
    notifications, `LOOKS` times the longest time between two looks for work (`poll_interval`). Neither the lease nor the
    heartbeat matters.
    """
    parking = 0.0 if all(one.knows_rare for one in scenario.processes if one.modes) else PARKING
    return RULE + parking + CALLS * scenario.faults.usual + _unheard(scenario)


def notice_of(scenario: Scenario) -> float:
    """Return the seconds in which a death has to be noticed. Again, the lease does not matter."""
    return DEATH + _unheard(scenario) / LOOKS


def _unheard(scenario: Scenario) -> float:
    poll = scenario.settings.get("poll_interval", Settings().poll_interval)
    return 0.0 if scenario.notifications else LOOKS * float(poll)


@define(eq=False)
class IdleWatch:
    """Reports what happens in a world to an `Idleness`, and complains about its findings."""

    world: World
    is_on: bool = field(init=False)
    idleness: Idleness = field(init=False)
    _workers: dict[UUID, tuple[Process, str]] = field(factory=dict, init=False)
    """The living workers by id: their process, and the name of their slots."""
    _coordinators: set[UUID] = field(factory=set, init=False)
    _buckets: dict[UUID, Process] = field(factory=dict, init=False)
    _carriers: dict[UUID, Process] = field(factory=dict, init=False)
    """The processes that hand over jobs, by pusher id: the ids of their workers, and their own."""
    _read_to: dict[UUID, tuple[datetime, UUID]] = field(factory=dict, init=False)
    """The furthest place in each bucket that was ever read."""
    _running: dict[Run, str] = field(factory=dict, init=False)
    """The slots' names of the running handlers."""
    _excused: set[Attempt] = field(factory=set, init=False)
    _begun: set[Attempt] = field(factory=set, init=False)
    _told: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Take the bound from the scenario."""
        self.is_on = is_watched(self.world.scenario)
        self.idleness = Idleness(bound_of(self.world.scenario), GAPS)

    def summary(self) -> str:
        """Return a brief summary of the observations."""
        if not self.is_on:
            return "idle slots not watched"
        return (
            f"slots idle beside due jobs for up to {self.idleness.longest:.2f} of {self.idleness.bound:.2f} s"
        )

    # What happens

    async def run(self) -> None:
        """Look into the stores until cancelled."""
        while self.is_on:
            self._look()
            await anyio.sleep(TICK)

    def after(self, process: Process, name: str, args: Sequence[Any], answer: Any) -> None:
        """Inspect a store call that has just happened."""
        if not self.is_on:
            return
        if name == "workers.register":
            self._registered(process, *args[:2])
        elif name in ("workers.set_stopping", "workers.retire"):
            self._leaves(args[0])
        elif isinstance(answer, BucketPage):
            self._reads(answer)

    def _registered(self, process: Process, record: WorkerRecord, buckets: Sequence[Bucket]) -> None:
        """Open the slots of a new worker. A fallback's slots do not count: it may serve a place, but need not."""
        if record.id in self._workers or not process.stands or process.is_stopping:
            return
        name = f"{record.name} ({record.id.hex[-6:]})"
        for former, (_, other) in list(self._workers.items()):
            if other.startswith(f"{record.name} "):
                self._leaves(former)
        self._workers[record.id] = process, name
        self._buckets |= dict.fromkeys((bucket.id for bucket in buckets), process)
        self._carriers |= dict.fromkeys((record.id, record.process_id), process)
        if record.mode.coordinates:
            self._coordinators.add(record.id)
        if not record.name.endswith("-fallback"):
            self.idleness.opened(name, _slots(buckets), known_to(process), self._now())

    def _leaves(self, worker_id: UUID) -> None:
        _, name = self._workers.pop(worker_id, (None, ""))
        self._coordinators.discard(worker_id)
        self.idleness.closed(name, self._now())

    def _reads(self, page: BucketPage) -> None:
        for claim in page.claims:
            place = claim.ready_at, claim.job.id
            self._read_to[claim.bucket_id] = max(place, self._read_to.get(claim.bucket_id, place))

    def started(self, run: Run) -> None:
        """Record that a handler begins."""
        if self.is_on:
            attempt = run.job_id, run.attempt
            self._begun.add(attempt)
            self._running[run] = self._slots_of(run)
            self.idleness.begins(attempt, self._running[run], run.place, self._now())
            self._complain()

    def ended(self, run: Run) -> None:
        """Record that a handler ends."""
        if self.is_on:
            self.idleness.ends(self._running.pop(run), run.place, self._now())

    def _slots_of(self, run: Run) -> str:
        mine = [name for process, name in self._workers.values() if process is run.process]
        return next((name for name in mine if name.startswith(f"{run.worker} ")), "")

    def stopped(self) -> None:
        """Record that a process was asked to stop: work that others expected from it has to be handed back."""
        self.idleness.counts_from(self._now(), self._now())

    def died(self, process: Process) -> None:
        """Record a death. Jobs that its workers had read may have begun, and wait for the lease; the rest must go on soon.

        Jobs that it was handing over to an agent wait too: no other process knows whether its push is still under way.
        """
        if self.is_on:
            pushers = {pusher for pusher, owner in self._carriers.items() if owner is process}
            owned = {bucket_id for bucket_id, owner in self._buckets.items() if owner is process}
            self._see_off()
            for attempt in [*self._handed_out(owned), *self._handed_over(pushers)]:
                self._excused.add(attempt)
                self.idleness.gone(attempt, self._now())
            now = self._now()
            self.idleness.counts_from(now + notice_of(self.world.scenario), now)

    def _handed_out(self, buckets: set[UUID]) -> Iterator[Attempt]:
        for bucket_id, attempt, ready_at in self._in_buckets():
            to = self._read_to.get(bucket_id)
            if bucket_id in buckets and to is not None and (ready_at, attempt[0]) <= to:
                yield attempt

    def _in_buckets(self) -> Iterator[tuple[UUID, Attempt, datetime]]:
        for row in self.world.rows.live.values():
            if row.bucket_id is not None:
                yield row.bucket_id, (row.job.id, row.attempt), row.ready_at
        for box in self.world.boxes.values():
            for (bucket_id, job_id, number), letter in box.letters.items():
                yield bucket_id, (job_id, number), letter.ready_at

    def _handed_over(self, pushers: set[UUID]) -> Iterator[Attempt]:
        rows = self.world.rows
        for handover in rows.handovers.values():
            if handover.pusher in pushers:
                yield from (
                    (job_id, rows.live[job_id].attempt) for job_id in handover.job_ids if job_id in rows.live
                )

    # Looking

    def _look(self) -> None:
        """Find out which workers have gone, and which jobs wait."""
        now = self._now()
        self._see_off()
        if not self._coordinators:  # no worker distributes held jobs
            self.idleness.counts_from(now, now)
        due = dict(self._due())
        for attempt in self.idleness.waiting() - due.keys():
            self.idleness.gone(attempt, now)
        for attempt, job in due.items():
            self.idleness.waits(attempt, (job.lane, job.priority), job.definition_id, now)
        self.idleness.look(now)
        self._complain()

    def _see_off(self) -> None:
        for worker_id, (process, _) in list(self._workers.items()):
            if process.is_stopping or not process.stands:
                self._leaves(worker_id)

    def _due(self) -> Iterator[tuple[Attempt, Job]]:
        """Return the due attempts that have not begun, according to the master, or otherwise an agent."""
        now, rows = self.world.clock.now(), self.world.rows
        for row in rows.live.values():
            attempt = row.job.id, row.attempt
            if row.ready_at <= now and not row.cancel_requested and self._is_expected(attempt, row.crashes):
                yield attempt, row.job
        for box in self.world.boxes.values():
            for (_, job_id, number), letter in box.letters.items():
                unknown = job_id not in rows.jobs
                if unknown and letter.ready_at <= now and self._is_expected((job_id, number), 0):
                    yield (job_id, number), letter.job

    def _is_expected(self, attempt: Attempt, crashes: int) -> bool:
        return attempt not in self._begun and attempt not in self._excused and crashes < ACCUSED

    def _complain(self) -> None:
        for found in self.idleness.found[self._told : MOST_TOLD]:
            self.world.watch.complain(found)
        self._told = len(self.idleness.found)

    def _now(self) -> float:
        return self.world.clock.monotonic()


def _slots(buckets: Sequence[Bucket]) -> dict[Place, int]:
    settings = WorkerSettings(parallelism=PARALLELISM)
    counts = Counter((bucket.lane, bucket.priority) for bucket in buckets)
    return {(lane, priority): n * settings.slots(priority) for (lane, priority), n in counts.items()}
