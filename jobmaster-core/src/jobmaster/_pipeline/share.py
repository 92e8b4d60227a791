"""Beside the steps: owners report what they would take, and give back jobs that others can start sooner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from attrs import define, evolve, field

from jobmaster._flow.handover import aside_of, hold_unread, return_set_aside
from jobmaster._flow.ownership import NEVER, InFlight, OnReport, OwnedBucket
from jobmaster._policy import outcome
from jobmaster._policy.sharing import hungry

if TYPE_CHECKING:
    from jobmaster._policy.placement import Place
    from jobmaster.clock import Clock
    from jobmaster.contracts import AgentRepository, MasterRepository
    from jobmaster.models import Bucket, Load

LOOK_EVERY: Final = 0.1
"""Seconds between two looks at a worker's jobs in flight, while any come or go."""
TELL_EVERY: Final = 0.5
"""Seconds between two reports of how much an owner would take. Free slots are reported at once."""
ASK_EVERY: Final = 1.0
"""Seconds between two checks for free slots elsewhere, while more lies here than can start within a second."""
GIVEN_AT_ONCE: Final = 4000
"""Most unread jobs of a bucket that one look gives back."""


class OtherWorkers(Protocol):
    """What a worker knows of the others, and how it tells them."""

    @property
    def listening(self) -> bool:
        """Whether notifications arrive from other processes."""
        ...

    def notified_of_free(self) -> bool:
        """Return whether notifications of free slots have arrived since the last call."""
        ...

    def tell_of_free(self, *, known: bool) -> None:
        """Announce free slots: to all processes if they are `known` to the master, else within this process."""
        ...

    def tell_of_held(self) -> None:
        """Announce jobs that are held again, for a worker with free slots."""
        ...

    def within_reach(self, buckets: Sequence[Bucket]) -> Sequence[Bucket]:
        """Return the buckets that this process can give work to, without silent ones."""
        ...

    async def anybody_assigns(self) -> bool:
        """Return whether a coordinator assigns held jobs; without one nothing is given back."""
        ...


