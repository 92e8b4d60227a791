"""Beside the steps: owners tell what they would take, and give back what others can begin sooner than they."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from attrs import define, evolve, field

from jobmaster._policy import outcome
from jobmaster._policy.placement import Place
from jobmaster._policy.sharing import hungry
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.handover import aside_of, hold_unread, return_set_aside
from jobmaster.models import Bucket, Load
from jobmaster.ownership import NEVER, InFlight, OnReport, OwnedBucket

LOOK_EVERY: Final = 0.1
"""Seconds between two looks at what a worker has in hand, while anything comes or goes."""
TELL_EVERY: Final = 0.5
"""Seconds between two times that an owner tells how much it would take. That it has free slots it tells at once."""
ASK_EVERY: Final = 1.0
"""Seconds between two questions whether others have free slots, while more lies here than is begun within a second."""
GIVEN_AT_ONCE: Final = 4000
"""Jobs that lie unread in a bucket of which so many are given back at a look at most."""


@define
class Share:
    """Looks after the buckets of one worker.

    `on_free` is called when slots are free, with whether that is known to the master and others may be told; `on_held`
    when jobs are held there again that somebody with free slots may run. `notified_of_free` says whether such
    notifications have come since it was last asked. `awake` leaves out buckets of which nothing is to be expected;
    nothing is given back unless `anybody_assigns` what is held.
    """

    cluster_id: str
    master: MasterRepository
    agent: AgentRepository
    owned: Sequence[OwnedBucket]
    on_report: OnReport
    on_free: Callable[[bool], None]
    on_held: Callable[[], None]
    notified_of_free: Callable[[], bool]
    listening: Callable[[], bool]
    awake: Callable[[Sequence[Bucket]], Sequence[Bucket]]
    anybody_assigns: Callable[[], Awaitable[bool]]
    monotonic: Callable[[], float]
    _changed: set[UUID] = field(factory=set, init=False)
    """Buckets whose slots were free at the last look, or not, unlike what was told."""
    _nothing_behind: dict[UUID, float] = field(factory=dict, init=False)
    _asides: dict[UUID, Bucket] = field(factory=dict, init=False)
    """Buckets from which messages were put aside that are not all back on the master yet."""
    _gave: bool = field(default=False, init=False)
    _has_too_much: bool = field(default=False, init=False)
    _told_at: float = field(default=-NEVER, init=False)
    _asked_at: float = field(default=-NEVER, init=False)
    _hungry: frozenset[Place] = field(factory=frozenset, init=False)

    async def run_once(self) -> float | None:
        """Tell what has changed, and give back what others could begin; return when to look again (None: on a stir)."""
        now = self.monotonic()
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

    # Telling

    async def _tell(self, now: float) -> bool:
        """Tell the loads that others should know of; return whether there may be more to tell, in a while.

        Slots that are free, or not, are told of when they are so twice in a row. Meanwhile coordinators of this process
        are told, who may have something for them.
        """
        loads = {owned.id: owned.load(now) for owned in self.owned}
        told = {owned.id: owned.told for owned in self.owned}
        changed = {id_ for id_, load in loads.items() if (load.free > 0) != (told[id_].free > 0)}
        lasting, self._changed = changed & self._changed, changed
        if any(loads[id_].free for id_ in changed - lasting):
            self.on_free(False)
        newly_free = {id_ for id_ in lasting if loads[id_].free}
        other = (lasting - newly_free) | {id_ for id_, load in loads.items() if _differs(load, told[id_])}
        if newly_free or (other and now - self._told_at >= TELL_EVERY):
            await self._write({id_: loads[id_] for id_ in newly_free | other}, now)
            other = set()
        if newly_free:
            self.on_free(True)
        return bool(other or changed)

    async def _write(self, loads: Mapping[UUID, Load], now: float) -> None:
        await self.master.tell_loads(loads)
        for owned in self.owned:
            owned.told = loads.get(owned.id, owned.told)
        self._told_at = now

    # Giving back

    async def _ask(self, now: float, *, at_once: bool) -> None:
        """See which places have free slots: on notifications, and now and then; more often while something is given."""
        every = LOOK_EVERY if self._gave else ASK_EVERY if self.listening() else TELL_EVERY
        if self.notified_of_free() or at_once or now - self._asked_at >= every:
            self._asked_at = now
            buckets = self.awake(await self.master.active_buckets(self.cluster_id))
            full = {owned.id for owned in self.owned if not owned.free}
            found = hungry(b for b in buckets if b.id not in full)
            self._hungry = found if found and await self.anybody_assigns() else frozenset()

    async def _give(self, owned: OwnedBucket, begins: int, now: float) -> bool:
        """Give back what is not begun within a second: what is in line, and what lies unread behind it.

        What this owner offers is told first: it is not to be given all of that again. Returns whether there was anything.
        """
        if owned.told.offered is None:
            await self._write({owned.id: evolve(owned.load(now), free=0)}, self.monotonic())
        in_line = len(owned.waiting)
        given = owned.give(keep=begins)
        await self._let_go(owned, given, now)
        behind = await self._give_unread(owned, max(0, begins - in_line), now) if owned.more_behind else 0
        return bool(given or behind)

    async def _let_go(self, owned: OwnedBucket, given: Sequence[InFlight], now: float) -> None:
        """Let what was in line be held on the master again.

        A message on an agent is put aside first: reported, the job could be back in this bucket before its message has been
        removed, and that would then be the new one.
        """
        if owned.remote:
            await self._bring_back(owned)
            return
        for entry in given:
            self.on_report(owned, outcome.released(entry.claim, now - entry.since))

    async def _bring_back(self, owned: OwnedBucket) -> None:
        """Put aside what is to leave a bucket on an agent, and bring it back to the master.

        Also what is left of a try before.
        """
        carried = await self.master.handed_over(owned.id)  # their pushers may be about to push them again
        owned.keep([entry for entry in owned.giving if entry.claim.job.id in carried])
        giving, aside = list(owned.giving), evolve(owned.bucket, id=aside_of(owned.id))
        self._asides[owned.id] = aside
        await self.agent.put_aside(
            owned.bucket, aside.id, [(h.claim.job.id, h.claim.attempt) for h in giving]
        )
        owned.given(giving)
        if await return_set_aside(self.master, self.agent, aside):
            self.on_held()
        del self._asides[owned.id]

    async def _give_unread(self, owned: OwnedBucket, keep: int, now: float) -> int:
        """Give back what was not read, but for the first `keep` jobs; where there was nothing, look again in a while."""
        if now - self._nothing_behind.get(owned.id, -NEVER) < ASK_EVERY:
            return 0
        count = await hold_unread(self.master, self.agent, owned.bucket, 0.0, keep, GIVEN_AT_ONCE)
        if count:
            self.on_held()
        else:
            self._nothing_behind[owned.id] = now
        return count


def _has_more(owned: OwnedBucket, begins: int) -> bool:
    """Return whether more lies in a bucket, or may lie there, than its owner begins within a second."""
    return len(owned.waiting) > begins or owned.more_behind


def _differs(load: Load, told: Load) -> bool:
    """Return whether what is offered differs so much from what was told that others would do something else."""
    before, offered = told.offered, load.offered
    if before is None or offered is None:
        return before is not offered
    return not before <= 2 * offered <= 4 * before