@define
class Share:
    """Shares out the work in the buckets of one worker."""

    cluster_id: str
    master: MasterRepository
    agent: AgentRepository
    owned: Sequence[OwnedBucket]
    on_report: OnReport
    others: OtherWorkers
    clock: Clock
    _changed: set[UUID] = field(factory=set, init=False)
    """Buckets whose slots were free, or not, at the last look, contrary to the last report."""
    _nothing_behind: dict[UUID, float] = field(factory=dict, init=False)
    _asides: dict[UUID, Bucket] = field(factory=dict, init=False)
    """Buckets with messages that were set aside and are not all back on the master yet."""
    _gave: bool = field(default=False, init=False)
    _has_too_much: bool = field(default=False, init=False)
    _told_at: float = field(default=-NEVER, init=False)
    _asked_at: float = field(default=-NEVER, init=False)
    _hungry: frozenset[Place] = field(factory=frozenset, init=False)

    async def run_once(self) -> float | None:
        """Report changes, and give back jobs that others could start; return when to look again (None: on a stir)."""
        now = self.clock.monotonic()
        for owned in [owned for owned in self.owned if owned.giving or owned.id in self._asides]:
            await self._bring_back(owned)
        begins = {owned.id: owned.estimate(now) for owned in self.owned if not owned.closed}
        untold = await self._tell(now)
        too_much = [
            owned for owned in self.owned if owned.id in begins and _has_more(owned, begins[owned.id])
        ]
        begun, self._has_too_much = bool(too_much) and not self._has_too_much, bool(too_much)
        if too_much:
            await self._ask(now, at_once=begun)
            wanted = [o for o in too_much if (o.bucket.lane, o.bucket.priority) in self._hungry]
            self._gave = any([await self._give(owned, begins[owned.id], now) for owned in wanted])
        if untold or too_much or any(owned.waiting for owned in self.owned):
            return LOOK_EVERY
        silences = [owned.asks_again_at - now for owned in self.owned if owned.asks_again_at > now]
        return min(silences, default=None)

    # Reporting loads

    async def _tell(self, now: float) -> bool:
        """Report the loads that others should know of; return whether there may be more to report in a while.

        A change between free and busy slots is reported once two looks in a row have seen it. Until then only the
        coordinators of this process are notified of free slots, as they may have jobs for them.
        """
        loads = {owned.id: owned.load(now) for owned in self.owned}
        told = {owned.id: owned.told for owned in self.owned}
        changed = {id_ for id_, load in loads.items() if (load.free > 0) != (told[id_].free > 0)}
        lasting, self._changed = changed & self._changed, changed
        if any(loads[id_].free for id_ in changed - lasting):
            self.others.tell_of_free(known=False)
        newly_free = {id_ for id_ in lasting if loads[id_].free}
        other = (lasting - newly_free) | {id_ for id_, load in loads.items() if _differs(load, told[id_])}
        if newly_free or (other and now - self._told_at >= TELL_EVERY):
            await self._write({id_: loads[id_] for id_ in newly_free | other}, now)
            other = set()
        if newly_free:
            self.others.tell_of_free(known=True)
        return bool(other or changed)

    async def _write(self, loads: Mapping[UUID, Load], now: float) -> None:
        await self.master.buckets.note_loads(loads)
        for owned in self.owned:
            owned.told = loads.get(owned.id, owned.told)
        self._told_at = now

    # Giving back

    async def _ask(self, now: float, *, at_once: bool) -> None:
        """Check which places have free slots: on notifications, and now and then; more often while jobs are given back."""
        every = LOOK_EVERY if self._gave else ASK_EVERY if self.others.listening else TELL_EVERY
        if self.others.notified_of_free() or at_once or now - self._asked_at >= every:
            self._asked_at = now
            buckets = self.others.within_reach(await self.master.buckets.list_active(self.cluster_id))
            full = {owned.id for owned in self.owned if not owned.free}
            found = hungry(b for b in buckets if b.id not in full)
            self._hungry = found if found and await self.others.anybody_assigns() else frozenset()

    async def _give(self, owned: OwnedBucket, begins: int, now: float) -> bool:
        """Give back jobs that will not start within a second: those in line, and those unread behind them.

        This owner's offer is reported first, so that it does not get all of them again. Returns whether there were any.
        """
        if owned.told.offered is None:
            await self._write({owned.id: evolve(owned.load(now), free=0)}, self.clock.monotonic())
        in_line = len(owned.waiting)
        given = owned.give(keep=begins)
        await self._let_go(owned, given, now)
        behind = await self._give_unread(owned, max(0, begins - in_line), now) if owned.more_behind else 0
        return bool(given or behind)

    async def _let_go(self, owned: OwnedBucket, given: Sequence[InFlight], now: float) -> None:
        """Hold jobs that were in line on the master again.

        A message on an agent is set aside first: if the job were reported, it could be back in this bucket before its
        message is removed, and the removal would then hit the new message.
        """
        if owned.remote:
            await self._bring_back(owned)
            return
        for entry in given:
            self.on_report(owned, outcome.released(entry.claim, now - entry.since))

    async def _bring_back(self, owned: OwnedBucket) -> None:
        """Set aside the messages that leave a bucket on an agent, and bring them back to the master.

        This includes leftovers of an earlier try.
        """
        # Their pushers may be about to push these again.
        carried = await self.master.handovers.jobs_of(owned.id)
        owned.keep([entry for entry in owned.giving if entry.claim.job.id in carried])
        giving, aside = list(owned.giving), evolve(owned.bucket, id=aside_of(owned.id))
        self._asides[owned.id] = aside
        await self.agent.asides.put(
            owned.bucket, aside.id, [(h.claim.job.id, h.claim.attempt) for h in giving]
        )
        owned.given(giving)
        if await return_set_aside(self.master, self.agent, aside):
            self.others.tell_of_held()
        del self._asides[owned.id]

    async def _give_unread(self, owned: OwnedBucket, keep: int, now: float) -> int:
        """Give back unread jobs except the first `keep`; if there were none, look again in a while."""
        if now - self._nothing_behind.get(owned.id, -NEVER) < ASK_EVERY:
            return 0
        count = await hold_unread(self.master, self.agent, owned.bucket, 0.0, keep, GIVEN_AT_ONCE)
        if count:
            self.others.tell_of_held()
        else:
            self._nothing_behind[owned.id] = now
        return count


def _has_more(owned: OwnedBucket, begins: int) -> bool:
    """Return whether a bucket holds, or may hold, more jobs than its owner starts within a second."""
    return len(owned.waiting) > begins or owned.more_behind


def _differs(load: Load, told: Load) -> bool:
    """Return whether the offer differs so much from the last report that others would act differently."""
    before, offered = told.offered, load.offered
    if before is None or offered is None:
        return before is not offered
    return not before <= 2 * offered <= 4 * before
